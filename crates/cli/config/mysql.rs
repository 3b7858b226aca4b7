//! `[connector.source.mysql]`, which is for MariaDB too.

use std::time::Duration;

use adit_pipeline::TableFilter;
use adit_source_mysql::{ConnectConfig, GtidMode, MysqlOptions};

use super::section::Section;
use super::source::Shared;

const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(10);
/// Each is a packet from the server.
const HEARTBEAT_LEAST: Duration = Duration::from_millis(100);

/// Reads the section.
pub(crate) fn read(
    mut mysql: Section<'_>,
    connect: ConnectConfig,
    shared: Shared,
    connector: &str,
) -> MysqlOptions {
    let server_id = mysql.number("server_id", 0..=u64::from(u32::MAX), 0);
    let gtid = mysql.choice(
        "gtid",
        &[
            ("auto", GtidMode::Auto),
            ("on", GtidMode::On),
            ("off", GtidMode::Off),
        ],
        GtidMode::Auto,
    );
    let heartbeat = mysql.duration("heartbeat", HEARTBEAT_DEFAULT);
    if heartbeat < HEARTBEAT_LEAST {
        mysql.problem("heartbeat", "it is shorter than a tenth of a second");
    }
    mysql.finish();
    MysqlOptions {
        name: connector.to_owned(),
        flavor: Some(connect.flavor()),
        tables: of_database(shared.tables, connect.database()),
        connect,
        server_id: u32::try_from(server_id).unwrap_or(0),
        gtid,
        heartbeat,
        snapshot: shared.snapshot,
        spill_dir: shared.spill_dir,
        spill_memory: shared.spill_memory,
        leave_nothing: false,
        from_now: false,
    }
}

/// The URL's database stands for all tables, where it names one.
fn of_database(tables: TableFilter, database: Option<&str>) -> TableFilter {
    let globs = tables.globs();
    let begins_with_all = globs.first().is_none_or(|glob| glob.starts_with('!'));
    match database {
        Some(database) if begins_with_all => {
            let all = format!("{database}.*");
            let globs: Vec<_> = [all].into_iter().chain(globs).collect();
            TableFilter::parse(&globs).unwrap_or(tables)
        }
        _ => tables,
    }
}
