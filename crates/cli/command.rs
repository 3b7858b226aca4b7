//! The commands, one file each.

mod check;
mod drop;
mod run;
mod tail;

pub(crate) use self::check::check;
pub(crate) use self::drop::remove;
pub(crate) use self::run::run;
pub(crate) use self::tail::tail;
