use secrecy::ExposeSecret;

use super::*;

fn parse(url: &str) -> ConnectConfig {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn refusal(url: &str) -> ConfigError {
    url.parse::<ConnectConfig>().expect_err(url)
}

fn tcp(name: &str, port: u16) -> Target {
    Target {
        host: Host::Tcp(name.to_owned()),
        port,
    }
}

fn unix(folder: &str, port: u16) -> Target {
    Target {
        host: Host::Unix(folder.into()),
        port,
    }
}

fn password(config: &ConnectConfig) -> Option<&str> {
    config.password().map(ExposeSecret::expose_secret)
}

#[test]
fn a_short_url_gets_the_defaults() {
    let config = parse("postgres://shop@db.example.com");
    assert_eq!(config.targets(), [tcp("db.example.com", 5432)]);
    assert_eq!(config.user(), "shop");
    assert_eq!(config.database(), "shop");
    assert!(config.password().is_none());
    assert_eq!(config.application_name(), "adit");
    assert_eq!(config.tls().mode, SslMode::Prefer);
    assert_eq!(config.channel_binding(), ChannelBindingMode::Prefer);
    assert_eq!(config.target_session_attrs(), TargetSessionAttrs::Any);
    assert_eq!(config.connect_timeout(), Some(Duration::from_secs(10)));
    assert!(config.tcp().keepalives);
}

#[test]
fn a_full_url_sets_everything() {
    let config = parse(
        "postgresql://shop:p%40ss@h1:6001,h2,[fe80::1]:6003/orders?sslmode=verify-full&sslrootcert=/ca.pem\
         &sslcert=/c.pem&sslkey=/k.pem&target_session_attrs=read-write&application_name=miner%201\
         &connect_timeout=3&options=-c%20geqo%3Doff&channel_binding=require&keepalives_idle=5\
         &keepalives_interval=6&keepalives_count=7&tcp_user_timeout=8000&keepalives=1",
    );
    assert_eq!(
        config.targets(),
        [tcp("h1", 6001), tcp("h2", 5432), tcp("fe80::1", 6003)]
    );
    assert_eq!(password(&config), Some("p@ss"));
    assert_eq!(config.database(), "orders");
    assert_eq!(config.tls().mode, SslMode::VerifyFull);
    assert_eq!(
        config.tls().roots,
        Some(RootCertificates::File("/ca.pem".into()))
    );
    assert_eq!(
        config.tls().client,
        Some(ClientCertificate {
            certificate: "/c.pem".into(),
            key: "/k.pem".into()
        })
    );
    assert_eq!(config.target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.application_name(), "miner 1");
    assert_eq!(config.connect_timeout(), Some(Duration::from_secs(3)));
    assert_eq!(config.options(), Some("-c geqo=off"));
    assert_eq!(config.channel_binding(), ChannelBindingMode::Require);
    assert_eq!(config.tcp().idle, Duration::from_secs(5));
    assert_eq!(config.tcp().interval, Duration::from_secs(6));
    assert_eq!(config.tcp().count, 7);
    assert_eq!(config.tcp().user_timeout, Some(Duration::from_secs(8)));
}

#[test]
fn unix_sockets_come_from_the_parameter_or_from_an_encoded_host() {
    let encoded = parse("postgres://u@%2Fvar%2Frun%2Fpostgresql:6000/db");
    assert_eq!(encoded.targets(), [unix("/var/run/postgresql", 6000)]);
    let parameter = parse("postgres://u@/db?host=/var/run/postgresql");
    assert_eq!(parameter.targets(), [unix("/var/run/postgresql", 5432)]);
    let with_port = parse("postgres://u@/db?host=/tmp&port=6000");
    assert_eq!(with_port.targets(), [unix("/tmp", 6000)]);
    assert_eq!(with_port.targets()[0].to_string(), "/tmp/.s.PGSQL.6000");
}

#[test]
fn hosts_and_ports_of_the_parameters_are_paired() {
    let one_port = parse("postgres://u@/db?host=a,b&port=6000");
    assert_eq!(one_port.targets(), [tcp("a", 6000), tcp("b", 6000)]);
    let each = parse("postgres://u@/db?port=1,2&host=a,b");
    assert_eq!(each.targets(), [tcp("a", 1), tcp("b", 2)]);
    assert_eq!(
        refusal("postgres://u@/db?host=a,b,c&port=1,2"),
        ConfigError::PortCount { ports: 2, hosts: 3 }
    );
}

#[test]
fn an_at_sign_in_the_password_does_not_hide_the_host() {
    let config = parse("postgres://u:a@b@h/db");
    assert_eq!(password(&config), Some("a@b"));
    assert_eq!(config.targets(), [tcp("h", 5432)]);
}

#[test]
fn a_password_given_later_replaces_the_one_of_the_url() {
    let config = parse("postgres://u:old@h/db").with_password("new".to_owned().into());
    assert_eq!(password(&config), Some("new"));
}

#[test]
fn what_cannot_be_read_is_refused_with_its_part() {
    for (url, part) in [
        ("postgres://u@h:99999/db", "port"),
        ("postgres://u@h:0/db", "port"),
        ("postgres://u@h:x/db", "port"),
        ("postgres://u@::1/db", "host"),
        ("postgres://u@[::1/db", "host"),
        ("postgres://u@[::1]x/db", "host"),
        ("postgres://u@%40abstract/db", "host"),
        ("postgres://u%4@h/db", "user"),
        ("postgres://u:%zz@h/db", "password"),
        ("postgres://u:%ff@h/db", "password"),
        ("postgres://u:a%00b@h/db", "password"),
        ("postgres://u@h/db?sslmode", "query"),
        ("postgres://u:a/b@h/db", "user and password"),
        ("postgres://u:1?b=c@h/db", "user and password"),
    ] {
        match refusal(url) {
            ConfigError::Malformed { part: found, .. } => assert_eq!(found, part, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    assert_eq!(refusal("mysql://u@h"), ConfigError::Scheme);
    assert_eq!(refusal("postgres://h/db"), ConfigError::NoUser);
    assert_eq!(refusal("postgres://u@/db"), ConfigError::NoHost);
    assert_eq!(refusal("postgres://u@a,,b/db"), ConfigError::NoHost);
    let many = format!("postgres://u@{}/db", vec!["h"; 65].join(","));
    assert_eq!(refusal(&many), ConfigError::TooManyHosts { count: 65 });
}

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest_name() {
    assert_eq!(
        refusal("postgres://u@h/db?ssl_mode=require").to_string(),
        "the source url has an unknown parameter \"ssl_mode\": did you mean \"sslmode\"?"
    );
    assert_eq!(
        refusal("postgres://u@h/db?colour=red").to_string(),
        "the source url has an unknown parameter \"colour\": remove it"
    );
    assert!(matches!(
        refusal("postgres://u@h/db?passfile=/x"),
        ConfigError::UnsupportedParameter {
            name: "passfile",
            ..
        }
    ));
}

#[test]
fn values_outside_their_list_are_refused() {
    for (query, name) in [
        ("sslmode=on", "sslmode"),
        ("target_session_attrs=leader", "target_session_attrs"),
        ("channel_binding=yes", "channel_binding"),
        ("connect_timeout=-1", "connect_timeout"),
        ("keepalives=2", "keepalives"),
        ("keepalives_idle=0", "keepalives_idle"),
        ("keepalives_count=x", "keepalives_count"),
    ] {
        match refusal(&format!("postgres://u@h/db?{query}")) {
            ConfigError::ParameterValue { name: found, .. } => assert_eq!(found, name),
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[test]
fn weak_or_contradicting_tls_settings_are_refused() {
    for query in [
        "sslmode=require&sslrootcert=system",
        "sslmode=verify-ca",
        "sslmode=disable&channel_binding=require",
        "sslcert=/c.pem",
        "sslkey=/k.pem",
    ] {
        let error = refusal(&format!("postgres://u@h/db?{query}"));
        assert!(
            matches!(error, ConfigError::Contradiction(_)),
            "{query}: {error:?}"
        );
    }
    let system = parse("postgres://u@h/db?sslrootcert=system");
    assert_eq!(system.tls().mode, SslMode::VerifyFull);
}

#[test]
fn a_timeout_of_zero_waits_for_ever() {
    assert_eq!(
        parse("postgres://u@h?connect_timeout=0").connect_timeout(),
        None
    );
    assert_eq!(
        parse("postgres://u@h?tcp_user_timeout=0")
            .tcp()
            .user_timeout,
        None
    );
}

#[test]
fn the_password_is_in_no_debug_output_and_no_error() {
    let config = parse("postgres://u:hunter2@h/db");
    assert!(!format!("{config:?}").contains("hunter2"));
    for url in [
        "mysql://u:hunter2@h/db",
        "postgres://u:hunter2@h:x/db",
        "postgres://u:hunter2%@h/db",
        "postgres://u:hunter2@/db",
        "postgres://u:hunter2@h/db?nonsense=1",
        "postgres://u:hunter2/@h/db",
        "postgres://u:1?hunter2=@h/db",
        "postgres://u:a@1?hunter2=1@h/db",
        "postgres://:hunter2@h/db",
        "postgres://u@h/db?password=hunter2&sslmode=x",
        "postgres://u@h/db?sslmode=hunter2",
    ] {
        let error = refusal(url);
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{url}: {error}"
        );
    }
}
