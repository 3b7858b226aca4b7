//! Authentication: `mysql_native_password`, `caching_sha2_password`, `sha256_password`,
//! `mysql_clear_password`, and MariaDB's `client_ed25519` and `parsec`.
//!
//! A password goes out in clear only where nobody can listen: over TLS or a socket. Elsewhere it is
//! encrypted with the server's public key, if that was given beforehand: one that came over the same line
//! could be anybody's.

use std::path::Path;

use mysql_common::packets::AuthPlugin;

use super::error::LinkError;
use super::public_key;
use super::wire::Wire;

const SHA256: &[u8] = b"sha256_password";
/// Asks for the key of sha256_password.
const KEY_REQUEST: u8 = 1;
/// Rounds of questions that no plugin needs.
const ROUNDS_MAX: usize = 10;
/// The most work that parsec may ask for: 1024 << 10 rounds, about a second. The server says how much, before it
/// has shown who it is; MariaDB 11.8 says 0.
const PARSEC_FACTOR_MAX: u8 = 10;

/// Who logs in, and what may be sent.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: Option<&'a str>,
    /// Nobody on the way can listen: TLS or a socket.
    pub(super) private: bool,
    /// TLS.
    pub(super) encrypted: bool,
    /// The password may go out in clear when the server asks for it.
    pub(super) cleartext: bool,
    /// The server's public key.
    pub(super) public_key: Option<&'a Path>,
}

impl Login<'_> {
    /// The plugin that is tried first, and what it says unasked.
    pub(super) fn first(
        &self,
        offered: AuthPlugin<'static>,
        nonce: &[u8],
    ) -> (AuthPlugin<'static>, Vec<u8>) {
        let plugin = match offered {
            plugin @ (AuthPlugin::CachingSha2Password | AuthPlugin::MysqlNativePassword) => plugin,
            // The server will say again what it wants; a password is not sent before.
            _ => AuthPlugin::MysqlNativePassword,
        };
        let data = plugin.gen_data(self.password, nonce);
        let data = data.map_or_else(Vec::new, |data| data.to_vec());
        (plugin, data)
    }

    /// Answers until the server lets us in, or not.
    pub(super) async fn run(
        &self,
        wire: &mut Wire,
        mut plugin: AuthPlugin<'static>,
        mut nonce: Vec<u8>,
    ) -> Result<(), LinkError> {
        for _ in 0..ROUNDS_MAX {
            let payload = wire.payload().await?;
            match payload.split_first() {
                Some((0x00, _)) => return Ok(()),
                Some((0xff, _)) => return Err(super::server_error(&payload)),
                Some((0xfe, [])) => {
                    let why = "the server wants the password hash of MySQL 4.0, which is not safe; set the user's password anew";
                    return Err(self.refuse("mysql_old_password", why));
                }
                Some((0xfe, rest)) => {
                    let mut parts = rest.splitn(2, |byte| *byte == 0);
                    let name = parts.next().unwrap_or_default();
                    let data = parts.next().unwrap_or_default();
                    plugin = AuthPlugin::from_bytes(name).into_owned();
                    nonce = nonce_of(&plugin, data).to_vec();
                    self.answer(wire, &mut plugin, &nonce).await?;
                }
                Some((0x01, rest)) => self.more(wire, &plugin, &nonce, rest).await?,
                _ => {
                    return Err(LinkError::Protocol {
                        doing: "logging in",
                        why: "an answer that is not known",
                    });
                }
            }
        }
        Err(LinkError::Protocol {
            doing: "logging in",
            why: "it asks again and again",
        })
    }

    /// What a plugin says when the server has chosen it.
    async fn answer(
        &self,
        wire: &mut Wire,
        plugin: &mut AuthPlugin<'static>,
        nonce: &[u8],
    ) -> Result<(), LinkError> {
        match plugin {
            AuthPlugin::MysqlClearPassword => {
                if !self.cleartext || !self.private {
                    let why = "the server asks for the password in clear; that is done only over TLS or a socket, and with allow-cleartext-password=true in the URL";
                    return Err(self.refuse("mysql_clear_password", why));
                }
                wire.send(&self.clear()).await
            }
            AuthPlugin::Other(name) if **name == *SHA256 => {
                if self.password.is_none() {
                    return wire.send(&[0]).await;
                }
                if self.encrypted {
                    return wire.send(&self.clear()).await;
                }
                // On a socket too the servers want it encrypted.
                self.with_key(wire, "sha256_password", nonce).await
            }
            AuthPlugin::Other(name) => {
                let why = "this plugin is not known here; give the user another, such as caching_sha2_password (MySQL) or ed25519 (MariaDB)";
                Err(LinkError::Authentication {
                    user: self.user.to_owned(),
                    plugin: String::from_utf8_lossy(name).into_owned(),
                    why,
                })
            }
            AuthPlugin::MysqlOldPassword => {
                let why = "this hash is not safe; set the user's password anew";
                Err(self.refuse("mysql_old_password", why))
            }
            AuthPlugin::MariadbParsec { .. } => self.parsec(wire, plugin, nonce).await,
            AuthPlugin::MysqlNativePassword
            | AuthPlugin::CachingSha2Password
            | AuthPlugin::Ed25519 => match plugin.gen_data(self.password, nonce) {
                Some(data) => wire.send(&data).await,
                None => wire.send(&[]).await,
            },
        }
    }

    /// MariaDB's parsec: the server sends the salt of the password when it is asked by an empty packet.
    async fn parsec(
        &self,
        wire: &mut Wire,
        plugin: &mut AuthPlugin<'static>,
        nonce: &[u8],
    ) -> Result<(), LinkError> {
        let wrong = |why| LinkError::Protocol {
            doing: "logging in by parsec",
            why,
        };
        if self.password.is_none_or(str::is_empty) {
            let why = "the server asks for a password and none is set: put it into the source url or into the source's password_file";
            return Err(self.refuse("parsec", why));
        }
        wire.send(&[]).await?;
        let salt = wire.payload().await?;
        if salt.first() == Some(&0xff) {
            return Err(super::server_error(&salt));
        }
        let salt = salt.strip_prefix(&[1]).unwrap_or(&salt);
        if salt
            .get(1)
            .is_some_and(|factor| *factor > PARSEC_FACTOR_MAX)
        {
            return Err(wrong("it asks for too many rounds"));
        }
        plugin
            .read_add_data(salt)
            .ok_or_else(|| wrong("its salt cannot be read"))?;
        let data = plugin.gen_data(self.password, nonce);
        let data = data.ok_or_else(|| wrong("its random bytes are too few"))?;
        wire.send(&data).await
    }

    /// A plugin's further questions.
    async fn more(
        &self,
        wire: &mut Wire,
        plugin: &AuthPlugin<'_>,
        nonce: &[u8],
        data: &[u8],
    ) -> Result<(), LinkError> {
        match (plugin, data) {
            // The server knows the hash from an earlier login: it lets us in.
            (AuthPlugin::CachingSha2Password, [3]) => Ok(()),
            // It does not, and wants the password itself.
            (AuthPlugin::CachingSha2Password, [4]) if self.private => {
                wire.send(&self.clear()).await
            }
            (AuthPlugin::CachingSha2Password, [4]) => {
                self.with_key(wire, "caching_sha2_password", nonce).await
            }
            _ => Err(LinkError::Protocol {
                doing: "logging in",
                why: "a question that is not known",
            }),
        }
    }

    /// The password, encrypted with the server's public key.
    async fn with_key(
        &self,
        wire: &mut Wire,
        plugin: &'static str,
        nonce: &[u8],
    ) -> Result<(), LinkError> {
        // Mixed with the nonce, so that the same password is never sent twice.
        let mut clear = self.clear();
        for (byte, mask) in clear.iter_mut().zip(nonce.iter().cycle()) {
            *byte ^= mask;
        }
        let encrypted = match self.public_key {
            Some(path) => {
                let unusable = |why| LinkError::File {
                    what: "the server's public key (server-public-key)",
                    path: path.display().to_string(),
                    why,
                };
                let key = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
                public_key::encrypt(&clear, &key).map_err(|why| unusable(why.to_owned()))?
            }
            // What comes over a socket is the server's own.
            None if self.private => {
                wire.send(&[KEY_REQUEST]).await?;
                let answer = wire.payload().await?;
                if answer.first() == Some(&0xff) {
                    return Err(super::server_error(&answer));
                }
                let key = answer.strip_prefix(&[1]).unwrap_or(&answer);
                public_key::encrypt(&clear, key).map_err(|why| self.refuse(plugin, why))?
            }
            None => {
                let why = "the server does not have the password's hash in its memory and wants the password itself, which is sent only over TLS, over a socket, or encrypted with the server's key: set ssl-mode=required in the URL, or server-public-key=FILE with the key that SHOW STATUS LIKE '%rsa_public_key' shows";
                return Err(self.refuse(plugin, why));
            }
        };
        wire.send(&encrypted).await
    }

    /// The password and the NUL behind it.
    fn clear(&self) -> Vec<u8> {
        let mut clear = self.password.unwrap_or_default().as_bytes().to_vec();
        clear.push(0);
        clear
    }

    fn refuse(&self, plugin: &'static str, why: &'static str) -> LinkError {
        LinkError::Authentication {
            user: self.user.to_owned(),
            plugin: plugin.to_owned(),
            why,
        }
    }
}

/// The random bytes in a request for this plugin. Behind those of MySQL's plugins stands a NUL; those of MariaDB's
/// may end with one that belongs to them.
fn nonce_of<'a>(plugin: &AuthPlugin<'_>, data: &'a [u8]) -> &'a [u8] {
    let len = match plugin {
        AuthPlugin::Ed25519 | AuthPlugin::MariadbParsec { .. } => 32,
        _ => 20,
    };
    data.get(..len).unwrap_or(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_is_as_long_as_the_plugin_has_it() {
        let native = [&[7; 20][..], &[0]].concat();
        assert_eq!(nonce_of(&AuthPlugin::MysqlNativePassword, &native), [7; 20]);
        assert_eq!(nonce_of(&AuthPlugin::CachingSha2Password, &native), [7; 20]);
        let edwards = [&[7; 31][..], &[0]].concat();
        assert_eq!(nonce_of(&AuthPlugin::Ed25519, &edwards), edwards);
        assert_eq!(nonce_of(&AuthPlugin::Ed25519, &[1, 2]), [1, 2]);
    }
}
