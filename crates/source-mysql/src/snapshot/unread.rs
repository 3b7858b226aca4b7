//! What of a table has not been read yet: ranges of its key.

use serde::{Deserialize, Serialize};

/// The key of a row between two ranges: the value of each of its columns as the server prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub(crate) struct Bound(pub(crate) Vec<Vec<u8>>);

/// Bytes as characters of the same numbers: keys are mostly ASCII, and so can be read where they are kept.
impl From<Bound> for Vec<String> {
    fn from(Bound(values): Bound) -> Self {
        let text = |value: Vec<u8>| value.into_iter().map(char::from).collect();
        values.into_iter().map(text).collect()
    }
}

impl TryFrom<Vec<String>> for Bound {
    type Error = std::char::TryFromCharError;

    fn try_from(values: Vec<String>) -> Result<Self, Self::Error> {
        let bytes = |text: String| text.chars().map(u8::try_from).collect();
        Ok(Self(
            values.into_iter().map(bytes).collect::<Result<_, _>>()?,
        ))
    }
}

/// The rows behind one key, up to and with another; from the first row or to the last one where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Bound>,
}

/// The ranges that have not been read, each with another beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Unread(Vec<KeyRange>);

impl Unread {
    /// The whole table.
    pub(crate) fn whole() -> Self {
        Self(vec![KeyRange {
            from: None,
            to: None,
        }])
    }

    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::whole()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn ranges(&self) -> &[KeyRange] {
        &self.0
    }

    /// The range that begins at `from` is read in two parts.
    pub(crate) fn split(&mut self, from: Option<&Bound>, at: &Bound) {
        if let Some(range) = self.0.iter_mut().find(|range| range.from.as_ref() == from) {
            let to = range.to.replace(at.clone());
            self.0.push(KeyRange {
                from: Some(at.clone()),
                to,
            });
        }
    }

    /// The range that begins at `from` has been read.
    pub(crate) fn read(&mut self, from: Option<&Bound>) {
        self.0.retain(|range| range.from.as_ref() != from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(value: &[u8]) -> Bound {
        Bound(vec![value.to_vec()])
    }

    #[test]
    fn what_is_read_in_any_order_is_taken_out() {
        let mut unread = Unread::whole();
        let (a, b) = (bound(b"10"), bound(b"20"));
        unread.split(None, &a);
        unread.split(Some(&a), &b);
        assert!(!unread.is_whole());
        unread.read(Some(&a));
        let text = serde_json::to_string(&unread).unwrap();
        assert_eq!(text, r#"[{"to":["10"]},{"from":["20"]}]"#);
        assert_eq!(serde_json::from_str::<Unread>(&text).unwrap(), unread);
        unread.read(Some(&b));
        unread.read(None);
        assert!(unread.is_empty());
    }

    #[test]
    fn a_range_with_an_end_keeps_it_when_it_is_split() {
        let text = r#"[{"from":["a"],"to":["z"]}]"#;
        let mut unread: Unread = serde_json::from_str(text).unwrap();
        unread.split(Some(&bound(b"a")), &bound(b"m"));
        let text = serde_json::to_string(&unread).unwrap();
        assert_eq!(
            text,
            r#"[{"from":["a"],"to":["m"]},{"from":["m"],"to":["z"]}]"#
        );
    }

    #[test]
    fn keys_of_any_bytes_are_kept() {
        let all = bound(&(0..=255).collect::<Vec<u8>>());
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Bound>(&text).unwrap(), all);
        assert!(serde_json::from_str::<Bound>(r#"["ā"]"#).is_err());
    }
}
