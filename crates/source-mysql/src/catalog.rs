//! What the catalogue says about tables.

use adit_binlog::Flavor;
use adit_binlog::table::{ColumnInfo, TableInfo};
use adit_pipeline::TableFilter;
use bytes::Bytes;

use crate::error::SourceError;
use crate::identity::text;
use crate::link::MysqlLink;
use crate::quote;
use crate::source::MysqlOptions;
use crate::state::TableName;

/// Databases of the servers' own.
pub(crate) const SYSTEM_SCHEMAS: [&str; 5] = [
    "mysql",
    "sys",
    "information_schema",
    "performance_schema",
    "ndbinfo",
];

/// Whether tables of a database can be captured at all.
pub(crate) fn is_user_schema(schema: &str) -> bool {
    !SYSTEM_SCHEMAS
        .iter()
        .any(|system| system.eq_ignore_ascii_case(schema))
}

/// Whether a table is captured.
pub(crate) fn is_wanted(filter: &TableFilter, schema: &str, table: &str) -> bool {
    is_user_schema(schema) && filter.matches(schema, table)
}

/// The user tables that can be captured and match.
pub(crate) async fn matching_tables(
    link: &mut MysqlLink,
    filter: &TableFilter,
) -> Result<Vec<TableName>, SourceError> {
    let rows = link
        .query(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, 2",
        )
        .await
        .map_err(|error| SourceError::query("listing the tables", error))?;
    let names = rows.into_iter().filter_map(|row| {
        let [schema, table] = cells(row)?;
        Some(TableName { schema, table })
    });
    Ok(names
        .filter(|name| is_wanted(filter, &name.schema, &name.table))
        .collect())
}

/// Makes sure that the database of the URL is there, for who finds no table in it. Only a first start asks: later the
/// log may have changes from before somebody dropped it.
pub(crate) async fn expect_database(
    link: &mut MysqlLink,
    options: &MysqlOptions,
) -> Result<(), SourceError> {
    let Some(database) = options.connect.database() else {
        return Ok(());
    };
    let name = quote::literal(database);
    let sql =
        format!("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {name} LIMIT 1");
    let rows = link.query(&sql).await;
    let rows = rows.map_err(|error| SourceError::query("looking for the database", error))?;
    if rows.is_empty() {
        return Err(SourceError::NoDatabase {
            database: database.to_owned(),
            user: options.connect.user().to_owned(),
        });
    }
    Ok(())
}

/// A table as the catalogue has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Catalogued {
    pub(crate) info: TableInfo,
    /// The character set of columns that name none.
    pub(crate) charset: String,
    /// The index to walk along when the table is read in pieces: the primary key, or a unique index of
    /// columns that are never null; whole columns only.
    pub(crate) index: Option<Index>,
    /// Whether reads in a transaction all see the table as it was at its beginning.
    pub(crate) transactional: bool,
}

/// A unique index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Index {
    pub(crate) name: String,
    /// Places of its columns among the table's.
    pub(crate) columns: Vec<usize>,
    /// How each of them is ordered, where it is text.
    pub(crate) collations: Vec<Option<String>>,
}

/// What the catalogue says about a table; none if it is not there, or not shown to us.
pub(crate) async fn table_info(
    link: &mut MysqlLink,
    name: &TableName,
) -> Result<Option<Catalogued>, SourceError> {
    let (columns, collations) = columns(link, name).await?;
    if columns.is_empty() {
        return Ok(None);
    }
    let (key, index) = key(link, name, &columns, &collations).await?;
    let mut info = TableInfo { columns, key };
    let kind = query(
        link,
        name,
        "TABLE_TYPE, ENGINE, TABLE_COLLATION",
        "TABLES",
        "",
    );
    let kind = kind.await?.into_iter().find_map(cells::<5>);
    let [_, _, kind, engine, collation] = kind.unwrap_or_default();
    if kind == "SYSTEM VERSIONED" && !has_period(link, name).await? {
        info.add_versioning();
    }
    Ok(Some(Catalogued {
        info,
        charset: charset_of(&collation).to_owned(),
        index,
        // The engines with consistent reads; others show each statement what is there at that time.
        transactional: ["InnoDB", "ROCKSDB", "TokuDB"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&engine)),
    }))
}

/// The character set of a collation: its name begins with it.
pub(crate) fn charset_of(collation: &str) -> &str {
    collation
        .split_once('_')
        .map_or(collation, |(charset, _)| charset)
}

/// Whether a versioned table of MariaDB lists the columns that say from when and until when.
async fn has_period(link: &mut MysqlLink, name: &TableName) -> Result<bool, SourceError> {
    let rows = query(link, name, "GENERATION_EXPRESSION", "COLUMNS", "").await?;
    let mut rows = rows.into_iter().filter_map(cells::<3>);
    Ok(rows.any(|[_, _, expression]| expression == "ROW START"))
}

/// The columns, and how each is ordered.
async fn columns(
    link: &mut MysqlLink,
    name: &TableName,
) -> Result<(Vec<ColumnInfo>, Vec<Option<String>>), SourceError> {
    let rows = query(
        link,
        name,
        "COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, COLLATION_NAME",
        "COLUMNS",
        " ORDER BY ORDINAL_POSITION",
    )
    .await?;
    let mut json = Vec::new();
    if link.server().flavor == Flavor::Mariadb && !rows.is_empty() {
        json = json_columns(link, name).await?;
    }
    let column = |row: Vec<Option<Bytes>>| {
        let mut cells = row.into_iter().skip(2).map(|cell| cell.map(text));
        let name = cells.next()??;
        let column = ColumnInfo {
            json: json.contains(&name),
            name,
            column_type: cells.next()??,
            charset: cells.next()?,
            nullable: cells.next()?? == "YES",
        };
        Some((column, cells.next()?))
    };
    Ok(rows.into_iter().filter_map(column).unzip())
}

/// The name of a type without what belongs to it: `int` of `int(11) unsigned`.
pub(crate) fn base_type(column: &ColumnInfo) -> String {
    let printed = column.column_type.as_str();
    let end = printed.find(|c: char| !c.is_ascii_alphanumeric());
    printed
        .get(..end.unwrap_or(printed.len()))
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// The columns that MariaDB was told to be JSON: text with the check that comes with that type.
async fn json_columns(link: &mut MysqlLink, name: &TableName) -> Result<Vec<String>, SourceError> {
    let sql = format!(
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
         WHERE CONSTRAINT_SCHEMA = {} AND TABLE_NAME = {}",
        quote::literal(&name.schema),
        quote::literal(&name.table)
    );
    let rows = link.query(&sql).await;
    let rows = rows.map_err(|error| catalogue_error(name, error))?;
    let rows = rows.into_iter().filter_map(cells::<3>);
    Ok(rows
        .filter(|[schema, table, _]| *schema == name.schema && *table == name.table)
        .filter_map(|[_, _, clause]| json_valid(&clause))
        .collect())
}

/// The column of a check that says no more than that it is JSON.
fn json_valid(clause: &str) -> Option<String> {
    let inner = clause.trim().strip_prefix("json_valid(`")?;
    let column = inner.strip_suffix("`)")?;
    Some(column.replace("``", "`"))
}

/// The columns that name a row, and the index to walk along.
async fn key(
    link: &mut MysqlLink,
    name: &TableName,
    columns: &[ColumnInfo],
    collations: &[Option<String>],
) -> Result<(Vec<String>, Option<Index>), SourceError> {
    let rows = query(
        link,
        name,
        "INDEX_NAME, COLUMN_NAME, SUB_PART",
        "STATISTICS",
        " AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
    )
    .await?;
    // In the order of their names; each with its columns, and whether it has them whole.
    let mut indexes: Vec<(String, Vec<String>, bool)> = Vec::new();
    for row in rows {
        let mut cells = row.into_iter().skip(2).map(|cell| cell.map(text));
        let (Some(Some(index)), column, part) = (cells.next(), cells.next(), cells.next()) else {
            continue;
        };
        let column = column.flatten();
        let is_whole = column.is_some() && part.flatten().is_none();
        match indexes.last_mut() {
            Some((last, columns, whole)) if *last == index => {
                columns.extend(column);
                *whole &= is_whole;
            }
            _ => indexes.push((index, column.into_iter().collect(), is_whole)),
        }
    }
    let place = |column: &String| columns.iter().position(|known| known.name == *column);
    let never_null = |index: &[String]| {
        index
            .iter()
            .all(|column| columns.iter().any(|c| c.name == *column && !c.nullable))
    };
    let primary = indexes.iter().find(|(index, ..)| index == "PRIMARY");
    let unique = || {
        indexes
            .iter()
            .find(|(_, columns, whole)| *whole && never_null(columns))
    };
    let Some((index, key, whole)) = primary.or_else(unique) else {
        return Ok((Vec::new(), None));
    };
    let places: Option<Vec<usize>> = key.iter().map(place).collect();
    let index = places.filter(|_| *whole).map(|columns| Index {
        name: index.clone(),
        collations: columns
            .iter()
            .map(|place| collations.get(*place).cloned().flatten())
            .collect(),
        columns,
    });
    Ok((key.clone(), index))
}

/// Lines of a view of the catalogue that are about one table, with its names in front.
async fn query(
    link: &mut MysqlLink,
    name: &TableName,
    columns: &str,
    view: &str,
    rest: &str,
) -> Result<Vec<Vec<Option<Bytes>>>, SourceError> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, {columns} FROM information_schema.{view} \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}{rest}",
        quote::literal(&name.schema),
        quote::literal(&name.table)
    );
    let rows = link.query(&sql).await;
    let mut rows = rows.map_err(|error| catalogue_error(name, error))?;
    // The catalogue compares without case on some servers whose names have case.
    rows.retain(|row| {
        let mut names = row.iter().flatten();
        names
            .next()
            .is_some_and(|cell| *cell == name.schema.as_bytes())
            && names
                .next()
                .is_some_and(|cell| *cell == name.table.as_bytes())
    });
    Ok(rows)
}

fn catalogue_error(name: &TableName, error: crate::link::LinkError) -> SourceError {
    SourceError::query(format!("reading the catalogue of table {name}"), error)
}

/// A line of so many cells that are not null.
fn cells<const N: usize>(row: Vec<Option<Bytes>>) -> Option<[String; N]> {
    let cells: Option<Vec<String>> = row.into_iter().map(|cell| cell.map(text)).collect();
    cells?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_check_of_the_json_type_makes_a_column_json() {
        assert_eq!(json_valid("json_valid(`a`)").as_deref(), Some("a"));
        assert_eq!(json_valid("json_valid(`a``b`)").as_deref(), Some("a`b"));
        assert_eq!(json_valid("json_valid(`a`) and `a` <> ''"), None);
        assert_eq!(json_valid("`a` > 0"), None);
    }

    #[test]
    fn tables_of_the_servers_own_are_never_captured() {
        let all = TableFilter::parse::<&str>(&[]).unwrap();
        assert!(is_wanted(&all, "shop", "orders"));
        assert!(!is_wanted(&all, "mysql", "user"));
    }
}
