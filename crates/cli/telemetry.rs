//! Log lines and panics, both on standard error.

use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::process;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::failure::{self, Failure};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// For `run` JSON where no terminal is; else text.
    Auto,
}

/// Our own lines from `info` on, those of the libraries from `warn` on.
const FILTER_SERVICE: &str = "warn,adit=info";
/// What went wrong, and what somebody should know.
const FILTER_COMMAND: &str = "warn";

/// Starts logging. `filter` overrides `RUST_LOG`; a `service` also tells how it is doing.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn init(
    format: LogFormat,
    filter: Option<&str>,
    service: bool,
) -> Result<LogFormat, Failure> {
    let default = if service {
        FILTER_SERVICE
    } else {
        FILTER_COMMAND
    };
    let (filter, origin) = match (filter, std::env::var("RUST_LOG")) {
        // A mere level is meant for our own lines: those of the libraries are for their authors.
        (Some(level), _) if level.parse::<LevelFilter>().is_ok() => {
            (format!("warn,adit={level}"), "--log-level")
        }
        (Some(filter), _) => (filter.to_owned(), "--log-level"),
        (None, Ok(filter)) if !filter.is_empty() => (filter, "RUST_LOG"),
        (None, _) => (default.to_owned(), "the default"),
    };
    let filter = EnvFilter::builder().parse(&filter).map_err(|error| {
        failure::usage(format!(
            "{origin} {filter:?} cannot be read ({error}): write a level, as in debug, or a filter, as in adit_sink_nats=debug"
        ))
    })?;
    let terminal = std::io::stderr().is_terminal();
    let format = match format {
        LogFormat::Auto if terminal || !service => LogFormat::Text,
        LogFormat::Auto => LogFormat::Json,
        chosen => chosen,
    };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    if format == LogFormat::Json {
        lines.json().flatten_event(true).init();
    } else {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        lines.with_ansi(colour).with_target(false).init();
    }
    Ok(format)
}

/// A panic is an error in adit. In whatever task it happens, the whole process ends: what is not
/// confirmed is published at the next start, which is safer than to go on in a state that nobody
/// has thought of.
pub(crate) fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic
            .location()
            .map(|at| format!(" at {}:{}", at.file(), at.line()))
            .unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("no message");
        // Nobody is left to hear that even this failed.
        drop(writeln!(
            std::io::stderr(),
            "adit: internal error{place}: {what}; nothing is lost, start it again; please report this line"
        ));
        process::exit(i32::from(failure::FAILED));
    }));
}
