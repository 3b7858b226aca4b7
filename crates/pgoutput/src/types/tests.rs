//! Tables of cells and their JSON. The cells are what PostgreSQL 18 wrote.

mod extensions;
mod garbage;
mod scalars;

use std::sync::Arc;

use adit_event::{Logical, ValueError, ValueOptions, ValueWriter};

use super::{TypeInfo, TypeKind, builtin, column_type, format, logical, oid};

/// The JSON of a cell, or the problem with it.
fn json_of(info: &TypeInfo, typmod: i32, cell: &[u8]) -> Result<String, ValueError> {
    let mut out = Vec::new();
    let mut writer = ValueWriter::new(&mut out, ValueOptions::default());
    format(info, typmod).write_text(cell, &mut writer)?;
    Ok(String::from_utf8(out).unwrap())
}

fn check(info: &TypeInfo, typmod: i32, cell: &str, json: &str) {
    assert_eq!(
        json_of(info, typmod, cell.as_bytes()).as_deref(),
        Ok(json),
        "{} {typmod}: {cell}",
        info.name
    );
    serde_json::from_str::<serde_json::Value>(json).unwrap();
}

/// A built-in type without a modifier.
fn check_all(oid: u32, table: &[(&str, &str)]) {
    let info = builtin(oid).unwrap();
    for (cell, json) in table {
        check(&info, -1, cell, json);
    }
}

fn check_refused(info: &TypeInfo, cells: &[&str]) {
    for cell in cells {
        let error = json_of(info, -1, cell.as_bytes()).expect_err(cell);
        assert_eq!(error.len, cell.len(), "{}: {cell}", info.name);
        assert!(error.offset <= error.len, "{}: {cell}", info.name);
    }
}

fn check_all_refused(oid: u32, cells: &[&str]) {
    check_refused(&builtin(oid).unwrap(), cells);
}

fn user_type(name: &str, kind: TypeKind) -> TypeInfo {
    TypeInfo {
        oid: 16_999,
        name: name.to_owned(),
        schema: "public".to_owned(),
        kind,
    }
}

fn array_of(element: TypeInfo) -> TypeInfo {
    let name = format!("_{}", element.name);
    user_type(
        &name,
        TypeKind::Array {
            element: Arc::new(element),
            delimiter: b',',
        },
    )
}
