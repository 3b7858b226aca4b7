//! The publication: made for exactly the matching tables, or by somebody who knows what to leave out.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::path::{DataPath, Event};

/// The tables of the publication.
const TABLES: &str = "select string_agg(schemaname || '.' || tablename, ' ' order by schemaname, tablename) \
                      from pg_publication_tables where pubname = 'adit_shop'";

pub(crate) async fn exact(version: Version) -> Result<()> {
    let globs = r#"source.tables = ["public.*", "!public.audit_*", "other.o*"]"#;
    let mut path = DataPath::new(version, globs).await?;
    path.pg
        .exec(
            "create schema other; create table a (id int primary key); create table audit_a (id int primary key);
             create table other.orders (id int primary key); create table other.users (id int primary key);
             insert into a values (1); insert into audit_a values (1); insert into other.orders values (1);
             insert into other.users values (1)",
        )
        .await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.slot().await?;
    let mut events = path.to_the_end(&mut reader).await?;
    let tables = path.ask(TABLES).await?;
    ensure!(tables == "other.orders public.a public.the_end", "{tables}");

    path.pg
        .exec(
            "drop table a; create table audit_b (id int primary key); create table b (id int primary key);
             create table other.offers (id int primary key); insert into audit_b values (1); insert into audit_a values (2);
             create temporary table c (id int primary key); create unlogged table d (id int primary key)",
        )
        .await?;
    path.wait_until(TABLES, "other.offers other.orders public.b public.the_end")
        .await?;
    path.pg.exec("insert into b values (2); insert into other.offers values (2); insert into other.users values (2)").await?;
    // New tables come with their snapshot, which may be behind what was written later.
    while !["b", "offers"].iter().all(|name| {
        events
            .iter()
            .any(|event| event.table == *name && event.op != "schema")
    }) {
        events.push(reader.next("rows of the new tables").await?);
    }
    events.extend(path.to_the_end(&mut reader).await?);
    path.stop().await?;
    let mut seen: Vec<_> = events
        .iter()
        .filter(|event| event.op != "schema" && event.table != "the_end")
        .map(|event| {
            format!(
                "{}.{} {}",
                event.schema,
                event.table,
                event.key().unwrap_or("-")
            )
        })
        .collect();
    seen.sort();
    let expected = [
        r#"other.offers {"id":2}"#,
        r#"other.orders {"id":1}"#,
        r#"public.a {"id":1}"#,
        r#"public.b {"id":2}"#,
    ];
    ensure!(seen == expected, "{seen:?}");
    Ok(())
}

/// Row filters and column lists exist from 15 on; before, a publication may still name fewer tables than match, which
/// adit then adds.
pub(crate) async fn filtered(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    let filters = version.major() >= 15;
    let clause = if filters {
        "(id, status) where (id > 10)"
    } else {
        ""
    };
    path.pg
        .exec(&format!(
            "create table orders (id int primary key, secret text, status text);
             create table more (id int primary key);
             insert into orders values (5, 'x', 'new'), (15, 'y', 'new'), (16, 'z', null);
             create publication adit_shop for table orders {clause}, the_end"
        ))
        .await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.slot().await?;
    path.pg
        .exec(
            "insert into orders values (6, 'a', 'new'), (20, 'b', 'new'); update orders set status = 'paid' where id in (5, 15);
             update orders set id = 7 where id = 20; update orders set id = 30 where id = 5; insert into more values (1)",
        )
        .await?;
    let events = path.to_the_end(&mut reader).await?;
    path.stop().await?;
    let of_orders = events
        .iter()
        .filter(|event| event.table == "orders" && event.op != "schema");
    let mut seen: Vec<_> = of_orders.map(Event::summary).collect();
    seen.sort();
    let expected: &[&str] = if filters {
        &[
            r#"delete k:{"id":20} b:{"id":20} a:-"#,
            r#"insert k:{"id":20} b:- a:{"id":20,"status":"new"}"#,
            r#"insert k:{"id":30} b:- a:{"id":30,"status":"paid"}"#,
            r#"read k:{"id":15} b:- a:{"id":15,"status":"new"}"#,
            r#"read k:{"id":16} b:- a:{"id":16,"status":null}"#,
            r#"update k:{"id":15} b:- a:{"id":15,"status":"paid"}"#,
        ]
    } else {
        &[
            r#"insert k:{"id":20} b:- a:{"id":20,"secret":"b","status":"new"}"#,
            r#"insert k:{"id":6} b:- a:{"id":6,"secret":"a","status":"new"}"#,
            r#"read k:{"id":15} b:- a:{"id":15,"secret":"y","status":"new"}"#,
            r#"read k:{"id":16} b:- a:{"id":16,"secret":"z","status":null}"#,
            r#"read k:{"id":5} b:- a:{"id":5,"secret":"x","status":"new"}"#,
            r#"update k:{"id":15} b:- a:{"id":15,"secret":"y","status":"paid"}"#,
            r#"update k:{"id":30} b:{"id":5} a:{"id":30,"secret":"x","status":"paid"}"#,
            r#"update k:{"id":5} b:- a:{"id":5,"secret":"x","status":"paid"}"#,
            r#"update k:{"id":7} b:{"id":20} a:{"id":7,"secret":"b","status":"new"}"#,
        ]
    };
    ensure!(seen == expected, "PostgreSQL {version}: {seen:#?}");
    let more = events
        .iter()
        .filter(|event| event.table == "more" && event.op == "insert")
        .count();
    ensure!(more == 1, "the table that was added is not streamed");
    Ok(())
}

/// From 18 on a publication may show stored generated columns.
pub(crate) async fn generated(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.pg
        .exec(
            "create table t (id int primary key, twice int generated always as (id * 2) stored, thrice int generated always as (id * 3));
             insert into t values (1); create publication adit_shop for table t, the_end with (publish_generated_columns = stored)",
        )
        .await?;
    path.start()?;
    let mut reader = path.reader().await?;
    path.slot().await?;
    path.pg.exec("insert into t values (2)").await?;
    let events = path.to_the_end(&mut reader).await?;
    path.stop().await?;
    let seen: Vec<_> = events.iter().map(Event::summary).collect();
    let expected = [
        "schema k:- b:- a:-",
        r#"read k:{"id":1} b:- a:{"id":1,"twice":2}"#,
        r#"insert k:{"id":2} b:- a:{"id":2,"twice":4}"#,
    ];
    ensure!(seen == expected, "{seen:#?}");
    Ok(())
}
