//! What a change of tables' shapes means for what is captured.
//!
//! The log holds the rows that a table gets by inserts. Rows that it gets by another name being given to
//! it, or loses by being dropped, are not in the log.

use adit_binlog::statement::{Ddl, DdlKind, TableRef};
use adit_pipeline::TableFilter;

use crate::catalog::{is_user_schema, is_wanted};
use crate::state::TableName;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Effects {
    /// Captured tables that are gone; one without a name stands for its whole database.
    pub(crate) dropped: Vec<TableName>,
    /// Captured tables that have rows now which the log does not have under their name.
    pub(crate) to_read: Vec<TableName>,
}

impl Effects {
    pub(crate) const fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.to_read.is_empty()
    }
}

/// The tables whose shapes may be others now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Concerned {
    tables: Vec<TableName>,
    database: Option<String>,
}

impl Concerned {
    pub(crate) fn is_about(&self, name: &TableName) -> bool {
        self.tables.contains(name) || self.database.as_ref() == Some(&name.schema)
    }
}

/// What a statement does to captured tables.
pub(crate) fn effects(
    ddl: &Ddl,
    database: &str,
    filter: &TableFilter,
    lower_case: bool,
) -> Effects {
    let names = Names {
        database,
        lower_case,
    };
    let wanted = |name: &TableName| is_wanted(filter, &name.schema, &name.table);
    let mut effects = Effects::default();
    match &ddl.kind {
        DdlKind::Rename { pairs } => {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(from, to)| (names.of(from), names.of(to)))
                .collect();
            for (from, to) in &pairs {
                let is_source = pairs.iter().any(|(from, _)| from == to);
                let is_target = pairs.iter().any(|(_, to)| to == from);
                if wanted(from) && !is_target {
                    effects.dropped.push(from.clone());
                }
                if wanted(to) && !(is_source && is_copy_of(from, to)) && !is_leftover_of(to, from) {
                    effects.to_read.push(to.clone());
                }
            }
        }
        DdlKind::MoveRows => {
            let tables = ddl.tables.iter().map(|table| names.of(table));
            effects.to_read.extend(tables.filter(wanted));
        }
        DdlKind::Drop => {
            let tables = ddl.tables.iter().map(|table| names.of(table));
            effects.dropped.extend(tables.filter(wanted));
        }
        DdlKind::DropDatabase { database } => {
            let all = names.database(database);
            if is_user_schema(&all.schema) {
                effects.dropped.push(all);
            }
        }
        DdlKind::Create | DdlKind::Alter | DdlKind::Index => {}
    }
    effects
}

/// The names that a statement gives to tables, from what to what; or else the tables that it changes in place.
pub(crate) fn changed(ddl: &Ddl, database: &str, lower_case: bool) -> Vec<(TableName, TableName)> {
    let names = Names {
        database,
        lower_case,
    };
    match &ddl.kind {
        DdlKind::Rename { pairs } => {
            let pairs = pairs.iter();
            pairs
                .map(|(from, to)| (names.of(from), names.of(to)))
                .collect()
        }
        _ => {
            let tables = ddl.tables.iter().map(|table| names.of(table));
            tables.map(|name| (name.clone(), name)).collect()
        }
    }
}

/// The tables whose shapes a statement may have changed.
pub(crate) fn concerned(ddl: &Ddl, database: &str, lower_case: bool) -> Concerned {
    let names = Names {
        database,
        lower_case,
    };
    let mut concerned = Concerned::default();
    match &ddl.kind {
        DdlKind::DropDatabase { database } => {
            concerned.database = Some(names.database(database).schema);
        }
        // Its columns stay.
        DdlKind::Index => {}
        _ => concerned.tables = ddl.tables.iter().map(|table| names.of(table)).collect(),
    }
    concerned
}

/// Whether a tool for altering tables online gave this name to the copy that it filled row by row, each of
/// them in the log: gh-ost's `_t_gho`, pt-online-schema-change's and Spirit's `_t_new`, LHM's `lhmn_t`.
fn is_copy_of(copy: &TableName, table: &TableName) -> bool {
    let name = &table.table;
    let copy = copy.table.as_str();
    let bare = copy.trim_start_matches('_');
    copy.starts_with('_') && (bare == format!("{name}_gho") || bare == format!("{name}_new"))
        || copy == format!("lhmn_{name}")
        || copy == format!("__osc_new_{name}")
}

/// Whether such a tool gave this name to the table that it replaced and will drop.
fn is_leftover_of(leftover: &TableName, table: &TableName) -> bool {
    let name = &table.table;
    let bare = leftover.table.trim_start_matches('_');
    leftover.table.starts_with('_')
        && (bare == format!("{name}_del") || bare == format!("{name}_old"))
}

/// How names in statements are read.
struct Names<'a> {
    /// The default database.
    database: &'a str,
    lower_case: bool,
}

impl Names<'_> {
    fn of(&self, table: &TableRef) -> TableName {
        let schema = table.schema.as_deref().unwrap_or(self.database);
        let name = TableName::new(schema, &table.table);
        if self.lower_case { name.folded() } else { name }
    }

    /// All tables of a database.
    fn database(&self, name: &str) -> TableName {
        let all = TableName::new(name, "");
        if self.lower_case { all.folded() } else { all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TableName {
        let (schema, table) = text.split_once('.').unwrap();
        TableName::new(schema, table)
    }

    fn reference(text: &str) -> TableRef {
        let name = text.split_once('.');
        TableRef {
            schema: name.map(|(schema, _)| schema.into()),
            table: name.map_or(text, |(_, table)| table).into(),
        }
    }

    /// What renaming does where `shop.orders` and `shop.lines` are captured: dropped, and to be read.
    fn rename(pairs: &[(&str, &str)]) -> (Vec<TableName>, Vec<TableName>) {
        let pairs = pairs
            .iter()
            .map(|(from, to)| (reference(from), reference(to)));
        let ddl = Ddl {
            tables: vec![],
            kind: DdlKind::Rename {
                pairs: pairs.collect(),
            },
        };
        let filter = TableFilter::parse(&["shop.orders", "shop.lines"]).unwrap();
        let effects = effects(&ddl, "shop", &filter, true);
        (effects.dropped, effects.to_read)
    }

    #[test]
    fn the_swaps_of_tools_for_altering_online_change_only_the_shape() {
        for copy in ["_orders_gho", "_orders_new", "__orders_new"] {
            let swap = [("orders", "_orders_old"), (copy, "orders")];
            assert_eq!(rename(&swap), (vec![], vec![]), "{copy}");
        }
    }

    #[test]
    fn a_table_that_gets_a_captured_name_is_read() {
        let orders = || vec![name("shop.orders")];
        assert_eq!(rename(&[("stage.x", "Orders")]), (vec![], orders()));
        assert_eq!(
            rename(&[("orders", "orders_1"), ("orders_2", "orders")]),
            (vec![], orders())
        );
        assert_eq!(
            rename(&[("lines", "orders")]),
            (vec![name("shop.lines")], orders())
        );
    }

    #[test]
    fn a_table_that_loses_a_captured_name_is_gone() {
        assert_eq!(
            rename(&[("shop.orders", "shop.old")]),
            (vec![name("shop.orders")], vec![])
        );
    }
}
