//! Who may know whom, as `crates/README.md` draws it: invariants I1 and I8.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Every package of ours, and the whole list of those that it may depend on.
const EDGES: [(&str, &[&str]); 11] = [
    ("adit-decode", &[]),
    ("adit-event", &[]),
    ("adit-pgoutput", &["adit-decode", "adit-event"]),
    ("adit-binlog", &["adit-decode", "adit-event"]),
    ("adit-pipeline", &["adit-event"]),
    (
        "adit-source-postgres",
        &["adit-event", "adit-pgoutput", "adit-pipeline"],
    ),
    (
        "adit-source-mysql",
        &["adit-binlog", "adit-event", "adit-pipeline"],
    ),
    ("adit-sink-nats", &["adit-event", "adit-pipeline"]),
    (
        "adit",
        &[
            "adit-event",
            "adit-pipeline",
            "adit-sink-nats",
            "adit-source-mysql",
            "adit-source-postgres",
        ],
    ),
    ("adit-lab", &[]),
    (
        "adit-bench",
        &[
            "adit-binlog",
            "adit-event",
            "adit-lab",
            "adit-pgoutput",
            "adit-pipeline",
            "adit-sink-nats",
        ],
    ),
];

/// Packages that only turn bytes into values: they can be tested without any server.
const PURE: [&str; 4] = ["adit-decode", "adit-event", "adit-pgoutput", "adit-binlog"];

/// What no pure package may pull in, directly or through another: runtimes, sockets, TLS, clients,
/// clocks, randomness, logging, configuration.
const IMPURE: [&str; 24] = [
    "async-nats",
    "async-std",
    "chrono",
    "clap",
    "config",
    "futures-util",
    "getrandom",
    "hyper",
    "log",
    "mio",
    "postgres-protocol",
    "rand",
    "reqwest",
    "ring",
    "rustls",
    "serde_json",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tokio-postgres",
    "toml",
    "tracing",
];

/// What the pipeline may not pull in: it knows no network, no database and no NATS.
const FOREIGN_TO_PIPELINE: [&str; 9] = [
    "async-nats",
    "clap",
    "mio",
    "postgres-protocol",
    "ring",
    "rustls",
    "socket2",
    "tokio-postgres",
    "toml",
];

/// Who may use a package that names a technology.
const OWNERS: [(&str, &[&str]); 8] = [
    ("async-nats", &["adit-sink-nats", "adit-lab"]),
    ("mysql_async", &["adit-lab"]),
    ("mysql_common", &["adit-source-mysql"]),
    ("postgres-protocol", &["adit-source-postgres"]),
    ("sqlparser", &["adit-source-mysql"]),
    ("tokio-postgres", &["adit-source-postgres", "adit-lab"]),
    ("toml", &["adit"]),
    ("clap", &["adit", "adit-bench", "adit-lab"]),
];

struct Package {
    folder: PathBuf,
    /// Names of the direct dependencies, those of tests and builds left out.
    needs: BTreeSet<String>,
}

#[test]
fn packages_of_ours_depend_only_on_those_that_they_may_know() {
    let packages = packages();
    let known: BTreeMap<_, _> = EDGES.into_iter().collect();
    for (name, package) in &packages {
        let Some(allowed) = known.get(name.as_str()) else {
            panic!(
                "{name} is new: say in tests/architecture.rs and crates/README.md whom it may know"
            )
        };
        for need in package
            .needs
            .iter()
            .filter(|need| packages.contains_key(*need))
        {
            assert!(allowed.contains(&need.as_str()), "{name} depends on {need}");
        }
    }
    for name in known.keys() {
        assert!(
            packages.contains_key(*name),
            "{name} is gone: take it out of tests/architecture.rs"
        );
    }
}

#[test]
fn pure_packages_stay_pure() {
    for name in PURE {
        refuse(name, &IMPURE);
    }
}

#[test]
fn the_pipeline_knows_no_network_no_database_and_no_nats() {
    refuse("adit-pipeline", &FOREIGN_TO_PIPELINE);
}

#[test]
fn a_technology_is_known_to_its_owner_only() {
    let packages = packages();
    for (technology, owners) in OWNERS {
        for (name, package) in &packages {
            let allowed = owners.contains(&name.as_str());
            assert!(
                allowed || !package.needs.contains(technology),
                "{name} depends on {technology}"
            );
        }
    }
}

#[test]
fn no_crypto_but_rustls_with_ring() {
    let tree = tree("adit");
    for banned in [
        "openssl",
        "openssl-sys",
        "native-tls",
        "aws-lc-rs",
        "aws-lc-sys",
    ] {
        assert!(!tree.contains(banned), "adit depends on {banned}");
    }
}

#[test]
fn pure_packages_touch_no_socket_file_clock_or_environment() {
    for name in PURE {
        forbid_words(
            name,
            &[
                "std::net",
                "std::fs",
                "std::env",
                "std::process",
                "std::thread",
                "SystemTime",
                "Instant",
            ],
            &[],
        );
    }
}

#[test]
fn only_the_sink_knows_nats_and_its_headers() {
    for (name, _) in EDGES {
        if name != "adit-sink-nats" && name != "adit-lab" {
            forbid_words(name, &["async_nats", "\"Nats-", "\"Adit-", "$JS.API"], &[]);
        }
    }
}

#[test]
fn only_the_envelope_knows_the_published_json() {
    for (name, _) in EDGES {
        if name != "adit-lab" {
            let fields = [
                r#"\"op\":"#,
                r#"\"before\":"#,
                r#"\"after\":"#,
                r#"\"absent\":"#,
            ];
            forbid_words(name, &fields, &["envelope.rs"]);
        }
    }
}

#[test]
fn only_the_binary_knows_the_environment() {
    for (name, _) in EDGES {
        if name != "adit" && name != "adit-lab" {
            forbid_words(name, &["std::env", "env::var"], &[]);
        }
    }
}

#[test]
fn the_map_has_a_line_for_every_package() {
    let map = fs::read_to_string(root().join("crates/README.md")).unwrap();
    for (name, package) in packages() {
        let folder = package
            .folder
            .strip_prefix(root())
            .unwrap()
            .display()
            .to_string();
        // The root package is the binary, whose files are in crates/cli.
        let folder = if folder.is_empty() {
            "crates/cli"
        } else {
            folder.as_str()
        };
        let line = |line: &str| {
            line.contains(&format!("`{folder}`")) && line.contains(&format!("`{name}`"))
        };
        assert!(
            map.lines().any(line),
            "crates/README.md has no line with `{folder}` and `{name}`"
        );
    }
}

fn refuse(name: &str, packages: &[&str]) {
    let tree = tree(name);
    for package in packages {
        assert!(!tree.contains(*package), "{name} depends on {package}");
    }
}

/// Looks for words in a package's sources, its tests and comments left out.
fn forbid_words(name: &str, words: &[&str], except: &[&str]) {
    let folder = match name {
        "adit" => root().join("crates/cli"),
        _ => packages()[name].folder.join("src"),
    };
    let mut files = Vec::new();
    sources(&folder, &mut files);
    assert!(!files.is_empty(), "no sources in {}", folder.display());
    for file in files {
        if except.iter().any(|name| file.ends_with(name)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            if line.trim_start() == "#[cfg(test)]"
                && !text
                    .lines()
                    .nth(number + 1)
                    .is_some_and(|next| next.ends_with("tests;"))
            {
                break;
            }
            if line.trim_start().starts_with("//") {
                continue;
            }
            for word in words {
                assert!(
                    !line.contains(word),
                    "{name} names {word} in {}:{}",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}

/// All `.rs` files below a folder but those of tests, which are `tests.rs` and what lies in `tests/`.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                sources(&path, files);
            }
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// The names of all packages that one needs, directly or through others, to be built and run.
fn tree(name: &str) -> BTreeSet<String> {
    let text = cargo(&[
        "tree",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--package",
        name,
    ]);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names
        .filter(|found| *found != name)
        .map(ToOwned::to_owned)
        .collect()
}

fn packages() -> BTreeMap<String, Package> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let package = |package: &Value| {
        let normal = |one: &&Value| one["kind"].is_null();
        let needs = list(&package["dependencies"]);
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        (
            text(&package["name"]),
            Package {
                folder: manifest.parent().unwrap().to_owned(),
                needs: needs
                    .iter()
                    .filter(normal)
                    .map(|one| text(&one["name"]))
                    .collect(),
            },
        )
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
