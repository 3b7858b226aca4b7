//! The binary log, by coordinates and by GTIDs.

use adit_binlog::gtid::GtidSet;
use adit_lab::Mysql;
use adit_lab::mysql::{VERSIONS, Version};
use adit_source_mysql::link::{DumpGtid, DumpRequest, EventReader, LinkError, MysqlLink};
use anyhow::{Context as _, Result, bail};

use crate::support::{chain, connect, url, value, with_deadline};

/// Of a replica in a test.
const SERVER_ID: u32 = 77;
/// `BINLOG_DUMP_NON_BLOCK`
const NON_BLOCK: u16 = 1;

const FORMAT_DESCRIPTION: u8 = 15;
const ROWS_QUERY: u8 = 29;
const HEARTBEAT: u8 = 27;
const MARIA_ANNOTATE_ROWS: u8 = 160;
const MARIA_GTID: u8 = 162;
const GTID: u8 = 33;
const WRITE_ROWS: [u8; 3] = [23, 25, 30];

/// A link with what a replica says before it asks for the log.
async fn replica(server: &Mysql, query: &str) -> Result<MysqlLink> {
    let mut link = connect(&url(server, "root", query)).await?;
    let mut settings = "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32', \
        @master_heartbeat_period = 20000000, @source_heartbeat_period = 20000000"
        .to_owned();
    if server.version().is_maria() {
        settings.push_str(", @mariadb_slave_capability = 4");
    }
    link.execute(&settings).await?;
    link.register_replica(SERVER_ID).await?;
    Ok(link)
}

fn at(file: &str, flags: u16) -> DumpRequest<'_> {
    DumpRequest {
        server_id: SERVER_ID,
        flags,
        file,
        position: 4,
    }
}

/// The kinds of the events up to the end, each of which is as long as it says.
async fn kinds(reader: &mut EventReader) -> Result<Vec<u8>> {
    let mut kinds = Vec::new();
    while let Some(event) = with_deadline(reader.next()).await?? {
        kinds.push(kind(&event)?);
    }
    assert_eq!(reader.next().await?, None, "it has ended");
    assert_eq!(reader.try_next_buffered()?, None, "it has ended");
    Ok(kinds)
}

fn kind(event: &[u8]) -> Result<u8> {
    let head = event.first_chunk::<19>().context("a short event")?;
    let [_, _, _, _, kind, _, _, _, _, a, b, c, d, ..] = *head;
    assert_eq!(
        usize::try_from(u32::from_le_bytes([a, b, c, d]))?,
        event.len()
    );
    Ok(kind)
}

fn rows(kinds: &[u8]) -> usize {
    kinds
        .iter()
        .filter(|kind| WRITE_ROWS.contains(kind))
        .count()
}

async fn with_rows(version: Version, settings: &[(&str, &str)], count: usize) -> Result<Mysql> {
    let mut builder = Mysql::builder(version);
    for (name, value) in settings {
        builder = builder.conf(name, value);
    }
    let server = builder.start().await?;
    server.exec("CREATE DATABASE d").await?;
    server
        .exec("CREATE TABLE d.t (id INT PRIMARY KEY, text LONGTEXT)")
        .await?;
    for id in 0..count {
        server
            .exec(&format!("INSERT INTO d.t VALUES ({id}, REPEAT('x', {id}))"))
            .await?;
    }
    Ok(server)
}

#[tokio::test]
async fn a_log_is_read_to_its_end_by_coordinates_and_by_gtids() -> Result<()> {
    for version in VERSIONS {
        let server = with_rows(version, &[], 5).await?;
        let files = server.log_files()?;
        let file = files.last().context("no log")?;
        for query in ["", "compress=zlib", "ssl-mode=disabled"] {
            let link = replica(&server, query).await?;
            let mut reader = link.dump(at(file, NON_BLOCK)).await?;
            let kinds = kinds(&mut reader).await?;
            assert_eq!(rows(&kinds), 5, "{version} {query}: {kinds:?}");
            assert!(kinds.contains(&FORMAT_DESCRIPTION), "{version}: {kinds:?}");
            let gtid = if version.is_maria() { MARIA_GTID } else { GTID };
            assert!(kinds.contains(&gtid), "{version}: {kinds:?}");
            assert_eq!(
                kinds.contains(&ROWS_QUERY),
                !version.is_maria(),
                "{version}"
            );
            assert!(!kinds.contains(&MARIA_ANNOTATE_ROWS), "{version}");
        }
        // All but the last two.
        let mut link = replica(&server, "").await?;
        let mut reader = if version.is_maria() {
            let position = value(&mut link, "SELECT @@gtid_binlog_pos").await?;
            let (start, number) = position.rsplit_once('-').context("no gtid")?;
            let number = number.parse::<u64>()? - 2;
            link.execute(&format!(
                "SET @slave_connect_state = '{start}-{number}', @slave_gtid_strict_mode = 1"
            ))
            .await?;
            // BINLOG_SEND_ANNOTATE_ROWS_EVENT
            link.dump(at("", NON_BLOCK | 2)).await?
        } else {
            let all: GtidSet = value(&mut link, "SELECT @@global.gtid_executed")
                .await?
                .parse()?;
            let text = all.to_string();
            let (start, last) = text.rsplit_once('-').context("one interval")?;
            let known: GtidSet = format!("{start}-{}", last.parse::<u64>()? - 2).parse()?;
            let request = DumpGtid {
                server_id: SERVER_ID,
                flags: NON_BLOCK,
                gtid_set_encoded: known.encode(),
            };
            link.dump_gtid(request).await?
        };
        let kinds = kinds(&mut reader).await?;
        assert_eq!(rows(&kinds), 2, "{version}: {kinds:?}");
        assert_eq!(
            kinds.contains(&MARIA_ANNOTATE_ROWS),
            version.is_maria(),
            "{version}: {kinds:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_log_that_goes_on_is_followed_also_when_it_is_compressed() -> Result<()> {
    const WAVES: usize = 40;
    for version in VERSIONS {
        let server = with_rows(version, &[], 0).await?;
        let file = server.log_files()?.pop().context("no log")?;
        let mut writer = connect(&url(&server, "root", "")).await?;
        for (round, query) in ["ssl-mode=disabled", "compress=zlib"]
            .into_iter()
            .enumerate()
        {
            let link = replica(&server, query).await?;
            let mut reader = link.dump(at(&file, 0)).await?;
            let mut seen = 0;
            for wave in 0..WAVES {
                // Transactions of one event and of many, small events and such as fill a packet.
                let first = (round * WAVES + wave) * 1000;
                let sizes = [1, 40, 3, 200, 1];
                let count = sizes.get(wave % sizes.len()).copied().unwrap_or(1);
                let values: Vec<_> = (first..first + count)
                    .map(|id| {
                        let text = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        format!("({id}, REPEAT('{text:032x}', {}))", 1 + wave * 7)
                    })
                    .collect();
                insert(&mut writer, &values.join(",")).await?;
                // Rows come in events of up to 8 KiB: the marker is a transaction's last one.
                let marker = first + 999;
                insert(&mut writer, &format!("({marker}, 'marker {marker}.')")).await?;
                let wanted = format!("marker {marker}.");
                let mut next = with_deadline(reader.next()).await??;
                loop {
                    let event = match next {
                        Some(event) => event,
                        None => with_deadline(reader.next()).await??.context("it ended")?,
                    };
                    let kind = kind(&event).with_context(|| format!("{version} {query}"))?;
                    seen += usize::from(kind != HEARTBEAT);
                    let found = event
                        .windows(wanted.len())
                        .any(|window| window == wanted.as_bytes());
                    if found && WRITE_ROWS.contains(&kind) {
                        break;
                    }
                    next = reader.try_next_buffered()?;
                }
            }
            assert!(seen > WAVES * 5, "{version} {query}: {seen} events");
        }
    }
    Ok(())
}

async fn insert(writer: &mut MysqlLink, values: &str) -> Result<()> {
    let sql = format!("INSERT INTO d.t VALUES {values}");
    let start: String = sql.chars().take(100).collect();
    with_deadline(writer.execute(&sql)).await?.context(start)
}

#[tokio::test]
async fn an_event_of_many_packets_comes_in_one_piece() -> Result<()> {
    const LONG: usize = 40_000_000;
    for version in VERSIONS {
        let server = with_rows(version, &[], 0).await?;
        // InnoDB would need a larger redo log.
        server.exec("ALTER TABLE d.t ENGINE = MyISAM").await?;
        server
            .exec(&format!(
                "INSERT INTO d.t VALUES (1, REPEAT('long', {}))",
                LONG / 4
            ))
            .await?;
        let file = server.log_files()?.pop().context("no log")?;
        for query in ["", "compress=zlib"] {
            let link = replica(&server, query).await?;
            let mut reader = link.dump(at(&file, NON_BLOCK)).await?;
            let mut longest = 0;
            while let Some(event) = with_deadline(reader.next()).await?? {
                kind(&event)?;
                longest = longest.max(event.len());
            }
            assert!(longest > LONG, "{version} {query}: {longest}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_log_that_is_not_there_is_the_servers_error() -> Result<()> {
    for version in VERSIONS {
        let server = with_rows(version, &[], 1).await?;
        let file = server.log_files()?.pop().context("no log")?;
        for (file, position) in [("nothing.000001", 4), (file.as_str(), 4_000_000_000)] {
            let link = replica(&server, "").await?;
            let request = DumpRequest {
                position,
                ..at(file, NON_BLOCK)
            };
            let mut reader = link.dump(request).await?;
            let error = loop {
                match with_deadline(reader.next()).await? {
                    Ok(Some(_)) => {}
                    Ok(None) => bail!("{version} {file} {position}: it ended"),
                    Err(error) => break error,
                }
            };
            assert_eq!(
                error.code(),
                Some(1236),
                "{version} {file} {position}: {error}"
            );
        }
        let link = replica(&server, "").await?;
        let beyond = DumpRequest {
            position: 1 << 32,
            ..at(&file, 0)
        };
        assert!(matches!(
            link.dump(beyond).await,
            Err(LinkError::Protocol { .. })
        ));
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_breaks_may_heal() -> Result<()> {
    for version in VERSIONS {
        let mut server = with_rows(version, &[], 1).await?;
        let file = server.log_files()?.pop().context("no log")?;
        let link = replica(&server, "").await?;
        let mut reader = link.dump(at(&file, 0)).await?;
        while !WRITE_ROWS.contains(&kind(
            &with_deadline(reader.next()).await??.context("ended")?,
        )?) {}
        server.kill().await?;
        let error = loop {
            match with_deadline(reader.next()).await? {
                Ok(Some(_)) => {}
                Ok(None) => bail!("{version}: it ended in order"),
                Err(error) => break error,
            }
        };
        assert!(error.is_transient(), "{version}: {}", chain(&error));
    }
    Ok(())
}
