//! Which tables are captured.

use std::fmt;

/// Globs over `schema.table`, in order: the last one that matches a name decides.
///
/// `*` stands for any characters, `?` for one; a glob that starts with `!` excludes. Without globs
/// every user table is captured; a list that starts with an exclusion excludes from all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFilter {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    include: bool,
    glob: String,
}

/// A glob that cannot match any table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{glob:?} is not a glob over schema.table: write it as in \"public.*\" or \"!public.audit_*\""
)]
pub struct TableFilterError {
    glob: String,
}

impl TableFilter {
    /// Takes the globs of the configuration.
    ///
    /// # Errors
    /// When one of them has no dot between schema and table.
    pub fn parse<S: AsRef<str>>(globs: &[S]) -> Result<Self, TableFilterError> {
        let rules = globs.iter().map(|text| {
            let text = text.as_ref();
            let (include, glob) = text
                .strip_prefix('!')
                .map_or((true, text), |glob| (false, glob));
            let whole = glob
                .split_once('.')
                .is_some_and(|(s, t)| !s.is_empty() && !t.is_empty());
            if whole {
                Ok(Rule {
                    include,
                    glob: glob.to_owned(),
                })
            } else {
                Err(TableFilterError {
                    glob: text.to_owned(),
                })
            }
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// The globs as they were given.
    #[must_use]
    pub fn globs(&self) -> Vec<String> {
        let rules = self.rules.iter();
        let written = rules.map(|rule| {
            let not = if rule.include { "" } else { "!" };
            format!("{not}{}", rule.glob)
        });
        written.collect()
    }

    /// Whether a table is captured.
    #[must_use]
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let name = format!("{schema}.{table}");
        let deciding = self
            .rules
            .iter()
            .rev()
            .find(|rule| glob_matches(&rule.glob, &name));
        match deciding {
            Some(rule) => rule.include,
            None => self.rules.first().is_none_or(|first| !first.include),
        }
    }
}

impl fmt::Display for TableFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rules.is_empty() {
            return f.write_str("all user tables");
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let not = if rule.include { "" } else { "!" };
            write!(f, "{comma}{not}{}", rule.glob)?;
        }
        Ok(())
    }
}

/// Whether the whole name fits the glob. Takes time in proportion to both lengths at most.
fn glob_matches(glob: &str, name: &str) -> bool {
    let mut glob = glob.chars();
    let mut name = name.chars();
    // Where to go on if a star has to take one character more.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let before = (glob.clone(), name.clone());
        match (glob.next(), name.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                name = before.1;
                retry = Some((glob.clone(), name.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(expected), Some(found)) if expected == found => {}
            _ => {
                let Some((after_star, rest)) = &mut retry else {
                    return false;
                };
                if rest.next().is_none() {
                    return false;
                }
                glob = after_star.clone();
                name = rest.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(globs: &[&str], matching: &[&str], other: &[&str]) {
        let filter = TableFilter::parse(globs).unwrap();
        let matches = |name: &str| {
            let (schema, table) = name.split_once('.').unwrap();
            filter.matches(schema, table)
        };
        for name in matching {
            assert!(matches(name), "{globs:?} should match {name}");
        }
        for name in other {
            assert!(!matches(name), "{globs:?} should not match {name}");
        }
    }

    #[test]
    fn the_last_glob_that_matches_decides() {
        check(&[], &["public.a", "x.y"], &[]);
        check(&["public.*"], &["public.a", "public.a.b"], &["x.a"]);
        check(
            &["public.*", "!public.audit_*", "public.audit_keep"],
            &["public.a", "public.audit_keep"],
            &["public.audit_x", "x.a"],
        );
        check(
            &["!public.audit_*"],
            &["public.a", "x.y"],
            &["public.audit_"],
        );
        check(
            &["*.orders", "s?.t"],
            &["a.orders", "s1.t"],
            &["a.order", "s12.t"],
        );
        check(
            &["Shop.Order Lines"],
            &["Shop.Order Lines"],
            &["shop.order lines"],
        );
        check(&["a.*b*c"], &["a.bc", "a.xbxcxbc"], &["a.bcx", "a.cb"]);
    }

    #[test]
    fn a_glob_without_a_schema_is_refused() {
        for glob in ["orders", ".orders", "public.", "!x"] {
            let error = TableFilter::parse(&[glob]).unwrap_err().to_string();
            assert!(
                error.contains(glob) && error.contains("public.*"),
                "{error}"
            );
        }
    }
}
