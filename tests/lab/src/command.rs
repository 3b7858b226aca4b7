//! The subcommands, one file each.

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod down;
pub(crate) mod fetch;
pub(crate) mod test;
pub(crate) mod up;
