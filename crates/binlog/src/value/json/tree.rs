//! A JSON value that can be changed: scalars borrowed from their binary form.

use std::borrow::Cow;

use adit_event::ValueError;

use super::{Budget, Value, deeper, text};

/// A value.
#[derive(Debug)]
pub(super) enum Tree<'a> {
    Scalar(Value<'a>),
    Array(Vec<Self>),
    /// Members in the server's order: by the length of their keys, then bytewise.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Tree<'a> {
    /// Reads a whole document.
    pub(super) fn of(document: &'a [u8]) -> Result<Self, ValueError> {
        let mut budget = Budget::of(document);
        Self::grow(Value::of(document)?, 0, &mut budget)
    }

    fn grow(value: Value<'a>, depth: usize, budget: &mut Budget) -> Result<Self, ValueError> {
        Ok(match value {
            Value::Array(container) => {
                deeper(depth, &[])?;
                let elements = (0..container.count()).map(|index| {
                    let element = container.value(index)?;
                    budget.value(element)?;
                    Self::grow(element, depth + 1, budget)
                });
                Self::Array(elements.collect::<Result<_, _>>()?)
            }
            Value::Object(container) => {
                deeper(depth, &[])?;
                let members = (0..container.count()).map(|index| {
                    let (key, member) = (container.key(index)?, container.value(index)?);
                    budget.key(key)?;
                    budget.value(member)?;
                    Ok((Cow::Borrowed(key), Self::grow(member, depth + 1, budget)?))
                });
                Self::Object(members.collect::<Result<_, _>>()?)
            }
            scalar => Self::Scalar(scalar),
        })
    }

    /// Writes it as the server prints it.
    pub(super) fn write(&self, take: &mut dyn FnMut(&str)) -> Result<(), ValueError> {
        match self {
            Self::Scalar(value) => text::scalar(*value, take)?,
            Self::Array(elements) => {
                take("[");
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        take(", ");
                    }
                    element.write(take)?;
                }
                take("]");
            }
            Self::Object(members) => {
                take("{");
                for (index, (key, member)) in members.iter().enumerate() {
                    if index > 0 {
                        take(", ");
                    }
                    text::string(key, take);
                    take(": ");
                    member.write(take)?;
                }
                take("}");
            }
        }
        Ok(())
    }
}

/// Where a key is among the members of an object, or where it belongs.
pub(super) fn find(members: &[(Cow<'_, str>, Tree<'_>)], key: &str) -> Result<usize, usize> {
    members.binary_search_by(|(other, _)| {
        (other.len(), other.as_bytes()).cmp(&(key.len(), key.as_bytes()))
    })
}
