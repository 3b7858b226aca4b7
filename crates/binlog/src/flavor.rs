//! The two families of servers, whose logs share most of their events.

/// Who writes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL, and Percona Server.
    Mysql,
    /// MariaDB.
    Mariadb,
}
