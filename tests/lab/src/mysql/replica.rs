//! One server that replicates another, and takes over from it.

use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable as _;

use super::{Mysql, Version};

/// How long a replica may lag.
const LAG_MAX_SECONDS: u32 = 60;

impl Mysql {
    /// Empties its log and its list of transactions: what it did so far is nobody's business.
    ///
    /// # Errors
    ///
    /// The server is not there or refuses.
    pub async fn forget_log(&self) -> Result<()> {
        match self.version() {
            Version::Mysql9_7 => self.exec("RESET BINARY LOGS AND GTIDS").await,
            _ => self.exec("RESET MASTER").await,
        }
    }

    /// Replicates everything that another server has executed and it has not, by GTID.
    ///
    /// # Errors
    ///
    /// The server is not there or refuses.
    pub async fn replicate(&self, source: &Self) -> Result<()> {
        let port = source.port();
        match self.version() {
            Version::Mysql9_7 => {
                self.exec(&format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
                     SOURCE_AUTO_POSITION = 1, SOURCE_CONNECT_RETRY = 1"
                ))
                .await?;
                self.exec("START REPLICA").await
            }
            version => {
                let auto = if version.is_maria() {
                    // Where its own log ends, whoever wrote that.
                    self.exec("SET GLOBAL gtid_slave_pos = @@gtid_binlog_pos")
                        .await?;
                    "MASTER_USE_GTID = slave_pos"
                } else {
                    "MASTER_AUTO_POSITION = 1"
                };
                self.exec(&format!(
                    "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', {auto}, \
                     MASTER_CONNECT_RETRY = 1"
                ))
                .await?;
                self.exec("START SLAVE").await
            }
        }
    }

    /// Lets no transaction commit any more, waits until a replica has all that did, and dies. The replica is a server
    /// of its own from then on.
    ///
    /// # Errors
    ///
    /// One of the servers is not there or refuses, or the replica lags too long.
    pub async fn hand_over(&mut self, replica: &Self) -> Result<()> {
        let mut holder = self.client("").await?;
        holder.query_drop("FLUSH TABLES WITH READ LOCK").await?;
        let executed = if self.version().is_maria() {
            "SELECT @@gtid_binlog_pos"
        } else {
            "SELECT @@GLOBAL.gtid_executed"
        };
        let executed: Option<String> = holder.query_first(executed).await?;
        let executed = executed.unwrap_or_default().replace('\n', "");
        let wait = match self.version() {
            Version::Mysql9_7 => "WAIT_FOR_EXECUTED_GTID_SET",
            Version::Mysql5_6 => "WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS",
            _ => "MASTER_GTID_WAIT",
        };
        let mut conn = replica.client("").await?;
        let wait = format!("SELECT {wait}('{executed}', {LAG_MAX_SECONDS})");
        let outcome: Option<i64> = conn.query_first(wait).await?;
        conn.disconnect().await?;
        // MySQL 5.6 counts the transactions that it waited for; 1 of the others is the end of the time.
        let is_timeout = outcome == Some(1) && self.version() != Version::Mysql5_6;
        ensure!(
            outcome.is_some_and(|outcome| outcome >= 0) && !is_timeout,
            "the replica lags: it has not executed {executed}"
        );
        self.kill().await?;
        drop(holder);
        match replica.version() {
            Version::Mysql9_7 => {
                replica.exec("STOP REPLICA").await?;
                replica.exec("RESET REPLICA ALL").await
            }
            _ => {
                replica.exec("STOP SLAVE").await?;
                replica.exec("RESET SLAVE ALL").await
            }
        }
    }
}
