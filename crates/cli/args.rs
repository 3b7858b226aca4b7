//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::telemetry::LogFormat;

/// A change-data-capture log miner: PostgreSQL to NATS JetStream, exactly once, in commit order.
#[derive(Debug, Parser)]
#[command(
    name = "adit",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How log lines on standard error look; auto: JSON for `run` where no terminal is, else text.
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub(crate) log_format: LogFormat,
    /// Which log lines: error, warn, info, debug, trace, or a filter as in RUST_LOG, which it overrides.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish every committed change of a database to NATS JetStream, until told to stop.
    Run(RunArgs),
    /// Print changes to standard output, one JSON object a line; needs no NATS and leaves nothing behind.
    Tail(TailArgs),
    /// Test everything that `run` needs, one line each.
    Check(CheckArgs),
    /// Remove what adit created for a connector: slot, publication, checkpoint.
    Drop(DropArgs),
}

/// Where the configuration is.
#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "adit.toml")]
    pub(crate) config: PathBuf,
}

/// `adit run`
#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// The configuration file; adit.toml unless --source is given.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["source", "nats", "name", "tables", "stream"])]
    pub(crate) config: Option<PathBuf>,
    /// The database, as in postgres://user@host:5432/database: run one connector without a file.
    #[arg(long, value_name = "URL")]
    pub(crate) source: Option<String>,
    /// A NATS server, as in nats://host:4222; repeat it for several.
    #[arg(long, value_name = "URL", requires = "source")]
    pub(crate) nats: Vec<String>,
    /// The connector's name; the database's name unless given.
    #[arg(long, value_name = "NAME", requires = "source")]
    pub(crate) name: Option<String>,
    /// Which tables, as globs in order, as in 'public.*' '!public.audit_*'; all unless given.
    #[arg(long, value_name = "GLOB", num_args = 1.., requires = "source")]
    pub(crate) tables: Vec<String>,
    /// The stream; CDC_NAME unless given.
    #[arg(long, value_name = "STREAM", requires = "source")]
    pub(crate) stream: Option<String>,
    /// Go on although messages at the stream's end were purged behind us; some events may come twice.
    #[arg(long)]
    pub(crate) accept_truncated_stream: bool,
}

/// `adit tail`
#[derive(Debug, ClapArgs)]
pub(crate) struct TailArgs {
    /// The database, as in postgres://user@host:5432/database.
    #[arg(value_name = "URL")]
    pub(crate) source: String,
    /// Which tables, as globs in order, as in 'public.*' '!public.audit_*'; all unless given.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub(crate) tables: Vec<String>,
    /// The format of the lines.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = TailFormat::Adit)]
    pub(crate) format: TailFormat,
    /// Print the rows that are there already, then the changes.
    #[arg(long)]
    pub(crate) snapshot: bool,
    /// Read through this publication, which has the tables that --tables names, and leave it;
    /// otherwise one is created and removed at the end.
    #[arg(long, value_name = "NAME", requires = "tables")]
    pub(crate) publication: Option<String>,
}

/// What `tail` prints.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum TailFormat {
    /// The format of the messages that `run` publishes.
    Adit,
}

/// `adit check`
#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// One JSON object instead of lines.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `adit drop`
#[derive(Debug, ClapArgs)]
pub(crate) struct DropArgs {
    /// The connector's name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Delete the stream too, with every event in it.
    #[arg(long)]
    pub(crate) stream: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}
