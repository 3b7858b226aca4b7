//! `adit check`

use std::io::{self, IsTerminal, Write};

use adit_pipeline::{Finding, Verdict};
use anyhow::Context;
use serde::Serialize;

use crate::args::CheckArgs;
use crate::config::Config;
use crate::failure::{self, Failure};
use crate::wiring;

/// Tests everything that `run` needs and prints what was found.
///
/// # Errors
/// A configuration that cannot be used, or a finding that keeps `run` from working.
pub(crate) async fn check(args: CheckArgs) -> Result<(), Failure> {
    let config = Config::load(&args.config.config)?;
    let mut report = Report::new(args.json);
    for connector in config.connectors {
        let name = connector.name.clone();
        for finding in wiring::check(connector).await {
            report.add(&name, &finding)?;
        }
    }
    if report.finish()? {
        Ok(())
    } else {
        Err(failure::findings())
    }
}

/// Prints findings: as lines at once, as JSON at the end.
struct Report {
    json: Option<Vec<Line>>,
    colour: bool,
    passed: bool,
}

#[derive(Serialize)]
struct Whole {
    ok: bool,
    findings: Vec<Line>,
}

/// A finding as JSON.
#[derive(Serialize)]
struct Line {
    connector: String,
    verdict: &'static str,
    subject: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Report {
    fn new(json: bool) -> Self {
        Self {
            json: json.then(Vec::new),
            colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            passed: true,
        }
    }

    fn add(&mut self, connector: &str, finding: &Finding) -> anyhow::Result<()> {
        self.passed &= finding.verdict != Verdict::Fail;
        let Some(lines) = &mut self.json else {
            return printed(&self.lines(connector, finding));
        };
        lines.push(Line {
            connector: connector.to_owned(),
            verdict: word(finding.verdict),
            subject: finding.subject.clone(),
            detail: finding.detail.clone(),
            remedy: finding.remedy.clone(),
        });
        Ok(())
    }

    fn lines(&self, connector: &str, finding: &Finding) -> String {
        let Finding {
            verdict,
            subject,
            detail,
            remedy,
        } = finding;
        let word = word(*verdict);
        let (on, off) = match (self.colour, verdict) {
            (false, _) => ("", ""),
            (true, Verdict::Ok) => ("\x1b[32m", "\x1b[0m"),
            (true, Verdict::Warn) => ("\x1b[33m", "\x1b[0m"),
            (true, Verdict::Fail) => ("\x1b[1;31m", "\x1b[0m"),
        };
        let mut text = format!("{on}{word:<4}{off}  {connector}: {subject}: {detail}\n");
        if let Some(remedy) = remedy {
            text.push_str("      ");
            text.push_str(&remedy.replace('\n', "\n      "));
            text.push('\n');
        }
        text
    }

    /// Whether nothing failed.
    fn finish(self) -> anyhow::Result<bool> {
        if let Some(findings) = self.json {
            let whole = Whole {
                ok: self.passed,
                findings,
            };
            let text = serde_json::to_string_pretty(&whole).context("writing the findings")?;
            printed(&(text + "\n"))?;
        }
        Ok(self.passed)
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    }
}

/// Prints; a reader that has gone needs no answer.
fn printed(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_its_remedy_the_next() {
        let report = Report {
            json: None,
            colour: false,
            passed: true,
        };
        let finding = Finding::fail("wal_level", "it is replica", "set it to logical");
        assert_eq!(
            report.lines("shop", &finding),
            "FAIL  shop: wal_level: it is replica\n      set it to logical\n"
        );
    }
}
