//! Memory stays flat, however large a table or a transaction is.

use adit_lab::pg::Version;
use anyhow::{Result, ensure};

use crate::path::DataPath;

/// Rows of the table, and changes of the transaction.
const ROWS: usize = 500_000;
/// What adit may use at most, in bytes.
const MEMORY_MAX: u64 = 100_000_000;

pub(crate) async fn flat(version: Version) -> Result<()> {
    let mut path = DataPath::new(version, "").await?;
    path.pg
        .exec(&format!(
            "create table large (id int primary key, n int not null, note text);
             insert into large select i, i, 'note ' || i from generate_series(1, {ROWS}) i; analyze large"
        ))
        .await?;
    path.start()?;
    let jetstream = path.nats.jetstream().await?;
    let published = async |least: usize| -> Result<()> {
        adit_lab::wait_for(
            "all rows",
            std::time::Duration::from_secs(600),
            async || {
                let stream = jetstream.get_stream("CDC_SHOP").await?;
                let messages = stream.get_info().await?.state.messages;
                Ok(messages >= u64::try_from(least)?)
            },
        )
        .await
    };
    published(ROWS).await?;
    let snapshot = path.adit.memory_peak()?;
    path.pg
        .exec(&format!(
            "insert into large select i + {ROWS}, i, 'note ' || i from generate_series(1, {ROWS}) i"
        ))
        .await?;
    published(2 * ROWS).await?;
    let transaction = path.adit.memory_peak()?;
    path.stop().await?;
    println!("peak: {snapshot} bytes for a snapshot, {transaction} with a transaction");
    ensure!(
        transaction < MEMORY_MAX,
        "{snapshot} bytes for a snapshot, {transaction} with a transaction"
    );
    Ok(())
}
