//! What a configuration may say, and what is answered to one that says something else.

use std::time::Duration;

use adit_sink_nats::{Auth, Delivery};
use secrecy::ExposeSecret;

use super::*;
use adit_pipeline::SnapshotMode;
use adit_source_mysql::{GtidMode, MysqlOptions};
use adit_source_postgres::PostgresOptions;

/// The least that a file may say.
const LEAST: &str = "[[connector]]\nsource.url = \"postgres://adit@db/shop\"\n";

fn variables(name: &str) -> Option<String> {
    match name {
        "DB_HOST" => Some("db.example".to_owned()),
        "DB_PASSWORD" => Some("s3cr3t".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, &variables)
}

fn one(text: &str) -> Connector {
    parse(text).unwrap().connectors.remove(0)
}

/// All problems of a file as its user reads them, one a line.
fn problems(text: &str) -> String {
    let Err(problems) = parse(text) else {
        panic!("nothing is wrong with {text}")
    };
    let invalid = Invalid::new(Origin::File("adit.toml".to_owned()), problems);
    assert!(!invalid.problems().is_empty());
    let text = invalid.to_string();
    let (head, rest) = text.split_once('\n').unwrap();
    assert_eq!(head, "the configuration adit.toml cannot be used");
    rest.lines()
        .map(str::trim_start)
        .collect::<Vec<_>>()
        .join("\n")
}

fn postgres(connector: &Connector) -> &PostgresOptions {
    match &connector.source {
        SourceConfig::Postgres(options) => options,
        SourceConfig::Mysql(_) => panic!("it is MySQL"),
    }
}

fn mysql(connector: &Connector) -> &MysqlOptions {
    match &connector.source {
        SourceConfig::Mysql(options) => options,
        SourceConfig::Postgres(_) => panic!("it is PostgreSQL"),
    }
}

#[test]
fn mysql_and_mariadb_have_a_section_of_their_own() {
    let connector = one(r#"
[[connector]]
[connector.source]
url = "mariadb://adit:${DB_PASSWORD}@db/Web-Shop"
mysql = { server_id = 7, gtid = "off", heartbeat = "2s" }
"#);
    assert_eq!(connector.name, "web_shop");
    let source = mysql(&connector);
    assert_eq!((source.server_id, source.gtid), (7, GtidMode::Off));
    assert_eq!(source.heartbeat, Duration::from_secs(2));
    assert_eq!(source.connector().as_str(), "mariadb");
    assert_eq!(source.snapshot.mode, SnapshotMode::Initial);

    let connector = one("[[connector]]\nsource.url = \"mysql://adit@db.example\"\n");
    assert_eq!(connector.name, "db_example_3306");
    let source = mysql(&connector);
    assert_eq!((source.server_id, source.gtid), (0, GtidMode::Auto));
    assert_eq!(source.connector().as_str(), "mysql");
}

#[test]
fn the_database_of_a_mysql_url_stands_for_all_tables() {
    let tables = |url: &str, more: &str| {
        let connector = one(&format!("[[connector]]\nsource.url = {url:?}\n{more}\n"));
        mysql(&connector).tables.globs()
    };
    let url = "mysql://adit@db/shop";
    assert_eq!(tables(url, ""), ["shop.*"]);
    let without = "source.tables = [\"!shop.audit\"]";
    assert_eq!(tables(url, without), ["shop.*", "!shop.audit"]);
    assert_eq!(tables(url, "source.tables = [\"eu.*\"]"), ["eu.*"]);
    assert!(tables("mysql://adit@db", "").is_empty());
}

#[test]
fn every_key_has_a_default_but_the_url_of_the_source() {
    let connector = one(LEAST);
    assert_eq!(connector.name, "shop");
    let source = postgres(&connector);
    assert_eq!(source.name, "shop");
    assert_eq!(
        (source.slot.as_str(), source.publication.as_str()),
        ("adit_shop", "adit_shop")
    );
    assert!(!source.failover && !source.temporary_slot);
    assert_eq!(source.heartbeat, Duration::from_secs(30));
    assert_eq!(source.snapshot.mode, SnapshotMode::Initial);
    assert_eq!(
        (source.snapshot.workers, source.snapshot.chunk_rows),
        (4, 20_000)
    );
    assert_eq!(source.spill_memory, 16_000_000);
    assert_eq!(source.spill_dir, std::env::temp_dir());
    let nats = &connector.nats;
    assert_eq!(nats.servers[0].to_string(), "localhost:4222");
    assert_eq!((nats.stream.as_str(), nats.replicas), ("CDC_SHOP", 1));
    assert_eq!(nats.subject, "cdc.{connector}.{schema}.{table}");
    assert_eq!(nats.delivery, Delivery::ExactlyOnce);
    assert!(!nats.atomic_transactions);
    assert!(matches!(nats.auth, Auth::None));
    assert_eq!(connector.confirm_lag, Duration::ZERO);
    assert_eq!(connector.values, ValueOptions::default());
}

#[test]
fn every_key_can_be_set() {
    let connector = one(r#"
[[connector]]
name = "orders"
[connector.source]
url = "postgres://adit:${DB_PASSWORD}@${DB_HOST}:${DB_PORT:-5433}/shop"
tables = ["public.*", "!public.audit_*"]
spill_dir = "/var/tmp"
spill_memory = "64MiB"
[connector.source.postgres]
slot = "s"
publication = "Pub $$"
failover = true
heartbeat = "5s"
[connector.snapshot]
mode = "when_needed"
workers = 2
chunk_rows = 1_000
[connector.nats]
url = ["nats://a:4222", "nats://b:4222"]
user = "adit"
password = "${DB_PASSWORD}"
stream = "ORDERS"
replicas = 3
subject = "x.{table}"
delivery = "at-least-once"
atomic_transactions = true
confirm_lag = "2m"
tls.ca = "/ca.pem"
tls.cert = "/cert.pem"
tls.key = "/key.pem"
tls.first = true
[connector.format]
kind = "adit"
integers = "string"
decimals = "number"
bytes = "hex"
"#);
    let source = postgres(&connector);
    assert_eq!(source.connect.targets()[0].to_string(), "db.example:5433");
    assert_eq!(source.connect.password().unwrap().expose_secret(), "s3cr3t");
    assert_eq!(
        (source.slot.as_str(), source.publication.as_str()),
        ("s", "Pub $")
    );
    assert!(source.failover);
    assert_eq!(source.heartbeat, Duration::from_secs(5));
    assert_eq!(source.snapshot.mode, SnapshotMode::WhenNeeded);
    assert_eq!(
        (source.snapshot.workers, source.snapshot.chunk_rows),
        (2, 1_000)
    );
    assert_eq!(source.spill_memory, 64 << 20);
    let nats = &connector.nats;
    assert_eq!(
        (nats.servers.len(), nats.stream.as_str(), nats.replicas),
        (2, "ORDERS", 3)
    );
    assert_eq!(nats.delivery, Delivery::AtLeastOnce);
    assert!(nats.atomic_transactions);
    assert!(nats.tls.first && nats.tls.ca_file.is_some() && nats.tls.key_file.is_some());
    let Auth::UserPassword { user, password } = &nats.auth else {
        panic!("no user")
    };
    assert_eq!(
        (user.as_str(), password.expose_secret()),
        ("adit", "s3cr3t")
    );
    assert_eq!(connector.confirm_lag, Duration::from_secs(120));
    let values = connector.values;
    assert!(values.integers_as_strings && values.decimals_as_numbers && values.bytes_as_hex);
}

#[test]
fn all_problems_are_reported_at_once_with_their_lines() {
    let text = r#"
[[connector]]
name = "Shop"
[connector.source]
urll = "postgres://adit@db/shop"
tables = "public"
[connector.nats]
replicas = 9
tls.cert = "/cert.pem"
[connector.format]
integers = "strings"
[http]
listen = ""
"#;
    let found = problems(text);
    for expected in [
        "line 3: connector.name: \"Shop\" is not a name",
        "connector.source.url: it is missing: write it as",
        "line 5: connector.source.urll: unknown key; did you mean \"url\"?",
        "line 6: connector.source.tables: ",
        "line 8: connector.nats.replicas: 9 is not from 1 to 5",
        "line 9: connector.nats.tls.cert: cert and key belong together",
        "line 11: connector.format.integers: \"strings\" is not one of \"number\", \"string\"; did you mean \"string\"?",
        "line 12: http: unknown key; known here: connector",
    ] {
        assert!(
            found.contains(expected),
            "{expected:?} is missing in\n{found}"
        );
    }
    assert_eq!(found.lines().count(), 8, "{found}");
}

#[test]
fn each_wrong_value_is_answered_with_how_to_write_it() {
    for (line, expected) in [
        ("name = \"a-b\"", "connector.name: \"a-b\" is not a name"),
        (
            "name = 7",
            "connector.name: this is of type integer, it must be a string in quotes",
        ),
        (
            "name = \"${NO_SUCH}\"",
            "connector.name: uses the environment variable NO_SUCH, which is not set",
        ),
        (
            "source = 1",
            "connector.source: this is of type integer, it must be a table: write [connector.source]",
        ),
        (
            "source.url = \"oracle://adit@db/shop\"",
            "connector.source.url: it does not start with postgres://, mysql:// or mariadb://",
        ),
        (
            "source.mysql.server_id = 7",
            "connector.source.mysql: the url is not one of mysql or mariadb",
        ),
        (
            "source.password_file = \"/no/such/file\"",
            "connector.source.password_file: cannot read the file /no/such/file: ",
        ),
        (
            "source.tables = [1]",
            "connector.source.tables: this is of type integer, it must be a list of strings in quotes",
        ),
        (
            "source.spill_memory = \"16\"",
            "connector.source.spill_memory: \"16\" is not a size; write it as",
        ),
        (
            "source.spill_memory = \"1B\"",
            "connector.source.spill_memory: \"1B\" is not from",
        ),
        (
            "source.postgres.slot = \"A\"",
            "connector.source.postgres.slot: a slot's name has lower-case letters",
        ),
        (
            "source.postgres.publication = \"\"",
            "connector.source.postgres.publication: it must be 1 to 63 bytes long",
        ),
        (
            "source.postgres.failover = 1",
            "connector.source.postgres.failover: this is of type integer, it must be true or false",
        ),
        (
            "source.postgres.heartbeat = \"30\"",
            "connector.source.postgres.heartbeat: \"30\" is not a duration; write it as",
        ),
        (
            "source.postgres.heartbeat = \"0s\"",
            "connector.source.postgres.heartbeat: it is shorter than one second",
        ),
        (
            "source.columns = []",
            "connector.source.columns: unknown key",
        ),
        (
            "snapshot.mode = \"allways\"",
            "connector.snapshot.mode: \"allways\" is not one of",
        ),
        (
            "snapshot.workers = 0",
            "connector.snapshot.workers: 0 is not from 1 to 64",
        ),
        (
            "snapshot.workers = 1.5",
            "connector.snapshot.workers: this is of type float, it must be a whole number",
        ),
        (
            "snapshot.chunk_rows = -1",
            "connector.snapshot.chunk_rows: -1 is not from",
        ),
        ("nats.url = []", "connector.nats.url: "),
        ("nats.url = \"http://x\"", "connector.nats.url: "),
        ("nats.stream = \"a.b\"", "\"a.b\" is not a stream name"),
        ("nats.subject = \"cdc.{tabel}\"", "connector.nats.subject: "),
        (
            "nats.delivery = \"exactly_once\"",
            "did you mean \"exactly-once\"?",
        ),
        (
            "nats.user = \"adit\"",
            "connector.nats.user: it needs password_file (or password) beside it",
        ),
        (
            "nats.password = \"s3cr3t\"",
            "connector.nats.user: a password is given, but no user",
        ),
        (
            "nats.atomic_batches = true",
            "connector.nats.atomic_batches: unknown key",
        ),
        (
            "nats.credsfile = \"x\"",
            "connector.nats.credsfile: unknown key; did you mean \"creds_file\"?",
        ),
        (
            "nats = { creds_file = \"a\", nkey_file = \"b\" }",
            "connector.nats.nkey_file: creds_file is given too",
        ),
        (
            "nats = { url = \"nats://t0ken@h\", nkey_file = \"b\" }",
            "connector.nats.url: it holds a user or a token",
        ),
        (
            "format.kind = \"debezium\"",
            "connector.format.kind: \"debezium\" is not one of \"adit\"",
        ),
        (
            "format.tinyint1 = \"bool\"",
            "connector.format.tinyint1: unknown key",
        ),
    ] {
        let text = if line.starts_with("source = ") || line.starts_with("source.url") {
            format!("[[connector]]\n{line}\n")
        } else {
            format!("{LEAST}{line}\n")
        };
        let found = problems(&text);
        assert!(found.contains(expected), "{line}: {found}");
        assert!(
            !found.contains("s3cr3t") && !found.contains("t0ken"),
            "{found}"
        );
    }
}

#[test]
fn no_secret_shows_in_an_error() {
    for text in [
        // Not closed, not TOML, not a URL, a wrong parameter, the same key twice.
        "[[connector]]\nsource.url = \"postgres://adit:s3cr3t@db/shop",
        "[[connector]]\nsource.url = postgres://adit:s3cr3t@db/shop",
        "[[connector]]\nsource.url = \"postgre://adit:s3cr3t@db/shop\"",
        "[[connector]]\nsource.url = \"postgres://adit:s3cr3t@db:x/shop?sslmod=1\"",
        "[[connector]]\nsource.url = \"postgres://adit:${DB_PASSWORD}@db/shop?sslmode=s3cr3t\"",
        "[[connector]]\nsource.url = \"postgres://a:s3cr3t@h\"\nsource.url = \"postgres://a:s3cr3t@h\"",
        "[[connector]]\nsource.url = \"postgres://a@h\"\nnats.url = \"nats://s3cr3t@h:x\"",
        "[[connector]]\nsource.url = \"postgres://a@h\"\nnats.password = \"s3cr3t\"",
    ] {
        let found = problems(text);
        assert!(!found.contains("s3cr3t"), "{found}");
    }
}

#[test]
fn no_secret_shows_in_debug_output() {
    let connector = one(
        "[[connector]]\nsource.url = \"postgres://adit:s3cr3t@db/shop\"\nnats.url = \"nats://adit:s3cr3t@h\"\n",
    );
    let shown = format!("{connector:?}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn passwords_are_read_from_the_first_line_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "s3cr3t\n").unwrap();
    let file = file.display();
    let connector = one(&format!(
        "{LEAST}source.password_file = \"{file}\"\nnats.token_file = \"{file}\"\n"
    ));
    assert_eq!(
        postgres(&connector)
            .connect
            .password()
            .unwrap()
            .expose_secret(),
        "s3cr3t"
    );
    let Auth::Token(token) = connector.nats.auth else {
        panic!("no token")
    };
    assert_eq!(token.expose_secret(), "s3cr3t");

    let twice = format!(
        "[[connector]]\nsource.url = \"postgres://a:s3cr3t@h\"\nsource.password_file = \"{file}\"\n"
    );
    assert!(
        problems(&twice).contains("connector.source.password_file: the url holds a password too")
    );
    std::fs::write(folder.path().join("secret"), "").unwrap();
    let empty = format!("{LEAST}source.password_file = \"{file}\"\n");
    assert!(problems(&empty).contains("is empty"));
}

#[test]
fn connectors_need_names_and_streams_of_their_own() {
    let found = problems(&format!("{LEAST}{LEAST}"));
    assert!(
        found.contains("another connector is called \"shop\" already"),
        "{found}"
    );
    let found = problems(&format!(
        "{LEAST}name = \"b\"\nnats.stream = \"CDC_SHOP\"\n{LEAST}"
    ));
    assert!(
        found.contains("connector \"b\" writes to stream \"CDC_SHOP\" already"),
        "{found}"
    );
    let two = parse(&format!("{LEAST}name = \"a\"\n{LEAST}name = \"b\"\n")).unwrap();
    assert_eq!(two.connectors.len(), 2);
    assert!(two.connector("b").is_some() && two.connector("c").is_none());
}

#[test]
fn a_file_without_connectors_is_refused() {
    assert!(problems("").contains("connector: there is none: write [[connector]]"));
    let found = problems("[connector]\nname = \"a\"\n");
    assert!(
        found.contains("it must be a list of tables: write [[connector]]"),
        "{found}"
    );
    assert!(problems("connector = 1").contains("write [[connector]]"));
    assert!(problems("connector = [1]").contains("write [[connector]]"));
}

#[test]
fn a_missing_name_is_made_from_the_database() {
    for (database, name) in [
        ("shop", "shop"),
        ("My-Shop", "my_shop"),
        ("2024", "db_2024"),
        ("\u{e9}", "db__"),
    ] {
        assert_eq!(name_of(database), name);
    }
    let long = name_of(&"x".repeat(100));
    assert!(is_name(&long) && long.len() == NAME_LEN_MAX);
}

#[test]
fn options_are_checked_by_the_same_rules_and_called_by_their_names() {
    let flags = Flags {
        source: "postgres://adit:a$${b}@db/shop".to_owned(),
        tables: vec!["public.*".to_owned()],
        name: Some("x".to_owned()),
        ..Flags::default()
    };
    let connector = Config::from_flags(&flags).unwrap().connectors.remove(0);
    assert_eq!(
        (connector.name.as_str(), connector.nats.stream.as_str()),
        ("x", "CDC_X")
    );
    assert_eq!(
        postgres(&connector)
            .connect
            .password()
            .unwrap()
            .expose_secret(),
        "a$${b}"
    );

    let flags = Flags {
        source: "s3cr3t".to_owned(),
        source_label: "--source",
        name: Some("X".to_owned()),
        tables: vec!["orders".to_owned()],
        ..Flags::default()
    };
    let text = Config::from_flags(&flags).unwrap_err().to_string();
    assert!(text.starts_with("the options cannot be used\n"), "{text}");
    for expected in [
        "--source: it does not start with",
        "--name: \"X\" is not a name",
        "--tables: ",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[test]
fn every_toml_example_of_the_manual_is_a_configuration() {
    let pages = [
        include_str!("../../../docs/configuration.md"),
        include_str!("../../../docs/postgres.md"),
        include_str!("../../../docs/delivery.md"),
        include_str!("../../../README.md"),
    ];
    let mut examples = 0;
    for page in pages {
        for block in page.split("```toml\n").skip(1) {
            let (example, _) = block.split_once("```").unwrap();
            // Secret files do not exist here.
            let example: String = example
                .lines()
                .filter(|line| {
                    !line.starts_with("password_file") && !line.starts_with("token_file")
                })
                .map(|line| format!("{line}\n"))
                .collect();
            let all = |_: &str| Some("value".to_owned());
            assert!(Config::parse(&example, &all).is_ok(), "{example}");
            examples += 1;
        }
    }
    assert!(examples >= 3, "only {examples} examples were found");
}
