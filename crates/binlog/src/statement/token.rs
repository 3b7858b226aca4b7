//! The words of a statement.

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word: a key word, or an identifier without quotes.
    Word(String),
    /// An identifier in quotes.
    Name(String),
    /// A string.
    Text(String),
    /// `X'…'` or `0x…`
    Hex(Vec<u8>),
    /// A number.
    Number(String),
    /// Anything else, a character each.
    Symbol(char),
}

/// Walks over a statement; comments are left out, but what is in `/*! … */` and `/*M! … */` is read, as the
/// servers read it.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    ansi_quotes: bool,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(sql: &'a str, ansi_quotes: bool) -> Self {
        Self {
            rest: sql,
            ansi_quotes,
        }
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.space();
        let first = self.rest.chars().next()?;
        match first {
            '`' => Some(Token::Name(self.quoted('`'))),
            '"' if self.ansi_quotes => Some(Token::Name(self.quoted('"'))),
            '"' | '\'' => Some(Token::Text(self.quoted(first))),
            '0' if self.rest.starts_with("0x") => {
                self.skip(2);
                let digits = self.take(|c| c.is_ascii_hexdigit());
                Some(Token::Hex(hex(digits)))
            }
            'x' | 'X'
                if self
                    .rest
                    .get(1..)
                    .is_some_and(|rest| rest.starts_with('\'')) =>
            {
                self.skip(1);
                let digits = self.quoted('\'');
                Some(Token::Hex(hex(&digits)))
            }
            // A name may begin with digits.
            _ if is_word(first) => {
                let word = self.take(is_word);
                let number = word.bytes().all(|b| b.is_ascii_digit());
                Some(if number {
                    Token::Number(word.to_owned())
                } else {
                    Token::Word(word.to_owned())
                })
            }
            _ => {
                self.skip(first.len_utf8());
                Some(Token::Symbol(first))
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip_behind(&mut self, end: &str) {
        self.rest = self.rest.split_once(end).map_or("", |(_, rest)| rest);
    }

    fn space(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let line = self.rest.strip_prefix("--");
            if self.rest.starts_with("/*!") || self.rest.starts_with("/*M!") {
                self.skip_behind("!");
                self.take(|c| c.is_ascii_digit());
            } else if self.rest.starts_with("/*") {
                self.skip(2);
                self.skip_behind("*/");
            } else if self.rest.starts_with("*/") {
                self.skip(2);
            } else if self.rest.starts_with('#')
                || line.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
            {
                self.skip_behind("\n");
            } else {
                return;
            }
        }
    }

    /// What is between quotes; a quote in it is doubled, and in strings a backslash may stand before it.
    fn quoted(&mut self, quote: char) -> String {
        self.skip(quote.len_utf8());
        let mut text = String::new();
        let mut characters = self.rest.chars();
        while let Some(c) = characters.next() {
            if c == quote {
                if !characters.as_str().starts_with(quote) {
                    break;
                }
                characters.next();
                text.push(quote);
            } else if c == '\\' && quote == '\'' {
                text.extend(characters.next());
            } else {
                text.push(c);
            }
        }
        self.rest = characters.as_str();
        text
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '@' || c > '\u{7f}'
}

fn hex(digits: &str) -> Vec<u8> {
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| {
        let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0);
        u8::try_from(digit(*high) << 4 | digit(*low)).unwrap_or(0)
    };
    pairs.iter().map(byte).collect()
}
