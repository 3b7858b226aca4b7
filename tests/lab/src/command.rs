//! The subcommands, one file each.

pub(crate) mod down;
pub(crate) mod fetch;
pub(crate) mod up;
