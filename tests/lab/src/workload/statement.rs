//! Random statements.

use rand::Rng as _;
use rand::rngs::StdRng;

use super::table::Table;

/// The numbers that keys are made of. So few that writers meet the rows of others, and each other.
const NUMBERS: i64 = 50_000;

/// One statement.
pub(super) struct Statement {
    pub(super) sql: String,
    /// Tables that it truncates: each is a change, which the server does not count.
    pub(super) truncates: u64,
}

/// How many rows the statements of a transaction are meant to touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// 1 to 20.
    Small,
    /// Up to 1000.
    Medium,
    /// Up to the largest there is.
    Large(i64),
}

/// A template with its numbers filled in.
pub(super) fn fill(template: &str, from: i64, to: i64, salt: i64) -> String {
    template
        .replace("{from}", &from.to_string())
        .replace("{to}", &to.to_string())
        .replace("{salt}", &salt.to_string())
}

/// A statement that changes rows.
pub(super) fn change(tables: &'static [Table], random: &mut StdRng, size: Size) -> Statement {
    let table = pick(tables, random);
    let (least, most) = match size {
        Size::Small => (1, 20),
        Size::Medium => (21, 1_000),
        Size::Large(most) => (most, most),
    };
    let rows = random.random_range(least..=most).min(table.rows_max);
    let from = random.random_range(1..=(NUMBERS - rows).max(1));
    let template = match random.random_range(0..100) {
        0..45 => table.insert,
        45..75 => table.update,
        75..90 => table.delete,
        _ => table.rekey.unwrap_or(table.update),
    };
    Statement {
        sql: fill(template, from, from + rows - 1, random.random_range(1..100)),
        truncates: 0,
    }
}

/// A statement that surely inserts as many rows as there are numbers, or changes them.
pub(super) fn flood(tables: &'static [Table], rows: i64, random: &mut StdRng) -> Statement {
    let table = first(tables);
    let rows = rows.min(table.rows_max);
    Statement {
        sql: fill(table.insert, 1, rows, random.random_range(1..100)),
        truncates: 0,
    }
}

/// Truncates one table or two.
pub(super) fn truncate(tables: &'static [Table], random: &mut StdRng) -> Statement {
    let (one, other) = (pick(tables, random), pick(tables, random));
    if one.sql == other.sql || random.random() {
        Statement {
            sql: format!("truncate {}", one.sql),
            truncates: 1,
        }
    } else {
        Statement {
            sql: format!("truncate {}, {}", one.sql, other.sql),
            truncates: 2,
        }
    }
}

pub(super) fn pick(tables: &'static [Table], random: &mut StdRng) -> &'static Table {
    tables
        .get(random.random_range(0..tables.len()))
        .unwrap_or_else(|| first(tables))
}

fn first(tables: &'static [Table]) -> &'static Table {
    tables.first().expect("every database has tables")
}
