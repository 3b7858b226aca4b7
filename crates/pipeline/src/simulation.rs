//! A simulation of everything that the core meets, in which every step can be followed by a crash.
//!
//! A database that throws its log away behind what was confirmed, a broker that stores a message only directly behind the one that
//! it expects, a store of checkpoints, and processes of a connector, of which an old one may go on after a new one took over. What
//! happens next is drawn by lot, and the seed of a run repeats it: `ADIT_SEED=7 cargo test -p adit-pipeline simulation`;
//! `ADIT_SIMULATION_STEPS=10000000` makes it longer.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code: what is not there fails it, and numbers are small"
)]

mod broker;
mod database;
mod process;

use std::panic::{AssertUnwindSafe, catch_unwind};

use adit_event::PositionSpace;
use broker::Broker;
use database::Database;
use process::Process;

use crate::planted::{Bug, plant};
use crate::recovery::Refusal;

/// Steps of all runs, unless the environment says otherwise.
const STEPS: u64 = 500_000;
/// Steps within which a planted bug must be found.
const STEPS_UNTIL_FOUND: u64 = 500_000;
/// Steps of a run with faults; then everything must come to its end.
const STEPS_OF_RUN: u64 = 1_500;
/// Steps without faults after which a run hangs.
const STEPS_TO_END: u64 = 50_000;

/// Numbers drawn by lot, always the same from one seed (splitmix64).
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One run. Returns its steps.
fn run(seed: u64) -> u64 {
    let mut lot = Lot(seed);
    let mut database = Database::new(&mut lot);
    let mut broker = Broker::default();
    let mut keeps = true;
    let start = |number, keeps, broker: &Broker, database: &mut Database| {
        match Process::start(number, keeps, broker, database) {
            Ok(process) => Some(process),
            // The only right reason.
            Err(Refusal::ForeignWriter { .. }) if broker.is_disturbed() => None,
            Err(refusal) => panic!("{refusal}"),
        }
    };
    let mut process = start(1, keeps, &broker, &mut database).expect("nothing is there yet");
    let mut old: Option<Process> = None;
    let mut steps = 0;
    let mut lives = 1;
    while steps < STEPS_OF_RUN + STEPS_TO_END {
        steps += 1;
        let what = if steps < STEPS_OF_RUN {
            lot.below(400)
        } else {
            399
        };
        let mut is_over = false;
        match what {
            // Killed, or paused while another one takes over.
            0..2 => {
                let is_killed = lot.once_in(2);
                if is_killed {
                    // Somebody may have edited the filter.
                    keeps = lot.once_in(2);
                }
                lives += 1;
                let Some(next) = start(lives, keeps, &broker, &mut database) else {
                    return steps;
                };
                let before = std::mem::replace(&mut process, next);
                old = (!is_killed).then_some(before);
            }
            2 => process.source_fails(&mut database),
            3..6 => process.disconnect(&mut broker, &database, &mut lot),
            6..26 => {
                // The one that was paused goes on with whatever it was doing.
                let woken = old.as_mut();
                let ended = woken.map(|old| old.step(&mut broker, &mut database, &mut lot));
                if ended.is_some_and(|ended| ended.is_err()) {
                    old = None;
                }
            }
            26 if lot.once_in(20) && old.is_none() && process.is_silent() => {
                let position = PositionSpace::new("9999-", 8).event(0);
                broker.disturb(position.expect("it is short"));
            }
            _ => is_over = process.step(&mut broker, &mut database, &mut lot).is_err(),
        }
        if is_over {
            // A supervisor starts it again.
            assert!(
                lives > 1 || broker.is_disturbed(),
                "fenced although nobody else was there"
            );
            lives += 1;
            let Some(next) = start(lives, keeps, &broker, &mut database) else {
                return steps;
            };
            process = next;
        }
        if steps >= STEPS_OF_RUN && broker.has_all(&database) && process.is_at_rest() {
            broker.check(&database);
            return steps;
        }
    }
    panic!("it does not come to its end");
}

/// Runs from one seed on; the first that fails, with the steps until then.
fn runs(first: u64, steps: u64) -> Result<u64, (u64, u64, String)> {
    let (mut seed, mut done) = (first, 0);
    while done < steps {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(more) => done += more,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                return Err((seed, done, text.unwrap_or_default()));
            }
        }
        seed += 1;
    }
    Ok(done)
}

/// A number that the environment of the build gives.
fn number(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

#[test]
fn whatever_happens_the_stream_is_exact() {
    let steps = number(option_env!("ADIT_SIMULATION_STEPS")).unwrap_or(STEPS);
    let seed = number(option_env!("ADIT_SEED"));
    let result = match seed {
        Some(seed) => runs(seed, 1),
        None => runs(1, steps),
    };
    if let Err((seed, _, text)) = result {
        panic!("{text}\nrepeat it with ADIT_SEED={seed} cargo test -p adit-pipeline simulation");
    }
}

#[test]
fn each_planted_bug_is_found() {
    let bugs = [
        Bug::CheckpointAheadOfAck,
        Bug::NotesNotAwaited,
        Bug::TailPublishedAgain,
        Bug::AnnouncementsKept,
        Bug::FencingIgnored,
        Bug::AckCountedTwice,
        Bug::ResumedTooLate,
        Bug::ConfirmedBeforeAck,
        Bug::ConfirmedBeforeCheckpoint,
        Bug::SentAgainBlindly,
        Bug::CountedAfterFilter,
    ];
    let mut missed = Vec::new();
    for bug in bugs {
        plant(Some(bug));
        let found = runs(1, STEPS_UNTIL_FOUND);
        plant(None);
        match found {
            Err((seed, steps, text)) => {
                println!("{bug:?}: found by seed {seed} after {steps} steps: {text}");
            }
            Ok(_) => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
