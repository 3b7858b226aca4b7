//! The parameters that take one word of a list.

/// Whether and how far the server is authenticated by TLS; `libpq`'s `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// Plain text first; TLS if the server refuses that.
    Allow,
    /// TLS if the server has it, else plain text. The default of `libpq`.
    #[default]
    Prefer,
    /// Always TLS, but the server's certificate is not looked at (unless
    /// `sslrootcert` is given, which makes it `verify-ca`).
    Require,
    /// TLS, and the certificate must come from `sslrootcert`.
    VerifyCa,
    /// TLS, a trusted certificate, and it must name the host.
    VerifyFull,
}

impl SslMode {
    /// The word used in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Whether SCRAM must be bound to the TLS session; `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBindingMode {
    /// Never.
    Disable,
    /// When the server offers it.
    #[default]
    Prefer,
    /// Log in with it or not at all.
    Require,
}

/// Which server of several will do; `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetSessionAttrs {
    /// The first that lets us in.
    #[default]
    Any,
    /// One whose transactions may write.
    ReadWrite,
    /// One whose transactions may not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby; any if none of them is.
    PreferStandby,
}

impl TargetSessionAttrs {
    /// The word used in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }
}
