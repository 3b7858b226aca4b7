//! `adit drop`

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::Context;

use crate::args::DropArgs;
use crate::config::{Config, Connector, SourceConfig, suggestion};
use crate::failure::{self, Failure};
use crate::wiring;

/// Removes what adit created for a connector, after asking.
///
/// # Errors
/// A wrong name or configuration, a refusal at the question, or a server that does not let us.
pub(crate) async fn remove(args: DropArgs) -> Result<(), Failure> {
    let config = Config::load(&args.config.config)?;
    let Some(connector) = config.connector(&args.name) else {
        let names = || config.connectors.iter().map(|one| one.name.as_str());
        let mut hint = suggestion(&args.name, names());
        if hint.is_empty() {
            hint = format!("; there are: {}", names().collect::<Vec<_>>().join(", "));
        }
        return Err(failure::usage(format!(
            "no connector is called {:?} in {}{hint}",
            args.name,
            args.config.config.display()
        )));
    };
    if !args.yes {
        confirm(connector, args.stream)?;
    }
    for removed in wiring::remove(connector, args.stream).await? {
        // The work is done even if nobody reads what it was.
        drop(writeln!(io::stdout(), "removed {removed}"));
    }
    Ok(())
}

fn confirm(connector: &Connector, stream: bool) -> Result<(), Failure> {
    let Connector {
        name, source, nats, ..
    } = connector;
    let mut what = match source {
        SourceConfig::Postgres(options) => format!(
            "slot {:?}, publication {:?} and the checkpoint of connector {name:?}",
            options.slot, options.publication
        ),
        SourceConfig::Mysql(_) => format!("the checkpoint of connector {name:?}"),
    };
    if stream {
        what = format!(
            "{what}, and stream {:?} with every event in it",
            nats.stream
        );
    }
    if !io::stdin().is_terminal() {
        return Err(failure::usage(format!(
            "this removes {what}; there is no terminal to ask on: add --yes"
        )));
    }
    let mut terminal = io::stderr();
    write!(terminal, "Remove {what}? [y/N] ")
        .and_then(|()| terminal.flush())
        .context("asking on the terminal")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("reading the answer")?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(anyhow::anyhow!("nothing was removed").into())
    }
}
