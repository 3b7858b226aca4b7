//! A column's type as the catalogue prints it (`COLUMN_TYPE`): read, and printed.

use crate::charset::Charset;
use crate::event::{ColumnType, TypeCode};
use crate::flavor::Flavor;
use crate::value::{ColumnSpec, Declared};

use super::{ColumnInfo, blob_len, same_code};

/// A declared type.
#[derive(Debug, Clone)]
pub(super) struct Declaration {
    code: TypeCode,
    /// The metadata that its map has; none where that cannot be told from the declaration.
    meta: Option<u16>,
    unsigned: bool,
    charset: Charset,
    labels: Vec<String>,
    declared: Declared,
}

impl Declaration {
    /// Reads a type; else says what of it is not known.
    pub(super) fn parse(info: &ColumnInfo, flavor: Flavor) -> Result<Self, String> {
        let text = info.column_type.trim();
        let word_len = text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(word_len);
        let word = word.to_ascii_lowercase();
        let labels = if matches!(word.as_str(), "enum" | "set") {
            labels(rest)
        } else {
            Vec::new()
        };
        let numbers = numbers(rest);
        let first = numbers.first().copied();
        let charset = match &info.charset {
            None => Charset::BINARY,
            Some(name) => {
                Charset::by_name(name).ok_or_else(|| format!("character set {name:?}"))?
            }
        };
        let wide = |characters: u32| {
            u16::try_from(characters.saturating_mul(charset.character_len_max())).ok()
        };
        let fraction = u16::try_from(first.unwrap_or(0)).ok();
        let mut declared = if info.json {
            Declared::Json
        } else {
            Declared::Plain
        };
        let maria = flavor == Flavor::Mariadb;
        let mut of_maria = |kind, code, meta| {
            declared = kind;
            (code, Some(meta))
        };
        let (code, meta) = match word.as_str() {
            "tinyint" | "bool" | "boolean" => (TypeCode::TINY, Some(0)),
            "smallint" => (TypeCode::SHORT, Some(0)),
            "mediumint" => (TypeCode::INT24, Some(0)),
            "int" | "integer" => (TypeCode::LONG, Some(0)),
            "bigint" => (TypeCode::LONGLONG, Some(0)),
            "float" => (TypeCode::FLOAT, Some(4)),
            "double" | "real" => (TypeCode::DOUBLE, Some(8)),
            "decimal" | "numeric" => {
                let scale = numbers.get(1).copied().unwrap_or(0);
                let precision = u8::try_from(first.unwrap_or(10)).unwrap_or(u8::MAX);
                let scale = u8::try_from(scale).unwrap_or(u8::MAX);
                let meta = u16::from_be_bytes([precision, scale]);
                (TypeCode::NEWDECIMAL, Some(meta))
            }
            "bit" => {
                let bits = u16::try_from(first.unwrap_or(1)).unwrap_or(64);
                (TypeCode::BIT, Some(((bits / 8) << 8) | (bits % 8)))
            }
            "year" => (TypeCode::YEAR, Some(0)),
            "date" => (TypeCode::DATE, Some(0)),
            "time" => (TypeCode::TIME2, fraction),
            "datetime" => (TypeCode::DATETIME2, fraction),
            "timestamp" => (TypeCode::TIMESTAMP2, fraction),
            "char" => (TypeCode::STRING, wide(first.unwrap_or(1))),
            "binary" => (TypeCode::STRING, wide(first.unwrap_or(1))),
            "varchar" | "varbinary" => {
                let code = if rest.contains("COMPRESSED") {
                    TypeCode::VARCHAR_COMPRESSED
                } else {
                    TypeCode::VARCHAR
                };
                // A compressed value has a byte more.
                let meta = wide(first.unwrap_or(0)).filter(|_| code == TypeCode::VARCHAR);
                (code, meta)
            }
            "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob"
            | "mediumblob" | "longblob" => {
                let code = if rest.contains("COMPRESSED") {
                    TypeCode::BLOB_COMPRESSED
                } else {
                    TypeCode::BLOB
                };
                (code, Some(blob_len(word.as_bytes())))
            }
            "enum" => {
                let meta = if labels.len() < 256 { 1 } else { 2 };
                (TypeCode::ENUM, Some(meta))
            }
            "set" => {
                let bytes = match labels.len().div_ceil(8) {
                    len @ 0..=4 => len,
                    _ => 8,
                };
                (TypeCode::SET, u16::try_from(bytes).ok())
            }
            "json" if maria => {
                let declared = Declared::Json;
                of_maria(declared, TypeCode::BLOB, 4)
            }
            "json" => (TypeCode::JSON, Some(4)),
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => {
                (TypeCode::GEOMETRY, Some(4))
            }
            "vector" if maria => {
                let bytes = u16::try_from(first.unwrap_or(0).saturating_mul(4));
                of_maria(
                    Declared::Vector,
                    TypeCode::VARCHAR,
                    bytes.unwrap_or(u16::MAX),
                )
            }
            "vector" => (TypeCode::VECTOR, Some(4)),
            "uuid" if maria => of_maria(Declared::Uuid, TypeCode::STRING, 16),
            "inet6" if maria => of_maria(Declared::Inet6, TypeCode::STRING, 16),
            "inet4" if maria => of_maria(Declared::Inet4, TypeCode::STRING, 4),
            _ => return Err(format!("type {text:?}")),
        };
        let is_text = matches!(
            code,
            TypeCode::STRING
                | TypeCode::VARCHAR
                | TypeCode::VARCHAR_COMPRESSED
                | TypeCode::BLOB
                | TypeCode::BLOB_COMPRESSED
                | TypeCode::ENUM
                | TypeCode::SET
        );
        Ok(Self {
            code,
            meta,
            unsigned: rest.contains("unsigned") || rest.contains("zerofill"),
            charset: if is_text { charset } else { Charset::BINARY },
            labels,
            declared,
        })
    }

    pub(super) const fn declared(&self) -> Declared {
        self.declared
    }

    /// The column as a snapshot reads it.
    pub(super) fn into_spec(self, nullable: bool) -> ColumnSpec {
        ColumnSpec {
            column: ColumnType {
                code: self.code,
                meta: self.meta.unwrap_or(0),
                nullable,
            },
            unsigned: self.unsigned,
            charset: self.charset,
            labels: self.labels,
            declared: self.declared,
        }
    }

    /// Whether values of this column are what the declaration says; else what they are not.
    pub(super) fn fits(&self, spec: &ColumnSpec, nullable: bool) -> Result<(), String> {
        let column = spec.column;
        if !same_code(self.code, column.code) {
            return Err(format!(
                "has type number {} in the log and {} in the table",
                column.code.0, self.code.0
            ));
        }
        let old_time = matches!(
            column.code,
            TypeCode::TIME | TypeCode::DATETIME | TypeCode::TIMESTAMP
        );
        if self.code == column.code
            && !old_time
            && let Some(meta) = self.meta
            && meta != column.meta
        {
            return Err(format!(
                "is of size {} in the log and {meta} in the table",
                column.meta
            ));
        }
        if column.nullable != nullable {
            return Err("may be NULL in only one of log and table".to_owned());
        }
        // The log says that YEAR is unsigned.
        if spec.unsigned != self.unsigned && column.code != TypeCode::YEAR {
            return Err("is unsigned in only one of log and table".to_owned());
        }
        if spec.labels != self.labels {
            return Err("has other labels in the table".to_owned());
        }
        // The log says `binary` of some types that the catalogue gives no character set.
        if spec.charset.name() != self.charset.name() {
            return Err("has another character set in the table".to_owned());
        }
        Ok(())
    }
}

/// Digits of the fraction of a time.
pub(super) fn fraction(column_type: &str) -> u16 {
    let brackets = column_type.find('(').and_then(|at| column_type.get(at..));
    let first = numbers(brackets.unwrap_or_default()).first().copied();
    u16::try_from(first.unwrap_or(0)).unwrap_or(0)
}

/// The numbers in the first brackets.
fn numbers(text: &str) -> Vec<u32> {
    let inside = text
        .strip_prefix('(')
        .and_then(|text| text.split_once(')'))
        .map_or("", |(inside, _)| inside);
    let numbers = inside.split(',').map(|number| number.trim().parse());
    numbers.map_while(Result::ok).collect()
}

/// The strings in the brackets: quotes in them are doubled, and backslashes, NULs and ends of line
/// escaped, whatever the SQL mode (`append_unescaped`, `sql/sql_show.cc`).
fn labels(text: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\'' {
            continue;
        }
        let mut label = String::new();
        while let Some(c) = characters.next() {
            match c {
                '\'' if characters.next_if_eq(&'\'').is_some() => label.push('\''),
                '\'' => break,
                '\\' => label.extend(characters.next().map(|escaped| match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    '0' => '\0',
                    other => other,
                })),
                other => label.push(other),
            }
        }
        labels.push(label);
    }
    labels
}

/// A type as the catalogue would print it, as far as the log says it.
pub(super) fn printed(spec: &ColumnSpec) -> String {
    let meta = spec.column.meta;
    let unsigned = if spec.unsigned { " unsigned" } else { "" };
    let characters = u32::from(meta) / spec.charset.character_len_max().max(1);
    let binary = spec.charset.is_binary();
    let fraction = if meta == 0 {
        String::new()
    } else {
        format!("({meta})")
    };
    match spec.column.code {
        TypeCode::TINY => format!("tinyint{unsigned}"),
        TypeCode::SHORT => format!("smallint{unsigned}"),
        TypeCode::INT24 => format!("mediumint{unsigned}"),
        TypeCode::LONG => format!("int{unsigned}"),
        TypeCode::LONGLONG => format!("bigint{unsigned}"),
        TypeCode::FLOAT => format!("float{unsigned}"),
        TypeCode::DOUBLE => format!("double{unsigned}"),
        TypeCode::NEWDECIMAL => {
            let [precision, scale] = meta.to_be_bytes();
            format!("decimal({precision},{scale}){unsigned}")
        }
        TypeCode::BIT => format!("bit({})", crate::value::bits(meta)),
        TypeCode::YEAR => "year".to_owned(),
        TypeCode::DATE | TypeCode::NEWDATE => "date".to_owned(),
        TypeCode::TIME => "time".to_owned(),
        TypeCode::DATETIME => "datetime".to_owned(),
        TypeCode::TIMESTAMP => "timestamp".to_owned(),
        TypeCode::TIME2 => format!("time{fraction}"),
        TypeCode::DATETIME2 => format!("datetime{fraction}"),
        TypeCode::TIMESTAMP2 => format!("timestamp{fraction}"),
        TypeCode::STRING if binary => format!("binary({meta})"),
        TypeCode::STRING => format!("char({characters})"),
        TypeCode::VARCHAR | TypeCode::VAR_STRING | TypeCode::VARCHAR_COMPRESSED if binary => {
            format!("varbinary({meta})")
        }
        TypeCode::VARCHAR | TypeCode::VAR_STRING | TypeCode::VARCHAR_COMPRESSED => {
            format!("varchar({characters})")
        }
        TypeCode::ENUM => format!("enum({})", quoted(&spec.labels)),
        TypeCode::SET => format!("set({})", quoted(&spec.labels)),
        TypeCode::JSON => "json".to_owned(),
        TypeCode::GEOMETRY => "geometry".to_owned(),
        TypeCode::VECTOR => "vector".to_owned(),
        _ => {
            let size = match meta {
                1 => "tiny",
                2 => "",
                3 => "medium",
                _ => "long",
            };
            let kind = if binary { "blob" } else { "text" };
            format!("{size}{kind}")
        }
    }
}

fn quoted(labels: &[String]) -> String {
    let mut out = String::new();
    for label in labels {
        out.push_str(if out.is_empty() { "'" } else { ",'" });
        for c in label.chars() {
            match c {
                '\'' => out.push_str("''"),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\0' => out.push_str("\\0"),
                other => out.push(other),
            }
        }
        out.push('\'');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_the_catalogue_prints_them() {
        let printed = r#"'one','two''s','th\\ree','fo\nur\r\0','fi"ve','s,ix(','é','')"#;
        let read = labels(&format!("({printed}"));
        let expected = [
            "one",
            "two's",
            "th\\ree",
            "fo\nur\r\0",
            "fi\"ve",
            "s,ix(",
            "é",
            "",
        ];
        assert_eq!(read, expected);
        assert_eq!(quoted(&read), printed.trim_end_matches(')'));
        assert_eq!(labels("('cut"), ["cut"]);
        assert_eq!(labels("('cut\\"), ["cut"]);
    }
}
