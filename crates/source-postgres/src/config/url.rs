//! Splitting the URL into its parts and undoing percent-encoding.

use std::fmt;

use secrecy::SecretString;

use super::ConfigError;

/// A URL cut into pieces, percent-decoded, not yet given a meaning.
pub(super) struct UrlParts {
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) hosts: Vec<String>,
    /// One entry for each host of the URL, or what the `port` parameter said.
    pub(super) ports: Vec<Option<u16>>,
    pub(super) database: Option<String>,
    /// Values may be secrets, so the type has no derived `Debug`.
    pub(super) parameters: Vec<(String, String)>,
}

impl fmt::Debug for UrlParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlParts")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl UrlParts {
    /// Reads `postgres://[user[:password]@][host[:port],…][/database][?name=value&…]`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(ConfigError::Scheme)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, database) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        // A password with a bare `/` or `?` ends the authority early, and its
        // rest would be taken for a database or a parameter and be shown in an
        // error. The `@` that follows it gives that away.
        if [database, query]
            .into_iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            return Err(ConfigError::Malformed {
                part: "user and password",
                why: "percent-encode : / ? # [ ] @ % and commas in them, and @ anywhere behind the host (@ is %40, / is %2F, ? is %3F)",
            });
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let mut parts = Self {
            user: None,
            password: None,
            hosts: Vec::new(),
            ports: Vec::new(),
            database: database.map(|name| decode(name, "database")).transpose()?,
            parameters: Vec::new(),
        };
        if let Some(credentials) = credentials {
            parts.read_credentials(credentials)?;
        }
        if !hosts.is_empty() {
            for host in hosts.split(',') {
                parts.read_host(host)?;
            }
        }
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            if !pair.is_empty() {
                parts.read_parameter(pair)?;
            }
        }
        Ok(parts)
    }

    fn read_credentials(&mut self, text: &str) -> Result<(), ConfigError> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (text, None),
        };
        self.user = Some(decode(user, "user")?);
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            self.password = Some(decode(password, "password")?.into());
        }
        Ok(())
    }

    fn read_host(&mut self, text: &str) -> Result<(), ConfigError> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, after) = rest.split_once(']').ok_or(ConfigError::Malformed {
                    part: "host",
                    why: "an ipv6 address starts with [ and must end with ]",
                })?;
                match after.strip_prefix(':') {
                    Some(port) => (name, Some(port)),
                    None if after.is_empty() => (name, None),
                    None => {
                        return Err(ConfigError::Malformed {
                            part: "host",
                            why: "only :port may follow the ] of an ipv6 address",
                        });
                    }
                }
            }
            None => match text.rsplit_once(':') {
                Some((name, _)) if name.contains(':') => {
                    return Err(ConfigError::Malformed {
                        part: "host",
                        why: "an ipv6 address needs brackets, as in [::1]:5432",
                    });
                }
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        self.hosts.push(decode(name, "host")?);
        self.ports.push(port.map(parse_port).transpose()?.flatten());
        Ok(())
    }

    fn read_parameter(&mut self, pair: &str) -> Result<(), ConfigError> {
        let (name, value) = pair.split_once('=').ok_or(ConfigError::Malformed {
            part: "query",
            why: "each parameter is written name=value, separated by &",
        })?;
        self.parameters
            .push((decode(name, "query")?, decode(value, "query")?));
        Ok(())
    }
}

/// A port; an empty one means the default.
pub(super) fn parse_port(text: &str) -> Result<Option<u16>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(ConfigError::Malformed {
            part: "port",
            why: "it must be a number from 1 to 65535; if the password holds one of : / ? # [ ] @ % or a comma, percent-encode it there (@ is %40, / is %2F)",
        }),
    }
}

/// Undoes percent-encoding. `+` stays `+`, as in `libpq`.
fn decode(text: &str, part: &'static str) -> Result<String, ConfigError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        match (rest.next().and_then(nibble), rest.next().and_then(nibble)) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => {
                return Err(ConfigError::Malformed {
                    part,
                    why: "% must be followed by two hexadecimal digits; write a percent sign as %25",
                });
            }
        }
    }
    if bytes.contains(&0) {
        return Err(ConfigError::Malformed {
            part,
            why: "it must not hold a zero byte (%00)",
        });
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::Malformed {
        part,
        why: "its percent-encoding is not utf-8",
    })
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
