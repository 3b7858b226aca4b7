//! The URL's query parameters: which there are and what each one sets.

use std::path::PathBuf;
use std::time::Duration;

use super::url::{UrlParts, parse_port};
use super::{
    ChannelBindingMode, ConfigError, Draft, RootCertificates, SslMode, TargetSessionAttrs,
};

/// Every parameter that [`apply`] understands.
const KNOWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Parameters of `libpq` that are refused, and what to do about it. Ignoring
/// one could weaken what its author asked for.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("client_encoding", "remove it, adit always uses UTF8"),
    ("fallback_application_name", "use application_name"),
    ("gssencmode", "remove it, use tls (sslmode)"),
    ("gsslib", "remove it, kerberos is not supported"),
    ("hostaddr", "put the address in the place of the host"),
    ("krbsrvname", "remove it, kerberos is not supported"),
    (
        "load_balance_hosts",
        "remove it, hosts are tried in the order written",
    ),
    ("passfile", "use the source's password_file"),
    ("replication", "remove it, adit sets it where it is needed"),
    (
        "require_auth",
        "remove it, and use channel_binding=require with sslmode=verify-full",
    ),
    ("requirepeer", "remove it"),
    ("service", "write its settings into the url"),
    (
        "sslcertmode",
        "remove it, and give sslcert and sslkey to send a certificate",
    ),
    ("sslcompression", "remove it"),
    ("sslcrl", "remove it, revocation lists are not supported"),
    ("sslcrldir", "remove it, revocation lists are not supported"),
    ("ssl_max_protocol_version", "remove it"),
    (
        "ssl_min_protocol_version",
        "remove it, adit never uses less than TLS 1.2",
    ),
    (
        "sslnegotiation",
        "remove it, adit asks for tls the way every server knows",
    ),
    (
        "sslpassword",
        "use a key that is not encrypted, readable by adit alone",
    ),
    ("sslsni", "remove it, the host name is always sent"),
];

/// Sets what `name` stands for. Later parameters win over earlier ones and
/// over the URL's own user, password, host, port and database, as in `libpq`.
pub(super) fn apply(
    parts: &mut UrlParts,
    draft: &mut Draft,
    name: &str,
    value: String,
) -> Result<(), ConfigError> {
    match name {
        "application_name" => draft.application_name = Some(value),
        "channel_binding" => draft.channel_binding = channel_binding(&value)?,
        "connect_timeout" => {
            let whole = seconds("connect_timeout", &value)?;
            draft.connect_timeout = Some((!whole.is_zero()).then_some(whole));
        }
        "dbname" => parts.database = Some(value),
        "host" => {
            parts.hosts = value.split(',').map(str::to_owned).collect();
            // Ports of the hosts that were just replaced mean nothing now, but
            // a `port` parameter that came first does.
            if parts.ports.iter().all(Option::is_none) {
                parts.ports.clear();
            }
        }
        "keepalives" => draft.tcp.keepalives = switch("keepalives", &value)?,
        "keepalives_count" => draft.tcp.count = number("keepalives_count", &value)?,
        "keepalives_idle" => draft.tcp.idle = at_least_one_second("keepalives_idle", &value)?,
        "keepalives_interval" => {
            draft.tcp.interval = at_least_one_second("keepalives_interval", &value)?;
        }
        "options" => draft.options = Some(value).filter(|value| !value.is_empty()),
        "password" => parts.password = Some(value.into()),
        "port" => {
            parts.ports = value.split(',').map(parse_port).collect::<Result<_, _>>()?;
        }
        "sslcert" => draft.certificate = Some(PathBuf::from(value)),
        "sslkey" => draft.key = Some(PathBuf::from(value)),
        "sslmode" => draft.mode = Some(ssl_mode(&value)?),
        "sslrootcert" if value == "system" => draft.roots = Some(RootCertificates::System),
        "sslrootcert" => draft.roots = Some(RootCertificates::File(PathBuf::from(value))),
        "target_session_attrs" => draft.target_session_attrs = target_session_attrs(&value)?,
        "tcp_user_timeout" => {
            let millis: u32 = number("tcp_user_timeout", &value)?;
            draft.tcp.user_timeout = (millis > 0).then(|| Duration::from_millis(u64::from(millis)));
        }
        "user" => parts.user = Some(value),
        other => return Err(unknown(other)),
    }
    Ok(())
}

fn unknown(name: &str) -> ConfigError {
    if let Some((name, instead)) = UNSUPPORTED.iter().find(|(known, _)| *known == name) {
        return ConfigError::UnsupportedParameter { name, instead };
    }
    // A long name is not a typing mistake, and could be a misplaced secret.
    let short: String = name.chars().take(40).collect();
    ConfigError::UnknownParameter {
        suggestion: closest(&short),
        name: short,
    }
}

/// The known parameter that differs in the fewest letters, if few enough.
fn closest(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    KNOWN
        .iter()
        .map(|known| (edit_distance(&lower, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .map(|(_, known)| known)
}

/// Levenshtein's distance, one row at a time.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut next = vec![index + 1];
        for (to, pair) in right.iter().zip(row.windows(2)) {
            let (diagonal, above) = match pair {
                [diagonal, above] => (*diagonal, *above),
                _ => continue,
            };
            let behind = next.last().copied().unwrap_or(0);
            let replaced = diagonal + usize::from(from != *to);
            next.push(replaced.min(above + 1).min(behind + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn ssl_mode(value: &str) -> Result<SslMode, ConfigError> {
    [
        SslMode::Disable,
        SslMode::Allow,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ]
    .into_iter()
    .find(|mode| mode.as_str() == value)
    .ok_or(ConfigError::ParameterValue {
        name: "sslmode",
        expected: "disable, allow, prefer, require, verify-ca or verify-full",
    })
}

fn target_session_attrs(value: &str) -> Result<TargetSessionAttrs, ConfigError> {
    [
        TargetSessionAttrs::Any,
        TargetSessionAttrs::ReadWrite,
        TargetSessionAttrs::ReadOnly,
        TargetSessionAttrs::Primary,
        TargetSessionAttrs::Standby,
        TargetSessionAttrs::PreferStandby,
    ]
    .into_iter()
    .find(|attrs| attrs.as_str() == value)
    .ok_or(ConfigError::ParameterValue {
        name: "target_session_attrs",
        expected: "any, read-write, read-only, primary, standby or prefer-standby",
    })
}

fn channel_binding(value: &str) -> Result<ChannelBindingMode, ConfigError> {
    match value {
        "disable" => Ok(ChannelBindingMode::Disable),
        "prefer" => Ok(ChannelBindingMode::Prefer),
        "require" => Ok(ChannelBindingMode::Require),
        _ => Err(ConfigError::ParameterValue {
            name: "channel_binding",
            expected: "disable, prefer or require",
        }),
    }
}

fn switch(name: &'static str, value: &str) -> Result<bool, ConfigError> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(ConfigError::ParameterValue {
            name,
            expected: "0 or 1",
        }),
    }
}

fn number(name: &'static str, value: &str) -> Result<u32, ConfigError> {
    value.parse().map_err(|_| ConfigError::ParameterValue {
        name,
        expected: "a whole number, 0 or more",
    })
}

fn seconds(name: &'static str, value: &str) -> Result<Duration, ConfigError> {
    value
        .parse::<u32>()
        .map(|seconds| Duration::from_secs(u64::from(seconds)))
        .map_err(|_| ConfigError::ParameterValue {
            name,
            expected: "a whole number of seconds, 0 or more",
        })
}

fn at_least_one_second(name: &'static str, value: &str) -> Result<Duration, ConfigError> {
    match seconds(name, value)? {
        Duration::ZERO => Err(ConfigError::ParameterValue {
            name,
            expected: "a whole number of seconds, 1 or more",
        }),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_parameter_is_understood() {
        for name in KNOWN {
            let mut parts = UrlParts::parse("postgres://u@h").unwrap();
            let result = apply(&mut parts, &mut Draft::default(), name, "1".to_owned());
            assert!(
                !matches!(result, Err(ConfigError::UnknownParameter { .. })),
                "{name} is listed but not applied"
            );
        }
    }

    #[test]
    fn edit_distance_counts_letters_to_change() {
        assert_eq!(edit_distance("sslmode", "sslmode"), 0);
        assert_eq!(edit_distance("slmode", "sslmode"), 1);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
