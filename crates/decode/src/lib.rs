//! A checked cursor over bytes from a database's log.
//!
//! Log bytes come from outside, so nothing about them is believed: [`Reader`] checks every read
//! against what is left, borrows instead of copying, never allocates and never panics. A decoder
//! names the field at each read, so a [`DecodeError`] says what was being read, where, and what
//! was wrong with it.
//!
//! The types to know are [`Reader`], [`DecodeError`] and its [`DecodeErrorKind`]; the bounds that
//! decoders hold their input to are named in [`limits`].
//!
//! ```
//! use adit_decode::Reader;
//!
//! let mut reader = Reader::new(b"\x00\x02shop\0");
//! assert_eq!(reader.u16("demo.columns"), Ok(2));
//! assert_eq!(reader.str_nul("demo.name"), Ok("shop"));
//! let error = reader.u32("demo.flags").unwrap_err();
//! assert_eq!(error.to_string(), "demo.flags: needed 4 bytes, 0 left (offset 7)");
//! ```

mod error;
pub mod limits;
mod reader;

pub use error::{DecodeError, DecodeErrorKind};
pub use reader::Reader;
