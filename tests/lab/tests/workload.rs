//! What the writers say that they wrote is what the database's log holds, also when the server is killed.

use std::time::Duration;

use adit_lab::workload::{Options, Witness};
use adit_lab::{Mysql, Postgres, Workload, mysql, pg, wait_for};
use anyhow::Result;
use mysql_async::prelude::Queryable as _;

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_tells_what_the_log_holds_although_the_server_is_killed() -> Result<()> {
    for version in [pg::Version::V13, pg::Version::V17] {
        let mut server = Postgres::start(version).await?;
        let mut options = Options::new(7);
        options.pause_max = Duration::from_millis(5);
        options.rows_max = 5_000;
        options.initial_rows = 500;
        Witness::start(&server.client("postgres").await?).await?;
        Workload::prepare(&server, &options).await?;
        let workload = Workload::start(&server, &options);
        workload.allow_truncates();
        for transactions in [200_i64, 400, 600] {
            wait_for("transactions", Duration::from_secs(60), async || {
                let client = server.client("postgres").await?;
                let row = client.query_one("select count(*) from ledger", &[]).await?;
                Ok(row.get::<_, i64>(0) > transactions)
            })
            .await?;
            server.kill().await?;
            server.restart().await?;
        }
        let written = workload.finish().await?;
        assert!(
            written.commits >= 600 && written.rollbacks > 20,
            "{written:?}"
        );
        assert_eq!(written.largest, 5_000);

        let client = server.client("postgres").await?;
        // A truncation is one line, whatever the number of its tables.
        let counted = "with line as (select xid::text, case when data like '%: TRUNCATE:%' then \
             (length(data) - length(replace(data, ', ', ''))) / 2 + 1 when data like 'table %' then 1 else 0 end as changes \
             from pg_logical_slot_peek_changes('witness', null, null)), \
             tx as (select xid, sum(changes) - 1 as changes from line group by xid) \
             select format('writer %s, transaction %s: %s changes in the ledger, %s in the log', \
             writer, counter, ledger.changes, tx.changes) \
             from tx right join ledger using (xid) where writer <> 0 and tx.changes is distinct from ledger.changes";
        let wrong = client.query(counted, &[]).await?;
        let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
        assert!(wrong.is_empty(), "{version}: {wrong:?}");
        let listed = Witness::transactions(&server).await?.len() as u64;
        // The first rows and the marker are not the writers'.
        assert_eq!(listed, written.commits + 2, "{version}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_tells_what_the_log_of_mysql_and_mariadb_holds() -> Result<()> {
    for version in [mysql::Version::Mysql9_7, mysql::Version::Maria11_8] {
        let mut server = Mysql::start(version).await?;
        let mut options = Options::new(7);
        options.pause_max = Duration::from_millis(5);
        options.rows_max = 2_000;
        options.initial_rows = 300;
        Workload::prepare(&server, &options).await?;
        let workload = Workload::start(&server, &options);
        for transactions in [100_i64, 200] {
            wait_for("transactions", Duration::from_secs(60), async || {
                let mut client = server.client("shop").await?;
                let count: Option<i64> = client.query_first("select count(*) from ledger").await?;
                Ok(count > Some(transactions))
            })
            .await?;
            server.kill().await?;
            server.restart().await?;
        }
        let written = workload.finish().await?;
        assert!(
            written.commits >= 200 && written.rollbacks > 5,
            "{written:?}"
        );
        let listed = Witness::transactions(&server).await?.len() as u64;
        // The first rows and the marker are not the writers'.
        assert_eq!(listed, written.commits + 2, "{version}");
    }
    Ok(())
}
