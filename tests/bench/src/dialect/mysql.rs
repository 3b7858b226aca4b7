//! MySQL and MariaDB: cells in the binary log's own form.

use adit_binlog::Flavor;
use adit_binlog::table::{ColumnInfo, TableInfo, catalogue_relation};
use adit_event::{Cell, Connector, PositionSpace, Relation, RowBuilder};
use anyhow::Result;

use super::{Dialect, VALUES, Value};
use crate::workload::{Filler, TABLE};

/// Some place in the log, and some server as GTIDs of MySQL and of MariaDB name it.
const POSITION: u64 = 0x4D2;
const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const DOMAIN_AND_SERVER: &str = "0-25432";

/// The dialect of both.
#[derive(Debug)]
pub(crate) struct Mysql {
    flavor: Flavor,
}

impl Mysql {
    pub(crate) const MYSQL: Self = Self {
        flavor: Flavor::Mysql,
    };
    pub(crate) const MARIADB: Self = Self {
        flavor: Flavor::Mariadb,
    };
}

const fn value(sql: &'static str, text: &'static str, cell: &'static [u8]) -> Value {
    Value {
        sql,
        text,
        cell: Cell::Binary(cell),
    }
}

const fn string(text: &'static str) -> Value {
    value("text", text, text.as_bytes())
}

impl Dialect for Mysql {
    fn connector(&self) -> Connector {
        match self.flavor {
            Flavor::Mysql => Connector::Mysql,
            Flavor::Mariadb => Connector::Mariadb,
        }
    }

    fn database(&self) -> &'static str {
        "bench"
    }

    fn schema(&self) -> &'static str {
        self.database()
    }

    fn values(&self) -> [Value; VALUES] {
        [
            // Little-endian.
            value("int", "48151", b"\x17\xbc\x00\x00"),
            string("paid"),
            // The digits in front of the point with the sign's bit turned, then those behind it.
            value("decimal(10,2)", "119.90", b"\x80\x00\x00\x77\x5a"),
            string("leave it with the neighbours at number seven"),
            // Seconds since 1970 and microseconds, big-endian.
            value(
                "timestamp(6)",
                "2026-11-23 13:37:00.123456",
                b"\x6b\x04\x41\x7c\x01\xe2\x40",
            ),
        ]
    }

    /// A table is filled from itself: there is no `generate_series`, and MySQL 5.6 has no recursive query either.
    fn fill(&self, literals: &str, rows: u64, one_transaction: bool) -> String {
        let body = if one_transaction {
            format!(
                "start transaction;
                insert into {TABLE} values (1, {literals});
                while done < {rows} do
                    insert into {TABLE} select id + done, {literals} from {TABLE} where id <= {rows} - done;
                    set done = done * 2;
                end while;
                commit;"
            )
        } else {
            format!(
                "while done <= {rows} do
                    insert into {TABLE} values (done, {literals});
                    set done = done + 1;
                end while;"
            )
        };
        format!(
            "create procedure fill() begin declare done bigint default 1; {body} end; call fill()"
        )
    }

    fn relation(&self, fillers: &[Filler]) -> Result<Relation> {
        let column = |name: &str, sql: &str| ColumnInfo {
            name: name.to_owned(),
            column_type: sql.to_owned(),
            charset: (sql == "text").then(|| "utf8mb4".to_owned()),
            nullable: false,
            json: false,
        };
        let mut columns = vec![column("id", "bigint")];
        columns.extend(
            fillers
                .iter()
                .map(|filler| column(&filler.name, filler.value.sql)),
        );
        let table = TableInfo {
            columns,
            key: vec!["id".to_owned()],
        };
        Ok(catalogue_relation(
            self.schema(),
            TABLE,
            &table,
            self.flavor,
        )?)
    }

    fn key(&self, id: u64, row: &mut RowBuilder<'_>) {
        row.binary(&id.to_le_bytes());
    }

    fn transaction(&self, index: u64) -> (String, PositionSpace) {
        let number = index + 1;
        let id = match self.flavor {
            Flavor::Mysql => format!("{SERVER}:{number}"),
            Flavor::Mariadb => format!("{DOMAIN_AND_SERVER}-{number}"),
        };
        let position = POSITION + index * 0x100;
        (
            id,
            PositionSpace::new(&format!("0001-0000002A-{position:016X}-"), 8),
        )
    }
}

#[cfg(test)]
mod tests {
    use adit_event::{ValueOptions, ValueWriter};

    use super::*;
    use crate::workload::Workload;

    #[test]
    fn a_value_of_the_log_is_that_of_the_statement() {
        for dialect in [Mysql::MYSQL, Mysql::MARIADB] {
            let relation = dialect
                .relation(&Workload::Small.fillers(&dialect))
                .unwrap();
            for (column, value) in relation.columns().iter().skip(1).zip(dialect.values()) {
                let (mut logged, mut stated) = (Vec::new(), Vec::new());
                let Cell::Binary(cell) = value.cell else {
                    panic!("{} in text form", column.name)
                };
                let options = ValueOptions::default();
                column
                    .format
                    .write_binary(cell, &mut ValueWriter::new(&mut logged, options))
                    .unwrap();
                column
                    .format
                    .write_text(
                        value.text.as_bytes(),
                        &mut ValueWriter::new(&mut stated, options),
                    )
                    .unwrap();
                assert_eq!(logged, stated, "{}", column.name);
            }
        }
    }
}
