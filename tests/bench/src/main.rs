//! `cargo lab bench`: how fast adit is, beside what the database and NATS can do at most.
//!
//! For each workload a backlog is written once. Then, in rounds and in turn, the database's own
//! program reads it and throws it away, adit's own publisher sends the same events from memory, and
//! adit does the whole way. The slower of the first two is the ceiling that adit is held against.

mod adit;
mod backlog;
mod broker;
mod changes;
mod database;
mod dialect;
mod reader;
mod report;
mod usage;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adit_lab::{Nats, nats};
use anyhow::{Context as _, Result, anyhow};
use clap::Parser;

use crate::backlog::{Backlog, MysqlBacklog, PostgresBacklog};
use crate::database::Kind;
use crate::report::{Contestant, Report};
use crate::workload::Workload;

/// Measure adit against the database's own reader and against what NATS can take.
#[derive(Debug, Parser)]
#[command(name = "cargo lab bench", bin_name = "cargo lab bench")]
struct Arguments {
    /// What is written to the database: transaction and small unless given
    #[arg(value_enum)]
    workloads: Vec<Workload>,
    /// Rows of each workload, instead of its own number
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// A tenth of the rows, for trying
    #[arg(long, conflicts_with = "rows")]
    quick: bool,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The database: postgres-17, mysql-9.7, mariadb-11.8 or another version of the lab; with a compressed log:
    /// mysql-9.7+compressed
    #[arg(long, default_value = "postgres-17")]
    database: Kind,
    /// The version of NATS: 2.10, 2.12, 2.15
    #[arg(long, default_value = "2.15")]
    nats: nats::Version,
    /// Let adit publish transactions as a whole
    #[arg(long)]
    atomic: bool,
    /// The program to measure
    #[arg(long, value_name = "PROGRAM", hide = true)]
    adit: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo lab bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider was installed before"))?;
    let reader = reader::version(arguments.database).await?;
    println!(
        "{}, NATS {}, {reader}, {} processors, rounds: {}",
        arguments.database,
        arguments.nats,
        usage::processors(),
        arguments.rounds
    );
    let defaults = [Workload::Transaction, Workload::Small];
    let workloads = match arguments.workloads.as_slice() {
        [] => &defaults,
        chosen => chosen,
    };
    for workload in workloads {
        let rows = arguments.rows.unwrap_or_else(|| {
            let rows = workload.rows();
            if arguments.quick { rows / 10 } else { rows }
        });
        let report = measure(arguments, *workload, rows).await?;
        println!("{report}");
    }
    Ok(())
}

async fn measure(arguments: &Arguments, workload: Workload, rows: u64) -> Result<Report> {
    println!("\n{workload}: writing {rows} rows …");
    // It runs in a folder of its own.
    let adit = arguments
        .adit
        .canonicalize()
        .with_context(|| format!("cannot find {}", arguments.adit.display()))?;
    match arguments.database {
        Kind::Postgres(version) => {
            let backlog = PostgresBacklog::write(version, workload, rows).await?;
            rounds(arguments, &adit, &backlog, workload, rows).await
        }
        Kind::Mysql {
            version,
            compressed,
        } => {
            let (nats, atomic) = (arguments.nats, arguments.atomic);
            let backlog =
                MysqlBacklog::write(version, compressed, workload, rows, nats, &adit, atomic)
                    .await?;
            rounds(arguments, &adit, &backlog, workload, rows).await
        }
    }
}

async fn rounds(
    arguments: &Arguments,
    adit: &Path,
    backlog: &impl Backlog,
    workload: Workload,
    rows: u64,
) -> Result<Report> {
    let database = arguments.database;
    let mut report = Report::new(database, workload, rows);
    for round in 1..=arguments.rounds {
        // Whoever goes first profits from a machine that has rested: each does once.
        let mut order = Contestant::ALL;
        let turns = round as usize % order.len();
        order.rotate_left(turns);
        for contestant in order {
            let run = match contestant {
                Contestant::Reader => reader::measure(backlog, round).await,
                Contestant::Broker => {
                    let nats = Nats::start(arguments.nats).await?;
                    broker::measure(&nats, database.dialect(), workload, rows).await
                }
                Contestant::Adit => {
                    let mut nats = Nats::builder(arguments.nats);
                    if let Some(store) = backlog.store() {
                        nats = nats.copy_of(&store);
                    }
                    let nats = nats.start().await?;
                    adit::measure(adit, backlog, &nats, rows, round, arguments.atomic).await
                }
            }?;
            println!("  round {round}  {}", run.line(contestant, database, rows));
            report.add(contestant, run);
        }
    }
    Ok(report)
}
