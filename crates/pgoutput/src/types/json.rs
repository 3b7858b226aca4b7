//! JSON: json and jsonb, embedded in the event as they are.

use adit_event::{CellFormat, ValueError, ValueWriter};

use super::number::json_number;
use super::scanner::{Scanner, utf8};

/// json and jsonb.
///
/// What goes into the event unchanged must be exactly one JSON value, or the event would be broken;
/// so it is checked against RFC 8259, in one pass and without recursion. White space inside a json
/// (not jsonb) is part of what the application stored, and stays.
#[derive(Debug)]
pub(super) struct Json;

impl CellFormat for Json {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        const NAME: &str = "json";
        let text = utf8(NAME, cell)?;
        one_value(Scanner::new(NAME, cell))?;
        out.json(text);
        Ok(())
    }
}

fn one_value(mut scanner: Scanner<'_>) -> Result<(), ValueError> {
    let mut open = Nesting::default();
    loop {
        space(&mut scanner);
        if scanner.eat(b'{') {
            space(&mut scanner);
            if !scanner.eat(b'}') {
                open.push(Container::Object);
                name(&mut scanner)?;
                continue;
            }
        } else if scanner.eat(b'[') {
            space(&mut scanner);
            if !scanner.eat(b']') {
                open.push(Container::Array);
                continue;
            }
        } else {
            scalar(&mut scanner)?;
        }
        // A value has ended: what may follow depends on what is open.
        loop {
            space(&mut scanner);
            let (container, close) = match open.top() {
                None => return scanner.end(),
                Some(Container::Array) => (Container::Array, b']'),
                Some(Container::Object) => (Container::Object, b'}'),
            };
            if scanner.eat(b',') {
                if container == Container::Object {
                    space(&mut scanner);
                    name(&mut scanner)?;
                }
                break;
            }
            scanner.need(close, "neither a comma nor a closing bracket")?;
            open.pop();
        }
    }
}

/// A member's name and the colon.
fn name(scanner: &mut Scanner<'_>) -> Result<(), ValueError> {
    string(scanner)?;
    space(scanner);
    scanner.need(b':', "no colon behind a name")
}

fn scalar(scanner: &mut Scanner<'_>) -> Result<(), ValueError> {
    match scanner.peek() {
        Some(b'"') => string(scanner),
        Some(b'-' | b'0'..=b'9') => json_number(scanner),
        _ if [&b"true"[..], b"false", b"null"]
            .iter()
            .any(|word| scanner.eat_all(word)) =>
        {
            Ok(())
        }
        _ => Err(scanner.error("no value where there should be one")),
    }
}

fn string(scanner: &mut Scanner<'_>) -> Result<(), ValueError> {
    scanner.need(b'"', "no string where there should be one")?;
    loop {
        scanner.take_while(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        if scanner.eat(b'"') {
            return Ok(());
        }
        scanner.need(
            b'\\',
            "a string without its end, or with a control character",
        )?;
        let valid = match scanner.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
            Some(b'u') => {
                let digits = scanner.take(4);
                digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit)
            }
            _ => false,
        };
        if !valid {
            return Err(scanner.error("an escape that JSON does not have"));
        }
    }
}

fn space(scanner: &mut Scanner<'_>) {
    scanner.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// The open arrays and objects, one bit each (1 is an object). The innermost 64 need no allocation;
/// all of them together take an eighth of a byte for each byte of the cell at most.
#[derive(Debug, Default)]
struct Nesting {
    inner: u64,
    outer: Vec<u64>,
    depth: usize,
}

impl Nesting {
    fn push(&mut self, container: Container) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(container == Container::Object);
        self.depth += 1;
    }

    const fn top(&self) -> Option<Container> {
        match (self.depth, self.inner & 1) {
            (0, _) => None,
            (_, 0) => Some(Container::Array),
            _ => Some(Container::Object),
        }
    }

    fn pop(&mut self) {
        self.inner >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.inner = self.outer.pop().unwrap_or_default();
        }
    }
}
