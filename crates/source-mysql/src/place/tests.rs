use adit_binlog::Flavor;

use super::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn at(file: u32, position: u64) -> Coordinates {
    Coordinates {
        file: format!("binlog.{file:06}"),
        position,
    }
}

fn set(text: &str) -> Executed {
    Executed::Mysql {
        base: text.parse().unwrap(),
        since: "".parse().unwrap(),
    }
}

/// A server with files 5 to 7 and transactions 1 to 70, of which 1 to 10 were purged.
fn server(id: &str) -> Server {
    Server {
        flavor: Flavor::Mysql,
        version: "9.7.4".into(),
        id: id.into(),
        end: at(7, 1000),
        files: (5..=7).map(|file| (at(file, 0).file, 1000)).collect(),
        executed: set(&format!("{A}:1-70")),
        purged: set(&format!("{A}:1-10")),
        names_columns: true,
        lower_case: false,
    }
}

fn without_gtids(id: &str) -> Server {
    Server {
        executed: Executed::Unknown,
        purged: Executed::Unknown,
        ..server(id)
    }
}

fn stored(file: u32, position: u64, executed: Executed) -> (State, Place) {
    let place = Place {
        coordinates: at(file, position),
        born: 7,
        executed,
    };
    (State::new(A.into(), 3, String::new(), vec![]), place)
}

fn published(position: &str, transaction: &str) -> Published {
    Published {
        position: position.into(),
        token: Token::parse(position).unwrap(),
        transaction: Some(transaction.into()),
    }
}

fn go_on(
    server: &Server,
    stored: &(State, Place),
    last: Option<&Published>,
) -> Result<Start, SourceError> {
    place(server, Some(stored), last).map(Option::unwrap)
}

#[test]
fn a_first_start_has_no_place() {
    assert_eq!(place(&server(A), None, None).unwrap(), None);
}

#[test]
fn the_same_log_goes_on_at_its_coordinates() {
    for (server, executed) in [
        (server(A), set(&format!("{A}:1-60"))),
        (without_gtids(A), Executed::Unknown),
    ] {
        let stored = stored(6, 500, executed);
        let start = go_on(&server, &stored, None).unwrap();
        assert_eq!((start.ask, start.epoch), (Ask::Coordinates, 3));
        assert_eq!(start.place, stored.1);
    }
}

#[test]
fn a_place_beyond_4_gib_is_the_start_of_the_next_file() {
    let mut server = server(A);
    server.files = vec![(at(6, 0).file, 5 << 30), (at(7, 0).file, 1000)];
    let stored = stored(6, 5 << 30, set(&format!("{A}:1-60")));
    let start = go_on(&server, &stored, None).unwrap();
    assert_eq!(start.place.coordinates, at(7, 4));
    assert_eq!(start.place.executed, stored.1.executed);
}

#[test]
fn a_purged_file_is_a_gap_unless_the_gtids_say_that_nothing_is_missing() {
    let old = stored(4, 500, set(&format!("{A}:1-10")));
    let start = go_on(&server(A), &old, None).unwrap();
    assert_eq!((start.ask, start.epoch), (Ask::Gtids, 3));
    for (server, stored) in [
        (server(A), stored(4, 500, set(&format!("{A}:1-9")))),
        (without_gtids(A), stored(4, 500, Executed::Unknown)),
    ] {
        let error = go_on(&server, &stored, None).unwrap_err();
        assert!(error.needs_snapshot(), "{error}");
        assert!(error.to_string().contains("binlog.000005"), "{error}");
    }
}

#[test]
fn a_log_that_ends_before_what_is_read_or_published_has_diverged() {
    let executed = || set(&format!("{A}:1-60"));
    let beyond = published(
        "0003-00000007-00000000000003E9-00000000",
        &format!("{A}:60"),
    );
    let unknown = published(
        "0003-00000006-00000000000001F4-00000000",
        &format!("{A}:71"),
    );
    for (stored, last) in [
        (stored(7, 1001, executed()), None),
        (stored(6, 500, set(&format!("{A}:1-71"))), None),
        (stored(6, 500, executed()), Some(&beyond)),
        (stored(6, 500, executed()), Some(&unknown)),
    ] {
        let error = go_on(&server(A), &stored, last).unwrap_err();
        assert!(matches!(error, SourceError::Diverged { .. }), "{error}");
    }
}

#[test]
fn another_server_takes_over_by_gtids_in_a_new_epoch() {
    let stored = stored(40, 500, set(&format!("{A}:1-60")));
    let last = published(
        "0003-00000029-0000000000000100-00000004",
        &format!("{A}:65"),
    );
    let start = go_on(&server(B), &stored, Some(&last)).unwrap();
    assert_eq!((start.ask, start.epoch), (Ask::Gtids, 4));
    let mut skip = start.skip.unwrap();
    let judge = |skip: &mut Skip, number: u32| {
        let gtid = parse_gtid(&format!("{A}:{number}"), Flavor::Mysql).unwrap();
        skip.judge(&gtid).unwrap()
    };
    use crate::skip::Verdict;
    assert_eq!(judge(&mut skip, 61), Verdict::Published);
    assert_eq!(judge(&mut skip, 65), Verdict::Partly(4));
    assert_eq!(judge(&mut skip, 66), Verdict::New);
}

#[test]
fn a_takeover_whose_first_event_is_not_published_yet_goes_on_as_it_began() {
    let stored = stored(40, 500, set(&format!("{A}:1-60")));
    let last = published(
        "0003-00000029-0000000000000100-00000004",
        &format!("{A}:65"),
    );
    let began = go_on(&server(B), &stored, Some(&last)).unwrap();
    assert!(!began.place.is_found());
    let mut state = State::new(B.into(), began.epoch, String::new(), vec![]);
    let again = go_on(
        &server(B),
        &(state.clone(), began.place.clone()),
        Some(&last),
    );
    assert_eq!(again.unwrap(), began);

    // Part of what is published has been read; and all of it.
    let part = Place {
        coordinates: at(6, 500),
        executed: set(&format!("{A}:1-63")),
        ..began.place.clone()
    };
    let start = go_on(&server(B), &(state.clone(), part.clone()), Some(&last)).unwrap();
    assert_eq!((start.ask, start.skip), (Ask::Coordinates, began.skip));
    let all = Place {
        executed: set(&format!("{A}:1-65")),
        ..part
    };
    let start = go_on(&server(B), &(state.clone(), all), Some(&last)).unwrap();
    assert_eq!(start.skip, None);

    // The last event is a row of a snapshot, and nothing was published since.
    state.first = false;
    let row = published(
        "0003-00000028-00000000000001F4r000000000007",
        "snapshot-binlog.000040:500",
    );
    let start = go_on(&server(B), &(state, began.place), Some(&row)).unwrap();
    assert_eq!((start.ask, start.skip), (Ask::Gtids, None));
}

#[test]
fn a_takeover_that_the_checkpoint_does_not_know_yet_begins_another_epoch() {
    let stored = stored(40, 500, set(&format!("{A}:1-60")));
    let last = published(
        "0004-00000006-0000000000000100-00000004",
        &format!("{A}:65"),
    );
    for id in [A, B] {
        let start = go_on(&server(id), &stored, Some(&last)).unwrap();
        assert_eq!((start.ask, start.epoch), (Ask::Gtids, 5));
        assert!(start.skip.is_some());
    }
}

#[test]
fn a_log_that_began_anew_names_other_transactions_unless_it_continues_the_gtids() {
    let stored = stored(8, 500, set(&format!("{A}:1-10")));
    let start = go_on(&server(A), &stored, None).unwrap();
    assert_eq!((start.ask, start.epoch), (Ask::Gtids, 4));
    let mut anew = server(A);
    anew.purged = set("");
    let error = go_on(&anew, &stored, None).unwrap_err();
    assert!(matches!(error, SourceError::LogBeganAnew), "{error}");
}

#[test]
fn another_server_without_gtids_is_refused() {
    for server in [server(B), without_gtids(B)] {
        let stored = stored(6, 500, Executed::Unknown);
        let error = go_on(&server, &stored, None).unwrap_err();
        assert!(matches!(error, SourceError::OtherServer { .. }), "{error}");
    }
}

#[test]
fn another_server_after_rows_of_a_snapshot_goes_on_only_from_its_point() {
    let (mut state, place) = stored(6, 500, set(&format!("{A}:1-60")));
    let row = |position| {
        published(
            &format!("0003-00000006-{position:016X}r000000000007"),
            "snapshot-binlog.000006:500",
        )
    };
    let try_at = |state: &State, position: u64| {
        go_on(
            &server(B),
            &(state.clone(), place.clone()),
            Some(&row(position)),
        )
    };
    assert_eq!(try_at(&state, 500).unwrap().skip, None);
    let error = try_at(&state, 600).unwrap_err();
    assert!(
        matches!(error, SourceError::FailoverUnknown { .. }),
        "{error}"
    );
    state.first = true;
    assert_eq!(try_at(&state, 600).unwrap().skip, None);
}

#[test]
fn without_a_checkpoint_the_last_event_is_looked_for_in_its_file() {
    let last = published(
        "0003-00000006-0000000000000100-00000004",
        &format!("{A}:65"),
    );
    let start = place(&server(A), None, Some(&last)).unwrap().unwrap();
    assert_eq!(start.place.coordinates, at(6, 4));
    assert_eq!((start.ask, start.epoch), (Ask::Coordinates, 3));
    assert_eq!(start.proof.unwrap().to_string(), format!("{A}:65"));

    let purged = published(
        "0003-00000004-0000000000000100-00000004",
        &format!("{A}:65"),
    );
    for (server, last) in [(server(A), purged), (without_gtids(A), last)] {
        let error = place(&server, None, Some(&last)).unwrap_err();
        assert!(error.needs_snapshot(), "{error}");
    }
}
