//! Partial updates of JSON (`binlog_row_value_options=PARTIAL_JSON`).
//!
//! A list of changes, applied one after the other to the value before:
//!
//! | bytes | meaning |
//! |---|---|
//! | u8 | 0 replace, 1 insert, 2 remove |
//! | lenenc, text | the path |
//! | lenenc, bytes | but for a removal: the new value in binary form |
//!
//! (`sql-common/json_diff.h`)

use std::borrow::Cow;

use adit_decode::Reader;
use adit_event::ValueError;

use super::bad;
use super::tree::{Tree, find};

/// A step of a path.
enum Step<'a> {
    Member(Cow<'a, str>),
    Element(usize),
}

/// The value after the changes, as the server prints it.
pub(crate) fn apply(before: &[u8], changes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let cut = |_| bad("it ends inside a change", changes);
    let mut tree = Tree::of(before)?;
    let mut reader = Reader::new(changes);
    while !reader.is_empty() {
        let operation = reader.u8("json diff").map_err(cut)?;
        let len = reader.lenenc_size(usize::MAX, "json diff").map_err(cut)?;
        let path = reader.str(len, "json diff").map_err(cut)?;
        let value = if operation == 2 {
            None
        } else {
            let len = reader.lenenc_size(usize::MAX, "json diff").map_err(cut)?;
            let value = reader.bytes(len, "json diff").map_err(cut)?;
            Some(Tree::of(value)?)
        };
        let mut steps = steps(path)?;
        change(&mut tree, operation, &mut steps, value)?;
    }
    let mut text = Vec::new();
    tree.write(&mut |part| text.extend_from_slice(part.as_bytes()))?;
    Ok(text)
}

fn change<'a>(
    root: &mut Tree<'a>,
    operation: u8,
    steps: &mut Vec<Step<'a>>,
    value: Option<Tree<'a>>,
) -> Result<(), ValueError> {
    let missing = || bad("a change of something that is not there", &[]);
    let Some(last) = steps.pop() else {
        // The whole value.
        *root = value.filter(|_| operation == 0).ok_or_else(missing)?;
        return Ok(());
    };
    let mut parent = root;
    for step in steps.drain(..) {
        parent = match (parent, step) {
            (Tree::Object(members), Step::Member(key)) => {
                let at = find(members, &key).map_err(|_| missing())?;
                members.get_mut(at).map(|(_, member)| member)
            }
            (Tree::Array(elements), Step::Element(index)) => elements.get_mut(index),
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    match (parent, last, operation, value) {
        (Tree::Object(members), Step::Member(key), 0, Some(value)) => {
            let at = find(members, &key).map_err(|_| missing())?;
            if let Some((_, member)) = members.get_mut(at) {
                *member = value;
            }
        }
        (Tree::Object(members), Step::Member(key), 1, Some(value)) => {
            let Err(at) = find(members, &key) else {
                return Err(bad("an insertion of a key that is there", &[]));
            };
            members.insert(at, (key, value));
        }
        (Tree::Object(members), Step::Member(key), 2, None) => {
            members.remove(find(members, &key).map_err(|_| missing())?);
        }
        (Tree::Array(elements), Step::Element(index), 0, Some(value)) => {
            *elements.get_mut(index).ok_or_else(missing)? = value;
        }
        (Tree::Array(elements), Step::Element(index), 1, Some(value)) => {
            elements.insert(index.min(elements.len()), value);
        }
        (Tree::Array(elements), Step::Element(index), 2, None) if index < elements.len() => {
            elements.remove(index);
        }
        _ => return Err(missing()),
    }
    Ok(())
}

/// Reads a path: `$`, then `.key`, `."quoted key"` or `[3]`, again and again.
fn steps(path: &str) -> Result<Vec<Step<'_>>, ValueError> {
    let wrong = || bad("a path that is none", path.as_bytes());
    let mut rest = path.strip_prefix('$').ok_or_else(wrong)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            let (index, tail) = tail.split_once(']').ok_or_else(wrong)?;
            steps.push(Step::Element(index.trim().parse().map_err(|_| wrong())?));
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix(".\"") {
            let (key, tail) = quoted(tail).ok_or_else(wrong)?;
            steps.push(Step::Member(key));
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (key, tail) = tail.split_at(end);
            steps.push(Step::Member(Cow::Borrowed(key)));
            rest = tail;
        } else {
            return Err(wrong());
        }
    }
    Ok(steps)
}

/// A key up to its closing quote, unescaped, and what follows.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.get(end..)?.starts_with('"') {
        return Some((Cow::Borrowed(text.get(..end)?), text.get(end + 1..)?));
    }
    let mut key = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((Cow::Owned(key), characters.as_str())),
            '\\' => match characters.next()? {
                'n' => key.push('\n'),
                'r' => key.push('\r'),
                't' => key.push('\t'),
                'b' => key.push('\u{8}'),
                'f' => key.push('\u{c}'),
                'u' => {
                    let digits = characters.as_str().get(..4)?;
                    key.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    characters.nth(3)?;
                }
                other => key.push(other),
            },
            other => key.push(other),
        }
    }
}
