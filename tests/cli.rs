//! The binary as its user meets it: usage, exit codes, what is said and what is never said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Nobody listens there: the port of `tcpmux`, which needs root.
const NOWHERE: &str = "127.0.0.1:1";

fn adit(arguments: &[&str]) -> Output {
    adit_in(Path::new("."), arguments)
}

fn adit_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A folder with an `adit.toml`.
fn with_config(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("adit.toml"), text).unwrap();
    folder
}

/// Standard error of a command that must end with this code.
fn fails(code: i32, output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn help_and_version_are_printed_and_succeed() {
    let version = adit(&["--version"]);
    assert!(version.status.success());
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("adit 0."));
    let help = adit(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for command in ["run", "tail", "check", "drop"] {
        assert!(text.contains(&format!("\n  {command} ")), "{text}");
    }
    for later in ["init", "status", "snapshot", "pause", "resume", "verify"] {
        assert!(!text.contains(&format!("\n  {later} ")), "{text}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["rum"],
        &["run", "--sourse", "x"],
        &["run", "--nats", "nats://x"],
        &["run", "-c", "x.toml", "--source", "postgres://a@b"],
        &["tail"],
        &["tail", "postgres://a@b", "--format", "debezium"],
        &["drop"],
        &["check", "--log-format", "xml"],
    ] {
        fails(2, &adit(arguments));
    }
}

#[test]
fn a_configuration_that_is_not_there_ends_with_2_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["run"][..], &["check"], &["drop", "shop"]] {
        let text = fails(2, &adit_in(folder.path(), arguments));
        assert!(text.contains("adit.toml"), "{text}");
        assert!(text.contains("name the file with -c FILE"), "{text}");
    }
    let text = fails(2, &adit_in(folder.path(), &["run", "-c", "other.toml"]));
    assert!(text.contains("other.toml"), "{text}");
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let folder = with_config(
        "[[connector]]\nname = \"Shop\"\nsource.urll = \"postgres://a@b\"\n[http]\nlisten = \"\"\n",
    );
    for arguments in [
        &["run"][..],
        &["check", "--json"],
        &["drop", "shop", "--yes"],
    ] {
        let text = fails(2, &adit_in(folder.path(), arguments));
        assert!(
            text.starts_with("adit: the configuration adit.toml cannot be used\n")
                || text.contains("\nadit: the configuration adit.toml"),
            "{text}"
        );
        for expected in [
            "line 2: connector.name: \"Shop\" is not a name",
            "connector.source.url: it is missing",
            "line 3: connector.source.urll: unknown key; did you mean \"url\"?",
            "line 4: http: unknown key",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in {text}");
        }
    }
}

#[test]
fn secrets_are_never_repeated() {
    let folder = with_config(
        "[[connector]]\nsource.url = \"postgres://a:s3cr3t@b/x?sslmod=s3cr3t\"\nnats.url = \"ftp://s3cr3t@x\"\nnats.password = \"s3cr3t\"\n",
    );
    for arguments in [
        &["run"][..],
        &["run", "--source", "postgre://a:s3cr3t@b"],
        &["run", "--source", "postgres://a:s3cr3t@b:port/x"],
        &[
            "run",
            "--source",
            "postgres://a@b",
            "--nats",
            "nats://s3cr3t@b:port",
        ],
        &["tail", "http://a:s3cr3t@b"],
        &["check"],
        &["drop", "x"],
    ] {
        let output = adit_in(folder.path(), arguments);
        let text = fails(2, &output);
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("s3cr3t"));
    }
}

#[test]
fn wrong_options_are_called_by_their_names() {
    let text = fails(
        2,
        &adit(&["run", "--source", "oracle://a@b/c", "--name", "A"]),
    );
    assert!(
        text.contains("--source: it does not start with postgres://, mysql:// or mariadb://"),
        "{text}"
    );
    assert!(text.contains("--name: \"A\" is not a name"), "{text}");
}

#[test]
fn a_filter_that_cannot_be_read_ends_with_2() {
    let text = fails(2, &adit(&["check", "--log-level", "adit=loud"]));
    assert!(
        text.contains("--log-level \"adit=loud\" cannot be read"),
        "{text}"
    );
}

#[test]
fn drop_asks_on_a_terminal_only_and_knows_its_connectors() {
    let folder = with_config("[[connector]]\nname = \"shop\"\nsource.url = \"postgres://a@b/c\"\n");
    let text = fails(2, &adit_in(folder.path(), &["drop", "shop", "--stream"]));
    assert!(
        text.contains("slot \"adit_shop\", publication \"adit_shop\""),
        "{text}"
    );
    assert!(
        text.contains("stream \"CDC_SHOP\" with every event in it") && text.contains("add --yes"),
        "{text}"
    );
    let text = fails(2, &adit_in(folder.path(), &["drop", "shpo", "--yes"]));
    assert!(
        text.contains("no connector is called \"shpo\" in adit.toml; did you mean \"shop\"?"),
        "{text}"
    );
}

#[test]
fn servers_that_are_not_there_fail_the_check_with_1() {
    let folder = with_config(&format!(
        "[[connector]]\nname = \"shop\"\nsource.url = \"postgres://adit:s3cr3t@{NOWHERE}/c\"\nnats.url = \"nats://adit:s3cr3t@{NOWHERE}\"\n"
    ));
    let output = adit_in(folder.path(), &["check"]);
    fails(1, &output);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines()
            .filter(|line| line.starts_with("FAIL  shop: "))
            .count()
            >= 2,
        "{text}"
    );
    assert!(!text.contains("s3cr3t"), "{text}");

    let output = adit_in(folder.path(), &["check", "--json"]);
    fails(1, &output);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["findings"][0]["connector"], "shop");
    assert!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["verdict"] == "FAIL")
    );
}

/// Starts `run` against servers that are not there, and waits until it has said so as JSON.
fn retrying() -> (Child, BufReader<impl Read>) {
    let source = format!("postgres://adit@{NOWHERE}/shop");
    let nats = format!("nats://{NOWHERE}");
    let mut adit = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["run", "--source", &source, "--nats", &nats])
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(adit.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["message"], "connecting to nats failed");
    assert_eq!(line["connector"], "shop");
    assert!(
        !line["retry_in_ms"].is_null() && line["error"].is_string(),
        "{line}"
    );
    (adit, log)
}

#[test]
fn a_signal_ends_a_run_cleanly_even_while_it_retries() {
    for signal in ["-TERM", "-INT"] {
        let (mut adit, mut log) = retrying();
        let kill = Command::new("kill")
            .args([signal, &adit.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert_eq!(adit.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        for line in rest.lines() {
            assert!(
                serde_json::from_str::<serde_json::Value>(line).is_ok(),
                "{line}"
            );
        }
        assert!(rest.contains("\"message\":\"stopped\""), "{rest}");
    }
}
