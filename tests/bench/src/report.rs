//! Figures: medians, what they spread over, and how far from the aims.

use std::fmt;
use std::time::Duration;

use crate::database::Kind;
use crate::usage;
use crate::workload::Workload;

/// What is aimed at: adit's speed as a part of the slower ceiling's.
const RATIO_MIN: f64 = 0.85;
/// Processor seconds of adit for a million events.
const CPU_MAX: f64 = 3.0;
/// Megabytes (of 1000 × 1000 bytes) that adit has in memory at most.
const MEMORY_MAX: f64 = 64.0;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    Reader,
    Broker,
    Adit,
}

impl Contestant {
    pub(crate) const ALL: [Self; 3] = [Self::Reader, Self::Broker, Self::Adit];

    const fn name(self, database: Kind) -> &'static str {
        match self {
            Self::Reader => database.reader_name(),
            Self::Broker => "the broker, fed from memory",
            Self::Adit => "adit to JetStream",
        }
    }
}

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// From the start of the process to the last row.
    pub(crate) time: Duration,
    /// Processor time of the program itself.
    pub(crate) client: Duration,
    /// Processor time of the database's process that reads the log.
    pub(crate) source: Option<Duration>,
    /// Processor time of NATS.
    pub(crate) broker: Option<Duration>,
    /// Most bytes in memory.
    pub(crate) memory: Option<u64>,
    /// Bytes of the last event.
    pub(crate) payload: Option<usize>,
}

impl Run {
    /// The run as a line.
    pub(crate) fn line(&self, contestant: Contestant, database: Kind, rows: u64) -> String {
        format!(
            "{:28} {:6.2} s  {:>9} rows/s",
            contestant.name(database),
            self.time.as_secs_f64(),
            thousands(self.speed(rows))
        )
    }

    fn speed(&self, rows: u64) -> f64 {
        count(rows) / self.time.as_secs_f64()
    }
}

/// All measurements of one workload.
pub(crate) struct Report {
    database: Kind,
    workload: Workload,
    rows: u64,
    runs: Vec<(Contestant, Run)>,
}

impl Report {
    pub(crate) const fn new(database: Kind, workload: Workload, rows: u64) -> Self {
        Self {
            database,
            workload,
            rows,
            runs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, contestant: Contestant, run: Run) {
        self.runs.push((contestant, run));
    }

    /// A figure of each run of one contestant, sorted.
    fn figures(&self, of: Contestant, figure: impl Fn(&Run) -> Option<f64>) -> Vec<f64> {
        let runs = self.runs.iter().filter(|(who, _)| *who == of);
        let mut figures: Vec<f64> = runs.filter_map(|(_, run)| figure(run)).collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    fn speeds(&self, of: Contestant) -> Vec<f64> {
        self.figures(of, |run| Some(run.speed(self.rows)))
    }

    /// Processor seconds for a million rows: the program's, the database's, NATS's.
    fn cpu(&self, of: Contestant) -> [Option<f64>; 3] {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count(self.rows);
        [
            median(&self.figures(of, |run| Some(each(run.client)))),
            median(&self.figures(of, |run| run.source.map(each))),
            median(&self.figures(of, |run| run.broker.map(each))),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.database.name();
        writeln!(
            f,
            "\n{}: {} rows; median, lowest and highest; processor seconds for a million rows",
            self.workload,
            thousands(count(self.rows))
        )?;
        writeln!(
            f,
            "  {:28} {:>9} {:>9} {:>9}   {:>7} {:>10} {:>6}   {:>11}",
            "", "rows/s", "lowest", "highest", "itself", database, "NATS", "last event"
        )?;
        for contestant in Contestant::ALL {
            let speeds = self.speeds(contestant);
            let [own, source, broker] = self.cpu(contestant).map(seconds);
            let payload = self
                .figures(contestant, |run| run.payload.map(|len| count(len as u64)))
                .last()
                .map_or_else(|| "-".to_owned(), |len| format!("{len} bytes"));
            writeln!(
                f,
                "  {:28} {:>9} {:>9} {:>9}   {own:>7} {source:>10} {broker:>6}   {payload:>11}",
                contestant.name(self.database),
                figure(median(&speeds)),
                figure(speeds.first().copied()),
                figure(speeds.last().copied()),
            )?;
        }
        let [reader, broker, adit] = Contestant::ALL.map(|who| median(&self.speeds(who)));
        let (Some(reader), Some(broker), Some(adit)) = (reader, broker, adit) else {
            return Ok(());
        };
        let ratio = adit / reader.min(broker);
        writeln!(
            f,
            "  adit / reader {:.2}, adit / broker {:.2}; of the slower {ratio:.2}, aim at least {RATIO_MIN}: {}",
            adit / reader,
            adit / broker,
            verdict(ratio >= RATIO_MIN)
        )?;
        let cpu = self.cpu(Contestant::Adit);
        if let [Some(own), ..] = cpu {
            writeln!(
                f,
                "  adit's processor time {own:.2} s for a million events, aim below {CPU_MAX}: {}",
                verdict(own < CPU_MAX)
            )?;
        }
        let memory = self.figures(Contestant::Adit, |run| run.memory.map(|m| count(m) / 1e6));
        if let Some(most) = memory.last() {
            writeln!(
                f,
                "  adit's memory {most:.1} MB at its peak, aim below {MEMORY_MAX}: {}",
                verdict(*most < MEMORY_MAX)
            )?;
        }
        if let [Some(own), Some(source), Some(broker)] = cpu {
            let processors = count(usage::processors() as u64);
            let bound = processors * 1e6 / (own + source + broker);
            writeln!(
                f,
                "  {processors} processors cannot do more than {} rows/s when adit, {database} and NATS take what they took: adit did {:.0} % of it",
                thousands(bound),
                100.0 * adit / bound
            )?;
        }
        Ok(())
    }
}

const fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

/// The middle one of sorted figures, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some((upper + lower) / 2.0)
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), thousands)
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// Without decimals, in groups of three digits.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A count as a figure: no count here comes near the 2⁵³ that an `f64` holds exactly.
#[expect(clippy::cast_precision_loss, reason = "see above")]
const fn count(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use adit_lab::pg;

    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(7.4), "7");
        assert_eq!(thousands(123.0), "123");
        assert_eq!(thousands(1_234_567.0), "1 234 567");
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 3.0]), Some(2.0));
    }

    #[test]
    fn the_ratio_is_that_to_the_slower_ceiling() {
        let run = |seconds| Run {
            time: Duration::from_secs(seconds),
            client: Duration::from_secs(1),
            source: Some(Duration::from_secs(1)),
            broker: Some(Duration::from_secs(2)),
            memory: Some(50_000_000),
            payload: Some(400),
        };
        let mut report = Report::new(Kind::Postgres(pg::Version::V17), Workload::Small, 1_000_000);
        report.add(Contestant::Reader, run(2));
        report.add(Contestant::Broker, run(9));
        report.add(Contestant::Adit, run(10));
        let text = report.to_string();
        assert!(text.contains("of the slower 0.90"), "{text}");
        assert!(text.contains("1.00 s for a million events"), "{text}");
        assert!(text.contains("50.0 MB"), "{text}");
        assert!(!text.contains("missed"), "{text}");
    }
}
