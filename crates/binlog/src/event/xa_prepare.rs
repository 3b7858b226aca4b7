//! `XA_PREPARE_LOG_EVENT`: an XA transaction is prepared, or committed in one phase.
//!
//! | bytes | meaning |
//! |---|---|
//! | u8 | 1 if it is committed in one phase |
//! | u32, u32, u32 | format, length of the global name, length of the branch's |
//! | bytes | the two names |

use adit_decode::{DecodeError, Reader};

use crate::xa::XaId;

/// What is prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// It is committed with this.
    pub one_phase: bool,
    /// The transaction.
    pub id: XaId<'a>,
}

impl<'a> XaPrepare<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let one_phase = reader.u8("binlog xa_prepare.one_phase")? != 0;
        let format = reader.u32_le("binlog xa_prepare.format")?;
        let mut len = || {
            let len = reader.u32_le("binlog xa_prepare.lengths")?;
            Ok(usize::try_from(len).unwrap_or(usize::MAX))
        };
        let (gtrid, bqual) = (len()?, len()?);
        let id = XaId {
            format,
            gtrid: reader.bytes(gtrid, "binlog xa_prepare.gtrid")?.into(),
            bqual: reader.bytes(bqual, "binlog xa_prepare.bqual")?.into(),
        };
        Ok(Self { one_phase, id })
    }
}
