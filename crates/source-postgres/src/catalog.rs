//! What the catalogue says about tables and types.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use adit_pgoutput::message::{self, ReplicaIdentity};
use adit_pgoutput::types::{TypeInfo, TypeKind, builtin};
use adit_pgoutput::{ColumnInfo, RelationId, TableInfo};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::error::SourceError;
use crate::state::TableName;
use adit_pipeline::TableFilter;

/// How deep types may be built of types: a domain over an array of a domain over … Deeper ones are
/// read as text.
const TYPE_DEPTH_MAX: usize = 16;

/// The user tables of the database that can be captured and match: ordinary, permanent ones.
/// A partitioned table is captured by its partitions.
pub(crate) async fn matching_tables(
    client: &Client,
    filter: &TableFilter,
) -> Result<Vec<TableName>, SourceError> {
    let rows = client
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384 \
             AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2",
            &[],
        )
        .await
        .map_err(|error| SourceError::query("listing the tables", &error))?;
    let names = rows.iter().map(|row| TableName {
        schema: row.get(0),
        table: row.get(1),
    });
    Ok(names
        .filter(|name| filter.matches(&name.schema, &name.table))
        .collect())
}

/// Whether what a transaction did to the catalogue can be seen yet.
///
/// A commit is in the log, and sent to us, a moment before other sessions see it; with synchronous
/// replication the moment can be long.
pub(crate) async fn is_visible(client: &Client, xid: u32) -> Result<bool, SourceError> {
    let row = client
        .query_typed(
            "SELECT pg_catalog.pg_snapshot_xmax(s)::text::int8, \
             ARRAY(SELECT x::text::int8 FROM pg_catalog.pg_snapshot_xip(s) x) \
             FROM pg_catalog.pg_current_snapshot() s",
            &[],
        )
        .await
        .map_err(|error| SourceError::query("reading the current snapshot", &error))?;
    let Some(row) = row.first() else {
        return Ok(false);
    };
    let (xmax, running): (i64, Vec<i64>) = (row.get(0), row.get(1));
    Ok(is_in_snapshot(xid, xmax, &running))
}

/// The snapshot's transaction numbers have 64 bits, the log's are their lower 32, which are compared
/// as the server does: half of them lie behind, half ahead.
fn is_in_snapshot(xid: u32, xmax: i64, running: &[i64]) -> bool {
    let lower = |number: i64| u32::try_from(number & i64::from(u32::MAX)).unwrap_or_default();
    let is_behind_xmax = lower(xmax).wrapping_sub(xid).wrapping_sub(1) < u32::MAX / 2;
    is_behind_xmax && !running.iter().any(|number| lower(*number) == xid)
}

/// What the catalogue says about a table that the log describes.
pub(crate) async fn table_info(
    client: &Client,
    described: &message::Relation,
) -> Result<TableInfo, SourceError> {
    let error = |error: tokio_postgres::Error| {
        let doing = format!(
            "reading the catalogue of {:?}.{:?}",
            described.namespace, described.name
        );
        SourceError::query(doing, &error)
    };
    let columns = client
        .query_typed(
            "SELECT attname::text, NOT attnotnull FROM pg_catalog.pg_attribute \
             WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped",
            &[(&described.id.0, Type::OID)],
        )
        .await
        .map_err(error)?;
    let key = client
        .query_typed(
            "SELECT a.attname::text FROM (SELECT i.indkey::int2[] AS columns, i.indnkeyatts AS n \
               FROM pg_catalog.pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid \
               AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS ( \
                 SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid \
                 AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) AND NOT a.attnotnull) \
               ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) k, \
             LATERAL unnest(k.columns) WITH ORDINALITY u(attnum, place), pg_catalog.pg_attribute a \
             WHERE a.attrelid = $1 AND a.attnum = u.attnum AND u.place <= k.n ORDER BY u.place",
            &[(&described.id.0, Type::OID)],
        )
        .await
        .map_err(error)?;
    let (oids, typmods): (Vec<u32>, Vec<i32>) = described
        .columns
        .iter()
        .map(|column| (column.type_oid, column.type_modifier))
        .unzip();
    let names = client
        .query_typed(
            "SELECT DISTINCT o, m, pg_catalog.format_type(o, m) FROM unnest($1, $2) u(o, m)",
            &[(&oids, Type::OID_ARRAY), (&typmods, Type::INT4_ARRAY)],
        )
        .await
        .map_err(error)?;
    let printed = |row: &tokio_postgres::Row| -> Option<((u32, i32), String)> {
        Some(((row.get(0), row.get(1)), row.get::<_, Option<String>>(2)?))
    };
    Ok(TableInfo {
        columns: columns
            .iter()
            .map(|row| {
                (
                    row.get(0),
                    ColumnInfo {
                        nullable: row.get(1),
                    },
                )
            })
            .collect(),
        types: types(client, oids).await?,
        type_names: names.iter().filter_map(printed).collect(),
        key: key.iter().map(|row| row.get(0)).collect(),
    })
}

/// One row of `pg_type`.
struct TypeRow {
    name: String,
    schema: String,
    typtype: String,
    element: u32,
    delimiter: u8,
    is_array: bool,
    base: u32,
    base_typmod: i32,
    labels: Vec<String>,
}

/// The types that are not built in, and those that they are made of.
async fn types(
    client: &Client,
    oids: Vec<u32>,
) -> Result<HashMap<u32, Arc<TypeInfo>>, SourceError> {
    let mut rows: HashMap<u32, TypeRow> = HashMap::new();
    let mut wanted: HashSet<u32> = oids.into_iter().collect();
    for _ in 0..TYPE_DEPTH_MAX {
        wanted.retain(|oid| *oid != 0 && builtin(*oid).is_none() && !rows.contains_key(oid));
        if wanted.is_empty() {
            break;
        }
        let asked: Vec<u32> = wanted.drain().collect();
        let found = client
            .query_typed(
                "SELECT t.oid, t.typname::text, n.nspname::text, t.typtype::text, t.typelem, \
                 coalesce(e.typdelim, ',')::text, t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc, \
                 t.typbasetype, t.typtypmod, coalesce((SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) \
                   FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid), '{}') \
                 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
                 LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem WHERE t.oid = ANY ($1)",
                &[(&asked, Type::OID_ARRAY)],
            )
            .await
            .map_err(|error| SourceError::query("reading the catalogue of types", &error))?;
        for row in found {
            let read = TypeRow {
                name: row.get(1),
                schema: row.get(2),
                typtype: row.get(3),
                element: row.get(4),
                delimiter: row.get::<_, String>(5).bytes().next().unwrap_or(b','),
                is_array: row.get(6),
                base: row.get(7),
                base_typmod: row.get(8),
                labels: row.get(9),
            };
            wanted.extend([read.element, read.base]);
            rows.insert(row.get(0), read);
        }
    }
    Ok(rows
        .keys()
        .map(|oid| (*oid, type_of(*oid, &rows, 0)))
        .collect())
}

fn type_of(oid: u32, rows: &HashMap<u32, TypeRow>, depth: usize) -> Arc<TypeInfo> {
    let text = |name: String, schema: String| TypeInfo {
        oid,
        name,
        schema,
        kind: TypeKind::Base,
    };
    let Some(row) = rows.get(&oid).filter(|_| depth < TYPE_DEPTH_MAX) else {
        return Arc::new(builtin(oid).unwrap_or_else(|| text(format!("oid {oid}"), String::new())));
    };
    let kind = match row.typtype.as_str() {
        "d" => TypeKind::Domain {
            base: type_of(row.base, rows, depth + 1),
            typmod: row.base_typmod,
        },
        "e" => TypeKind::Enum {
            labels: row.labels.clone(),
        },
        "c" => TypeKind::Composite,
        "r" => TypeKind::Range,
        "m" => TypeKind::Multirange,
        "p" => TypeKind::Pseudo,
        _ if row.is_array => TypeKind::Array {
            element: type_of(row.element, rows, depth + 1),
            delimiter: row.delimiter,
        },
        _ => TypeKind::Base,
    };
    Arc::new(TypeInfo {
        kind,
        ..text(row.name.clone(), row.schema.clone())
    })
}

/// A table as the log would describe it, and what a snapshot needs beside.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotTable {
    /// As pgoutput describes it.
    pub(crate) described: message::Relation,
    /// What the catalogue says.
    pub(crate) info: TableInfo,
    /// The publication's row filter.
    pub(crate) row_filter: Option<String>,
    /// Its size in blocks.
    pub(crate) blocks: u32,
    /// Its rows, as the statistics estimate them; negative if unknown.
    pub(crate) rows: f32,
    /// Its file.
    pub(crate) file: u32,
}

/// What a publication shows of a table.
#[derive(Debug)]
pub(crate) struct Published {
    columns: Option<Vec<String>>,
    row_filter: Option<String>,
}

/// What a publication shows of its tables: all in one query, because the server looks at all of them for one as well.
/// Nothing before 15, which brought column lists and row filters.
pub(crate) async fn published(
    client: &Client,
    publication: &str,
    server_version: u32,
) -> Result<HashMap<TableName, Published>, SourceError> {
    if server_version < 150_000 {
        return Ok(HashMap::new());
    }
    let rows = client
        .query_typed(
            "SELECT schemaname::text, tablename::text, attnames::text[], rowfilter \
             FROM pg_catalog.pg_publication_tables WHERE pubname = $1",
            &[(&publication, Type::TEXT)],
        )
        .await
        .map_err(|error| {
            SourceError::query("reading what the publication shows".to_owned(), &error)
        })?;
    let shown = rows.into_iter().map(|row| {
        let name = TableName {
            schema: row.get(0),
            table: row.get(1),
        };
        let published = Published {
            columns: row.get(2),
            row_filter: row.get(3),
        };
        (name, published)
    });
    Ok(shown.collect())
}

/// Describes a table as the publication shows it; none if it is gone.
pub(crate) async fn snapshot_table(
    client: &Client,
    name: &TableName,
    published: Option<&Published>,
    server_version: u32,
) -> Result<Option<SnapshotTable>, SourceError> {
    let error = |error: tokio_postgres::Error| {
        let doing = format!(
            "reading the catalogue of {:?}.{:?}",
            name.schema, name.table
        );
        SourceError::query(doing, &error)
    };
    let table = client
        .query_typed(
            "SELECT c.oid, c.relreplident::text, c.reltuples, \
             (pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8)::int8, \
             coalesce(pg_catalog.pg_relation_filenode(c.oid), 0) \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'",
            &[(&name.schema, Type::TEXT), (&name.table, Type::TEXT)],
        )
        .await
        .map_err(error)?;
    let Some(table) = table.first() else {
        return Ok(None);
    };
    let oid: u32 = table.get(0);
    let blocks = table
        .get::<_, Option<i64>>(3)
        .and_then(|blocks| u32::try_from(blocks).ok());
    let Some(blocks) = blocks else {
        return Ok(None);
    };

    let columns = client
        .query_typed(
            "SELECT a.attname::text, a.atttypid, a.atttypmod, a.attgenerated::text <> '', coalesce( \
               CASE c.relreplident WHEN 'f' THEN true \
               WHEN 'd' THEN a.attnum = ANY ((SELECT i.indkey::int2[] FROM pg_catalog.pg_index i \
                 WHERE i.indrelid = c.oid AND i.indisprimary)::int2[]) \
               WHEN 'i' THEN a.attnum = ANY ((SELECT i.indkey::int2[] FROM pg_catalog.pg_index i \
                 WHERE i.indrelid = c.oid AND i.indisreplident)::int2[]) END, false) \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             WHERE c.oid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            &[(&oid, Type::OID)],
        )
        .await
        .map_err(error)?;
    let shown = published.and_then(|published| published.columns.as_ref());
    let columns = columns.iter().filter_map(|row| {
        let (name, generated): (String, bool) = (row.get(0), row.get(3));
        let listed = shown.is_none_or(|shown| shown.contains(&name));
        // Generated columns are published from 18 on.
        (listed && (!generated || server_version >= 180_000 && shown.is_some())).then(|| {
            message::Column {
                key: row.get(4),
                name,
                type_oid: row.get(1),
                type_modifier: row.get(2),
            }
        })
    });
    let described = message::Relation {
        xid: None,
        id: RelationId(oid),
        namespace: name.schema.clone(),
        name: name.table.clone(),
        replica_identity: match table.get::<_, String>(1).as_str() {
            "n" => ReplicaIdentity::Nothing,
            "f" => ReplicaIdentity::Full,
            "i" => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        },
        columns: columns.collect(),
    };
    let info = table_info(client, &described).await?;
    Ok(Some(SnapshotTable {
        described,
        info,
        row_filter: published.and_then(|published| published.row_filter.clone()),
        blocks,
        rows: table.get(2),
        file: table.get(4),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_seen_when_it_has_ended_before_the_snapshot() {
        let epoch = 7_i64 << 32;
        assert!(is_in_snapshot(9, epoch + 10, &[epoch + 8]));
        assert!(!is_in_snapshot(10, epoch + 10, &[]));
        assert!(!is_in_snapshot(11, epoch + 10, &[]));
        assert!(!is_in_snapshot(8, epoch + 10, &[epoch + 8]));
        // The numbers have just begun anew.
        assert!(is_in_snapshot(u32::MAX, epoch + 3, &[]));
        assert!(!is_in_snapshot(3, epoch - 1, &[]));
    }
}
