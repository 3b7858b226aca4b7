//! The beginning of a connection: the server's greeting, our answer to it, and TLS between.
//!
//! (Manual of the protocol, "Connection Phase".)

use std::io;

use adit_binlog::Flavor;
use mysql_common::constants::CapabilityFlags as Flags;
use mysql_common::packets::{HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use secrecy::ExposeSecret as _;

use super::auth;
use super::error::LinkError;
use super::greeting::{self, Greeting};
use super::transport::Transport;
use super::wire::{PAYLOAD_MAX, Wire};
use crate::config::{Compression, ConnectConfig, SslMode, Target};
use crate::tls;

/// What the server says of itself.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// Its version, as it prints it.
    pub version: String,
    /// Which family it is of.
    pub flavor: Flavor,
    /// The connection's number there.
    pub connection_id: u32,
}

/// `utf8mb4_general_ci`, in which what we send and receive is, until something else is set.
const COLLATION: u8 = 45;
/// MariaDB's replication prefix, which keeps old clients from taking it for a too new MySQL.
const MARIADB_PREFIX: &str = "5.5.5-";
const NO_GREETING: &str = "its greeting cannot be read; is this the port of MySQL or MariaDB?";

/// Connects, encrypts and logs in.
pub(super) async fn connect(
    config: &ConnectConfig,
    target: &Target,
    program: &str,
) -> Result<(Wire, Handshake), LinkError> {
    let mut wire = Wire::new(Transport::connect(target).await?);
    let payload = wire.payload().await.map_err(|error| match error {
        LinkError::Protocol { .. } | LinkError::TooLarge { .. } => protocol(NO_GREETING),
        other => other,
    })?;
    if payload.first() == Some(&0xff) {
        return Err(super::server_error(&payload));
    }
    let greeting = greeting::parse(&payload).ok_or_else(|| protocol(NO_GREETING))?;
    let server = about(&greeting);
    let offered = greeting.offered;
    let mut wanted = Flags::CLIENT_PROTOCOL_41
        | Flags::CLIENT_SECURE_CONNECTION
        | Flags::CLIENT_LONG_PASSWORD
        | Flags::CLIENT_LONG_FLAG
        | Flags::CLIENT_TRANSACTIONS
        | Flags::CLIENT_PLUGIN_AUTH
        | Flags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | Flags::CLIENT_CONNECT_ATTRS;
    if config.compression() == Compression::Zlib {
        wanted |= Flags::CLIENT_COMPRESS;
    }
    wanted &= offered;
    if encrypts(
        config.tls().mode,
        target,
        offered.contains(Flags::CLIENT_SSL),
    )? {
        wanted |= Flags::CLIENT_SSL;
        let request = SslRequest::new(wanted, packet_max(), COLLATION);
        let mut payload = Vec::new();
        request.serialize(&mut payload);
        wire.send(&payload).await?;
        let (transport, sequence) = wire.into_transport()?;
        let Transport::Tcp(stream) = transport else {
            return Err(protocol("TLS on something else than TCP"));
        };
        let stream = tls::handshake(config.tls(), target, stream).await?;
        wire = Wire::resume(Transport::Tls(Box::new(stream)), sequence);
    }

    let login = auth::Login {
        user: config.user(),
        password: config.password().map(|password| password.expose_secret()),
        private: wire.transport().is_private(),
        encrypted: wire.transport().is_tls(),
        cleartext: config.allows_cleartext(),
        public_key: config.public_key(),
    };
    let (plugin, first) = login.first(greeting.plugin, &greeting.nonce);
    let attributes = [("program_name", program), ("_client_name", "adit")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let response = HandshakeResponse::new(
        Some(first),
        (8, 0, 0),
        Some(config.user().as_bytes()),
        None::<&[u8]>,
        Some(plugin.borrow()),
        wanted,
        wanted
            .contains(Flags::CLIENT_CONNECT_ATTRS)
            .then(|| attributes.into_iter().collect()),
        packet_max(),
    );
    let mut payload = Vec::new();
    response.serialize(&mut payload);
    wire.send(&payload).await?;
    let logged_in = login.run(&mut wire, plugin, greeting.nonce).await;
    logged_in.map_err(|error| match error {
        // Since TLS 1.3 the server looks at our certificate after the handshake.
        LinkError::Broken(source) if source.kind() == io::ErrorKind::InvalidData => {
            LinkError::Tls {
                target: target.to_string(),
                source,
            }
        }
        other => other,
    })?;
    wire.logged_in(wanted.contains(Flags::CLIENT_COMPRESS));
    Ok((wire, server))
}

fn packet_max() -> u32 {
    u32::try_from(PAYLOAD_MAX).unwrap_or(u32::MAX)
}

fn about(greeting: &Greeting) -> Handshake {
    let printed = &*greeting.version;
    let maria = printed.contains("MariaDB");
    let version = printed.strip_prefix(MARIADB_PREFIX).filter(|_| maria);
    Handshake {
        version: version.unwrap_or(printed).to_owned(),
        flavor: if maria {
            Flavor::Mariadb
        } else {
            Flavor::Mysql
        },
        connection_id: greeting.connection_id,
    }
}

/// Whether to encrypt, or why that cannot be.
fn encrypts(mode: SslMode, target: &Target, offered: bool) -> Result<bool, LinkError> {
    match (mode, target) {
        (SslMode::Disabled, _) | (_, Target::Socket(_)) => Ok(false),
        (SslMode::Preferred, Target::Tcp { .. }) => Ok(offered),
        (mode, Target::Tcp { .. }) if !offered => Err(LinkError::NoTls {
            target: target.to_string(),
            mode: mode.as_str(),
        }),
        _ => Ok(true),
    }
}

const fn protocol(why: &'static str) -> LinkError {
    LinkError::Protocol {
        doing: "connecting",
        why,
    }
}
