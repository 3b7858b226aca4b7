//! What the stream learns about tables: from the catalogue, and from what is done to them.

use std::collections::HashMap;
use std::time::Duration;

use adit_binlog::Coordinates;
use adit_binlog::decoder::Answer;
use adit_binlog::statement::{Ddl, DdlKind};
use adit_pipeline::SnapshotMode;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{Stop, Stream};
use crate::catalog::{Catalogued, is_wanted, table_info};
use crate::ddl;
use crate::error::SourceError;
use crate::link::MysqlLink;
use crate::session;
use crate::shapes::{self, Shape};
use crate::state::TableName;

/// Tables of which the catalogue is held in memory at the same time.
const TABLES_AT_ONCE: usize = 200;
/// How long the catalogue may take to answer: it may be busy, or wait for a table that somebody alters. Longer, and the
/// connection counts as lost; the log is not read meanwhile, so that nobody else would find out.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

impl Stream<'_> {
    /// What the decoder is told about a table.
    pub(super) async fn look_up(
        &mut self,
        name: TableName,
        described: bool,
    ) -> Result<Answer, SourceError> {
        if self.is_held(&name) || !is_wanted(&self.options.tables, &name.schema, &name.table) {
            return Ok(Answer::Unwanted);
        }
        let table = self.catalogued(&name).await?;
        if described {
            return Ok(Answer::Wanted(table.map(|table| table.info)));
        }
        let info = self.shape(&name, table).await?.info;
        Ok(Answer::Wanted(Some(info)))
    }

    /// The shape that a table has where the log is being read, of which the log tells only the types:
    /// that of the catalogue, unless the table was changed later; then what is kept.
    async fn shape(
        &mut self,
        name: &TableName,
        table: Option<Catalogued>,
    ) -> Result<Shape, SourceError> {
        self.look_ahead().await?;
        let here = &self.place.coordinates;
        let change = self.ahead.change_of(name);
        if let (None, Some(table)) = (change, table) {
            let shape = Shape::from(table);
            self.shapes.set(name, here, Some(shape.clone())).await?;
            return Ok(shape);
        }
        if let Some(shape) = self.shapes.at(name, here).await? {
            return Ok(shape);
        }
        Err(SourceError::ShapeUnknown {
            table: name.to_string(),
            at: here.to_string(),
            ddl: change.map_or_else(
                || "a place that is not known".to_owned(),
                ToString::to_string,
            ),
        })
    }

    async fn look_ahead(&mut self) -> Result<(), SourceError> {
        let ahead = &mut self.ahead;
        ahead.look(self.options, &self.place, self.lower_case).await
    }

    /// Keeps the shapes that tables have here, which is where a log begins for us: whoever changes them
    /// later, perhaps while nobody reads, they are known.
    pub(super) async fn keep_shapes(&mut self, tables: &[TableName]) -> Result<(), SourceError> {
        if !self.shapes.is_kept() {
            return Ok(());
        }
        for names in tables.chunks(TABLES_AT_ONCE) {
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                found.extend(self.catalogued(name).await?.map(|table| (name, table)));
            }
            self.look_ahead().await?;
            for (name, table) in found {
                if self.ahead.change_of(name).is_none() {
                    let here = &self.place.coordinates;
                    self.shapes.set(name, here, Some(table.into())).await?;
                }
            }
        }
        Ok(())
    }

    /// Keeps what a statement makes of tables' shapes. `before` is the place in front of it, and the stream's
    /// is behind it.
    pub(super) async fn keep_changes(
        &mut self,
        statement: &Ddl,
        sql: &str,
        database: &str,
        before: &Coordinates,
    ) -> Result<(), SourceError> {
        if !self.shapes.is_kept() {
            return Ok(());
        }
        let here = self.place.coordinates.clone();
        if let DdlKind::DropDatabase { .. } = &statement.kind {
            let gone = ddl::concerned(statement, database, self.lower_case);
            for name in self.shapes.all(|name| gone.is_about(name)) {
                self.shapes.set(&name, &here, None).await?;
            }
            return Ok(());
        }
        let changed = ddl::changed(statement, database, self.lower_case);
        let matters = |name| self.shapes.has(name) || self.needs_shape(name);
        if !changed
            .iter()
            .any(|(from, to)| matters(from) || matters(to))
        {
            return Ok(());
        }
        // One statement may give several names in turn.
        let mut shapes: HashMap<TableName, Option<Shape>> = HashMap::new();
        for (from, to) in changed {
            let old = match shapes.remove(&from) {
                Some(shape) => shape,
                None => self.shapes.at(&from, before).await?,
            };
            let new = match statement.kind {
                DdlKind::Index => old,
                DdlKind::Drop => None,
                _ => shapes::apply(sql, old.as_ref(), self.flavor),
            };
            if from != to {
                shapes.insert(from, None);
            }
            shapes.insert(to, new);
        }
        for (name, told) in shapes {
            let is_needed = self.needs_shape(&name);
            if !is_needed && !self.shapes.has(&name) {
                continue;
            }
            let mut shape = told;
            if is_needed && let Some(table) = self.catalogued(&name).await? {
                self.look_ahead().await?;
                if self.ahead.change_of(&name).is_none() {
                    shape = Some(table.into());
                }
            }
            self.shapes.set(&name, &here, shape).await?;
        }
        Ok(())
    }

    /// Whether a table is captured of which the log names no columns.
    fn needs_shape(&self, name: &TableName) -> bool {
        !self.names_columns && is_wanted(&self.options.tables, &name.schema, &name.table)
    }

    /// Asks the catalogue, on a connection that is opened again if it broke since it was last used.
    async fn catalogued(&mut self, name: &TableName) -> Result<Option<Catalogued>, SourceError> {
        let was_open = self.sql.is_some();
        match self.ask_catalogue(name).await {
            Err(error) if was_open => {
                debug!(%error, "the connection for queries is opened again");
                self.ask_catalogue(name).await
            }
            found => found,
        }
    }

    /// A connection that gave no answer is not used again.
    async fn ask_catalogue(&mut self, name: &TableName) -> Result<Option<Catalogued>, SourceError> {
        let asked = async {
            let link = self.sql().await?;
            table_info(link, name).await
        };
        let seconds = ANSWERS_WITHIN.as_secs();
        let found = timeout(ANSWERS_WITHIN, asked)
            .await
            .unwrap_or(Err(SourceError::NoAnswer { seconds }));
        if found.is_err() {
            self.sql = None;
        }
        found
    }

    pub(super) async fn sql(&mut self) -> Result<&mut MysqlLink, SourceError> {
        let link = match self.sql.take() {
            Some(link) => link,
            None => session::sql(self.options, "adit").await?,
        };
        Ok(self.sql.insert(link))
    }

    /// A statement that changed rows: nobody can tell which.
    pub(super) fn statement(&self, tables: &[TableName]) -> Result<(), SourceError> {
        let filter = &self.options.tables;
        let concerned = tables
            .iter()
            .filter(|name| is_wanted(filter, &name.schema, &name.table));
        let names: Vec<_> = concerned.map(ToString::to_string).collect();
        if names.is_empty() && !tables.is_empty() {
            return Ok(());
        }
        Err(SourceError::Statement {
            tables: if names.is_empty() {
                "tables that cannot be made out".to_owned()
            } else {
                names.join(", ")
            },
            at: self.place.coordinates.to_string(),
        })
    }

    /// Takes note of tables that came, went, or have other rows now than the log has told.
    pub(super) async fn shapes_changed(&mut self, effects: ddl::Effects) -> Result<(), Stop> {
        if effects.is_empty() {
            return Ok(());
        }
        for name in effects.dropped {
            info!(table = %name, "table was dropped");
            self.state.drop_table(name);
        }
        let reads = self.options.snapshot.mode != SnapshotMode::Never;
        for name in &effects.to_read {
            let then = if reads {
                "it is read and then streamed"
            } else {
                "snapshot.mode is never: readers do not learn of them"
            };
            warn!(table = %name, "rows of this table came or went that the log does not have; {then}");
        }
        if reads && !effects.to_read.is_empty() {
            self.hold_more(effects.to_read).await?;
        }
        let progress = self.progress();
        Ok(self.out.send(progress).await?)
    }
}
