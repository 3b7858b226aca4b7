//! Tables that wait for their snapshot, beside the running stream.

use std::time::Duration;

use adit_binlog::Coordinates;
use adit_event::{Cell, Change};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::{Stop, Stream};
use crate::error::SourceError;
use crate::identity::log_end;
use crate::link::MysqlLink;
use crate::position::reaches;
use crate::snapshot::{Anchor, Outcome, Plan, read};
use crate::source::MysqlOptions;
use crate::state::TableName;

/// Tables that wait for their snapshot.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) tables: Vec<TableName>,
    /// Readers may hold rows of these tables already.
    pub(crate) resnapshot: bool,
    /// The anchor's point is not before this.
    pub(crate) floor: Coordinates,
    pub(crate) anchor: Anchoring,
}

/// The snapshot's anchor.
#[derive(Debug)]
pub(crate) enum Anchoring {
    /// Being set up.
    Pending(AbortOnDropHandle<Result<Anchor, SourceError>>),
    Ready(Box<Anchor>),
}

impl Stream<'_> {
    /// Holds back more tables until they are read.
    pub(super) async fn hold_more(&mut self, tables: Vec<TableName>) -> Result<(), SourceError> {
        for name in &tables {
            self.decoder.forget(&name.schema, &name.table);
            self.state.begin_again(&name.schema, &name.table);
        }
        let mut all = self.hold.take().map_or_else(Vec::new, |hold| hold.tables);
        for name in tables {
            if !self.state.pending.contains(&name) {
                self.state.pending.push(name.clone());
            }
            if !all.contains(&name) {
                all.push(name);
            }
        }
        let options = self.options;
        self.hold = Some(anchor_later(options, self.sql().await?, all, true).await?);
        Ok(())
    }

    /// Whether a table's changes are left out, because its rows are read later.
    pub(super) fn is_held(&self, name: &TableName) -> bool {
        let hold = self.hold.as_ref();
        hold.is_some_and(|hold| hold.tables.contains(name))
            && !self.state.has_begun(&name.schema, &name.table)
    }

    /// Takes note of a change in a table of which part is read.
    ///
    /// A row that gets into that part by a new key, and of which the log does not have every column, would
    /// never be known whole: then all of the table is read again.
    pub(super) fn changed_while_begun(&mut self, change: &Change) {
        let relation = &change.relation;
        if is_moved_in_part(change) && self.state.begin_again(relation.schema(), relation.table()) {
            info!(
                schema = relation.schema(),
                table = relation.table(),
                "a row of which not all columns are in the log has a new key; the table is read from its beginning"
            );
            if self.before.is_none() {
                self.before = Some(self.resume());
            }
        }
    }

    /// Hands over the snapshot if the stream has reached its point.
    pub(super) async fn snapshot_due(&mut self) -> Result<(), Stop> {
        let Some(hold) = &mut self.hold else {
            return Ok(());
        };
        let here = self.decoder.coordinates();
        let here = here.unwrap_or_else(|| self.place.coordinates.clone());
        if !reaches(&here, &hold.floor) {
            return Ok(());
        }
        if let Anchoring::Pending(task) = &mut hold.anchor {
            hold.anchor = Anchoring::Ready(Box::new(task.await??));
        }
        if let Anchoring::Ready(anchor) = &hold.anchor
            && !reaches(&here, &anchor.point)
        {
            return Ok(());
        }
        let Some(Hold {
            tables,
            resnapshot,
            anchor: Anchoring::Ready(anchor),
            ..
        }) = self.hold.take()
        else {
            return Ok(());
        };
        if reaches(&anchor.point, &self.place.coordinates) {
            self.move_to(anchor.point.clone());
        }
        if self.prepared.is_empty() {
            self.place.executed.include(&anchor.executed);
            self.state.base = self.place.executed.base();
        }
        let plan = Plan {
            options: self.options,
            lower_case: self.lower_case,
            resnapshot,
            resume: self
                .prepared
                .first()
                .map_or(&self.place, |prepared| &prepared.from),
            last: self.last,
            names_columns: self.names_columns,
            shapes: &mut self.shapes,
        };
        let Outcome { last, again } = read(*anchor, plan, &mut self.state, &mut self.out).await?;
        self.last = Some(last);
        // Those that are gone do not wait any more.
        let waits = |table: &TableName| !tables.contains(table) || again.contains(table);
        self.state.pending.retain(waits);
        for name in &tables {
            self.decoder.forget(&name.schema, &name.table);
        }
        if !again.is_empty() {
            let options = self.options;
            self.hold = Some(anchor_later(options, self.sql().await?, again, true).await?);
        }
        let progress = self.progress();
        Ok(self.out.send(progress).await?)
    }
}

/// Whether a row has a new key, and columns that the log does not tell.
fn is_moved_in_part(change: &Change) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return false;
    };
    if !after.cells().any(|cell| cell == Cell::Absent) {
        return false;
    }
    let mut cells = before.row().cells().zip(after.cells()).enumerate();
    let key = change.relation.key();
    cells.any(|(place, (old, new))| key.contains(&place) && new != Cell::Absent && new != old)
}

/// Sets up an anchor beside the running stream.
pub(crate) async fn anchor_later(
    options: &MysqlOptions,
    link: &mut MysqlLink,
    tables: Vec<TableName>,
    resnapshot: bool,
) -> Result<Hold, SourceError> {
    let (floor, _) = log_end(link).await?;
    let options = options.clone();
    let wanted = tables.clone();
    let task = tokio::spawn(async move { Anchor::open(&options, &wanted).await });
    Ok(Hold {
        tables,
        resnapshot,
        floor,
        anchor: Anchoring::Pending(AbortOnDropHandle::new(task)),
    })
}

/// Ends when an anchor that is being set up is ready; never, if there is none.
pub(super) async fn anchored(hold: &mut Option<Hold>) {
    match hold {
        Some(Hold {
            anchor: Anchoring::Pending(task),
            ..
        }) if !task.is_finished() => {
            // Its result is taken where it is needed; here only the end matters.
            while !task.is_finished() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adit_binlog::Flavor;
    use adit_binlog::table::{ColumnInfo, TableInfo, catalogue_relation};
    use adit_event::{Before, Op, Row, RowBuilder};
    use bytes::BytesMut;

    use super::*;

    /// An update of a table with a key and another column; a dash is a column that the log does not have.
    fn update(before: [&str; 2], after: [&str; 2]) -> Change {
        let row = |cells: [&str; 2]| {
            let mut data = BytesMut::new();
            let mut row = RowBuilder::new(&mut data, 2);
            for cell in cells {
                match cell {
                    "-" => row.absent(),
                    text => row.text(text.as_bytes()),
                }
            }
            Row::new(data.freeze())
        };
        let column = |name: &str| ColumnInfo {
            name: name.into(),
            column_type: "int".into(),
            charset: None,
            nullable: false,
            json: false,
        };
        let info = TableInfo {
            columns: vec![column("id"), column("v")],
            key: vec!["id".into()],
        };
        let relation = catalogue_relation("d", "t", &info, Flavor::Mysql).unwrap();
        Change {
            relation: Arc::new(relation),
            op: Op::Update,
            before: Some(Before::Key(row(before))),
            after: Some(row(after)),
            ordinal: 0,
        }
    }

    #[test]
    fn only_a_row_that_moves_and_is_not_logged_whole_makes_a_table_begin_again() {
        assert!(is_moved_in_part(&update(["1", "-"], ["2", "-"])));
        assert!(!is_moved_in_part(&update(["1", "-"], ["2", "x"])));
        assert!(!is_moved_in_part(&update(["1", "-"], ["1", "-"])));
        assert!(!is_moved_in_part(&update(["1", "a"], ["-", "b"])));
    }
}
