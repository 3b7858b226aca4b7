//! What a statement makes of a table's shape, as far as it is understood in full.

use adit_binlog::Flavor;
use adit_binlog::table::ColumnInfo;
use sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation as Operation, BinaryLength, CharacterLength,
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, DataType, EnumMember,
    ExactNumberInfo, Expr, Ident, IndexColumn, MySQLColumnPosition, ObjectName, SqlOption,
    Statement, TableConstraint, TimezoneInfo,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::Shape;
use crate::catalog::charset_of;

/// Types that are a name and no more, and that the parser does not know.
const PLAIN_TYPES: [&str; 11] = [
    "year",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "inet4",
    "inet6",
];
/// Options of tables that say how they are stored, and that the parser does not know.
const STORAGE: [&str; 6] = [
    "ENGINE",
    "ROW_FORMAT",
    "KEY_BLOCK_SIZE",
    "COMMENT",
    "STATS_PERSISTENT",
    "STATS_AUTO_RECALC",
];
/// The name of a primary key's index.
const PRIMARY: &str = "PRIMARY";

/// The shape of the table that a statement creates, alters or renames, after it; `before` is the shape
/// that it had. None if the statement, or anything in it that may concern the shape, is not understood.
///
/// The server prints types in a way of its own, which matters only to who reads a `schema` event: the
/// widths of integers here are those of the statement.
pub(crate) fn apply(sql: &str, before: Option<&Shape>, flavor: Flavor) -> Option<Shape> {
    let tokens = Tokenizer::new(&MySqlDialect {}, sql).tokenize().ok()?;
    let tokens = tokens.into_iter();
    let tokens: Vec<_> = tokens
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let tokens = match alteration(&tokens) {
        Some((head, operations)) => {
            let rest = operations.filter(|operation| !is_storage(operation));
            let rest = rest.collect::<Vec<_>>().join(&Token::Comma);
            if rest.is_empty() {
                return before.cloned();
            }
            [head, &rest].concat()
        }
        None => tokens.clone(),
    };
    let mut parser = Parser::new(&MySqlDialect {}).with_tokens(tokens);
    let statements = parser.parse_statements().ok()?;
    let [statement] = statements.as_slice() else {
        return None;
    };
    match statement {
        Statement::AlterTable(alter) => {
            let mut shape = before?.clone();
            let versioned = ["row_start", "row_end"];
            if versioned.iter().any(|name| place(&shape, name).is_some()) {
                // Columns are added in front of those that the server adds by itself.
                return None;
            }
            for operation in &alter.operations {
                alter_table(&mut shape, operation, flavor)?;
            }
            Some(shape)
        }
        Statement::CreateTable(create) => create_table(create, flavor),
        Statement::RenameTable(_) => before.cloned(),
        _ => None,
    }
}

/// The head of an `ALTER TABLE`, up to the table's name, and its operations.
fn alteration(tokens: &[Token]) -> Option<(&[Token], impl Iterator<Item = &[Token]>)> {
    let (is_alter, is_table) = (
        is_word(tokens.first()?, &["ALTER"]),
        is_word(tokens.get(1)?, &["TABLE"]),
    );
    let name = match tokens.get(3) {
        Some(Token::Period) => 5,
        _ => 3,
    };
    if !is_alter || !is_table {
        return None;
    }
    let (head, operations) = tokens.split_at_checked(name)?;
    let mut depth = 0_usize;
    let operations = operations.split(move |token| {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *token == Token::Comma
    });
    Some((head, operations))
}

/// Whether an operation concerns nothing but how a table is stored: it is rebuilt, as `OPTIMIZE TABLE` does it,
/// or stored otherwise.
fn is_storage(operation: &[Token]) -> bool {
    let mut tokens = operation.iter().peekable();
    while let Some(token) = tokens.next() {
        if is_word(token, &["FORCE"]) {
            continue;
        }
        if !is_word(token, &STORAGE) {
            return false;
        }
        tokens.next_if_eq(&&Token::Eq);
        if !matches!(
            tokens.next(),
            Some(Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_))
        ) {
            return false;
        }
    }
    !operation.is_empty()
}

fn is_word(token: &Token, words: &[&str]) -> bool {
    let Token::Word(word) = token else {
        return false;
    };
    let known = |known: &&str| word.value.eq_ignore_ascii_case(known);
    word.quote_style.is_none() && words.iter().any(known)
}

/// Performs one of the operations of `ALTER TABLE`.
fn alter_table(shape: &mut Shape, operation: &Operation, flavor: Flavor) -> Option<()> {
    match operation {
        Operation::AddColumn {
            if_not_exists,
            column_def,
            column_position,
            ..
        } => {
            if place(shape, &column_def.name.value).is_some() {
                return if_not_exists.then_some(());
            }
            let index = shape.info.columns.len();
            add(shape, column_def, flavor)?;
            move_to(shape, index, column_position.as_ref())
        }
        Operation::DropColumn {
            column_names,
            if_exists,
            ..
        } => {
            for name in column_names {
                match place(shape, &name.value) {
                    // What remains of the key, or which takes its place, is not known.
                    Some(_) if is_in_key(shape, &name.value) => return None,
                    Some(index) => drop(shape.info.columns.remove(index)),
                    None if *if_exists => {}
                    None => return None,
                }
            }
            Some(())
        }
        Operation::RenameColumn {
            old_column_name,
            new_column_name,
        } => rename(shape, old_column_name, new_column_name),
        Operation::ChangeColumn {
            old_name,
            new_name,
            data_type,
            options,
            column_position,
        } => {
            rename(shape, old_name, new_name)?;
            let options: Vec<_> = options.iter().collect();
            modify(
                shape,
                new_name,
                data_type,
                &options,
                column_position.as_ref(),
                flavor,
            )
        }
        Operation::ModifyColumn {
            col_name,
            data_type,
            options,
            column_position,
        } => {
            let options: Vec<_> = options.iter().collect();
            modify(
                shape,
                col_name,
                data_type,
                &options,
                column_position.as_ref(),
                flavor,
            )
        }
        Operation::AddConstraint { constraint, .. } => constrain(shape, constraint),
        Operation::DropIndex { name } | Operation::DropConstraint { name, .. } => {
            let is_other = |index: &String| !index.eq_ignore_ascii_case(&name.value);
            let keeps = shape.info.key.is_empty() || shape.index.as_ref().is_some_and(is_other);
            keeps.then_some(())
        }
        Operation::AlterColumn {
            op: AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::DropDefault,
            ..
        }
        | Operation::DropForeignKey { .. }
        | Operation::RenameTable { .. }
        | Operation::Algorithm { .. }
        | Operation::Lock { .. }
        | Operation::AutoIncrement { .. } => Some(()),
        _ => None,
    }
}

fn create_table(create: &CreateTable, flavor: Flavor) -> Option<Shape> {
    if create.query.is_some() || create.like.is_some() || create.temporary {
        return None;
    }
    let mut shape = Shape {
        charset: match &create.table_options {
            CreateTableOptions::None => None,
            CreateTableOptions::Plain(options) => options.iter().find_map(default_charset),
            _ => return None,
        },
        ..Shape::default()
    };
    for column in &create.columns {
        add(&mut shape, column, flavor)?;
    }
    for constraint in &create.constraints {
        constrain(&mut shape, constraint)?;
    }
    (!shape.info.columns.is_empty()).then_some(shape)
}

/// The character set that an option of a table names, itself or by its collation.
fn default_charset(option: &SqlOption) -> Option<String> {
    let SqlOption::KeyValue { key, value } = option else {
        return None;
    };
    let (key, value) = (
        key.to_string().to_ascii_uppercase(),
        bare(&value.to_string()),
    );
    match key.trim_start_matches("DEFAULT ") {
        "CHARSET" | "CHARACTER SET" => Some(value),
        "COLLATE" => Some(charset_of(&value).to_owned()),
        _ => None,
    }
}

/// A name as it is written in a catalogue.
fn bare(name: &str) -> String {
    let quotes = ['`', '\'', '"'];
    name.trim_matches(quotes).to_ascii_lowercase()
}

/// Adds a column at the end.
fn add(shape: &mut Shape, column: &ColumnDef, flavor: Flavor) -> Option<()> {
    let options: Vec<_> = column.options.iter().map(|option| &option.option).collect();
    let info = column_info(shape, &column.name, &column.data_type, &options, flavor)?;
    shape.info.columns.push(info);
    keys_of_column(shape, &column.name, &options)
}

/// Gives a column another type and place.
fn modify(
    shape: &mut Shape,
    name: &Ident,
    data_type: &DataType,
    options: &[&ColumnOption],
    position: Option<&MySQLColumnPosition>,
    flavor: Flavor,
) -> Option<()> {
    let index = place(shape, &name.value)?;
    let mut info = column_info(shape, name, data_type, options, flavor)?;
    if is_in_key(shape, &name.value) {
        if shape.index.as_deref() == Some(PRIMARY) {
            info.nullable = false;
        } else if info.nullable {
            // It is no key any more, and which takes its place is not known.
            return None;
        }
    }
    *shape.info.columns.get_mut(index)? = info;
    keys_of_column(shape, name, options)?;
    match position {
        None => Some(()),
        position => move_to(shape, index, position),
    }
}

/// Moves the column at `index`, which is at its place if no other is given.
fn move_to(shape: &mut Shape, index: usize, position: Option<&MySQLColumnPosition>) -> Option<()> {
    let Some(position) = position else {
        return Some(());
    };
    let column = shape.info.columns.remove(index);
    let target = match position {
        MySQLColumnPosition::First => 0,
        MySQLColumnPosition::After(name) => place(shape, &name.value)? + 1,
    };
    shape.info.columns.insert(target, column);
    Some(())
}

fn rename(shape: &mut Shape, old: &Ident, new: &Ident) -> Option<()> {
    let index = place(shape, &old.value)?;
    for column in &mut shape.info.key {
        if is_same(column, &old.value) {
            column.clone_from(&new.value);
        }
    }
    shape
        .info
        .columns
        .get_mut(index)?
        .name
        .clone_from(&new.value);
    Some(())
}

/// The keys that a column's own options make.
fn keys_of_column(shape: &mut Shape, name: &Ident, options: &[&ColumnOption]) -> Option<()> {
    for option in options {
        match option {
            ColumnOption::PrimaryKey(_) => set_key(shape, vec![name.value.clone()], true)?,
            ColumnOption::Unique(_) => set_key(shape, vec![name.value.clone()], false)?,
            _ => {}
        }
    }
    Some(())
}

fn constrain(shape: &mut Shape, constraint: &TableConstraint) -> Option<()> {
    match constraint {
        TableConstraint::PrimaryKey(key) => set_key(shape, whole_columns(&key.columns)?, true),
        TableConstraint::Unique(key) => set_key(shape, whole_columns(&key.columns)?, false),
        TableConstraint::ForeignKey(_)
        | TableConstraint::Check(_)
        | TableConstraint::Index(_)
        | TableConstraint::FulltextOrSpatial(_) => Some(()),
        _ => None,
    }
}

/// A new key; it is the one that names rows if it is the primary key, or if there was none.
fn set_key(shape: &mut Shape, columns: Vec<String>, primary: bool) -> Option<()> {
    if shape.index.as_deref() == Some(PRIMARY) {
        return (!primary).then_some(());
    }
    let mut names = Vec::with_capacity(columns.len());
    let mut never_null = true;
    for name in columns {
        let index = place(shape, &name)?;
        let column = shape.info.columns.get_mut(index)?;
        column.nullable &= !primary;
        never_null &= !column.nullable;
        names.push(column.name.clone());
    }
    if primary {
        shape.info.key = names;
        shape.index = Some(PRIMARY.to_owned());
    } else if never_null {
        if !shape.info.key.is_empty() {
            // Of two unique keys the first by name counts.
            return None;
        }
        shape.info.key = names;
    }
    Some(())
}

/// The columns of an index that has them whole.
fn whole_columns(columns: &[IndexColumn]) -> Option<Vec<String>> {
    let column = |column: &IndexColumn| match &column.column.expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        _ => None,
    };
    columns.iter().map(column).collect()
}

/// Servers do not tell the case of columns' names.
fn is_same(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

fn place(shape: &Shape, name: &str) -> Option<usize> {
    let mut columns = shape.info.columns.iter();
    columns.position(|column| is_same(&column.name, name))
}

fn is_in_key(shape: &Shape, name: &str) -> bool {
    shape.info.key.iter().any(|column| is_same(column, name))
}

/// A column as the catalogue would tell it.
fn column_info(
    shape: &Shape,
    name: &Ident,
    data_type: &DataType,
    options: &[&ColumnOption],
    flavor: Flavor,
) -> Option<ColumnInfo> {
    let mut charset = None;
    let mut nullable = None;
    for option in options {
        match option {
            ColumnOption::Null => nullable = Some(true),
            ColumnOption::NotNull | ColumnOption::PrimaryKey(_) => nullable = Some(false),
            ColumnOption::CharacterSet(name) => charset = Some(object(name)),
            ColumnOption::Collation(name) if charset.is_none() => {
                charset = Some(charset_of(&object(name)).to_owned());
            }
            ColumnOption::DialectSpecific(tokens) => {
                let [token] = tokens.as_slice() else {
                    return None;
                };
                if !token.to_string().eq_ignore_ascii_case("AUTO_INCREMENT") {
                    return None;
                }
                nullable = Some(false);
            }
            ColumnOption::Collation(_)
            | ColumnOption::Default(_)
            | ColumnOption::Unique(_)
            | ColumnOption::ForeignKey(_)
            | ColumnOption::Check(_)
            | ColumnOption::Comment(_)
            | ColumnOption::OnUpdate(_)
            | ColumnOption::Generated { .. }
            | ColumnOption::Invisible => {}
            _ => return None,
        }
    }
    let json = *data_type == DataType::JSON && flavor == Flavor::Mariadb;
    let data_type = match data_type {
        DataType::Collate(inner, collation) => {
            charset.get_or_insert_with(|| charset_of(&object(collation)).to_owned());
            inner
        }
        other => other,
    };
    let (column_type, is_text) = match data_type {
        DataType::JSON if json => {
            charset = Some("utf8mb4".to_owned());
            ("longtext".to_owned(), true)
        }
        other => printed(other)?,
    };
    if is_text && charset.is_none() {
        charset = Some(shape.charset.clone()?);
    }
    if matches!(data_type, DataType::Timestamp(..)) && nullable.is_none() {
        // A setting of the server decides.
        return None;
    }
    Some(ColumnInfo {
        name: name.value.clone(),
        column_type,
        charset: charset.filter(|_| is_text),
        nullable: nullable.unwrap_or(true),
        json,
    })
}

fn object(name: &ObjectName) -> String {
    bare(&name.to_string())
}

/// A type as the catalogue prints it, and whether it has a character set.
fn printed(data_type: &DataType) -> Option<(String, bool)> {
    let number = |name: &str, unsigned: bool| {
        let sign = if unsigned { " unsigned" } else { "" };
        Some((format!("{name}{sign}"), false))
    };
    let width = |name: &str, width: &Option<u64>| sized(name, width.as_ref());
    let exact = |name: &str, info: &ExactNumberInfo| match info {
        ExactNumberInfo::None => name.to_owned(),
        ExactNumberInfo::Precision(precision) => format!("{name}({precision})"),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            format!("{name}({precision},{scale})")
        }
    };
    // One number after FLOAT or DOUBLE chooses the type.
    let inexact = |name: &str, info: &ExactNumberInfo| match info {
        ExactNumberInfo::Precision(_) => None,
        info => Some(exact(name, info)),
    };
    let text = |name: String| Some((name, true));
    let plain = |name: String| Some((name, false));
    match data_type {
        DataType::TinyInt(w) => number(&width("tinyint", w), false),
        DataType::TinyIntUnsigned(w) => number(&width("tinyint", w), true),
        DataType::Bool | DataType::Boolean => number("tinyint(1)", false),
        DataType::SmallInt(w) => number(&width("smallint", w), false),
        DataType::SmallIntUnsigned(w) => number(&width("smallint", w), true),
        DataType::MediumInt(w) => number(&width("mediumint", w), false),
        DataType::MediumIntUnsigned(w) => number(&width("mediumint", w), true),
        DataType::Int(w) | DataType::Integer(w) => number(&width("int", w), false),
        DataType::IntUnsigned(w) | DataType::IntegerUnsigned(w) => number(&width("int", w), true),
        DataType::BigInt(w) => number(&width("bigint", w), false),
        DataType::BigIntUnsigned(w) => number(&width("bigint", w), true),
        DataType::Decimal(n) | DataType::Dec(n) | DataType::Numeric(n) => {
            number(&exact("decimal", n), false)
        }
        DataType::DecimalUnsigned(n) | DataType::DecUnsigned(n) => {
            number(&exact("decimal", n), true)
        }
        DataType::Float(n) => number(&inexact("float", n)?, false),
        DataType::FloatUnsigned(n) => number(&inexact("float", n)?, true),
        DataType::Double(n) => number(&inexact("double", n)?, false),
        DataType::DoubleUnsigned(n) => number(&inexact("double", n)?, true),
        DataType::DoublePrecision => number("double", false),
        DataType::Bit(width) => plain(format!("bit({})", width.unwrap_or(1))),
        DataType::Date => plain("date".to_owned()),
        DataType::Time(p, TimezoneInfo::None) => plain(width("time", p)),
        DataType::Datetime(p) => plain(width("datetime", p)),
        DataType::Timestamp(p, TimezoneInfo::None) => plain(width("timestamp", p)),
        DataType::JSON => plain("json".to_owned()),
        DataType::Char(length) | DataType::Character(length) => text(characters("char", length)?),
        DataType::Varchar(length @ Some(_)) | DataType::CharacterVarying(length @ Some(_)) => {
            text(characters("varchar", length)?)
        }
        DataType::Binary(length) => plain(width("binary", &Some(length.unwrap_or(1)))),
        DataType::Varbinary(Some(BinaryLength::IntegerLength { length })) => {
            plain(width("varbinary", &Some(*length)))
        }
        DataType::TinyText => text("tinytext".to_owned()),
        DataType::Text => text("text".to_owned()),
        DataType::MediumText => text("mediumtext".to_owned()),
        DataType::LongText => text("longtext".to_owned()),
        DataType::TinyBlob => plain("tinyblob".to_owned()),
        DataType::Blob(None) => plain("blob".to_owned()),
        DataType::MediumBlob => plain("mediumblob".to_owned()),
        DataType::LongBlob => plain("longblob".to_owned()),
        DataType::Enum(members, None) => {
            let labels = members.iter().map(|member| match member {
                EnumMember::Name(name) => Some(name.as_str()),
                EnumMember::NamedValue(..) => None,
            });
            text(labelled("enum", labels)?)
        }
        DataType::Set(members) => text(labelled(
            "set",
            members.iter().map(|member| Some(member.as_str())),
        )?),
        DataType::Uuid => plain("uuid".to_owned()),
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            let name = object(name);
            PLAIN_TYPES
                .contains(&name.as_str())
                .then_some((name, false))
        }
        _ => None,
    }
}

fn sized(name: &str, size: Option<&u64>) -> String {
    size.map_or_else(|| name.to_owned(), |size| format!("{name}({size})"))
}

fn characters(name: &str, length: &Option<CharacterLength>) -> Option<String> {
    match length {
        None => Some(format!("{name}(1)")),
        Some(CharacterLength::IntegerLength { length, unit: None }) => {
            Some(format!("{name}({length})"))
        }
        Some(_) => None,
    }
}

/// The server cuts off blanks at the ends of labels; how it reads a backslash depends on its mode.
fn labelled<'a>(name: &str, labels: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let quoted = labels.map(|label| {
        let label = label?.trim_end_matches(' ');
        (!label.contains(['\\', '\''])).then(|| format!("'{label}'"))
    });
    let quoted: Option<Vec<_>> = quoted.collect();
    Some(format!("{name}({})", quoted?.join(",")))
}

#[cfg(test)]
mod tests;
