//! The server's first packet: what it is, what it can, and the random bytes that a password is mixed with.
//!
//! (Manual of the protocol, "Protocol::HandshakeV10".) `mysql_common` reads it too, but its arithmetic on the
//! length of the random bytes overflows for lengths that no server sends.

use mysql_common::constants::CapabilityFlags as Flags;
use mysql_common::packets::AuthPlugin;

/// The only version of the protocol since MySQL 3.21.
const PROTOCOL_VERSION: u8 = 10;
/// The random bytes: 8, and 12 more behind the flags, and a NUL that is not one of them.
const NONCE_LEN: usize = 20;

/// What the server said.
#[derive(Debug)]
pub(super) struct Greeting {
    /// As it prints it.
    pub(super) version: String,
    pub(super) connection_id: u32,
    pub(super) offered: Flags,
    pub(super) nonce: Vec<u8>,
    /// The plugin that it would take for a user it does not know.
    pub(super) plugin: AuthPlugin<'static>,
}

/// None if it cannot be read, or if the server is older than MySQL 4.1.
pub(super) fn parse(payload: &[u8]) -> Option<Greeting> {
    let (&PROTOCOL_VERSION, rest) = payload.split_first()? else {
        return None;
    };
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (version, rest) = rest.split_at_checked(end)?;
    let (connection_id, rest) = rest.get(1..)?.split_first_chunk::<4>()?;
    let (begun, rest) = rest.split_first_chunk::<8>()?;
    let (&[_, low0, low1, _collation, _, _, high0, high1, _len], rest) =
        rest.split_first_chunk::<9>()?;
    let offered = Flags::from_bits_truncate(u32::from_le_bytes([low0, low1, high0, high1]));
    // Ten bytes are reserved; MariaDB has flags of its own in the last four, of which we need none.
    let (_reserved, rest) = rest.split_first_chunk::<10>()?;
    if !offered.contains(Flags::CLIENT_PROTOCOL_41 | Flags::CLIENT_SECURE_CONNECTION) {
        return None;
    }
    // The length before the reserved bytes counts both parts; no server has another than 13 for the second.
    let (more, rest) = rest.split_at_checked(NONCE_LEN - begun.len())?;
    let name = rest.get(1..).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let plugin = match name {
        [] => AuthPlugin::MysqlNativePassword,
        name => AuthPlugin::from_bytes(name).into_owned(),
    };
    Some(Greeting {
        version: String::from_utf8_lossy(version).into_owned(),
        connection_id: u32::from_le_bytes(*connection_id),
        offered,
        nonce: [begun, more].concat(),
        plugin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What MySQL 9.7 says.
    fn greeting(flags: u32, len: u8) -> Vec<u8> {
        let [low0, low1, high0, high1] = flags.to_le_bytes();
        let mut out = b"\x0a9.7.4\0\x2a\0\0\0abcdefgh\0".to_vec();
        out.extend_from_slice(&[low0, low1, 45, 2, 0, high0, high1, len]);
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(b"ijklmnopqrst\0caching_sha2_password\0");
        out
    }

    #[test]
    fn a_greeting_is_read() {
        let found = parse(&greeting(0xdfff_ffff, 21)).unwrap();
        assert_eq!(found.version, "9.7.4");
        assert_eq!(found.connection_id, 42);
        assert_eq!(found.nonce, b"abcdefghijklmnopqrst");
        assert_eq!(found.plugin, AuthPlugin::CachingSha2Password);
        assert!(found.offered.contains(Flags::CLIENT_SSL));
    }

    #[test]
    fn no_greeting_panics() {
        let whole = greeting(0xdfff_ffff, 21);
        let nonce_end = whole.len() - b"\0caching_sha2_password\0".len();
        for end in 0..whole.len() {
            let parsed = parse(whole.get(..end).unwrap());
            assert_eq!(parsed.is_some(), end >= nonce_end, "cut at {end}");
        }
        for len in 0..=u8::MAX {
            assert!(parse(&greeting(0xdfff_ffff, len)).is_some());
        }
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = whole.clone();
                *bytes.get_mut(at).unwrap() = byte;
                parse(&bytes);
            }
        }
    }

    #[test]
    fn servers_that_are_too_old_are_not_understood() {
        assert!(parse(&greeting(0, 21)).is_none());
        assert!(parse(b"\x093.20.0\0").is_none());
    }
}
