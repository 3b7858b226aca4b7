//! Each part killed, and adit stopped, at each stage of its work.

use std::time::Duration;

use adit_lab::workload::Options;
use adit_lab::{mysql, nats, pg};
use anyhow::{Context as _, Result};

use crate::moment::Moment;
use crate::support::database::Kind;
use crate::support::{self, Stage};

/// Longest wait for something that is to happen.
const WITHIN: Duration = Duration::from_secs(120);
/// A confirmation to the database is held back for long enough to be killed before it.
const SETTINGS: &str = "confirm_lag = \"5s\"\n";

/// Makes a module for each name, with a test for each kind of database.
macro_rules! on_each_kind {
    ($($name:ident = $end:expr;)*) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres_17() -> anyhow::Result<()> {
                super::at_each_stage(super::pg::Version::V17.into(), $end).await
            }
            #[tokio::test(flavor = "multi_thread")]
            async fn on_mysql_9_7() -> anyhow::Result<()> {
                super::at_each_stage(super::Kind::mysql(super::mysql::Version::Mysql9_7), $end).await
            }
            #[tokio::test(flavor = "multi_thread")]
            async fn on_mariadb_11_8() -> anyhow::Result<()> {
                super::at_each_stage(super::Kind::mysql(super::mysql::Version::Maria11_8), $end).await
            }
        })*
    };
}

on_each_kind! {
    adit_is_killed_at_each_stage = super::End::AditKilled;
    adit_is_stopped_at_each_stage = super::End::AditStopped;
    the_database_is_killed_at_each_stage = super::End::DatabaseKilled;
    the_broker_is_killed_at_each_stage = super::End::BrokerKilled;
}

/// What ends, and begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    AditKilled,
    AditStopped,
    DatabaseKilled,
    BrokerKilled,
}

/// Whatever ends at whichever stage: adit goes on by itself as soon as everything is there again, and the stream is exact.
async fn at_each_stage(kind: Kind, end: End) -> Result<()> {
    let mut options = Options::new(support::seed()?);
    options.writers = 3;
    options.rows_max = 5_000;
    let mut stage = Stage::set(kind, nats::Version::V2_12, &options).await?;
    stage.configure(SETTINGS)?;
    let workload = stage.write(&options);
    let mut log = 0;
    stage.adit.start()?;
    for moment in Moment::ALL {
        let at = || format!("{end:?} at {moment:?}, ADIT_SEED={}", options.seed);
        moment.come(&mut stage, log).await.with_context(at)?;
        if matches!(end, End::AditKilled | End::AditStopped) {
            log = stage.adit.log().len();
        }
        end_at(&mut stage, end).await.with_context(at)?;
    }
    stage.settle(workload, WITHIN).await?;
    stage.stop_adit().await?;
    stage.check().await?;
    Ok(())
}

async fn end_at(stage: &mut Stage, end: End) -> Result<()> {
    match end {
        End::AditKilled => {
            stage.adit.kill().await?;
            // Where the bucket is not there yet there is no lease.
            drop(stage.end_lease().await);
            stage.adit.start()
        }
        End::AditStopped => {
            stage.stop_adit().await?;
            stage.adit.start()
        }
        End::DatabaseKilled => {
            stage.database.kill().await?;
            stage.database.restart().await
        }
        End::BrokerKilled => {
            stage.nats.kill().await?;
            stage.nats.restart().await
        }
    }
}
