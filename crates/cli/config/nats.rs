//! `[connector.nats]`.

use adit_sink_nats::{Auth, Delivery, NatsConfig, SubjectTemplate, TlsConfig};

use super::section::{Section, Text};

const URL_DEFAULT: &str = "nats://localhost:4222";
const SUBJECT_DEFAULT: &str = "cdc.{connector}.{schema}.{table}";
/// What JetStream allows.
const REPLICAS_MAX: u64 = 5;

/// Reads where events go; none if that cannot be used, which has been reported then.
pub(crate) fn read(nats: &mut Section<'_>, connector: &str) -> Option<NatsConfig> {
    let urls = nats.texts("url");
    let stream = nats.text("stream").map_or_else(
        || format!("CDC_{}", connector.to_ascii_uppercase()),
        |text| text.value,
    );
    let subject = nats
        .text("subject")
        .map_or_else(|| SUBJECT_DEFAULT.to_owned(), |text| text.value);
    let replicas = nats.number("replicas", 1..=REPLICAS_MAX, 1);
    let delivery = nats.choice(
        "delivery",
        &[
            ("exactly-once", Delivery::ExactlyOnce),
            ("at-least-once", Delivery::AtLeastOnce),
        ],
        Delivery::ExactlyOnce,
    );
    let atomic_transactions = nats.flag("atomic_transactions", false);
    let tls = tls(nats);
    let auth = auth(nats);
    if let Err(error) = SubjectTemplate::parse(&subject, connector) {
        nats.problem("subject", error.to_string());
    }
    let urls: Vec<&str> = match &urls {
        Some(texts) => texts
            .iter()
            .map(|text: &Text| text.value.as_str())
            .collect(),
        None => vec![URL_DEFAULT],
    };
    let mut config = match NatsConfig::new(urls, &stream, &subject) {
        Ok(config) => config,
        Err(error) => {
            nats.problem("url", error.to_string());
            return None;
        }
    };
    match (auth, &config.auth) {
        (Auth::None, _) => {}
        (auth, Auth::None) => config.auth = auth,
        (_, _) => nats.problem(
            "url",
            "it holds a user or a token, and another login is given too: leave one of them out",
        ),
    }
    config.tls = tls;
    config.delivery = delivery;
    config.atomic_transactions = atomic_transactions;
    config.replicas = usize::try_from(replicas).unwrap_or(1);
    Some(config)
}

fn tls(nats: &mut Section<'_>) -> TlsConfig {
    let mut section = nats.section("tls");
    let tls = TlsConfig {
        ca_file: section.file("ca"),
        cert_file: section.file("cert"),
        key_file: section.file("key"),
        first: section.flag("first", false),
        // A tls:// URL asks for it.
        required: false,
    };
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        let given = if tls.cert_file.is_some() {
            "cert"
        } else {
            "key"
        };
        section.problem(given, "cert and key belong together: give both files");
    }
    section.finish();
    tls
}

fn auth(nats: &mut Section<'_>) -> Auth {
    let creds = nats.file("creds_file");
    let nkey = nats.file("nkey_file");
    let token = nats.secret("token_file");
    let user = nats.text("user").filter(|text| !text.value.is_empty());
    let password = nats.text("password").filter(|text| !text.value.is_empty());
    let from_file = nats.secret("password_file");
    if password.is_some() && from_file.is_some() {
        nats.problem(
            "password_file",
            "password is given too: leave one of them out",
        );
    }
    let password = password.map(|text| text.value.into()).or(from_file);
    if user.is_none() && password.is_some() {
        nats.problem("user", "a password is given, but no user");
    }
    if let Some(_) = &user
        && password.is_none()
        && !nats.has("password_file")
    {
        nats.problem("user", "it needs password_file (or password) beside it");
    }
    let mut logins = Vec::new();
    logins.extend(creds.map(|file| ("creds_file", Auth::CredentialsFile(file))));
    logins.extend(nkey.map(|file| ("nkey_file", Auth::NkeyFile(file))));
    logins.extend(token.map(|token| ("token_file", Auth::Token(token))));
    if let (Some(user), Some(password)) = (user, password) {
        let user = user.value;
        logins.push(("user", Auth::UserPassword { user, password }));
    }
    if let [(first, _), (second, _), ..] = logins.as_slice() {
        nats.problem(
            second,
            format!("{first} is given too: one way to log in is enough, leave the other out"),
        );
    }
    logins.pop().map_or(Auth::None, |(_, auth)| auth)
}
