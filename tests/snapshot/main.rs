//! Slot, publication, snapshot, schema events and heartbeats on every PostgreSQL: with what is read first and what is
//! streamed then, readers have the tables as they are; no row is missing and none comes twice.

#[path = "../support/path.rs"]
mod path;
#[macro_use]
#[path = "../support/versions.rs"]
mod versions;

mod come_and_go;
mod hammer;
mod initial;
mod memory;
mod mode;
mod publication;
mod replica;
mod schema;
mod slot;

use adit_lab::pg::Version;

use versions::report;

on_every_version! {
    a_table_under_fire_is_read_whole_and_streamed_from_there = super::initial::under_fire;
    a_snapshot_that_a_kill_cut_short_goes_on = super::initial::killed;
    a_snapshot_that_the_server_cut_short_goes_on = super::initial::server_killed;
    transactions_open_at_the_start_come_once = super::initial::open_transactions;
    a_table_that_is_altered_while_it_is_read_is_not_lost = super::initial::altered;
    without_a_snapshot_only_changes_come = super::mode::never;
    only_a_snapshot_ends_by_itself_and_leaves_no_slot = super::mode::only;
    a_lost_slot_is_made_up_for_by_a_snapshot_when_allowed = super::mode::when_needed;
    a_table_that_comes_under_fire_is_read_and_then_streamed = super::come_and_go::comes;
    a_table_that_comes_to_a_publication_of_all_tables_is_read_all_the_same = super::come_and_go::comes_to_all;
    the_snapshot_of_a_new_table_goes_on_after_a_kill = super::come_and_go::comes_and_adit_is_killed;
    a_table_that_is_renamed_comes_under_its_new_name = super::come_and_go::renamed;
    a_table_that_is_dropped_and_made_again_is_another = super::come_and_go::made_again;
    the_publication_has_exactly_the_tables_that_match = super::publication::exact;
    filters_of_a_publication_hold_for_snapshot_and_stream = super::publication::filtered;
    the_slot_is_as_configured = super::slot::failover;
    the_slot_of_an_idle_database_moves = super::slot::idle;
    each_row_comes_with_the_shape_it_was_written_in = super::schema::changes;
    rows_of_types_that_are_gone_are_still_told = super::schema::types_gone;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_columns_come_where_they_are_published() {
    report(publication::generated(Version::V18).await);
}

/// One version is enough: it is our memory, and from 14 on servers send large transactions before their commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_however_large_tables_and_transactions_are() {
    report(memory::flat(Version::V17).await);
}
