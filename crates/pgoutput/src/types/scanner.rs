//! A checked walk over one cell.

use std::str;

use adit_event::ValueError;

/// Where in a cell the reading is. Every step is checked; an error says what type was expected and
/// where it went wrong, never what stood there.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    expected: &'static str,
    rest: &'a [u8],
    len: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte of a cell that should be an `expected`.
    pub(super) const fn new(expected: &'static str, cell: &'a [u8]) -> Self {
        Self {
            expected,
            rest: cell,
            len: cell.len(),
        }
    }

    /// How many bytes have been read.
    pub(super) const fn offset(&self) -> usize {
        self.len - self.rest.len()
    }

    /// What has not been read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte, which stays unread.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// Reads `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.byte();
        }
        next
    }

    /// Reads `bytes` if they are next.
    pub(super) fn eat_all(&mut self, bytes: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(bytes) else {
            return false;
        };
        self.rest = rest;
        true
    }

    /// Reads `byte`, which must be next.
    pub(super) fn need(&mut self, byte: u8, problem: &'static str) -> Result<(), ValueError> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.error(problem))
        }
    }

    /// Reads `count` bytes; all that are left if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Reads bytes for as long as they are `wanted`.
    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().take_while(|&&byte| wanted(byte)).count();
        self.take(count)
    }

    /// Reads decimal digits, perhaps none.
    pub(super) fn digits(&mut self) -> &'a [u8] {
        self.take_while(|byte| byte.is_ascii_digit())
    }

    /// Checks that the whole cell was read.
    pub(super) const fn end(&self) -> Result<(), ValueError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error("the value goes on where it should end"))
        }
    }

    /// A problem with what comes next.
    pub(super) const fn error(&self, problem: &'static str) -> ValueError {
        ValueError {
            expected: self.expected,
            problem,
            offset: self.offset(),
            len: self.len,
        }
    }
}

/// A cell as text.
pub(super) fn utf8<'a>(expected: &'static str, cell: &'a [u8]) -> Result<&'a str, ValueError> {
    str::from_utf8(cell).map_err(|error| ValueError {
        expected,
        problem: "not valid UTF-8 (does the database's encoding, SQL_ASCII for example, allow any bytes?)",
        offset: error.valid_up_to(),
        len: cell.len(),
    })
}
