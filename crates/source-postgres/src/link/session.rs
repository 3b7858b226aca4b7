//! Session settings that adit depends on, whatever the role or the database
//! sets by default.

/// They decide how values are written as text, by a walsender as by a
/// snapshot's SELECT, so both kinds of session get the same.
pub(super) const SESSION_SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    // Shortest exact form; 12 and later do it by default, older roles may not.
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
];
