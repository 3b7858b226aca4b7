//! Splitting the URL into its parts and undoing percent-encoding.

use adit_binlog::Flavor;
use secrecy::SecretString;

use super::ConfigError;

/// A URL cut into pieces, percent-decoded, not yet given a meaning. It has no `Debug`: a value may be a
/// secret.
pub(super) struct UrlParts {
    pub(super) flavor: Flavor,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) hosts: Vec<(String, Option<u16>)>,
    pub(super) database: Option<String>,
    pub(super) parameters: Vec<(String, String)>,
}

impl UrlParts {
    /// Reads `mysql://user[:password]@host[:port][,…][/database][?name=value&…]`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let schemes = [("mysql://", Flavor::Mysql), ("mariadb://", Flavor::Mariadb)];
        let found = schemes
            .iter()
            .find_map(|(scheme, flavor)| Some((text.strip_prefix(scheme)?, *flavor)));
        let (rest, flavor) = found.ok_or(ConfigError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // What stands behind a bare / or ? in a password must not be shown in an error.
        if path.contains('@') || query.contains('@') {
            return Err(ConfigError::Malformed {
                part: "user and password",
                why: "percent-encode : / ? # [ ] @ % and commas in them, and @ anywhere behind the host (@ is %40, / is %2F, ? is %3F)",
            });
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (user, password) = match credentials {
            None => (None, None),
            Some(credentials) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                let password = match password {
                    "" => None,
                    password => Some(decode(password, "password")?.into()),
                };
                (Some(decode(user, "user")?), password)
            }
        };
        // Without any the parameter `socket` may stand for them.
        let hosts = hosts.split(',').filter(|_| !hosts.is_empty());
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Ok(Self {
            flavor,
            user,
            password,
            hosts: hosts.map(host).collect::<Result<_, _>>()?,
            database: match path {
                "" => None,
                path => Some(decode(path, "database")?),
            },
            parameters: pairs.map(parameter).collect::<Result<_, _>>()?,
        })
    }
}

fn host(text: &str) -> Result<(String, Option<u16>), ConfigError> {
    let malformed = |why| ConfigError::Malformed { part: "host", why };
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let missing = malformed("an ipv6 address starts with [ and must end with ]");
        let (name, after) = rest.split_once(']').ok_or(missing)?;
        match after.strip_prefix(':') {
            None if !after.is_empty() => {
                return Err(malformed("only :port may follow the ] of an ipv6 address"));
            }
            port => (name, port),
        }
    } else {
        match text.rsplit_once(':') {
            Some((name, _)) if name.contains(':') => {
                return Err(malformed(
                    "an ipv6 address needs brackets, as in [::1]:3306",
                ));
            }
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        None | Some("") => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => {
                return Err(ConfigError::Malformed {
                    part: "port",
                    why: "it must be a number from 1 to 65535; if the password holds one of : / ? # [ ] @ % or a comma, percent-encode it there (@ is %40, / is %2F)",
                });
            }
        },
    };
    if name.is_empty() {
        return Err(malformed("it is empty"));
    }
    Ok((decode(name, "host")?, port))
}

fn parameter(pair: &str) -> Result<(String, String), ConfigError> {
    let (name, value) = pair.split_once('=').ok_or(ConfigError::Malformed {
        part: "query",
        why: "each parameter is written name=value, separated by &",
    })?;
    Ok((decode(name, "query")?, decode(value, "query")?))
}

/// Undoes percent-encoding.
fn decode(text: &str, part: &'static str) -> Result<String, ConfigError> {
    let malformed = |why| ConfigError::Malformed { part, why };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let value = high.zip(low).map(|(high, low)| high << 4 | low);
        let value = value.and_then(|value| u8::try_from(value).ok());
        bytes.push(value.ok_or_else(|| {
            malformed("% must be followed by two hexadecimal digits; write a percent sign as %25")
        })?);
    }
    if bytes.contains(&0) {
        return Err(malformed("it must not hold a zero byte (%00)"));
    }
    String::from_utf8(bytes).map_err(|_| malformed("its percent-encoding is not utf-8"))
}
