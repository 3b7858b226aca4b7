//! What a statement in the log is about.
//!
//! Rows come as rows; the statements between them begin and end transactions, change tables' shapes, or
//! change rows in statement format, which cannot be read. A small tokenizer finds out which, and the tables
//! concerned. It reads comments, strings and identifiers as the servers do, and no more of SQL than that.

mod token;

use std::borrow::Cow;

use crate::xa::XaId;

use token::{Token, Tokens};

/// What a statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A transaction begins.
    Begin,
    /// It is committed.
    Commit,
    /// It is rolled back.
    Rollback,
    /// A savepoint is set.
    Savepoint(String),
    /// What came after a savepoint is rolled back.
    RollbackTo(String),
    /// An XA transaction begins.
    XaStart(XaId<'static>),
    /// It has all its changes.
    XaEnd,
    /// A prepared XA transaction is committed, or one that was not prepared.
    XaCommit {
        /// Which.
        id: XaId<'static>,
        /// It was not prepared.
        one_phase: bool,
    },
    /// A prepared XA transaction is rolled back.
    XaRollback(XaId<'static>),
    /// All rows of a table are deleted.
    Truncate(TableRef),
    /// A table's shape or name changes, or the table comes or goes.
    Ddl(Ddl),
    /// Rows change, in statement format.
    Dml {
        /// The tables that are named.
        tables: Vec<TableRef>,
        /// These are all.
        complete: bool,
    },
    /// Nothing that concerns rows or shapes.
    Other,
}

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRef {
    /// Its database; none where it is the default one.
    pub schema: Option<String>,
    /// Its name.
    pub table: String,
}

/// A change of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ddl {
    /// What it does.
    pub kind: DdlKind,
    /// The tables that it concerns.
    pub tables: Vec<TableRef>,
}

/// What a change of tables does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DdlKind {
    /// Creates a table.
    Create,
    /// Changes tables: columns, keys, partitions.
    Alter,
    /// Changes which rows tables have, without any of them in the log: a table that takes the place of
    /// another (`CREATE OR REPLACE`), partitions that are dropped, emptied or exchanged, tablespaces that
    /// are imported.
    MoveRows,
    /// Drops tables.
    Drop,
    /// Renames tables.
    Rename {
        /// From what to what, one after the other.
        pairs: Vec<(TableRef, TableRef)>,
    },
    /// Creates or drops an index: the columns stay, the key may not.
    Index,
    /// Drops a database with all its tables.
    DropDatabase {
        /// Which.
        database: String,
    },
}

/// Finds out what a statement does.
#[must_use]
pub fn classify(sql: &str, ansi_quotes: bool) -> Statement {
    let mut parser = Parser {
        tokens: Tokens::new(sql, ansi_quotes),
        peeked: None,
    };
    let first = parser.word();
    match first.as_deref() {
        Some("BEGIN") => Statement::Begin,
        Some("START") => match parser.word().as_deref() {
            Some("TRANSACTION") => Statement::Begin,
            _ => Statement::Other,
        },
        Some("COMMIT") => Statement::Commit,
        Some("ROLLBACK") => parser.rollback(),
        Some("SAVEPOINT") => Statement::Savepoint(parser.name().unwrap_or_default()),
        Some("XA") => parser.xa(),
        Some("TRUNCATE") => {
            parser.skip_words(&["TABLE"]);
            parser.table().map_or(Statement::Other, Statement::Truncate)
        }
        Some("CREATE") => parser.create(),
        Some("ALTER") => parser.alter(),
        Some("DROP") => parser.drop(),
        Some("RENAME") => match parser.word().as_deref() {
            Some("TABLE" | "TABLES") => parser.rename(),
            _ => Statement::Other,
        },
        Some("INSERT" | "REPLACE") => {
            parser.skip_words(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"]);
            parser.dml(true)
        }
        Some("UPDATE") => {
            parser.skip_words(&["LOW_PRIORITY", "IGNORE"]);
            parser.update()
        }
        Some("DELETE") => {
            parser.skip_words(&["LOW_PRIORITY", "QUICK", "IGNORE"]);
            parser.delete()
        }
        Some("LOAD") => parser.load(),
        Some("WITH" | "CALL") => Statement::Dml {
            tables: Vec::new(),
            complete: false,
        },
        _ => Statement::Other,
    }
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    peeked: Option<Option<Token>>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        match self.peeked.take() {
            Some(token) => token,
            None => self.tokens.next(),
        }
    }

    fn peek(&mut self) -> Option<&Token> {
        let tokens = &mut self.tokens;
        self.peeked.get_or_insert_with(|| tokens.next()).as_ref()
    }

    /// The next word, in upper case, if the next token is one.
    fn word(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.to_ascii_uppercase();
                self.next();
                Some(word)
            }
            _ => None,
        }
    }

    fn is_word(&mut self, word: &str) -> bool {
        let next = self.peek();
        matches!(next, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next();
        }
        found
    }

    fn eat_symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        if found {
            self.next();
        }
        found
    }

    fn skip_words(&mut self, words: &[&str]) {
        while words.iter().any(|word| self.eat(word)) {}
    }

    /// `IF EXISTS`, `IF NOT EXISTS`
    fn skip_if(&mut self) {
        if self.eat("IF") {
            self.skip_words(&["NOT", "EXISTS"]);
        }
    }

    /// An identifier.
    fn name(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(name) | Token::Name(name) => Some(name),
            Token::Text(_) | Token::Hex(_) | Token::Number(_) | Token::Symbol(_) => None,
        }
    }

    /// `table`, `database.table` or `.table`
    fn table(&mut self) -> Option<TableRef> {
        self.eat_symbol('.');
        let first = self.name()?;
        if self.eat_symbol('.') {
            return Some(TableRef {
                schema: Some(first),
                table: self.name()?,
            });
        }
        Some(TableRef {
            schema: None,
            table: first,
        })
    }

    fn tables(&mut self) -> Vec<TableRef> {
        let mut tables: Vec<_> = self.table().into_iter().collect();
        while self.eat_symbol(',') {
            tables.extend(self.table());
        }
        tables
    }

    fn rollback(&mut self) -> Statement {
        self.skip_words(&["WORK"]);
        if !self.eat("TO") {
            return Statement::Rollback;
        }
        self.skip_words(&["SAVEPOINT"]);
        Statement::RollbackTo(self.name().unwrap_or_default())
    }

    fn xa(&mut self) -> Statement {
        match self.word().as_deref() {
            Some("START" | "BEGIN") => self.xa_id().map_or(Statement::Other, Statement::XaStart),
            Some("END") => Statement::XaEnd,
            Some("COMMIT") => match self.xa_id() {
                Some(id) => Statement::XaCommit {
                    id,
                    one_phase: self.eat("ONE"),
                },
                None => Statement::Other,
            },
            Some("ROLLBACK") => self.xa_id().map_or(Statement::Other, Statement::XaRollback),
            _ => Statement::Other,
        }
    }

    /// `gtrid [, bqual [, format]]`, the names as strings or in hex.
    fn xa_id(&mut self) -> Option<XaId<'static>> {
        let gtrid = self.bytes()?;
        let (mut bqual, mut format) = (Vec::new(), 1);
        if self.eat_symbol(',') {
            bqual = self.bytes()?;
            if self.eat_symbol(',') {
                let Some(Token::Number(number)) = self.next() else {
                    return None;
                };
                format = number.parse().ok()?;
            }
        }
        Some(XaId {
            format,
            gtrid: Cow::Owned(gtrid),
            bqual: Cow::Owned(bqual),
        })
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.next()? {
            Token::Text(text) => Some(text.into_bytes()),
            Token::Hex(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn create(&mut self) -> Statement {
        let replaces = self.eat("OR");
        if replaces {
            self.skip_words(&["REPLACE"]);
        }
        let temporary = self.eat("TEMPORARY");
        self.skip_words(&["ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL"]);
        match self.word().as_deref() {
            Some("TABLE") if !temporary => {
                self.skip_if();
                let tables: Vec<_> = self.table().into_iter().collect();
                let kind = if replaces {
                    DdlKind::MoveRows
                } else {
                    DdlKind::Create
                };
                ddl(kind, tables)
            }
            Some("INDEX") => self.index(),
            _ => Statement::Other,
        }
    }

    /// `… ON table …`
    fn index(&mut self) -> Statement {
        while let Some(token) = self.next() {
            if matches!(&token, Token::Word(word) if word.eq_ignore_ascii_case("ON")) {
                let tables: Vec<_> = self.table().into_iter().collect();
                return ddl(DdlKind::Index, tables);
            }
        }
        Statement::Other
    }

    fn alter(&mut self) -> Statement {
        self.skip_words(&["ONLINE", "OFFLINE", "IGNORE"]);
        if !self.eat("TABLE") {
            return Statement::Other;
        }
        self.skip_if();
        let Some(table) = self.table() else {
            return Statement::Other;
        };
        let mut tables = vec![table.clone()];
        let mut renamed = None;
        let mut moves = false;
        let mut depth = 0;
        let mut starts = true;
        while let Some(token) = self.next() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                Token::Word(word)
                    if depth == 0 && starts && word.eq_ignore_ascii_case("RENAME") =>
                {
                    let part = ["COLUMN", "INDEX", "KEY"];
                    if !part.iter().any(|part| self.is_word(part)) {
                        self.skip_words(&["TO", "AS"]);
                        self.eat_symbol('=');
                        renamed = self.table();
                    }
                }
                Token::Word(word) if depth == 0 && starts && self.moves_rows(&word) => {
                    moves = true;
                }
                // EXCHANGE PARTITION p WITH TABLE t
                Token::Word(word)
                    if depth == 0 && word.eq_ignore_ascii_case("WITH") && self.eat("TABLE") =>
                {
                    tables.extend(self.table());
                }
                Token::Symbol(',') if depth == 0 => {
                    starts = true;
                    continue;
                }
                _ => {}
            }
            starts = false;
        }
        match renamed {
            None if moves => ddl(DdlKind::MoveRows, tables),
            None => ddl(DdlKind::Alter, tables),
            Some(to) => {
                // A name without a database stays in the table's.
                let to = TableRef {
                    schema: to.schema.or_else(|| table.schema.clone()),
                    ..to
                };
                tables.push(to.clone());
                ddl(
                    DdlKind::Rename {
                        pairs: vec![(table, to)],
                    },
                    tables,
                )
            }
        }
    }

    /// Whether this word, with the next one, changes rows that are not in the log.
    fn moves_rows(&mut self, word: &str) -> bool {
        let objects: &[&str] = match word.to_ascii_uppercase().as_str() {
            "DROP" | "TRUNCATE" | "EXCHANGE" => &["PARTITION"],
            "IMPORT" | "DISCARD" => &["PARTITION", "TABLESPACE"],
            // MariaDB: CONVERT PARTITION p TO TABLE t, CONVERT TABLE t TO PARTITION p
            "CONVERT" => &["PARTITION", "TABLE"],
            _ => return false,
        };
        objects.iter().any(|object| self.is_word(object))
    }

    fn drop(&mut self) -> Statement {
        if self.eat("TEMPORARY") {
            return Statement::Other;
        }
        match self.word().as_deref() {
            Some("TABLE" | "TABLES") => {
                self.skip_if();
                let tables = self.tables();
                ddl(DdlKind::Drop, tables)
            }
            Some("INDEX") => self.index(),
            Some("DATABASE" | "SCHEMA") => {
                self.skip_if();
                let database = self.name().unwrap_or_default();
                ddl(DdlKind::DropDatabase { database }, Vec::new())
            }
            _ => Statement::Other,
        }
    }

    fn rename(&mut self) -> Statement {
        self.skip_if();
        let mut pairs = Vec::new();
        while let Some(from) = self.table() {
            // MariaDB: WAIT n, NOWAIT
            if self.eat("WAIT") {
                self.next();
            }
            self.skip_words(&["NOWAIT"]);
            if !self.eat("TO") {
                break;
            }
            let Some(to) = self.table() else { break };
            pairs.push((from, to));
            if !self.eat_symbol(',') {
                break;
            }
        }
        let tables = pairs
            .iter()
            .flat_map(|(from, to)| [from.clone(), to.clone()]);
        let tables = tables.collect();
        ddl(DdlKind::Rename { pairs }, tables)
    }

    /// One table, and then what does not matter.
    fn dml(&mut self, complete: bool) -> Statement {
        match self.table() {
            Some(table) => Statement::Dml {
                tables: vec![table],
                complete,
            },
            None => Statement::Dml {
                tables: Vec::new(),
                complete: false,
            },
        }
    }

    fn update(&mut self) -> Statement {
        let table = self.table();
        if !self.is_word("SET") {
            self.skip_words(&["AS"]);
            if !self.is_word("SET") {
                self.name();
            }
        }
        Statement::Dml {
            complete: table.is_some() && self.is_word("SET"),
            tables: table.into_iter().collect(),
        }
    }

    fn delete(&mut self) -> Statement {
        if !self.eat("FROM") {
            return Statement::Dml {
                tables: Vec::new(),
                complete: false,
            };
        }
        let Some(table) = self.table() else {
            return self.dml(false);
        };
        match self.peek() {
            // What the server writes for a MEMORY table that a restart emptied.
            None if table.schema.is_some() => Statement::Truncate(table),
            None => Statement::Dml {
                tables: vec![table],
                complete: true,
            },
            Some(_) => {
                let one = ["WHERE", "ORDER", "LIMIT", "RETURNING"];
                Statement::Dml {
                    complete: one.iter().any(|word| self.is_word(word)),
                    tables: vec![table],
                }
            }
        }
    }

    fn load(&mut self) -> Statement {
        while let Some(token) = self.next() {
            if matches!(&token, Token::Word(word) if word.eq_ignore_ascii_case("INTO"))
                && self.eat("TABLE")
            {
                return self.dml(true);
            }
        }
        Statement::Dml {
            tables: Vec::new(),
            complete: false,
        }
    }
}

const fn ddl(kind: DdlKind, tables: Vec<TableRef>) -> Statement {
    Statement::Ddl(Ddl { kind, tables })
}

#[cfg(test)]
mod tests;
