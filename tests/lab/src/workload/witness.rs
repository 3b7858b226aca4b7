//! The database's own list of what committed, by a program of the database's own makers.

use anyhow::{Context, Result, bail, ensure};
use tokio_postgres::Client;

use super::Server;
use super::session::Address;
use crate::Mysql;
use crate::program::blocking;

/// Who lists the transactions: in PostgreSQL a second slot, read by `test_decoding`, which comes with it; in MySQL and
/// MariaDB the binary log itself, read by `mysqlbinlog`.
#[derive(Debug)]
pub struct Witness;

impl Witness {
    const SLOT: &'static str = "witness";

    /// Starts to keep the log of PostgreSQL. Before anything is written.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub async fn start(client: &Client) -> Result<()> {
        let sql = "select pg_create_logical_replication_slot($1, 'test_decoding')";
        client.execute(sql, &[&Self::SLOT]).await?;
        Ok(())
    }

    /// The transaction ids of everything that wrote to a table since then, in the order of the commits.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub async fn transactions<'a>(server: impl Into<Server<'a>>) -> Result<Vec<String>> {
        let list = match server.into() {
            server @ Server::Postgres(_) => Self::of_postgres(server).await?,
            Server::Mysql(server) => Self::of_mysql(server).await?,
        };
        ensure!(!list.is_empty(), "the witness saw no transaction");
        Ok(list)
    }

    async fn of_postgres(server: Server<'_>) -> Result<Vec<String>> {
        // The function hands its rows over in the order of the log.
        let sql = format!(
            "with line as (select row_number() over () as n, xid::text, data \
             from pg_logical_slot_peek_changes('{}', null, null, 'skip-empty-xacts', '1')) \
             select xid from line where data like 'BEGIN%' order by n",
            Self::SLOT
        );
        let mut session = Address::of(server).connect("witness").await?;
        session.texts(&sql).await
    }

    async fn of_mysql(server: &Mysql) -> Result<Vec<String>> {
        let files = server.log_files()?;
        let first = files.first().context("there is no binary log")?;
        let mut command = server.tool("mysqlbinlog")?;
        command
            .args([
                "--no-defaults",
                "--read-from-remote-server",
                "--to-last-log",
                "--base64-output=decode-rows",
            ])
            .args(["--host=127.0.0.1", "--user=root"])
            .arg(format!("--port={}", server.port()))
            .arg(first);
        let output = blocking(move || command.output().context("cannot run mysqlbinlog")).await?;
        if !output.status.success() {
            bail!("mysqlbinlog: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(transactions(
            &String::from_utf8_lossy(&output.stdout),
            server.version().is_maria(),
        ))
    }
}

/// Those transactions in the text of `mysqlbinlog` that changed rows of a table of the workload.
fn transactions(text: &str, maria: bool) -> Vec<String> {
    let mut list = Vec::new();
    let mut file = String::new();
    let mut at = "";
    let mut id: Option<String> = None;
    let mut counted = false;
    for line in text.lines() {
        if let Some(position) = line.strip_prefix("# at ") {
            at = position;
        } else if let Some(rest) = line.split("Rotate to ").nth(1) {
            file = rest
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
        } else if let Some(gtid) = gtid(line, maria) {
            // Without a name it is known by where it begins.
            id = Some(gtid.unwrap_or_else(|| format!("{file}:{at}")));
            counted = false;
        } else if is_change(line)
            && !std::mem::replace(&mut counted, true)
            && let Some(id) = &id
        {
            list.push(id.clone());
        }
    }
    list
}

/// A transaction's name, if the line says one; none inside for one that has none.
#[allow(
    clippy::option_option,
    reason = "a line that begins a transaction without a name"
)]
fn gtid(line: &str, maria: bool) -> Option<Option<String>> {
    if maria {
        // #261126 18:36:04 server id 1  end_log_pos 385 CRC32 0x… \tGTID 0-1-5 trans
        let (_, rest) = line.split_once("\tGTID ")?;
        let name = line.starts_with('#').then(|| rest.split(' ').next())??;
        return Some(Some(name.to_owned()));
    }
    let rest = line.strip_prefix("SET @@SESSION.GTID_NEXT= '")?;
    let (name, _) = rest.split_once('\'')?;
    match name {
        "AUTOMATIC" => None,
        "ANONYMOUS" => Some(None),
        name => Some(Some(name.to_owned())),
    }
}

/// Whether the line tells of a table of the workload whose rows follow, or that is truncated.
fn is_change(line: &str) -> bool {
    let map = line.starts_with('#')
        && (line.contains("Table_map: `shop`.") || line.contains("Table_map: `Shop.eu`."));
    map || line.starts_with("truncate table ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_found_in_the_text_of_either_program() {
        let mysql = "# at 4\n#261126 server id 1  end_log_pos 0 Rotate to binlog.000003  pos: 4\n# at 198\n\
            SET @@SESSION.GTID_NEXT= 'u:1'/*!*/;\n# at 300\n#261126 Table_map: `shop`.`tags` mapped to number 90\n\
            #261126 Table_map: `shop`.`ledger` mapped to number 91\n# at 500\nSET @@SESSION.GTID_NEXT= 'ANONYMOUS'/*!*/;\n\
            truncate table shop.tags\nSET @@SESSION.GTID_NEXT= 'u:2'/*!*/;\n#261126 Table_map: `help`.`numbers` mapped\n\
            SET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;\n";
        assert_eq!(transactions(mysql, false), ["u:1", "binlog.000003:500"]);
        let maria = "#261126 18:36:04 server id 1  end_log_pos 385 CRC32 0x1 \tGTID 0-1-5 trans\n\
            /*!100001 SET @@session.gtid_seq_no=5*//*!*/;\n#261126 Table_map: `shop`.`tags` mapped to number 18\n";
        assert_eq!(transactions(maria, true), ["0-1-5"]);
    }
}
