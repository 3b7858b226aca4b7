use secrecy::ExposeSecret;

use super::*;

fn parse(text: &str) -> ConnectConfig {
    text.parse().unwrap()
}

fn refused(text: &str) -> String {
    text.parse::<ConnectConfig>().unwrap_err().to_string()
}

#[test]
fn a_whole_url_is_read() {
    let config = parse(
        "mysql://a%40b:p%2Fw@db1,[::1]:3307/shop?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem&ssl-cert=/c&ssl-key=/k&compress=zlib&connect_timeout=3",
    );
    assert_eq!(config.user(), "a@b");
    assert_eq!(config.database(), Some("shop"));
    let targets: Vec<_> = config.targets().iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["db1:3306", "[::1]:3307"]);
    assert_eq!(config.tls().mode, SslMode::VerifyIdentity);
    assert_eq!(config.compression(), Compression::Zlib);
    assert_eq!(config.connect_timeout(), Duration::from_secs(3));
    assert_eq!(config.flavor(), Flavor::Mysql);
    assert_eq!(parse("mariadb://u@h").flavor(), Flavor::Mariadb);
    assert_eq!(parse("mariadb://u@h/").database(), None);
}

#[test]
fn a_socket_stands_for_the_hosts() {
    let config = parse("mysql://root@localhost/d?socket=/run/mysqld.sock");
    assert_eq!(
        config.targets(),
        [Target::Socket("/run/mysqld.sock".into())]
    );
}

#[test]
fn an_authority_is_there_to_be_checked() {
    assert_eq!(
        parse("mysql://u@h?ssl-ca=/ca").tls().mode,
        SslMode::VerifyCa
    );
    assert_eq!(parse("mysql://u@h").tls().mode, SslMode::Preferred);
    assert_eq!(
        parse("mysql://u@h?sslmode=verify-full").tls().mode,
        SslMode::VerifyIdentity
    );
}

#[test]
fn a_short_url_gets_the_defaults() {
    let config = parse("mysql://shop@db.example.com");
    assert_eq!(config.password().map(ExposeSecret::expose_secret), None);
    assert_eq!(config.database(), None);
    assert_eq!(config.tls().mode, SslMode::Preferred);
    assert_eq!((&config.tls().ca, &config.tls().client), (&None, &None));
    assert_eq!(config.compression(), Compression::None);
    assert_eq!(config.connect_timeout(), Duration::from_secs(10));
    assert!(!config.allows_cleartext());
    assert_eq!(config.public_key(), None);
}

#[test]
fn every_parameter_is_read_in_each_way_to_write_it() {
    for (names, mode) in [
        ("disabled disable DISABLED", SslMode::Disabled),
        ("preferred prefer allow PREFERRED", SslMode::Preferred),
        ("required require REQUIRED", SslMode::Required),
        ("verify_ca verify-ca VERIFY_CA", SslMode::VerifyCa),
        (
            "verify_identity verify-full VERIFY-IDENTITY",
            SslMode::VerifyIdentity,
        ),
    ] {
        for name in names.split(' ') {
            for key in ["ssl-mode", "ssl_mode", "sslmode", "SSL-MODE"] {
                let config = parse(&format!("mysql://u@h/?{key}={name}"));
                assert_eq!(config.tls().mode, mode, "{key}={name}");
            }
        }
    }
    for (query, compression) in [
        ("none", Compression::None),
        ("false", Compression::None),
        ("zlib", Compression::Zlib),
        ("1", Compression::Zlib),
    ] {
        let config = parse(&format!("mysql://u@h?compress={query}"));
        assert_eq!(config.compression(), compression, "{query}");
    }
    let config = parse(
        "mysql://u@h?allow-cleartext-password=true&server-public-key=/a%20key.pem&user=other&ssl-cert=/c&ssl-key=/k",
    );
    assert!(config.allows_cleartext());
    assert_eq!(config.public_key(), Some(Path::new("/a key.pem")));
    assert_eq!(config.user(), "other");
    assert_eq!(config.tls().client, Some(("/c".into(), "/k".into())));
    let only = parse("mysql://u@a,b:1").only(Target::Socket("/s".into()));
    assert_eq!(only.targets(), [Target::Socket("/s".into())]);
    let socket = parse("mariadb://u@/d?socket=%2Frun%2Fs");
    assert_eq!(socket.targets(), [Target::Socket("/run/s".into())]);
}

#[test]
fn the_password_is_what_stands_between_colon_and_last_at_sign() {
    for (url, password) in [
        ("mysql://u:a@b@h", Some("a@b")),
        ("mysql://u:a:b@h", Some("a:b")),
        ("mysql://u:@h", None),
        ("mysql://u@h", None),
        ("mysql://u:%F0%9F%94%91@h", Some("\u{1f511}")),
    ] {
        let config = parse(url);
        let found = config.password().map(ExposeSecret::expose_secret);
        assert_eq!(found, password, "{url}");
        assert_eq!(config.targets().len(), 1, "{url}");
    }
    let later = parse("mysql://u:old@h").with_password("new".to_owned().into());
    assert_eq!(
        later.password().map(ExposeSecret::expose_secret),
        Some("new")
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_part() {
    for (url, part) in [
        ("mysql://u@h:99999/d", "port"),
        ("mysql://u@h:x/d", "port"),
        ("mysql://u@::1/d", "host"),
        ("mysql://u@[::1/d", "host"),
        ("mysql://u@[::1]x/d", "host"),
        ("mysql://u@a,,b/d", "host"),
        ("mysql://u@:3306/d", "host"),
        ("mysql://u%4@h/d", "user"),
        ("mysql://u:%zz@h/d", "password"),
        ("mysql://u:%ff@h/d", "password"),
        ("mysql://u:a%00b@h/d", "password"),
        ("mysql://u@h/%", "database"),
        ("mysql://u@h/d?ssl-mode", "query"),
        ("mysql://u@h/d?password=x", "query"),
        ("mysql://u:a/b@h/d", "user and password"),
        ("mysql://u:1?b=c@h/d", "user and password"),
    ] {
        match url.parse::<ConnectConfig>().unwrap_err() {
            ConfigError::Malformed { part: found, .. } => assert_eq!(found, part, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    for (query, name) in [
        ("ssl-mode=on", "ssl-mode"),
        ("compress=zstd", "compress"),
        ("connect-timeout=0", "connect-timeout"),
        ("connect-timeout=-1", "connect-timeout"),
        ("connect-timeout=1.5", "connect-timeout"),
        (
            "allow-cleartext-password=hunter2",
            "allow-cleartext-password",
        ),
    ] {
        match format!("mysql://u@h/?{query}")
            .parse::<ConnectConfig>()
            .unwrap_err()
        {
            ConfigError::BadValue { name: found, .. } => assert_eq!(found, name, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
    assert!(refused("mysql://u@h?colour=red").contains("known are ssl-mode"));
    assert!(refused("mysql://u@h?ssl-key=/x").contains("go together"));
}

#[test]
fn the_password_is_in_no_debug_output_and_no_error() {
    for url in [
        "mysql://u:hunter2@h/d?ssl-mode=required",
        "mariadb://u:hunter2@a,b/d?socket=/s",
    ] {
        assert!(!format!("{:?}", parse(url)).contains("hunter2"));
    }
    for url in [
        "postgres://u:hunter2@h/d",
        "mysql://u:hunter2@h:x/d",
        "mysql://u:hunter2%@h/d",
        "mysql://u:hunter2@/d",
        "mysql://u:hunter2@h/d?nonsense=1",
        "mysql://u:hunter2/@h/d",
        "mysql://u:1?hunter2=@h/d",
        "mysql://u:a@1?hunter2=1@h/d",
        "mysql://:hunter2@h/d",
        "mysql://u@h/d?password=hunter2",
        "mysql://u@h/d?ssl-mode=hunter2",
        "mysql://u@h/d?allow-cleartext-password=hunter2",
    ] {
        let error = url.parse::<ConnectConfig>().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{url}: {shown}");
    }
}

#[test]
fn what_is_wrong_is_said_and_no_password_shown() {
    assert!(refused("postgres://u@h").contains("mysql://"));
    assert!(refused("mysql://h").contains("names no user"));
    assert!(refused("mysql://u@").contains("names no host"));
    assert!(refused("mysql://u@h?ssl-mod=x").contains("did you mean \"ssl-mode\""));
    assert!(refused("mysql://u@h?ssl-mode=x").contains("verify_identity"));
    assert!(refused("mysql://u@h?ssl-cert=/x").contains("go together"));
    assert!(refused("mysql://u@h:0").contains("1 to 65535"));
    assert!(refused("mysql://u@h?password=hidden").contains("password_file"));
    for text in [
        "mysql://u:hid/den@h",
        "mysql://u:hidden@h:x",
        "mysql://u:hidden%zz@h",
    ] {
        assert!(!refused(text).contains("hid"), "{}", refused(text));
    }
    assert!(!format!("{:?}", parse("mysql://u:hidden@h")).contains("hidden"));
}
