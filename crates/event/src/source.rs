//! Which database an event came from.

/// The closed list of databases that adit reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connector {
    /// PostgreSQL, by logical replication.
    Postgres,
    /// MySQL, by its binary log.
    Mysql,
    /// MariaDB, by its binary log.
    Mariadb,
}

impl Connector {
    /// The `source.kind` of the event format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// What every event of one connector says about its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMeta {
    /// The connector's configured name.
    pub connector: String,
    /// The database it reads.
    pub kind: Connector,
    /// The database's name.
    pub database: String,
}
