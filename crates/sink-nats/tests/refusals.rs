//! Every refusal is one sentence that says what to do, and what may heal is not taken for one.

mod support;

use adit_lab::nats::{VERSIONS, Version};
use adit_lab::{Nats, tls};
use adit_pipeline::{Classify as _, Disposition, Sink};
use adit_sink_nats::{Auth, Error, Nats as Control, NatsConfig};
use anyhow::Result;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use support::{Messages, STREAM, chain, check_stream, config, publish_through, sink};

fn small(_: u64) -> usize {
    20
}

/// The error that connecting and publishing one message ends with.
async fn refused(config: &NatsConfig, table: &str) -> Result<Error> {
    let mut sink = match sink(config).await {
        Ok(sink) => sink,
        Err(error) => return error.downcast(),
    };
    let result = publish_through(&mut sink, &Messages::new(table, small), 1).await;
    Ok(result.expect_err("it was not refused"))
}

async fn assert_refused(config: &NatsConfig, expected: &[&str]) -> Result<()> {
    let error = refused(config, "orders").await?;
    let text = chain(&error);
    assert_eq!(error.disposition(), Disposition::Halt, "{text}");
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_apart() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::builder(version).without_jetstream().start().await?;
        assert_refused(
            &config(&server.url()),
            &["jetstream is not enabled on the server", "-js"],
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_account_without_jetstream_is_told_apart() -> Result<()> {
    let accounts = "accounts { PLAIN { users: [{user: adit, password: pw}] }\n JS { jetstream: enabled, users: [{user: js, password: pw}] } }";
    for version in VERSIONS {
        let server = Nats::builder(version).conf(accounts).start().await?;
        let url = format!("nats://adit:pw@{}", server.addr());
        assert_refused(&config(&url), &["jetstream is not enabled for the account"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_fatal_and_a_missing_server_is_not() -> Result<()> {
    let users = "authorization { users: [{user: adit, password: right}] }";
    let server = Nats::builder(Version::V2_15).conf(users).start().await?;
    let url = format!("nats://adit:wrong@{}", server.addr());
    assert_refused(
        &config(&url),
        &["refused the login", "check user and password"],
    )
    .await?;
    let addr = server.addr();
    drop(server);
    let error = Control::connect(&config(&format!("nats://{addr}")))
        .await
        .unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry, "{error}");
    assert!(
        error.to_string().contains("is the server running"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn every_login_is_taken() -> Result<()> {
    let pair = nkeys::KeyPair::new_user();
    let folder = tempfile::tempdir()?;
    let seed = folder.path().join("seed");
    std::fs::write(&seed, pair.seed()?)?;
    let nkey = format!(
        "authorization {{ users: [{{nkey: {}}}] }}",
        pair.public_key()
    );
    let nkey_auth = Auth::NkeyFile(seed);
    let password_auth = Auth::UserPassword {
        user: "adit".into(),
        password: "p w".into(),
    };
    for (conf, auth) in [
        (nkey.as_str(), nkey_auth),
        (
            "authorization { token: t0ken }",
            Auth::Token("t0ken".into()),
        ),
        (
            "authorization { user: adit, password: \"p w\" }",
            password_auth,
        ),
    ] {
        let server = Nats::builder(Version::V2_15).conf(conf).start().await?;
        let mut config = config(&server.url());
        config.auth = auth;
        let mut sink = sink(&config).await?;
        publish_through(&mut sink, &Messages::new("orders", small), 2000).await?;
    }
    Ok(())
}

#[tokio::test]
async fn tls_is_spoken_and_a_certificate_for_another_host_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = tls::Authority::new(folder.path())?;
    for first in [false, true] {
        let pair = authority.server(tls::Names::Right)?;
        let conf = format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, handshake_first: {} }}",
            pair.cert.display().to_string(),
            pair.key.display().to_string(),
            // Lets the lab see the greeting of a server that expects TLS first.
            if first { "auto" } else { "false" }
        );
        let server = Nats::builder(Version::V2_15).conf(&conf).start().await?;
        let mut config = config(&format!("tls://localhost:{}", server.port()));
        config.tls.first = first;
        config.tls.ca_file = Some(authority.ca_path());
        let mut sink = sink(&config).await?;
        publish_through(&mut sink, &Messages::new("orders", |_| 300), 20_000).await?;
        config.tls.ca_file = None;
        assert_refused(&config, &["tls handshake", "nats.tls.ca"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_named() -> Result<()> {
    let users = r#"authorization { users: [
        {user: admin, password: pw},
        {user: no_stream, password: pw, permissions: {publish: ["cdc.>"], subscribe: ["_INBOX.>"]}},
        {user: no_table, password: pw, permissions: {publish: ["cdc.shop.public.allowed", "$JS.API.>"], subscribe: ["_INBOX.>"]}},
        {user: no_inbox, password: pw, permissions: {publish: [">"], subscribe: ["_ADIT.>"]}}
    ] }"#;
    for version in VERSIONS {
        let server = Nats::builder(version).conf(users).start().await?;
        let url = |user: &str| format!("nats://{user}:pw@{}", server.addr());
        assert_refused(
            &config(&url("no_stream")),
            &[
                "may not publish to \"$JS.API.STREAM.INFO.CDC_SHOP\"",
                "grant it",
            ],
        )
        .await?;
        assert_refused(
            &config(&url("no_table")),
            &["may not publish to \"cdc.shop.public.orders\""],
        )
        .await?;
        let mut own_inbox = config(&url("no_inbox"));
        assert_refused(&own_inbox, &["may not subscribe to \"_INBOX."]).await?;
        own_inbox.inbox_prefix = "_ADIT".to_owned();
        publish_through(
            &mut sink(&own_inbox).await?,
            &Messages::new("orders", small),
            100,
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_cannot_keep_the_promise_is_refused() -> Result<()> {
    let good = || Config {
        name: STREAM.into(),
        subjects: vec!["cdc.>".into()],
        discard: DiscardPolicy::New,
        ..Config::default()
    };
    for (stream, expected) in [
        (
            Config {
                subjects: vec!["other.>".into()],
                ..good()
            },
            "does not take the subjects cdc.shop.*.*",
        ),
        (
            Config {
                retention: RetentionPolicy::WorkQueue,
                ..good()
            },
            "retention workqueue",
        ),
        (
            Config {
                storage: StorageType::Memory,
                ..good()
            },
            "kept in memory",
        ),
        (
            Config {
                no_ack: true,
                ..good()
            },
            "no_ack",
        ),
        (
            Config {
                max_messages: 5,
                discard: DiscardPolicy::Old,
                ..good()
            },
            "discard old",
        ),
        (
            Config {
                max_messages_per_subject: 1,
                ..good()
            },
            "max_msgs_per_subject",
        ),
        (
            Config {
                name: "OTHER".into(),
                ..good()
            },
            "another stream already takes",
        ),
    ] {
        let server = Nats::start(Version::V2_15).await?;
        server.jetstream().await?.create_stream(stream).await?;
        assert_refused(&config(&server.url()), &[STREAM, expected]).await?;
    }
    let server = Nats::start(Version::V2_15).await?;
    let js = server.jetstream().await?;
    js.create_stream(good()).await?;
    publish_through(
        &mut sink(&config(&server.url())).await?,
        &Messages::new("orders", small),
        100,
    )
    .await?;
    check_stream(&js, 100).await
}

#[tokio::test]
async fn a_stream_deleted_behind_us_is_not_created_again() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let mut sink = sink(&config(&server.url())).await?;
        let messages = Messages::new("orders", small);
        publish_through(&mut sink, &messages, 10).await?;
        server.jetstream().await?.delete_stream(STREAM).await?;
        let error = publish_through(&mut sink, &messages, 20).await.unwrap_err();
        assert!(matches!(error, Error::StreamGone { .. }), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn an_event_larger_than_the_server_takes_is_named_with_its_size_and_never_sent() -> Result<()>
{
    for version in VERSIONS {
        let server = Nats::builder(version)
            .conf("max_payload: 10000")
            .start()
            .await?;
        let mut sink = sink(&config(&server.url())).await?;
        sink.connect().await?;
        let large = Messages::new("orders", |_| 10_000);
        let error = large.publish(&mut sink, 1).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(
                error,
                Error::Oversize {
                    size_max: 10_000,
                    ..
                }
            ),
            "{text}"
        );
        assert!(text.contains("cdc.shop.public.orders"), "{text}");
        assert_eq!(sink.in_flight(), (0, 0));
        // The chain goes on as if it had never been there.
        publish_through(&mut sink, &Messages::new("orders", |_| 9_000), 20).await?;
        check_stream(&server.jetstream().await?, 20).await?;
    }
    Ok(())
}

#[tokio::test]
async fn hostile_names_stay_inside_their_token() -> Result<()> {
    let server = Nats::start(Version::V2_10).await?;
    let mut sink = sink(&config(&server.url())).await?;
    for (seq, table) in [
        "a.b",
        "*",
        ">",
        "a b 1",
        "x\r\nPUB y 0\r\n\r\n",
        "",
        "$schema",
        "Größe 100%",
    ]
    .into_iter()
    .enumerate()
    {
        publish_through(&mut sink, &Messages::new(table, small), seq as u64 + 1).await?;
    }
    let stream = server.jetstream().await?.get_stream(STREAM).await?;
    let mut subjects = Vec::new();
    for seq in 1..=8 {
        subjects.push(stream.get_raw_message(seq).await?.subject.to_string());
    }
    let tables: Vec<&str> = subjects
        .iter()
        .filter_map(|subject| subject.strip_prefix("cdc.shop.public."))
        .collect();
    assert_eq!(
        tables,
        [
            "a%2Eb",
            "%2A",
            "%3E",
            "a%20b%201",
            "x%0D%0APUB%20y%200%0D%0A%0D%0A",
            "%",
            "%24schema",
            "Größe%20100%25"
        ]
    );
    Ok(())
}
