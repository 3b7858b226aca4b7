use adit_event::{Op, PositionSpace};

use super::*;
use crate::sink::TailMessage;

fn relation(table: &str) -> Arc<Relation> {
    Arc::new(Relation::new("s".into(), table.into(), vec![]))
}

fn space(tx: u64) -> PositionSpace {
    PositionSpace::new(&format!("{tx:04}-"), 8)
}

fn begin(tx: u64) -> Item {
    Item::Begin(Transaction {
        id: tx.to_string(),
        positions: space(tx),
        commit_time: Timestamp(0),
        snapshot: false,
    })
}

fn change(ordinal: u64) -> Item {
    Item::Change(Change {
        relation: relation("t"),
        op: Op::Insert,
        before: None,
        after: None,
        ordinal,
    })
}

fn schema(table: &str, ordinal: u64) -> Item {
    Item::Schema {
        relation: relation(table),
        ordinal,
        resnapshot: false,
    }
}

fn commit(tx: u64) -> Item {
    Item::Commit {
        resume: Some(format!("after {tx}").into()),
    }
}

fn progress(resume: &str, notes: Option<&str>) -> Item {
    Item::Progress {
        resume: resume.into(),
        state: notes.map(Into::into),
    }
}

fn fresh() -> Core {
    let start = StartPoint {
        seq: 0,
        n: 0,
        last: None,
        transaction: None,
        stored: None,
        regressed: false,
    };
    Core::new(start, "then".into(), HashMap::new())
}

fn feed(core: &mut Core, items: impl IntoIterator<Item = Item>) {
    for item in items {
        core.receive(item, Timestamp(0)).unwrap();
    }
}

/// Everything that is due, as `seq position`, with `last` where it is so.
fn due(core: &mut Core) -> Vec<String> {
    std::iter::from_fn(|| core.poll())
        .map(|outgoing| {
            let message = outgoing.message();
            let last = match message.event.kind {
                EventKind::Change { last: true, .. } => " last",
                EventKind::Change { .. } => "",
                EventKind::Schema { .. } => " schema",
            };
            format!("{} {}{last}", message.seq, message.event.position)
        })
        .collect()
}

fn resume(core: &mut Core) -> Option<String> {
    core.checkpoint().map(|(checkpoint, _)| checkpoint.resume)
}

#[test]
fn only_the_last_event_of_a_transaction_says_so() {
    let mut core = fresh();
    feed(&mut core, [begin(1), change(0), change(1)]);
    assert_eq!(due(&mut core), ["1 0001-00000000"]);
    feed(&mut core, [change(5), commit(1)]);
    assert_eq!(due(&mut core), ["2 0001-00000001", "3 0001-00000005 last"]);
}

#[test]
fn a_schema_event_comes_before_the_change_that_needs_it_and_only_when_the_shape_is_new() {
    let mut core = fresh();
    feed(
        &mut core,
        [
            begin(1),
            schema("t", 0),
            change(0),
            schema("u", 1),
            change(1),
            commit(1),
        ],
    );
    feed(&mut core, [begin(2), schema("t", 0), change(0), commit(2)]);
    assert_eq!(
        due(&mut core),
        [
            "1 0001-!0000 schema",
            "2 0001-00000000",
            "3 0001-00000000!0000 schema",
            "4 0001-00000001 last",
            "5 0002-00000000 last",
        ]
    );
}

#[test]
fn several_shapes_before_one_change_have_positions_of_their_own() {
    let mut core = fresh();
    feed(
        &mut core,
        [
            begin(1),
            schema("t", 0),
            schema("u", 0),
            change(0),
            commit(1),
        ],
    );
    assert_eq!(
        due(&mut core),
        [
            "1 0001-!0000 schema",
            "2 0001-!0001 schema",
            "3 0001-00000000 last"
        ]
    );
}

#[test]
fn a_commit_is_not_confirmed_past_an_unacknowledged_event() {
    let mut core = fresh();
    feed(
        &mut core,
        [
            begin(1),
            change(0),
            commit(1),
            begin(2),
            change(0),
            commit(2),
        ],
    );
    due(&mut core);
    assert_eq!(resume(&mut core), None);
    core.stored(1).unwrap();
    assert_eq!(resume(&mut core).as_deref(), Some("after 1"));
    core.stored(2).unwrap();
    let (checkpoint, _) = core.checkpoint().unwrap();
    assert_eq!((checkpoint.seq, checkpoint.resume.as_str()), (2, "after 2"));
    assert_eq!(checkpoint.position.as_deref(), Some("0002-00000000"));
    core.checkpointed(&checkpoint);
    assert_eq!(core.checkpoint(), None);
}

#[test]
fn a_transaction_without_events_is_confirmed_when_what_came_before_is_stored() {
    let mut core = fresh();
    feed(
        &mut core,
        [begin(1), change(0), commit(1), begin(2), commit(2)],
    );
    due(&mut core);
    core.stored(1).unwrap();
    assert_eq!(resume(&mut core).as_deref(), Some("after 2"));
}

#[test]
fn events_up_to_the_tail_are_dropped() {
    let start = StartPoint {
        seq: 7,
        n: 107,
        last: Some(space(1).event(1).unwrap()),
        transaction: None,
        stored: None,
        regressed: false,
    };
    let mut core = Core::new(start, "then".into(), HashMap::new());
    feed(
        &mut core,
        [
            begin(1),
            schema("t", 0),
            change(0),
            change(1),
            change(2),
            commit(1),
        ],
    );
    // Nobody knows whether the shape was announced.
    assert_eq!(core.poll().map(|o| (o.seq, o.n)), Some((8, 108)));
    assert_eq!(core.poll().map(|o| (o.seq, o.n)), Some((9, 109)));
    assert!(core.poll().is_none());
}

#[test]
fn a_source_goes_on_behind_what_has_a_number_so_that_nothing_durable_goes_back() {
    let mut core = fresh();
    feed(&mut core, [progress("0", Some("notes"))]);
    due(&mut core);
    let (checkpoint, _) = core.checkpoint().unwrap();
    core.checkpointed(&checkpoint);
    feed(&mut core, [begin(1), change(0), commit(1)]);
    assert_eq!(due(&mut core), ["1 0001-00000000 last"]);
    core.source_restarts();
    let (stored, ..) = core.source_start();
    let stored = stored.unwrap();
    assert_eq!((&*stored.resume, &*stored.state), ("after 1", "notes"));
}

#[test]
fn a_transaction_that_ends_at_the_tail_is_confirmed_without_a_new_message() {
    let start = StartPoint {
        seq: 7,
        n: 7,
        last: Some(space(1).event(0).unwrap()),
        transaction: None,
        stored: None,
        regressed: false,
    };
    let mut core = Core::new(start, "then".into(), HashMap::new());
    feed(&mut core, [begin(1), change(0), commit(1)]);
    assert_eq!(due(&mut core), [""; 0]);
    assert_eq!(resume(&mut core).as_deref(), Some("after 1"));
}

#[test]
fn a_source_that_starts_again_repeats_nothing_and_leaves_nothing_out() {
    let mut core = fresh();
    feed(
        &mut core,
        [
            begin(1),
            change(0),
            commit(1),
            begin(2),
            change(0),
            change(1),
        ],
    );
    // Two events are numbered; the third is held back, and lost with the connection.
    assert_eq!(due(&mut core), ["1 0001-00000000 last", "2 0002-00000000"]);
    core.stored(1).unwrap();
    core.source_restarts();
    feed(&mut core, [begin(2), change(0), change(1), commit(2)]);
    assert_eq!(due(&mut core), ["3 0002-00000001 last"]);
}

#[test]
fn events_that_were_ready_when_the_source_was_lost_come_again() {
    let mut core = fresh();
    feed(
        &mut core,
        [
            begin(1),
            change(0),
            commit(1),
            begin(2),
            change(0),
            commit(2),
        ],
    );
    core.source_restarts();
    assert_eq!(core.source_start(), (None, None, None));
    feed(&mut core, [begin(1), change(0), commit(1)]);
    assert_eq!(due(&mut core), ["1 0001-00000000 last"]);
}

#[test]
fn a_schema_event_that_was_ready_when_the_source_was_lost_comes_again() {
    let mut core = fresh();
    feed(
        &mut core,
        [
            begin(1),
            change(0),
            schema("t", 1),
            change(1),
            schema("u", 2),
        ],
    );
    assert_eq!(core.poll().map(|o| o.seq), Some(1));
    core.source_restarts();
    feed(
        &mut core,
        [
            begin(1),
            change(0),
            schema("t", 1),
            change(1),
            schema("u", 2),
        ],
    );
    feed(&mut core, [change(2), commit(1)]);
    assert_eq!(
        due(&mut core),
        [
            "2 0001-00000000!0000 schema",
            "3 0001-00000001",
            "4 0001-00000001!0000 schema",
            "5 0001-00000002 last"
        ]
    );
}

#[test]
fn a_log_that_goes_back_is_an_error() {
    let mut core = fresh();
    feed(&mut core, [begin(2), change(0), commit(2), begin(1)]);
    assert!(matches!(
        core.receive(change(0), Timestamp(0)),
        Err(CoreError::OutOfOrder { .. })
    ));
}

#[test]
fn items_out_of_place_are_errors() {
    for items in [vec![change(0)], vec![commit(1)], vec![begin(1), begin(2)]] {
        let mut core = fresh();
        let result: Result<(), _> = items
            .into_iter()
            .try_for_each(|item| core.receive(item, Timestamp(0)));
        assert!(matches!(result, Err(CoreError::OutOfPlace { .. })));
    }
}

#[test]
fn notes_of_the_source_make_a_checkpoint_urgent_and_stay() {
    let mut core = fresh();
    feed(&mut core, [progress("a", Some("notes"))]);
    assert!(core.poll().is_none());
    let (checkpoint, urgent) = core.checkpoint().unwrap();
    assert!(urgent);
    core.checkpointed(&checkpoint);
    feed(&mut core, [progress("b", None)]);
    assert!(core.poll().is_none());
    let (checkpoint, urgent) = core.checkpoint().unwrap();
    assert!(!urgent);
    assert_eq!(
        (checkpoint.resume.as_str(), checkpoint.state.as_str()),
        ("b", "notes")
    );
}

#[test]
fn recovery_takes_the_tail_for_an_acknowledgement() {
    let mut core = fresh();
    feed(&mut core, [begin(1), change(0), change(1), commit(1)]);
    due(&mut core);
    let tail = |seq, position| Tail {
        seq,
        created: "then".into(),
        message: Some(TailMessage {
            seq,
            position: Some(position),
            n: Some(seq),
            transaction: None,
        }),
    };
    core.recover(&tail(1, space(1).event(0).unwrap())).unwrap();
    assert_eq!(core.progress(), (2, 1));
    let foreign = core.recover(&tail(2, space(9).event(0).unwrap()));
    assert!(matches!(
        foreign,
        Err(CoreError::Window(WindowError::Fenced { .. }))
    ));
    core.recover(&tail(2, space(1).event(1).unwrap())).unwrap();
    assert_eq!(resume(&mut core).as_deref(), Some("after 1"));
}

#[test]
fn shapes_are_kept_only_when_their_message_is_stored() {
    let mut core = fresh();
    feed(&mut core, [begin(1), schema("t", 0), change(0), commit(1)]);
    while let Some(outgoing) = core.poll() {
        if outgoing.schema().is_some() {
            core.published_shape(outgoing);
        }
    }
    assert!(core.schema().is_none());
    core.stored(1).unwrap();
    assert!(core.schema().is_some());
    assert!(core.schema().is_none());
}

#[test]
fn a_source_that_starts_again_is_told_the_transaction_of_the_last_event() {
    let mut core = fresh();
    assert_eq!(core.source_start().2, None);
    feed(
        &mut core,
        [
            begin(1),
            change(0),
            commit(1),
            begin(2),
            change(0),
            change(1),
        ],
    );
    while core.poll().is_some() {}
    // The last one is held back, and comes again.
    let (_, position, transaction) = core.source_start();
    assert_eq!(position, Some(space(2).event(0).unwrap()));
    assert_eq!(transaction.as_deref(), Some("2"));
}

#[test]
fn events_behind_new_notes_wait_until_the_notes_are_stored() {
    let mut core = fresh();
    feed(
        &mut core,
        [
            begin(1),
            change(0),
            commit(1),
            progress("1", Some("read")),
            begin(2),
            change(0),
            commit(2),
        ],
    );
    assert_eq!(due(&mut core), ["1 0001-00000000 last"]);
    assert!(core.waits());
    // A checkpoint of what came before says nothing about them.
    core.stored(1).unwrap();
    let (checkpoint, urgent) = core.checkpoint().unwrap();
    assert_eq!((checkpoint.state.as_str(), urgent), ("read", true));
    assert!(core.poll().is_none());
    core.checkpointed(&checkpoint);
    assert_eq!(due(&mut core), ["2 0002-00000000 last"]);
    // The same notes again are nothing new.
    feed(
        &mut core,
        [progress("2", Some("read")), begin(3), change(0), commit(3)],
    );
    assert_eq!(due(&mut core), ["3 0003-00000000 last"]);
}

#[test]
fn a_snapshot_is_noted_between_its_rows() {
    let mut core = fresh();
    let Item::Begin(mut transaction) = begin(1) else {
        unreachable!();
    };
    transaction.snapshot = true;
    feed(&mut core, [Item::Begin(transaction), change(0), change(1)]);
    feed(&mut core, [progress("1", Some("read to 1")), change(2)]);
    // The next row waits until the note is stored, and the note until the rows in front of it are.
    assert_eq!(due(&mut core), ["1 0001-00000000", "2 0001-00000001"]);
    core.stored(1).unwrap();
    assert!(core.checkpoint().is_none());
    core.stored(2).unwrap();
    let (checkpoint, _) = core.checkpoint().unwrap();
    assert_eq!(
        (checkpoint.seq, checkpoint.state.as_str()),
        (2, "read to 1")
    );
    core.checkpointed(&checkpoint);
    feed(&mut core, [commit(1)]);
    assert_eq!(due(&mut core), ["3 0001-00000002 last"]);
}
