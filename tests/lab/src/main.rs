//! `cargo lab`: the lab for people.
fn main() {}
