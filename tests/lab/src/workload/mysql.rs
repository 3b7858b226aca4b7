//! The tables of MySQL and MariaDB: as far as they can the same as PostgreSQL's.
//!
//! Every event holds the whole old row (`binlog_row_image = FULL`). Numbers come from a table in another database, which is
//! not captured.

use super::table::{ANY, Table};

/// Where writers note what they committed.
pub(super) const LEDGER: Table = Table {
    schema: "shop",
    name: "ledger",
    sql: "shop.ledger",
    key: &[],
    full_identity: true,
    columns: &[
        ("writer", "writer"),
        ("counter", "counter"),
        ("changes", "changes"),
    ],
    insert: "",
    update: "",
    delete: "",
    rekey: None,
    rows_max: 0,
};

/// Everything that somebody might forget to escape; the number 0 is the empty string.
macro_rules! word {
    () => {
        "if(n = 0, '', concat(elt(n % 11 + 1, 'plain ', 'quo\"te ', 'back\\\\slash ', 'new\\nline ', 'tab\\t', \
         'apos''trophe ', 'dot.star*>', '%25 ', 'ünï ', '日本 ', '🦀 '), n))"
    };
}

macro_rules! numbers {
    () => {
        " from help.numbers where n between {from} and {to}"
    };
}

/// The tables that the writers write to.
pub(super) const TABLES: [Table; 7] = [
    Table {
        schema: "shop",
        name: "accounts",
        sql: "shop.accounts",
        key: &["id"],
        full_identity: true,
        columns: &[
            ("id", "id"),
            ("owner", "owner"),
            ("balance", "cast(balance as char)"),
            ("version", "version"),
        ],
        insert: concat!(
            "insert ignore into shop.accounts select n, concat('owner ', n), n * 0.01, {salt}",
            numbers!()
        ),
        update: "update shop.accounts set balance = balance + {salt}, version = version + 1 where id between {from} and {to}",
        delete: "delete from shop.accounts where id between {from} and {to}",
        rekey: Some(
            "update shop.accounts a left join (select id from shop.accounts where id between -{to} and -{from} or id between {from} and {to}) b \
             on b.id = -a.id set a.id = -a.id where (a.id between {from} and {to} or a.id between -{to} and -{from}) and b.id is null",
        ),
        rows_max: ANY,
    },
    // A composite key whose order is not that of the columns.
    Table {
        schema: "shop",
        name: "lines",
        sql: "shop.lines",
        key: &["order_no", "item", "day"],
        full_identity: true,
        columns: &[
            ("day", "cast(day as char)"),
            ("order_no", "order_no"),
            ("item", "item"),
            ("amount", "cast(amount as char)"),
            ("note", "note"),
        ],
        insert: concat!(
            "insert ignore into shop.lines select date_add('2026-01-01', interval n % 3 day), n div 10, concat('item ', n % 10), \
             (n + {salt}) / 8.0, null",
            numbers!()
        ),
        update: "update shop.lines set amount = amount + 1.5, note = 'note {salt}' where order_no between {from} div 10 and {to} div 10",
        delete: "delete from shop.lines where order_no between {from} div 10 and {to} div 10",
        rekey: Some(
            "update shop.lines a left join (select order_no, item, day from shop.lines where order_no between {from} div 10 and {to} div 10) b \
             on b.order_no = a.order_no and b.item = a.item and b.day = a.day + interval 3 day \
             set a.day = a.day + interval 3 day \
             where a.order_no between {from} div 10 and {to} div 10 and b.item is null and a.day < '2026-02-01'",
        ),
        rows_max: ANY,
    },
    Table {
        schema: "shop",
        name: "words",
        sql: "shop.words",
        key: &["word"],
        full_identity: true,
        columns: &[("word", "word"), ("seen", "seen"), ("meaning", "meaning")],
        insert: concat!(
            "insert ignore into shop.words select ",
            word!(),
            ", {salt}, concat('meaning of ', ",
            word!(),
            ") from help.numbers where n between {from} - 1 and {to} - 1"
        ),
        update: concat!(
            "update shop.words w join (select ",
            word!(),
            " as x from help.numbers where n between {from} - 1 and {to} - 1) g on w.word = g.x \
             set seen = seen + 1, meaning = concat(left(meaning, 200), '\\\\\\n', {salt})"
        ),
        delete: concat!(
            "delete w from shop.words w join (select ",
            word!(),
            " as x from help.numbers where n between {from} - 1 and {to} - 1) g on w.word in (g.x, concat('~', g.x))"
        ),
        rekey: None,
        rows_max: 300,
    },
    // Large values, and JSON.
    Table {
        schema: "shop",
        name: "documents",
        sql: "shop.documents",
        key: &["id"],
        full_identity: true,
        columns: &[
            ("id", "id"),
            ("title", "title"),
            ("body", "body"),
            ("doc", "json_extract(doc, '$')"),
        ],
        insert: concat!(
            "insert ignore into shop.documents select n, concat('title ', n), repeat(sha2(concat(n, '-{salt}'), 256), if(n % 8 = 0, 100, 1)), \
             json_object('n', n, 'list', json_array(null, 'x', {salt}))",
            numbers!()
        ),
        update: "update shop.documents set title = 'title {salt}', doc = json_set(doc, '$.salt', {salt}) where id between {from} and {to}",
        delete: "delete from shop.documents where id between {from} and {to}",
        rekey: Some(
            "update shop.documents a left join (select id from shop.documents where id between -{to} and {to}) b on b.id = -a.id \
             set a.id = -a.id where a.id between {from} and {to} and b.id is null",
        ),
        rows_max: 2_000,
    },
    // No key, and rows that are equal.
    Table {
        schema: "shop",
        name: "tags",
        sql: "shop.tags",
        key: &[],
        full_identity: true,
        columns: &[("name", "name"), ("weight", "weight")],
        insert: concat!(
            "insert into shop.tags select concat('tag ', n div 3), {salt} % 3",
            numbers!()
        ),
        update: "update shop.tags set weight = weight + 1 where substr(name, 5) + 0 between {from} div 3 and {to} div 3",
        delete: "delete from shop.tags where substr(name, 5) + 0 between {from} div 3 and {to} div 3",
        rekey: None,
        rows_max: 3_000,
    },
    // Names that have to be quoted, escaped or encoded wherever they go.
    Table {
        schema: "Shop.eu",
        name: "Order \"lines\".*",
        sql: "`Shop.eu`.`Order \"lines\".*`",
        key: &["Id.No"],
        full_identity: true,
        columns: &[
            ("Id.No", "`Id.No`"),
            ("we \"said\" ü", "`we \"said\" ü`"),
            ("select", "`select`"),
        ],
        insert: concat!(
            "insert ignore into `Shop.eu`.`Order \"lines\".*` select n, ",
            word!(),
            ", null",
            numbers!()
        ),
        update: "update `Shop.eu`.`Order \"lines\".*` set `select` = not coalesce(`select`, {salt} % 2 = 0) \
                 where `Id.No` between {from} and {to}",
        delete: "delete from `Shop.eu`.`Order \"lines\".*` where `Id.No` between {from} and {to}",
        rekey: Some(
            "update `Shop.eu`.`Order \"lines\".*` a left join (select `Id.No` as id from `Shop.eu`.`Order \"lines\".*` \
             where `Id.No` between -{to} and {to}) b on b.id = -a.`Id.No` set a.`Id.No` = -a.`Id.No` \
             where a.`Id.No` between {from} and {to} and b.id is null",
        ),
        rows_max: ANY,
    },
    // Many types.
    Table {
        schema: "shop",
        name: "kinds",
        sql: "shop.kinds",
        key: &["id"],
        full_identity: true,
        columns: &[
            ("id", "id"),
            ("small", "small"),
            ("big", "big"),
            ("ratio", "ratio"),
            ("exact", "cast(exact as char)"),
            ("at", "concat(replace(cast(at as char), ' ', 'T'), 'Z')"),
            ("local", "replace(cast(local as char), ' ', 'T')"),
            ("clock", "cast(clock as char)"),
            ("raw", "to_base64(raw)"),
            ("mood", "cast(mood as char)"),
            (
                "flags",
                "json_extract(if(flags = '', '[]', concat('[\"', replace(flags, ',', '\",\"'), '\"]')), '$')",
            ),
            ("bits", "lpad(bin(bits + 0), 5, '0')"),
            ("padded", "padded"),
            ("y", "y + 0"),
            ("latin", "convert(latin using utf8mb4)"),
        ],
        insert: concat!(
            "insert ignore into shop.kinds select n, n % 65536, 18446744073709551615 - n, (2 * n + 1) / 8e0, \
             cast(n as decimal(40, 10)) * 1000000007 * 1000000007 / 1000, \
             timestamp '2026-03-01 12:00:00.250000' + interval n hour, timestamp '1999-12-31 23:59:59.500' - interval n hour, \
             if(n % 2 = 0, maketime(n % 839, n % 60, n % 60), maketime(-(n % 839), n % 60, n % 60)), left(unhex(sha2(n, 256)), 16), n % 3 + 1, n % 8, n % 32, \
             concat('p', n % 1000), 1901 + n % 255, concat('é', n)",
            numbers!()
        ),
        update: "update shop.kinds set exact = exact / 2, big = big - 1, raw = concat(left(raw, 20), x'00ff'), flags = (flags + {salt}) % 8, \
                 mood = null, bits = ~bits & 31 where id between {from} and {to}",
        delete: "delete from shop.kinds where id between {from} and {to}",
        rekey: Some(
            "update shop.kinds a left join (select id from shop.kinds where id between -{to} and {to}) b on b.id = -a.id \
             set a.id = -a.id where a.id between {from} and {to} and b.id is null",
        ),
        rows_max: 5_000,
    },
];

/// Makes the tables.
pub(super) const DDL: &str = r#"
create database help;
create table help.numbers (n int primary key);
insert into help.numbers values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
insert into help.numbers select a.n * 10 + b.n from help.numbers a, help.numbers b where a.n > 0;
insert into help.numbers select a.n * 100 + b.n from help.numbers a, help.numbers b where a.n between 1 and 99;
insert into help.numbers select a.n * 10000 + b.n from help.numbers a, help.numbers b where a.n between 1 and 6;

create database shop character set utf8mb4;
create table shop.ledger (writer int not null, counter bigint not null, changes bigint not null, index (writer, counter));
create table shop.accounts (id bigint primary key, owner varchar(40), balance decimal(14, 2), version int not null);
create table shop.lines (day date, order_no int, item varchar(20), amount decimal(20, 3), note text,
    primary key (order_no, item, day));
create table shop.words (word varchar(60) collate utf8mb4_bin primary key, seen int not null, meaning text);
create table shop.documents (id int primary key, title text, body mediumtext, doc json);
create table shop.tags (name varchar(20), weight int);
create database `Shop.eu` character set utf8mb4;
create table `Shop.eu`.`Order "lines".*` (`Id.No` int primary key, `we "said" ü` text, `select` boolean);
create table shop.kinds (id bigint primary key, small smallint unsigned, big bigint unsigned, ratio double, exact decimal(40, 10),
    at timestamp(6) null, local datetime(3), clock time(6), raw varbinary(40), mood enum('sad', 'ok', 'so "so"'),
    flags set('a', 'b', 'c'), bits bit(5), padded char(6), y year, latin varchar(20) character set latin1);
"#;
