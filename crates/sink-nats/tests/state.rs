//! What is kept beside the stream: checkpoint, shapes, lease.

mod support;

use std::time::Duration;

use adit_event::{Event, EventKind, PositionSpace, Timestamp};
use adit_lab::nats::VERSIONS;
use adit_lab::{Nats, wait_for};
use adit_pipeline::{Checkpoint, CheckpointStore as _};
use adit_sink_nats::{Acquired, Error, Lease, Nats as Control, NatsCheckpoints};
use anyhow::Result;
use support::{WITHIN, config, meta, relation};
use tokio::time::timeout;

fn checkpoint(seq: u64) -> Checkpoint {
    Checkpoint {
        version: Checkpoint::VERSION,
        created: "then".into(),
        seq,
        n: seq + 1000,
        position: Some("0000-1".into()),
        resume: "0/16B3748".into(),
        state: "{}".into(),
    }
}

#[tokio::test]
async fn a_checkpoint_is_read_back_by_the_next_process() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let nats = Control::connect(&config(&server.url())).await?;
        let store = NatsCheckpoints::open(&nats, &meta(), 1).await?;
        assert_eq!(store.load().await?, None);
        for seq in 1..=20 {
            store.store(&checkpoint(seq)).await?;
        }
        let next = NatsCheckpoints::open(&nats, &meta(), 1).await?;
        assert_eq!(next.load().await?, Some(checkpoint(20)));
        next.store(&checkpoint(21)).await?;
        let error = store.store(&checkpoint(22)).await.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        next.remove().await?;
        let after = NatsCheckpoints::open(&nats, &meta(), 1).await?;
        assert_eq!(after.load().await?, None);
        after.store(&checkpoint(1)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_process_that_wakes_up_stores_nothing_over_the_one_that_took_over() -> Result<()> {
    let server = Nats::start(VERSIONS[2]).await?;
    let nats = Control::connect(&config(&server.url())).await?;
    let open = async || NatsCheckpoints::open(&nats, &meta(), 1).await;
    for known in [None, Some(checkpoint(1))] {
        let (woken, working) = (open().await?, open().await?);
        woken.load().await?;
        if let Some(known) = &known {
            woken.store(known).await?;
        }
        assert_eq!(working.load().await?, known);
        // Even if it is what is stored already.
        for seq in [1, 2] {
            let error = woken.store(&checkpoint(seq)).await.unwrap_err();
            assert!(matches!(error, Error::Conflict { .. }), "{error}");
        }
        working.store(&checkpoint(2)).await?;
        working.remove().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_of_another_version_is_refused() -> Result<()> {
    let server = Nats::start(VERSIONS[2]).await?;
    let nats = Control::connect(&config(&server.url())).await?;
    let store = NatsCheckpoints::open(&nats, &meta(), 1).await?;
    let bucket = server
        .jetstream()
        .await?
        .get_key_value("adit_checkpoints")
        .await?;
    bucket
        .put("shop", r#"{"version":99,"new":true}"#.into())
        .await?;
    let error = store.load().await.unwrap_err().to_string();
    assert!(error.contains("version 99"), "{error}");
    Ok(())
}

#[tokio::test]
async fn shapes_are_kept_under_whatever_the_tables_are_called() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let nats = Control::connect(&config(&server.url())).await?;
        let store = NatsCheckpoints::open(&nats, &meta(), 1).await?;
        assert!(store.schemas().await?.is_empty());
        let position = PositionSpace::new("00-", 8).schema(0, None)?;
        let tables = ["orders", "a.b", "", "Größe >*", "=%"].map(relation);
        for relation in &tables {
            let kind = EventKind::Schema {
                relation,
                resnapshot: false,
            };
            let event = Event {
                position: &position,
                read_time: Timestamp(0),
                kind,
            };
            store.store_schema(relation, event).await?;
        }
        let found = store.schemas().await?;
        assert_eq!(found.len(), tables.len());
        for relation in &tables {
            let key = ("public".to_owned(), relation.table().to_owned());
            assert_eq!(found.get(&key), Some(&relation.fingerprint()));
        }
        let bucket = server
            .jetstream()
            .await?
            .get_key_value("adit_schemas")
            .await?;
        let stored = bucket.get("shop.public.a=2Eb").await?.unwrap();
        let stored: serde_json::Value = serde_json::from_slice(&stored)?;
        assert_eq!(
            (&stored["op"], &stored["table"]),
            (&"schema".into(), &"a.b".into())
        );
        store.remove().await?;
        assert!(store.schemas().await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn of_two_that_want_the_lease_one_gets_it_until_it_lets_go() -> Result<()> {
    for version in VERSIONS {
        let server = Nats::start(version).await?;
        let nats = Control::connect(&config(&server.url())).await?;
        let acquire = |holder: &'static str| Lease::acquire(&nats, "shop", holder, 1);
        let Acquired::Ours(lease) = acquire("one").await? else {
            panic!("nobody had it")
        };
        assert!(matches!(acquire("two").await?, Acquired::HeldBy(by) if by == "one"));
        lease.release().await?;
        assert!(matches!(acquire("two").await?, Acquired::Ours(_)));
    }
    Ok(())
}

#[tokio::test]
async fn a_kept_lease_outlives_its_ttl_and_a_dead_holders_ends() -> Result<()> {
    let server = Nats::start(VERSIONS[2]).await?;
    let nats = Control::connect(&config(&server.url())).await?;
    let Acquired::Ours(mut lease) = Lease::acquire(&nats, "shop", "one", 1).await? else {
        panic!("nobody had it")
    };
    let ttl = adit_sink_nats::LEASE_TTL + Duration::from_secs(2);
    assert!(
        timeout(ttl, lease.keep()).await.is_err(),
        "the lease was lost"
    );
    let two = || Lease::acquire(&nats, "shop", "two", 1);
    assert!(matches!(two().await?, Acquired::HeldBy(_)));
    wait_for("the end of the lease", WITHIN, async || {
        Ok(matches!(two().await?, Acquired::Ours(_)))
    })
    .await?;
    let lost = timeout(WITHIN, lease.keep()).await?;
    assert!(matches!(lost, Error::Conflict { .. }), "{lost}");
    Ok(())
}
