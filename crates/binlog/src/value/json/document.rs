//! Whether text is one JSON value (RFC 8259): what goes into an event as it is must be.

/// Checks in one pass and without recursion.
pub(super) fn is_document(text: &[u8]) -> bool {
    let mut scan = Scan { rest: text };
    // The closing brackets that are due.
    let mut open: Vec<u8> = Vec::new();
    loop {
        scan.space();
        if scan.eat(b"{") {
            scan.space();
            if !scan.eat(b"}") {
                open.push(b'}');
                if !scan.name() {
                    return false;
                }
                continue;
            }
        } else if scan.eat(b"[") {
            scan.space();
            if !scan.eat(b"]") {
                open.push(b']');
                continue;
            }
        } else if !scan.scalar() {
            return false;
        }
        loop {
            scan.space();
            let Some(close) = open.last().copied() else {
                return scan.rest.is_empty();
            };
            if scan.eat(b",") {
                if close == b'}' && !scan.name() {
                    return false;
                }
                break;
            }
            if !scan.eat(&[close]) {
                return false;
            }
            open.pop();
        }
    }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn eat(&mut self, word: &[u8]) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Skips what is wanted, and says how much it was.
    fn skip(&mut self, wanted: impl Fn(&u8) -> bool) -> usize {
        let len = self.rest.iter().take_while(|byte| wanted(byte)).count();
        self.rest = self.rest.get(len..).unwrap_or_default();
        len
    }

    fn space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// A member's name and the colon.
    fn name(&mut self) -> bool {
        self.space();
        let string = self.string();
        self.space();
        string && self.eat(b":")
    }

    fn scalar(&mut self) -> bool {
        match self.rest.first() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.eat(b"true") || self.eat(b"false") || self.eat(b"null"),
        }
    }

    fn string(&mut self) -> bool {
        if !self.eat(b"\"") {
            return false;
        }
        loop {
            self.skip(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\');
            if self.eat(b"\"") {
                return true;
            }
            if !self.eat(b"\\") {
                return false;
            }
            let valid = if self.eat(b"u") {
                let digits = self.rest.get(..4).unwrap_or_default();
                let valid = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
                self.rest = self.rest.get(4..).unwrap_or_default();
                valid
            } else {
                let known = self
                    .rest
                    .first()
                    .is_some_and(|byte| b"\"\\/bfnrt".contains(byte));
                self.rest = self.rest.get(1..).unwrap_or_default();
                known
            };
            if !valid {
                return false;
            }
        }
    }

    fn number(&mut self) -> bool {
        self.eat(b"-");
        // A leading zero stands alone.
        if !self.eat(b"0") && self.skip(u8::is_ascii_digit) == 0 {
            return false;
        }
        if self.eat(b".") && self.skip(u8::is_ascii_digit) == 0 {
            return false;
        }
        if self.eat(b"e") || self.eat(b"E") {
            let _sign = self.eat(b"+") || self.eat(b"-");
            return self.skip(u8::is_ascii_digit) > 0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_and_nothing_else() {
        for text in [
            "1",
            "-0.5e+3",
            " [ ] ",
            "{}",
            "null",
            r#"{"a": [1, {"b": "\u00e9\n"}], "c": true}"#,
        ] {
            assert!(is_document(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "01",
            "1 2",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "[1}",
            "\"\\x\"",
            "\"\n\"",
            "nul",
            "1.",
            "[",
        ] {
            assert!(!is_document(text.as_bytes()), "{text}");
        }
    }
}
