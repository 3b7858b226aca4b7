//! Every type and every shape of a table, on every PostgreSQL: a snapshot and the stream show the same value alike, and
//! as the event format says.

#[path = "../support/path.rs"]
mod path;

mod composed;
mod exotic;
mod identity;
mod kind;
mod numbers;
mod shapes;
mod texts;
mod times;

use adit_lab::pg::Version;
use anyhow::Result;

/// A test for each version of PostgreSQL.
macro_rules! on_every_version {
    ($($name:ident = $test:path;)*) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_13() { super::report($test(super::Version::V13).await); }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_15() { super::report($test(super::Version::V15).await); }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_17() { super::report($test(super::Version::V17).await); }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_18() { super::report($test(super::Version::V18).await); }
        })*
    };
}

on_every_version! {
    values_are_the_same_in_snapshot_and_stream = super::every_type;
    tables_of_every_shape_are_captured = super::shapes::check;
    old_rows_are_as_the_replica_identity_says = super::identity::check;
}

async fn every_type(version: Version) -> Result<()> {
    let families = [
        numbers::kinds(),
        texts::kinds(),
        times::kinds(),
        exotic::kinds(),
        composed::kinds(),
    ];
    let kinds: Vec<_> = families
        .into_iter()
        .flatten()
        .filter(|kind| kind.since <= version.major())
        .collect();
    kind::check(version, &kinds).await
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        panic!("{error:#}");
    }
}
