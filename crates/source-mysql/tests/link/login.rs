//! Every way to log in, and every way to be refused.

use adit_lab::Mysql;
use adit_lab::mysql::{VERSIONS, Version};
use adit_source_mysql::link::LinkError;
use anyhow::{Context as _, Result};

use crate::support::{chain, connect, refusal, socket_url, url, value};

/// What makes a user for each plugin of a version. A user's password is its name reversed.
fn users(version: Version) -> &'static [(&'static str, &'static [&'static str])] {
    match version {
        Version::Mysql5_6 => &[(
            "native:evitan",
            &[
                "CREATE USER native IDENTIFIED WITH mysql_native_password",
                "SET PASSWORD FOR native = PASSWORD('evitan')",
            ],
        )],
        Version::Mysql9_7 => &[(
            "caching:gnihcac",
            &["CREATE USER caching IDENTIFIED WITH caching_sha2_password BY 'gnihcac'"],
        )],
        Version::Maria10_5 | Version::Maria10_11 => &[NATIVE, ED25519],
        Version::Maria11_8 => &[NATIVE, ED25519, PARSEC],
    }
}

const NATIVE: (&str, &[&str]) = (
    "native:evitan",
    &["CREATE USER native IDENTIFIED VIA mysql_native_password USING PASSWORD('evitan')"],
);
const ED25519: (&str, &[&str]) = (
    "edwards:sdrawde",
    &[
        "INSTALL SONAME 'auth_ed25519'",
        "CREATE USER edwards IDENTIFIED VIA ed25519 USING PASSWORD('sdrawde')",
    ],
);
const PARSEC: (&str, &[&str]) = (
    "parsec:cesrap",
    &[
        "INSTALL SONAME 'auth_parsec'",
        "CREATE USER parsec IDENTIFIED VIA parsec USING PASSWORD('cesrap')",
    ],
);

async fn server_with_users(version: Version) -> Result<Mysql> {
    let server = Mysql::start(version).await?;
    for (_, statements) in users(version) {
        for sql in *statements {
            server.exec(sql).await?;
        }
    }
    server.exec("CREATE USER bare").await?;
    Ok(server)
}

#[tokio::test]
async fn every_plugin_of_every_version_lets_us_in() -> Result<()> {
    for version in VERSIONS {
        let server = server_with_users(version).await?;
        for (user, _) in users(version) {
            let (name, _) = user.split_once(':').context("no password")?;
            // Through the socket first, where a password may go out in clear: caching_sha2_password then knows it.
            for url in [
                socket_url(&server, user, ""),
                url(&server, user, "ssl-mode=disabled"),
                url(&server, user, "ssl-mode=preferred"),
                url(&server, user, "compress=zlib"),
            ] {
                let mut link = connect(&url).await.with_context(|| version.to_string())?;
                let who = value(&mut link, "SELECT CURRENT_USER()").await?;
                assert_eq!(who, format!("{name}@%"), "{version} {url}");
                assert_eq!(
                    link.server().flavor == adit_binlog::Flavor::Mariadb,
                    version.is_maria()
                );
                link.close().await;
            }
        }
        let mut link = connect(&url(&server, "bare", "ssl-mode=disabled")).await?;
        assert_eq!(value(&mut link, "SELECT CURRENT_USER()").await?, "bare@%");
        let told = link.server().version.clone();
        assert_eq!(
            value(&mut link, "SELECT VERSION()").await?,
            told,
            "{version}"
        );
        let id = link.server().connection_id.to_string();
        assert_eq!(value(&mut link, "SELECT CONNECTION_ID()").await?, id);
    }
    Ok(())
}

#[tokio::test]
async fn a_nonce_with_any_byte_in_it_is_answered_right() -> Result<()> {
    // One nonce of 256 ends with a zero byte, which belongs to it.
    const TIMES: usize = 400;
    let server = server_with_users(Version::Maria11_8).await?;
    server
        .exec("SET GLOBAL max_connect_errors = 100000")
        .await?;
    for user in ["edwards:sdrawde", "parsec:cesrap"] {
        let url = socket_url(&server, user, "");
        for time in 0..TIMES {
            let link = connect(&url)
                .await
                .with_context(|| format!("login {time}"))?;
            link.close().await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn wrong_passwords_and_users_are_refused_and_not_tried_again() -> Result<()> {
    for version in VERSIONS {
        let server = server_with_users(version).await?;
        for (user, _) in users(version) {
            let (name, _) = user.split_once(':').context("no password")?;
            for wrong in [
                format!("{name}:wrongest"),
                name.to_owned(),
                "nobody:wrongest".to_owned(),
            ] {
                for url in [
                    socket_url(&server, &wrong, ""),
                    url(&server, &wrong, "ssl-mode=preferred"),
                ] {
                    // Without TLS the password of an unknown user would have to go out in clear.
                    let error = refusal(&url).await?;
                    let text = chain(&error);
                    let in_clear = matches!(error, LinkError::Authentication { .. });
                    assert!(
                        in_clear || matches!(error.code(), Some(1045 | 1524 | 1251)),
                        "{version} {url}: {text}"
                    );
                    assert!(!error.is_transient(), "{version} {url}: {text}");
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_password_goes_out_in_clear_only_where_nobody_can_listen() -> Result<()> {
    let server = Mysql::start(Version::Mysql9_7).await?;
    let key = server.data_dir().join("public_key.pem");
    let with_key = format!("ssl-mode=disabled&server-public-key={}", key.display());
    let long = "p".repeat(150);
    for (name, password) in [("listened", "hush"), ("lengthy", &*long)] {
        server
            .exec(&format!("CREATE USER {name} IDENTIFIED BY '{password}'"))
            .await?;
        let user = format!("{name}:{password}");
        let plain = url(&server, &user, "ssl-mode=disabled");
        let error = refusal(&plain).await?;
        assert!(
            matches!(error, LinkError::Authentication { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("server-public-key"), "{error}");
        assert!(!error.is_transient());

        for url in [
            url(&server, &user, &with_key),
            url(&server, &user, "ssl-mode=required"),
            socket_url(&server, &user, ""),
        ] {
            server.exec("FLUSH PRIVILEGES").await?;
            refusal(&plain).await.context("the hash is forgotten")?;
            connect(&url).await?.close().await;
        }
        // Now the server has the hash in its memory.
        connect(&plain).await?.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_key_file_that_is_no_key_is_named() -> Result<()> {
    let server = Mysql::start(Version::Mysql9_7).await?;
    server.exec("CREATE USER u IDENTIFIED BY 'hush'").await?;
    let folder = tempfile::tempdir()?;
    let right = std::fs::read_to_string(server.data_dir().join("public_key.pem"))?;
    let body: String = right
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let pem =
        |body: &str| format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let half = body.get(..body.len() / 8 * 4).context("short")?;
    for (name, text) in [
        ("empty", String::new()),
        ("no-pem", "hello".to_owned()),
        ("no-body", pem("")),
        ("no-base64", pem("§§§§")),
        ("no-der", pem("AAAA")),
        ("cut", pem(half)),
        (
            "private",
            std::fs::read_to_string(server.data_dir().join("private_key.pem"))?,
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        let query = format!("ssl-mode=disabled&server-public-key={}", path.display());
        let error = refusal(&url(&server, "u:hush", &query)).await?;
        assert!(matches!(error, LinkError::File { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains("server-public-key"), "{error}");
    }
    let query = "ssl-mode=disabled&server-public-key=/none.pem";
    let error = refusal(&url(&server, "u:hush", query)).await?;
    assert!(error.to_string().contains("/none.pem"), "{error}");

    // A key encrypts so many bytes and no more.
    let path = folder.path().join("right");
    std::fs::write(&path, &right)?;
    let query = format!("ssl-mode=disabled&server-public-key={}", path.display());
    let long = format!("u:{}", "x".repeat(300));
    let error = refusal(&url(&server, &long, &query)).await?;
    assert!(chain(&error).contains("longer"), "{error}");
    Ok(())
}

#[tokio::test]
async fn sha256_password_lets_us_in_where_the_server_has_it() -> Result<()> {
    // MySQL 5.6 as the lab has it can do it over TLS 1.0 only: there the password is not sent.
    let server = Mysql::start(Version::Mysql5_6).await?;
    server
        .exec("CREATE USER hashed IDENTIFIED WITH sha256_password")
        .await?;
    let mut root = connect(&socket_url(&server, "root", "")).await?;
    root.execute("SET old_passwords = 2").await?;
    root.execute("SET PASSWORD FOR hashed = PASSWORD('dehsah')")
        .await?;
    let error = refusal(&url(&server, "hashed:dehsah", "")).await?;
    assert!(
        matches!(&error, LinkError::Authentication { plugin, .. } if plugin == "sha256_password"),
        "{error:?}"
    );

    let server = Mysql::start(Version::Mysql9_7).await?;
    server
        .exec("CREATE USER hashed IDENTIFIED WITH sha256_password BY 'dehsah'")
        .await?;
    let key = server.data_dir().join("public_key.pem");
    let with_key = format!("ssl-mode=disabled&server-public-key={}", key.display());
    for url in [
        url(&server, "hashed:dehsah", "ssl-mode=required"),
        url(&server, "hashed:dehsah", &with_key),
        socket_url(&server, "hashed:dehsah", ""),
    ] {
        connect(&url).await?.close().await;
    }
    let error = refusal(&url(&server, "hashed:wrongest", &with_key)).await?;
    assert_eq!(error.code(), Some(1045), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_asks_for_the_password_in_clear_gets_it_by_consent_only() -> Result<()> {
    let server = Mysql::builder(Version::Maria10_11)
        .conf("plugin_load_add", "auth_pam_v1")
        .conf("loose_pam_use_cleartext_plugin", "ON")
        .start()
        .await?;
    server.exec("CREATE USER clear IDENTIFIED VIA pam").await?;
    let consent = "allow-cleartext-password=true";
    for url in [
        socket_url(&server, "clear:raelc", ""),
        url(&server, "clear:raelc", consent),
    ] {
        let error = refusal(&url).await?;
        assert!(
            matches!(error, LinkError::Authentication { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(consent), "{error}");
    }
    // The server asks the machine, which knows no such user.
    let error = refusal(&socket_url(&server, "clear:raelc", consent)).await?;
    assert_eq!(error.code(), Some(1045), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_user_of_this_process_needs_no_password_on_a_socket() -> Result<()> {
    let output = std::process::Command::new("id").arg("-un").output()?;
    let name = String::from_utf8(output.stdout)?;
    let name = name.trim();
    for (version, plugin) in [
        (Version::Mysql9_7, "WITH auth_socket"),
        (Version::Maria10_5, "VIA unix_socket"),
        (Version::Maria11_8, "VIA unix_socket"),
    ] {
        let server = Mysql::start(version).await?;
        if !version.is_maria() {
            server
                .exec("INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'")
                .await?;
        }
        let who = format!("'{name}'@localhost");
        server
            .exec(&format!("CREATE USER IF NOT EXISTS {who}"))
            .await?;
        server
            .exec(&format!("ALTER USER {who} IDENTIFIED {plugin}"))
            .await?;
        server
            .exec(&format!("CREATE USER other@localhost IDENTIFIED {plugin}"))
            .await?;
        connect(&socket_url(&server, name, "")).await?.close().await;
        let error = refusal(&socket_url(&server, "other", "")).await?;
        assert!(
            matches!(error.code(), Some(1045 | 1698)),
            "{version}: {error}"
        );
    }
    Ok(())
}
