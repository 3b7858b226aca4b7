//! `cargo lab bench`: how fast adit is, beside what PostgreSQL and NATS can do at most.
//!
//! For each workload a backlog is written once. Then, in rounds and in turn, `pg_recvlogical` reads
//! it to `/dev/null`, adit's own publisher sends the same events from memory, and adit does the
//! whole way. The slower of the first two is the ceiling that adit is held against.

mod adit;
mod backlog;
mod broker;
mod reader;
mod report;
mod usage;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use adit_lab::{Nats, nats, pg};
use anyhow::{Context as _, Result, anyhow};
use clap::Parser;

use crate::backlog::Backlog;
use crate::report::{Contestant, Report};
use crate::workload::Workload;

/// Measure adit against pg_recvlogical and against what NATS can take.
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
    /// The major version of PostgreSQL: 13, 15, 17, 18
    #[arg(long, default_value = "17")]
    pg: pg::Version,
    /// The version of NATS: 2.10, 2.12, 2.15
    #[arg(long, default_value = "2.15")]
    nats: nats::Version,
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
    let reader = reader::version().await?;
    println!(
        "PostgreSQL {}, NATS {}, {reader}, {} processors, rounds: {}",
        arguments.pg,
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
    // It runs in a folder of its own.
    let adit = arguments
        .adit
        .canonicalize()
        .with_context(|| format!("cannot find {}", arguments.adit.display()))?;
    println!("\n{workload}: writing {rows} rows …");
    let backlog = Backlog::write(arguments.pg, workload, rows).await?;
    let mut report = Report::new(workload, rows);
    for round in 1..=arguments.rounds {
        // Whoever goes first profits from a machine that has rested: each does once.
        let mut order = Contestant::ALL;
        let turns = round as usize % order.len();
        order.rotate_left(turns);
        for contestant in order {
            let run = match contestant {
                Contestant::Reader => reader::measure(&backlog, round).await,
                Contestant::Broker => {
                    let nats = Nats::start(arguments.nats).await?;
                    broker::measure(&nats, workload, rows).await
                }
                Contestant::Adit => {
                    let nats = Nats::start(arguments.nats).await?;
                    adit::measure(&adit, &backlog, &nats, round).await
                }
            }?;
            println!("  round {round}  {}", run.line(contestant, rows));
            report.add(contestant, run);
        }
    }
    Ok(report)
}
