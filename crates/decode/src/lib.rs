//! A checked cursor over bytes from a database's log.
