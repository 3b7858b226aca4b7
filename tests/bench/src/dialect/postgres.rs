//! PostgreSQL: text, as `pgoutput` sends it.

use adit_event::{Cell, Column, Connector, PositionSpace, Relation, RowBuilder};
use adit_pgoutput::types::{builtin, column_type};
use anyhow::{Context as _, Result, bail};

use super::{Dialect, VALUES, Value};
use crate::workload::{Filler, TABLE};

/// Some commit: its LSN and its transaction's number.
const LSN: u64 = 0x0155_0000;
const XID: u64 = 748;

/// PostgreSQL's dialect.
#[derive(Debug)]
pub(crate) struct Postgres;

const fn value(sql: &'static str, text: &'static str) -> Value {
    Value {
        sql,
        text,
        cell: Cell::Text(text.as_bytes()),
    }
}

impl Dialect for Postgres {
    fn connector(&self) -> Connector {
        Connector::Postgres
    }

    fn database(&self) -> &'static str {
        "postgres"
    }

    fn schema(&self) -> &'static str {
        "public"
    }

    fn values(&self) -> [Value; VALUES] {
        [
            value("int", "48151"),
            value("text", "paid"),
            value("numeric(10,2)", "119.90"),
            value("text", "leave it with the neighbours at number seven"),
            value("timestamptz", "2026-11-23 13:37:00.123456+00"),
        ]
    }

    fn fill(&self, literals: &str, rows: u64, one_transaction: bool) -> String {
        if one_transaction {
            format!("insert into {TABLE} select i, {literals} from generate_series(1, {rows}) as i")
        } else {
            format!(
                "do $$ begin for i in 1..{rows} loop insert into {TABLE} values (i, {literals}); commit; end loop; end $$"
            )
        }
    }

    fn relation(&self, fillers: &[Filler]) -> Result<Relation> {
        let mut columns = vec![column("id", "bigint", Some(0))?];
        for filler in fillers {
            columns.push(column(&filler.name, filler.value.sql, None)?);
        }
        Ok(Relation::new(
            self.schema().to_owned(),
            TABLE.to_owned(),
            columns,
        ))
    }

    fn key(&self, id: u64, row: &mut RowBuilder<'_>) {
        row.text(id.to_string().as_bytes());
    }

    fn transaction(&self, index: u64) -> (String, PositionSpace) {
        let lsn = LSN + index * 0x100;
        let positions = PositionSpace::new(&format!("{lsn:016X}-"), 8);
        ((XID + index).to_string(), positions)
    }
}

fn column(name: &str, sql: &str, key: Option<u16>) -> Result<Column> {
    // OID and modifier, as `pg_attribute` has them.
    let (oid, typmod) = match sql {
        "bigint" => (20, -1),
        "int" => (23, -1),
        "text" => (25, -1),
        "timestamptz" => (1184, -1),
        "numeric(10,2)" => (1700, (10 << 16) + 2 + 4),
        _ => bail!("{sql} is in no workload"),
    };
    let info = builtin(oid).with_context(|| format!("{sql} is not built in"))?;
    let kind = column_type(&info, typmod);
    Ok(Column {
        name: name.to_owned(),
        type_name: sql.to_owned(),
        logical: kind.logical,
        nullable: false,
        key,
        identity: key.is_some(),
        labels: kind.labels,
        precision: kind.precision,
        scale: kind.scale,
        format: kind.format,
    })
}
