//! MariaDB's UUID, INET4 and INET6. The text form is their text; in the log they are bytes, of which NULs
//! at the end may be missing.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt::Write as _;
use std::ops::Range;

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::{Scratch, ascii, error};
use crate::gtid::Uuid as UuidText;

/// UUID.
#[derive(Debug)]
pub(super) struct Uuid;

/// INET4.
#[derive(Debug)]
pub(super) struct Inet4;

/// INET6.
#[derive(Debug)]
pub(super) struct Inet6;

fn whole<const N: usize>(expected: &'static str, cell: &[u8]) -> Result<[u8; N], ValueError> {
    let mut bytes = [0u8; N];
    match bytes.get_mut(..cell.len()) {
        Some(start) => start.copy_from_slice(cell),
        None => return Err(error(expected, "more bytes than its type has", 0, cell)),
    }
    Ok(bytes)
}

fn plain(value: impl std::fmt::Display, out: &mut ValueWriter<'_>) {
    let mut text = Scratch::<48>::new();
    let written = write!(text, "{value}");
    debug_assert!(written.is_ok(), "scratch takes everything");
    out.plain(text.as_str());
}

fn plain_text(
    expected: &'static str,
    cell: &[u8],
    out: &mut ValueWriter<'_>,
) -> Result<(), ValueError> {
    let text = ascii(expected, cell)?;
    let legal = |b: u8| b.is_ascii_hexdigit() || matches!(b, b'-' | b':' | b'.');
    if !text.bytes().all(legal) {
        return Err(error(expected, "something else than digits", 0, cell));
    }
    out.plain(text);
    Ok(())
}

impl CellFormat for Uuid {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        plain_text("uuid", cell, out)
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        plain(UuidText(whole("uuid", cell)?), out);
        Ok(())
    }
}

impl CellFormat for Inet4 {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        plain_text("inet4", cell, out)
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        plain(Ipv4Addr::from(whole::<4>("inet4", cell)?), out);
        Ok(())
    }
}

impl CellFormat for Inet6 {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        plain_text("inet6", cell, out)
    }

    fn write_binary(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let text = inet6(whole::<16>("inet6", cell)?);
        out.plain(text.as_str());
        Ok(())
    }
}

/// An IPv6 address as MariaDB prints it: the longest run of zero groups is left out, the first of them,
/// even if it is one group only; behind a run of six, or of five and `ffff`, the rest has dots. (RFC 5952
/// wants it otherwise: `Inet6::to_string`, `plugin/type_inet`.)
fn inet6(address: [u8; 16]) -> Scratch<48> {
    let groups = Ipv6Addr::from(address).segments();
    let run = longest_run(groups);
    let dotted =
        run.start == 0 && (run.len() == 6 || (run.len() == 5 && groups.get(5) == Some(&0xffff)));
    let mut text = Scratch::new();
    for (index, group) in groups.into_iter().enumerate() {
        if dotted && index == 6 {
            let [.., a, b, c, d] = address;
            let written = write!(text, "{}", Ipv4Addr::new(a, b, c, d));
            debug_assert!(written.is_ok(), "scratch takes everything");
            return text;
        }
        if run.contains(&index) {
            if index == run.start {
                text.extend(if index == 0 { b"::" } else { b":" });
            }
            continue;
        }
        let colon = if index < 7 { ":" } else { "" };
        let written = write!(text, "{group:x}{colon}");
        debug_assert!(written.is_ok(), "scratch takes everything");
    }
    text
}

/// The first of the longest runs of zeros; an empty one beyond the end if there is none.
fn longest_run(groups: [u16; 8]) -> Range<usize> {
    let mut longest = groups.len()..groups.len();
    let mut start = 0;
    for (index, group) in groups.into_iter().enumerate() {
        if group != 0 {
            start = index + 1;
        } else if index + 1 - start > longest.len() {
            longest = start..index + 1;
        }
    }
    longest
}
