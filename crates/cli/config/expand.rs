//! `${VAR}` and `${VAR:-default}` in strings; `$$` is a dollar sign.

/// Where variables come from.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces the variables of a string.
///
/// As in a shell, the default also stands in for a variable that is empty. A dollar sign that
/// starts neither `${` nor `$$` stays what it is.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub(crate) fn expand(text: &str, variables: Variables<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, dollar) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = dollar.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(after) = dollar.strip_prefix("${") {
            let (inside, after) = after
                .split_once('}')
                .ok_or("has a ${ without its }; write $$ for a dollar sign")?;
            out.push_str(&value(inside, variables)?);
            rest = after;
        } else {
            out.push('$');
            rest = dollar.strip_prefix('$').unwrap_or_default();
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value(inside: &str, variables: Variables<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(legal) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(
            "has a ${…} that names no variable; write ${NAME} or ${NAME:-default}".to_owned(),
        );
    }
    match (variables(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "uses the environment variable {name}, which is not set; set it, or give a default as in ${{{name}:-value}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &|name| match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_defaults_and_escapes_are_replaced_once() {
        for (text, value) in [
            ("a", "a"),
            ("${HOST}:${PORT:-5432}", "db:5432"),
            ("${EMPTY}|${EMPTY:-x}", "|x"),
            ("$${HOST} $5 $", "${HOST} $5 $"),
            ("${NO:-}", ""),
            ("${NO:-a:-b}", "a:-b"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        assert!(expanded("${SECRET_X}").unwrap_err().contains("SECRET_X"));
        for wrong in ["${", "${}", "${1A}", "${a b}"] {
            assert!(expanded(wrong).is_err(), "{wrong}");
        }
    }
}
