use thiserror::Error;

/// Bytes that do not mean what the format says they mean.
///
/// Reads as `pgoutput relation.columns: needed 12 bytes, 7 left (offset 43)`. It never contains
/// the bytes themselves: they may be a customer's row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {kind} (offset {offset})")]
pub struct DecodeError {
    /// What was wrong.
    pub kind: DecodeErrorKind,
    /// Where the field at fault begins, in bytes from the start of the outermost input.
    pub offset: usize,
    /// What was being read: format, structure and field, such as `pgoutput relation.columns`.
    pub field: &'static str,
}

impl DecodeError {
    /// An error about `field`, which begins at `offset`.
    #[must_use]
    pub const fn new(kind: DecodeErrorKind, offset: usize, field: &'static str) -> Self {
        Self {
            kind,
            offset,
            field,
        }
    }

    /// The same about bytes that begin `by` later in a larger input.
    #[must_use]
    pub const fn shifted(mut self, by: usize) -> Self {
        self.offset += by;
        self
    }
}

/// What can be wrong with bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends inside the field.
    #[error("needed {needed} bytes, {left} left")]
    Truncated {
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that the input still had.
        left: usize,
    },
    /// The structure is complete, but the input goes on.
    #[error("{left} bytes left over")]
    Trailing {
        /// Bytes after the end of the structure.
        left: usize,
    },
    /// A NUL-terminated string has no NUL.
    #[error("no terminating NUL in the {left} bytes left")]
    Unterminated {
        /// Bytes that were searched.
        left: usize,
    },
    /// Text that must be UTF-8 is not.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// A byte that selects among known alternatives selects none of them.
    #[error("unknown tag 0x{tag:02x}")]
    UnknownTag {
        /// The byte.
        tag: u8,
    },
    /// A set of flags has bits that this version does not know.
    #[error("unknown flags 0x{flags:02x}")]
    UnknownFlags {
        /// All bits of the field, the known ones included.
        flags: u8,
    },
    /// A count or length is above the named limit for it.
    #[error("{value} is above the limit of {max}")]
    AboveLimit {
        /// The count or length that the input claims.
        value: usize,
        /// The limit, one of [`limits`](crate::limits).
        max: usize,
    },
    /// The field is complete, but its content is not in its domain.
    #[error("{why}")]
    Invalid {
        /// What is wrong, as in `month is not in 1..=12`.
        why: &'static str,
    },
}
