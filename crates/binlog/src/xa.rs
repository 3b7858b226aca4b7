//! Names of XA transactions.

use std::borrow::Cow;

/// The name that an external coordinator gave a transaction (X/Open XA, `XID`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct XaId<'a> {
    /// What the coordinator uses to tell kinds of names apart.
    pub format: u32,
    /// The global part.
    pub gtrid: Cow<'a, [u8]>,
    /// The branch.
    pub bqual: Cow<'a, [u8]>,
}

impl XaId<'_> {
    /// The same, on its own.
    #[must_use]
    pub fn into_owned(self) -> XaId<'static> {
        XaId {
            format: self.format,
            gtrid: Cow::Owned(self.gtrid.into_owned()),
            bqual: Cow::Owned(self.bqual.into_owned()),
        }
    }
}
