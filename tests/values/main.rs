//! Every type and every shape of a table, on every PostgreSQL: a snapshot and the stream show the same value alike, and
//! as the event format says.

#[path = "../support/path.rs"]
mod path;
#[macro_use]
#[path = "../support/versions.rs"]
mod versions;

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

use versions::report;

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
