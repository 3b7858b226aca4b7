//! The tables: their shapes, what is written to them, and how their rows look in an event.

/// One of the tables that the writers write to.
///
/// In the statements `{from}` and `{to}` stand for the first and the last of the numbers that are concerned, and
/// `{salt}` for a small number that differs from time to time.
#[derive(Debug)]
pub struct Table {
    /// Its schema.
    pub schema: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its name in SQL.
    pub sql: &'static str,
    /// The columns that identify a row in events; empty if none do.
    pub key: &'static [&'static str],
    /// Whether events hold the whole old row.
    pub full_identity: bool,
    /// Its columns, and the SQL that makes of each the JSON value that an event holds.
    pub columns: &'static [(&'static str, &'static str)],
    pub(super) insert: &'static str,
    pub(super) update: &'static str,
    pub(super) delete: &'static str,
    /// Changes keys; none where there is no key.
    pub(super) rekey: Option<&'static str>,
    /// Most rows of one statement; large rows are written in smaller numbers.
    pub(super) rows_max: i64,
}

/// Where writers note what they committed. It has no key, so it sees inserts only.
pub(super) const LEDGER: Table = Table {
    schema: "public",
    name: "ledger",
    sql: "ledger",
    key: &[],
    full_identity: false,
    columns: &[
        ("writer", "to_jsonb(writer)"),
        ("counter", "to_jsonb(counter)"),
        ("changes", "to_jsonb(changes)"),
        ("xid", "to_jsonb(xid)"),
    ],
    insert: "",
    update: "",
    delete: "",
    rekey: None,
    rows_max: 0,
};

pub(super) const ANY: i64 = i64::MAX;

/// The tables that the writers write to in PostgreSQL.
pub(super) const TABLES: [Table; 8] = [
    Table {
        schema: "public",
        name: "accounts",
        sql: "accounts",
        key: &["id"],
        full_identity: false,
        columns: &[
            ("id", "to_jsonb(id)"),
            ("owner", "to_jsonb(owner)"),
            ("balance", "to_jsonb(balance::text)"),
            ("version", "to_jsonb(version)"),
        ],
        insert: "insert into accounts select g, 'owner ' || g, g * 0.01, {salt} from generate_series({from}, {to}) g \
                 on conflict (id) do update set version = accounts.version + 1",
        update: "update accounts set balance = balance + {salt}, version = version + 1 where id between {from} and {to}",
        delete: "delete from accounts where id between {from} and {to}",
        rekey: Some(
            "update accounts a set id = -id where abs(id) between {from} and {to} \
             and not exists (select from accounts b where b.id = -a.id)",
        ),
        rows_max: ANY,
    },
    // A composite key whose order is not that of the columns.
    Table {
        schema: "public",
        name: "lines",
        sql: "lines",
        key: &["order_no", "item", "day"],
        full_identity: false,
        columns: &[
            ("day", "to_jsonb(day::text)"),
            ("order_no", "to_jsonb(order_no)"),
            ("item", "to_jsonb(item)"),
            ("amount", "to_jsonb(amount::text)"),
            ("note", "to_jsonb(note)"),
        ],
        insert: "insert into lines select date '2026-01-01' + (g % 3)::int, g / 10, 'item ' || g % 10, (g + {salt}) / 8.0, null \
                 from generate_series({from}, {to}) g on conflict do nothing",
        update: "update lines set amount = amount + 1.5, note = 'note {salt}' where order_no between {from} / 10 and {to} / 10",
        delete: "delete from lines where order_no between {from} / 10 and {to} / 10",
        rekey: Some(
            "update lines a set day = day + 3 where order_no between {from} / 10 and {to} / 10 and not exists \
             (select from lines b where (b.order_no, b.item, b.day) = (a.order_no, a.item, a.day + 3)) and day < '2026-02-01'",
        ),
        rows_max: ANY,
    },
    // Keys with everything that somebody might forget to escape; the number 0 is the empty string.
    Table {
        schema: "public",
        name: "words",
        sql: "words",
        key: &["word"],
        full_identity: false,
        columns: &[
            ("word", "to_jsonb(word)"),
            ("seen", "to_jsonb(seen)"),
            ("meaning", "to_jsonb(meaning)"),
        ],
        insert: "insert into words select word(g), {salt}, 'meaning of ' || word(g) from generate_series({from} - 1, {to} - 1) g \
                 on conflict do nothing",
        update: "update words set seen = seen + 1, meaning = meaning || E'\\\\\\n' || {salt} \
                 where word in (select word(g) from generate_series({from} - 1, {to} - 1) g)",
        delete: "delete from words where word in \
                 (select w from generate_series({from} - 1, {to} - 1) g, lateral (values (word(g)), ('~' || word(g))) as v(w))",
        rekey: Some(
            "update words a set word = '~' || word where word in (select word(g) from generate_series({from} - 1, {to} - 1) g) \
             and not exists (select from words b where b.word = '~' || a.word)",
        ),
        rows_max: ANY,
    },
    // The old row is complete in the log, large values included although they did not change.
    Table {
        schema: "public",
        name: "documents",
        sql: "documents",
        key: &["id"],
        full_identity: true,
        columns: &[
            ("id", "to_jsonb(id)"),
            ("title", "to_jsonb(title)"),
            ("body", "to_jsonb(body)"),
        ],
        insert: "insert into documents select g, 'title ' || g, repeat(md5(g || '-{salt}'), case g % 8 when 0 then 100 else 1 end) \
                 from generate_series({from}, {to}) g on conflict (id) do update set body = excluded.body || '+'",
        update: "update documents set title = 'title {salt}' where id between {from} and {to}",
        delete: "delete from documents where id between {from} and {to}",
        rekey: Some(
            "update documents a set id = -id where abs(id) between {from} and {to} \
             and not exists (select from documents b where b.id = -a.id)",
        ),
        rows_max: 2_000,
    },
    // Identified by an index; a large value that did not change is not in the log.
    Table {
        schema: "public",
        name: "parts",
        sql: "parts",
        key: &["code"],
        full_identity: false,
        columns: &[
            ("description", "to_jsonb(description)"),
            ("code", "to_jsonb(code)"),
            ("stock", "to_jsonb(stock)"),
        ],
        insert: "insert into parts select repeat(md5(g || '-{salt}'), case g % 8 when 0 then 100 else 1 end), 'part ' || g, {salt} \
                 from generate_series({from}, {to}) g on conflict (code) do update set stock = parts.stock + 1",
        update: "update parts set stock = stock + 1 where code in (select 'part ' || g from generate_series({from}, {to}) g)",
        delete: "delete from parts where code in (select 'part ' || g from generate_series({from}, {to}) g)",
        rekey: Some(
            "update parts a set code = code || ' old' where code in (select 'part ' || g from generate_series({from}, {to}) g) \
             and not exists (select from parts b where b.code = a.code || ' old')",
        ),
        rows_max: 2_000,
    },
    // No key, and rows that are equal.
    Table {
        schema: "public",
        name: "tags",
        sql: "tags",
        key: &[],
        full_identity: true,
        columns: &[("name", "to_jsonb(name)"), ("weight", "to_jsonb(weight)")],
        insert: "insert into tags select 'tag ' || g / 3, {salt} % 3 from generate_series({from}, {to}) g",
        update: "update tags set weight = weight + 1 where name in (select 'tag ' || g / 3 from generate_series({from}, {to}) g)",
        delete: "delete from tags where name in (select 'tag ' || g / 3 from generate_series({from}, {to}) g)",
        rekey: None,
        rows_max: 5_000,
    },
    // Names that have to be quoted, escaped or encoded wherever they go.
    Table {
        schema: "Shop.eu",
        name: "Order \"lines\".*",
        sql: "\"Shop.eu\".\"Order \"\"lines\"\".*\"",
        key: &["Id.No"],
        full_identity: false,
        columns: &[
            ("Id.No", "to_jsonb(\"Id.No\")"),
            ("we \"said\" ü", "to_jsonb(\"we \"\"said\"\" ü\")"),
            ("select", "to_jsonb(\"select\")"),
        ],
        insert: "insert into \"Shop.eu\".\"Order \"\"lines\"\".*\" select g, word(g), null from generate_series({from}, {to}) g \
                 on conflict do nothing",
        update: "update \"Shop.eu\".\"Order \"\"lines\"\".*\" set \"select\" = not coalesce(\"select\", {salt} % 2 = 0) \
                 where \"Id.No\" between {from} and {to}",
        delete: "delete from \"Shop.eu\".\"Order \"\"lines\"\".*\" where \"Id.No\" between {from} and {to}",
        rekey: Some(
            "update \"Shop.eu\".\"Order \"\"lines\"\".*\" a set \"Id.No\" = -\"Id.No\" where abs(\"Id.No\") between {from} and {to} \
             and not exists (select from \"Shop.eu\".\"Order \"\"lines\"\".*\" b where b.\"Id.No\" = -a.\"Id.No\")",
        ),
        rows_max: ANY,
    },
    // Many types.
    Table {
        schema: "public",
        name: "kinds",
        sql: "kinds",
        key: &["id"],
        full_identity: false,
        columns: &[
            ("id", "to_jsonb(id)"),
            ("small", "to_jsonb(small)"),
            ("flag", "to_jsonb(flag)"),
            ("ratio", "to_jsonb(ratio)"),
            ("exact", "to_jsonb(exact::text)"),
            (
                "at",
                "to_jsonb(to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))",
            ),
            (
                "local",
                "to_jsonb(to_char(local, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS'))",
            ),
            ("day", "to_jsonb(day::text)"),
            ("clock", "to_jsonb(to_char(clock, 'HH24:MI:SS.US'))"),
            ("took", "to_jsonb(took::text)"),
            ("doc", "doc"),
            ("ints", "to_jsonb(ints)"),
            ("texts", "to_jsonb(texts)"),
            ("grid", "to_jsonb(grid)"),
            (
                "raw",
                "to_jsonb(replace(encode(raw, 'base64'), E'\\n', ''))",
            ),
            ("mood", "to_jsonb(mood::text)"),
            ("uid", "to_jsonb(uid::text)"),
            ("span", "to_jsonb(span::text)"),
            ("bits", "to_jsonb(bits::text)"),
            ("padded", "to_jsonb(padded)"),
        ],
        insert: "insert into kinds select g, g % 30000, g % 3 = 0, case g % 11 when 0 then 'NaN'::float8 when 1 then '-Infinity' else g / 8.0 end, \
                 case g % 13 when 0 then 'NaN'::numeric else g::numeric * 1000000007 * 1000000007 / 1000 end, \
                 timestamptz '2026-03-01 12:00:00+02' + g * interval '1 day 0.25 s', timestamp '1999-12-31 23:59:59.5' - g * interval '1 h', \
                 date '2000-02-28' + g::int % 10000, time '00:00' + g * interval '1.5 s', g * interval '1.001 s', \
                 jsonb_build_object('n', g, 'word', word(g), 'list', jsonb_build_array(null, true, g / 4.0)), \
                 case when g % 5 > 0 then array[g, null, -g]::int[] end, array[word(g), null, '', 'null', '{}', 'a,b'], array[[1, g], [{salt}, 4]], \
                 decode(md5(g::text), 'hex'), (array['sad', 'ok', 'so \"so\"'])[g % 3 + 1]::mood, md5(g::text)::uuid, \
                 case when g % 7 > 0 then int4range(g::int, g::int + {salt}) end, (g % 32)::int::bit(5), 'p' || g % 1000 \
                 from generate_series({from}, {to}) g on conflict do nothing",
        update: "update kinds set exact = exact / 2, took = -took, doc = doc || '{\"salt\": {salt}}', raw = raw || '\\x00ff', \
                 ints = ints || {salt}, flag = null where id between {from} and {to}",
        delete: "delete from kinds where id between {from} and {to}",
        rekey: Some(
            "update kinds a set id = -id where abs(id) between {from} and {to} \
             and not exists (select from kinds b where b.id = -a.id)",
        ),
        rows_max: 5_000,
    },
];

/// Makes the tables.
pub(super) const DDL: &str = r#"
create table ledger (writer int not null, counter bigint not null, changes bigint not null,
    xid text not null default txid_current()::text);
create index on ledger (writer, counter);

create function word(n bigint) returns text language sql immutable as $$
    select case n when 0 then '' else (array['plain ', 'quo"te ', E'back\\slash ', E'new\nline ', E'tab\t', 'apos''trophe ',
        'dot.star*>', '%25 ', 'ünï ', '日本 ', '🦀 ', E'\u0001\u007f\u2028'])[n % 12 + 1] || n end $$;

create table accounts (id bigint primary key, owner text, balance numeric(14, 2), version int not null);

create table lines (day date, order_no int, item text, amount numeric(20, 3), note text, primary key (order_no, item, day));

create table words (word text primary key, seen int not null, meaning text);

create table documents (id int primary key, title text, body text);
alter table documents alter body set storage external, replica identity full;

create table parts (description text, code text not null, stock int not null);
create unique index parts_code on parts (code);
alter table parts alter description set storage external, replica identity using index parts_code;

create table tags (name text, weight int);
create index on tags (name);
alter table tags replica identity full;

create schema "Shop.eu";
create table "Shop.eu"."Order ""lines"".*" ("Id.No" int primary key, "we ""said"" ü" text, "select" boolean);

create type mood as enum ('sad', 'ok', 'so "so"');
create table kinds (id bigint primary key, small smallint, flag boolean, ratio float8, exact numeric, at timestamptz,
    local timestamp(3), day date, clock time, took interval, doc jsonb, ints int[], texts text[], grid int[], raw bytea,
    mood mood, uid uuid, span int4range, bits bit(5), padded char(6));
"#;
