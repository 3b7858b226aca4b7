//! The login: what the CONNECT line says, for every way of authenticating.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::{config::Auth, error::Error};

/// The fields of CONNECT that are not ours to choose.
#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'a str,
    lang: &'a str,
    version: &'a str,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<&'a str>,
}

/// An [`Auth`] whose files have been read.
pub(crate) enum Login {
    None,
    UserPassword {
        user: String,
        password: SecretString,
    },
    Token(SecretString),
    Nkey {
        seed: SecretString,
    },
    Credentials {
        jwt: String,
        seed: SecretString,
    },
}

impl Login {
    /// Reads the files that `auth` names.
    pub(crate) fn read(auth: &Auth) -> Result<Self, Error> {
        Ok(match auth {
            Auth::None => Self::None,
            Auth::UserPassword { user, password } => Self::UserPassword {
                user: user.clone(),
                password: password.clone(),
            },
            Auth::Token(token) => Self::Token(token.clone()),
            Auth::NkeyFile(path) => {
                let text = read_secret("nkey", path)?;
                let seed = text
                    .lines()
                    .map(str::trim)
                    .find(|line| line.starts_with('S'));
                let seed =
                    seed.ok_or_else(|| broken("nkey file", path, "no line of it is a seed (S…)"))?;
                Self::Nkey { seed: seed.into() }
            }
            Auth::CredentialsFile(path) => {
                let text = read_secret("credentials", path)?;
                let section = |name| {
                    section(&text, name)
                        .ok_or_else(|| broken("credentials file", path, "a section is missing"))
                };
                Self::Credentials {
                    jwt: section("NATS USER JWT")?.to_owned(),
                    seed: section("USER NKEY SEED")?.into(),
                }
            }
        })
    }

    /// The CONNECT line for a server that sent `nonce`, with its line end.
    pub(crate) fn connect_line(
        &self,
        name: &str,
        tls: bool,
        nonce: Option<&str>,
    ) -> Result<Vec<u8>, Error> {
        let mut connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: tls,
            name,
            lang: "rust-adit",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: false,
            headers: true,
            no_responders: true,
            user: None,
            pass: None,
            auth_token: None,
            nkey: None,
            jwt: None,
            sig: None,
        };
        let (public, signature);
        match self {
            Self::None => {}
            Self::UserPassword { user, password } => {
                connect.user = Some(user);
                connect.pass = Some(password.expose_secret());
            }
            Self::Token(token) => connect.auth_token = Some(token.expose_secret()),
            Self::Nkey { seed } => {
                (public, signature) = sign(seed, nonce)?;
                connect.nkey = Some(&public);
                connect.sig = Some(&signature);
            }
            Self::Credentials { jwt, seed } => {
                (_, signature) = sign(seed, nonce)?;
                connect.jwt = Some(jwt);
                connect.sig = Some(&signature);
            }
        }
        let mut line = b"CONNECT ".to_vec();
        serde_json::to_writer(&mut line, &connect)
            .map_err(|error| Error::Config(format!("cannot write the login: {error}")))?;
        line.extend_from_slice(b"\r\n");
        Ok(line)
    }
}

/// The public key of `seed`, and its signature of the nonce.
fn sign(seed: &SecretString, nonce: Option<&str>) -> Result<(String, String), Error> {
    let refuse = |why: String| Error::Secret {
        what: "nkey seed".to_owned(),
        why,
    };
    let pair = nkeys::KeyPair::from_seed(seed.expose_secret())
        .map_err(|error| refuse(error.to_string()))?;
    let nonce = nonce.ok_or_else(|| {
        refuse("the server asks for no signature: it is not set up for nkeys or JWT".to_owned())
    })?;
    let signature = pair
        .sign(nonce.as_bytes())
        .map_err(|error| refuse(error.to_string()))?;
    Ok((pair.public_key(), URL_SAFE_NO_PAD.encode(signature)))
}

/// The first line that is not empty between `-----BEGIN {name}-----` and the next line of dashes.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| line.starts_with("-----") && line.contains("BEGIN") && line.contains(name))?;
    lines
        .find(|line| !line.is_empty())
        .filter(|line| !line.starts_with("---"))
}

fn read_secret(what: &'static str, path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File {
        what,
        path: path.to_owned(),
        source,
    })
}

fn broken(what: &str, path: &Path, why: &str) -> Error {
    Error::Secret {
        what: format!("{what} {}", path.display()),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(login: &Login, nonce: Option<&str>) -> serde_json::Value {
        let line = login.connect_line("adit-test", true, nonce).unwrap();
        let json = line
            .strip_prefix(b"CONNECT ")
            .and_then(|line| line.strip_suffix(b"\r\n"))
            .unwrap();
        serde_json::from_slice(json).unwrap()
    }

    #[test]
    fn the_connect_line_carries_the_login_and_nothing_else() {
        let user = Login::UserPassword {
            user: "adit".into(),
            password: "p\"w".into(),
        };
        let json = line(&user, None);
        assert_eq!(
            (json["user"].as_str(), json["pass"].as_str()),
            (Some("adit"), Some("p\"w"))
        );
        assert_eq!(
            (json["headers"].as_bool(), json["no_responders"].as_bool()),
            (Some(true), Some(true))
        );
        assert!(json.get("auth_token").is_none());
        assert_eq!(line(&Login::Token("t".into()), None)["auth_token"], "t");
    }

    #[test]
    fn an_nkey_signs_the_nonce() {
        let pair = nkeys::KeyPair::new_user();
        let login = Login::Nkey {
            seed: pair.seed().unwrap().into(),
        };
        let json = line(&login, Some("nonce"));
        let signature = URL_SAFE_NO_PAD
            .decode(json["sig"].as_str().unwrap())
            .unwrap();
        assert!(pair.verify(b"nonce", &signature).is_ok());
        assert_eq!(json["nkey"], pair.public_key());
        assert!(login.connect_line("x", false, None).is_err());
    }

    #[test]
    fn a_creds_file_is_taken_apart() {
        let pair = nkeys::KeyPair::new_user();
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.x.y\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            pair.seed().unwrap()
        );
        fs::write(file.path(), text).unwrap();
        let login = Login::read(&Auth::CredentialsFile(file.path().to_owned())).unwrap();
        let json = line(&login, Some("n"));
        assert_eq!(json["jwt"], "eyJ0.x.y");
        assert!(json["sig"].is_string());
        fs::write(file.path(), "nothing").unwrap();
        assert!(matches!(
            Login::read(&Auth::CredentialsFile(file.path().to_owned())),
            Err(Error::Secret { .. })
        ));
        assert!(matches!(
            Login::read(&Auth::NkeyFile("/does/not/exist".into())),
            Err(Error::File { .. })
        ));
    }
}
