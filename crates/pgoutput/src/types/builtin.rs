//! The types that every PostgreSQL has, by OID.

use std::sync::Arc;

use super::{TypeInfo, TypeKind};

/// OIDs of built-in types, fixed for ever; grouped and ordered as in PostgreSQL's `pg_type.dat`.
pub(super) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const CHAR: u32 = 18;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT2VECTOR: u32 = 22;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const REGPROC: u32 = 24;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const TID: u32 = 27;
    pub(crate) const XID: u32 = 28;
    pub(crate) const CID: u32 = 29;
    pub(crate) const OIDVECTOR: u32 = 30;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const XML: u32 = 142;
    pub(crate) const PG_NODE_TREE: u32 = 194;
    pub(crate) const PG_NDISTINCT: u32 = 3361;
    pub(crate) const PG_DEPENDENCIES: u32 = 3402;
    pub(crate) const PG_MCV_LIST: u32 = 5017;
    pub(crate) const XID8: u32 = 5069;

    // Geometry of PostgreSQL's own.
    pub(crate) const POINT: u32 = 600;
    pub(crate) const LSEG: u32 = 601;
    pub(crate) const PATH: u32 = 602;
    pub(crate) const BOX: u32 = 603;
    pub(crate) const POLYGON: u32 = 604;
    pub(crate) const LINE: u32 = 628;

    // Numbers, money, geometry, networks.
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const CIRCLE: u32 = 718;
    pub(crate) const MONEY: u32 = 790;
    pub(crate) const MACADDR: u32 = 829;
    pub(crate) const INET: u32 = 869;
    pub(crate) const CIDR: u32 = 650;
    pub(crate) const MACADDR8: u32 = 774;
    pub(crate) const ACLITEM: u32 = 1033;

    // Text with a length, dates and times, bits, numeric.
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const TIMETZ: u32 = 1266;
    pub(crate) const BIT: u32 = 1560;
    pub(crate) const VARBIT: u32 = 1562;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const REFCURSOR: u32 = 1790;

    // Names of catalogue objects.
    pub(crate) const REGPROCEDURE: u32 = 2202;
    pub(crate) const REGOPER: u32 = 2203;
    pub(crate) const REGOPERATOR: u32 = 2204;
    pub(crate) const REGCLASS: u32 = 2205;
    pub(crate) const REGCOLLATION: u32 = 4191;
    pub(crate) const REGTYPE: u32 = 2206;
    pub(crate) const REGROLE: u32 = 4096;
    pub(crate) const REGNAMESPACE: u32 = 4089;

    // UUID, WAL position, text search, jsonb, snapshots.
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const PG_LSN: u32 = 3220;
    pub(crate) const TSVECTOR: u32 = 3614;
    pub(crate) const GTSVECTOR: u32 = 3642;
    pub(crate) const TSQUERY: u32 = 3615;
    pub(crate) const REGCONFIG: u32 = 3734;
    pub(crate) const REGDICTIONARY: u32 = 3769;
    pub(crate) const JSONB: u32 = 3802;
    pub(crate) const JSONPATH: u32 = 4072;
    pub(crate) const TXID_SNAPSHOT: u32 = 2970;
    pub(crate) const PG_SNAPSHOT: u32 = 5038;

    // Ranges and multiranges.
    pub(crate) const INT4RANGE: u32 = 3904;
    pub(crate) const NUMRANGE: u32 = 3906;
    pub(crate) const TSRANGE: u32 = 3908;
    pub(crate) const TSTZRANGE: u32 = 3910;
    pub(crate) const DATERANGE: u32 = 3912;
    pub(crate) const INT8RANGE: u32 = 3926;
    pub(crate) const INT4MULTIRANGE: u32 = 4451;
    pub(crate) const NUMMULTIRANGE: u32 = 4532;
    pub(crate) const TSMULTIRANGE: u32 = 4533;
    pub(crate) const TSTZMULTIRANGE: u32 = 4534;
    pub(crate) const DATEMULTIRANGE: u32 = 4535;
    pub(crate) const INT8MULTIRANGE: u32 = 4536;

    // Summaries of BRIN indexes.
    pub(crate) const PG_BRIN_BLOOM_SUMMARY: u32 = 4600;
    pub(crate) const PG_BRIN_MINMAX_MULTI_SUMMARY: u32 = 4601;
}

/// OID, OID of its array (0: it has none), name.
type Row = (u32, u32, &'static str);

const BASES: &[Row] = &[
    (oid::BOOL, 1000, "bool"),
    (oid::BYTEA, 1001, "bytea"),
    (oid::CHAR, 1002, "char"),
    (oid::NAME, 1003, "name"),
    (oid::INT8, 1016, "int8"),
    (oid::INT2, 1005, "int2"),
    (oid::INT2VECTOR, 1006, "int2vector"),
    (oid::INT4, 1007, "int4"),
    (oid::REGPROC, 1008, "regproc"),
    (oid::TEXT, 1009, "text"),
    (oid::OID, 1028, "oid"),
    (oid::TID, 1010, "tid"),
    (oid::XID, 1011, "xid"),
    (oid::CID, 1012, "cid"),
    (oid::OIDVECTOR, 1013, "oidvector"),
    (oid::JSON, 199, "json"),
    (oid::XML, 143, "xml"),
    (oid::PG_NODE_TREE, 0, "pg_node_tree"),
    (oid::PG_NDISTINCT, 0, "pg_ndistinct"),
    (oid::PG_DEPENDENCIES, 0, "pg_dependencies"),
    (oid::PG_MCV_LIST, 0, "pg_mcv_list"),
    (oid::XID8, 271, "xid8"),
    (oid::POINT, 1017, "point"),
    (oid::LSEG, 1018, "lseg"),
    (oid::PATH, 1019, "path"),
    (oid::BOX, 1020, "box"),
    (oid::POLYGON, 1027, "polygon"),
    (oid::LINE, 629, "line"),
    (oid::FLOAT4, 1021, "float4"),
    (oid::FLOAT8, 1022, "float8"),
    (oid::CIRCLE, 719, "circle"),
    (oid::MONEY, 791, "money"),
    (oid::MACADDR, 1040, "macaddr"),
    (oid::INET, 1041, "inet"),
    (oid::CIDR, 651, "cidr"),
    (oid::MACADDR8, 775, "macaddr8"),
    (oid::ACLITEM, 1034, "aclitem"),
    (oid::BPCHAR, 1014, "bpchar"),
    (oid::VARCHAR, 1015, "varchar"),
    (oid::DATE, 1182, "date"),
    (oid::TIME, 1183, "time"),
    (oid::TIMESTAMP, 1115, "timestamp"),
    (oid::TIMESTAMPTZ, 1185, "timestamptz"),
    (oid::INTERVAL, 1187, "interval"),
    (oid::TIMETZ, 1270, "timetz"),
    (oid::BIT, 1561, "bit"),
    (oid::VARBIT, 1563, "varbit"),
    (oid::NUMERIC, 1231, "numeric"),
    (oid::REFCURSOR, 2201, "refcursor"),
    (oid::REGPROCEDURE, 2207, "regprocedure"),
    (oid::REGOPER, 2208, "regoper"),
    (oid::REGOPERATOR, 2209, "regoperator"),
    (oid::REGCLASS, 2210, "regclass"),
    (oid::REGCOLLATION, 4192, "regcollation"),
    (oid::REGTYPE, 2211, "regtype"),
    (oid::REGROLE, 4097, "regrole"),
    (oid::REGNAMESPACE, 4090, "regnamespace"),
    (oid::UUID, 2951, "uuid"),
    (oid::PG_LSN, 3221, "pg_lsn"),
    (oid::TSVECTOR, 3643, "tsvector"),
    (oid::GTSVECTOR, 3644, "gtsvector"),
    (oid::TSQUERY, 3645, "tsquery"),
    (oid::REGCONFIG, 3735, "regconfig"),
    (oid::REGDICTIONARY, 3770, "regdictionary"),
    (oid::JSONB, 3807, "jsonb"),
    (oid::JSONPATH, 4073, "jsonpath"),
    (oid::TXID_SNAPSHOT, 2949, "txid_snapshot"),
    (oid::PG_SNAPSHOT, 5039, "pg_snapshot"),
    (oid::PG_BRIN_BLOOM_SUMMARY, 0, "pg_brin_bloom_summary"),
    (
        oid::PG_BRIN_MINMAX_MULTI_SUMMARY,
        0,
        "pg_brin_minmax_multi_summary",
    ),
];

const RANGES: &[Row] = &[
    (oid::INT4RANGE, 3905, "int4range"),
    (oid::NUMRANGE, 3907, "numrange"),
    (oid::TSRANGE, 3909, "tsrange"),
    (oid::TSTZRANGE, 3911, "tstzrange"),
    (oid::DATERANGE, 3913, "daterange"),
    (oid::INT8RANGE, 3927, "int8range"),
];

const MULTIRANGES: &[Row] = &[
    (oid::INT4MULTIRANGE, 6150, "int4multirange"),
    (oid::NUMMULTIRANGE, 6151, "nummultirange"),
    (oid::TSMULTIRANGE, 6152, "tsmultirange"),
    (oid::TSTZMULTIRANGE, 6153, "tstzmultirange"),
    (oid::DATEMULTIRANGE, 6155, "datemultirange"),
    (oid::INT8MULTIRANGE, 6157, "int8multirange"),
];

/// What is known about a built-in type (or the array of one) without asking a catalogue.
///
/// `None` for everything else: types that users and extensions made (OIDs from 16384), those of
/// `information_schema`, and built-in ones of releases newer than 18.
#[must_use]
pub fn builtin(oid: u32) -> Option<TypeInfo> {
    [
        (BASES, TypeKind::Base),
        (RANGES, TypeKind::Range),
        (MULTIRANGES, TypeKind::Multirange),
    ]
    .into_iter()
    .find_map(|(rows, kind)| {
        let &row = rows.iter().find(|row| row.0 == oid || row.1 == oid)?;
        // The 0 of those that have no array is no type.
        (oid != 0).then(|| described(oid, row, kind))
    })
}

fn described(oid: u32, (base, _, name): Row, kind: TypeKind) -> TypeInfo {
    let plain = TypeInfo {
        oid: base,
        name: name.to_owned(),
        schema: "pg_catalog".to_owned(),
        kind,
    };
    if oid == base {
        return plain;
    }
    TypeInfo {
        oid,
        name: format!("_{name}"),
        schema: "pg_catalog".to_owned(),
        kind: TypeKind::Array {
            delimiter: if base == oid::BOX { b';' } else { b',' },
            element: Arc::new(plain),
        },
    }
}
