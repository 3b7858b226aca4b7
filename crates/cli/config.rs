//! The configuration: TOML in, checked values out, and every mistake reported at once.
//!
//! A file is read into [`section::Section`]s, which know their place in it; each part of it
//! (`source`, `nats`) turns its sections into the checked type that its adapter takes. Keys of
//! features that this build does not have are unknown keys. The options of `adit run` and
//! `adit tail` are turned into such a file, so that they are checked by the same rules.

mod expand;
mod mysql;
mod nats;
mod postgres;
mod problem;
mod quantity;
mod section;
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use adit_event::ValueOptions;
use adit_sink_nats::NatsConfig;
use toml::de::DeTable;

pub(crate) use self::problem::Invalid;
pub(crate) use self::section::suggestion;
pub(crate) use self::source::SourceConfig;

use self::problem::{Origin, Problem};
use self::section::{Reader, Section};

/// Longer than any configuration that a person wrote.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The longest name: it is part of slot names (63 bytes), subjects and event ids.
const NAME_LEN_MAX: usize = 41;

/// Everything that runs in one process.
#[derive(Debug)]
pub(crate) struct Config {
    /// At least one, with different names and streams.
    pub(crate) connectors: Vec<Connector>,
}

/// One database, one stream.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    /// In slot names, subjects, event ids and log lines.
    pub(crate) name: String,
    /// The database.
    pub(crate) source: SourceConfig,
    /// The stream.
    pub(crate) nats: NatsConfig,
    /// How long an acknowledged event is held back from being confirmed to the database.
    pub(crate) confirm_lag: Duration,
    /// How values are written.
    pub(crate) values: ValueOptions,
}

/// The options of a command that stand for a file.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// The URL of the source.
    pub(crate) source: String,
    /// What that is called: `--source` or `URL`.
    pub(crate) source_label: &'static str,
    /// `--nats`
    pub(crate) nats: Vec<String>,
    /// `--name`
    pub(crate) name: Option<String>,
    /// `--tables`
    pub(crate) tables: Vec<String>,
    /// `--stream`
    pub(crate) stream: Option<String>,
    /// `--publication`
    pub(crate) publication: Option<String>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, Invalid> {
        let origin = Origin::File(path.display().to_string());
        let refuse = |why: String| {
            let whole = Problem {
                path: String::new(),
                line: None,
                message: why,
            };
            Invalid::new(origin.clone(), vec![whole])
        };
        let text = read(path).map_err(refuse)?;
        let variables = |name: &str| std::env::var(name).ok();
        Self::parse(&text, &variables).map_err(|problems| Invalid::new(origin.clone(), problems))
    }

    /// Checks what was given as options.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn from_flags(flags: &Flags) -> Result<Self, Invalid> {
        // The shell has replaced the variables, so no `$` means anything any more.
        let literal = |text: &String| toml::Value::String(text.replace('$', "$$"));
        let literals = |texts: &[String]| toml::Value::Array(texts.iter().map(literal).collect());
        let mut postgres = toml::Table::new();
        if let Some(publication) = &flags.publication {
            postgres.insert("publication".to_owned(), literal(publication));
        }
        let mut source = toml::Table::new();
        source.insert("url".to_owned(), literal(&flags.source));
        if !postgres.is_empty() {
            source.insert("postgres".to_owned(), postgres.into());
        }
        if !flags.tables.is_empty() {
            source.insert("tables".to_owned(), literals(&flags.tables));
        }
        let mut nats = toml::Table::new();
        if !flags.nats.is_empty() {
            nats.insert("url".to_owned(), literals(&flags.nats));
        }
        if let Some(stream) = &flags.stream {
            nats.insert("stream".to_owned(), literal(stream));
        }
        let mut connector = toml::Table::new();
        if let Some(name) = &flags.name {
            connector.insert("name".to_owned(), literal(name));
        }
        connector.insert("source".to_owned(), source.into());
        connector.insert("nats".to_owned(), nats.into());
        let mut file = toml::Table::new();
        file.insert(
            "connector".to_owned(),
            toml::Value::Array(vec![connector.into()]),
        );
        Self::parse(&file.to_string(), &|_| None)
            .map_err(|problems| Invalid::new(Origin::Flags(flags.source_label), problems))
    }

    /// The connector of this name.
    pub(crate) fn connector(&self, name: &str) -> Option<&Connector> {
        self.connectors.iter().find(|one| one.name == name)
    }

    fn parse(text: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let reader = Reader::new(text, variables);
        if !errors.is_empty() {
            for error in errors {
                // Not its Display, which repeats the line, and a line may hold a password.
                let at = error.span().map(|span| span.start);
                reader.report(String::new(), at, error.message().to_owned());
            }
            return Err(reader.into_problems());
        }
        let mut root = Section::new(&reader, String::new(), Some(document.get_ref()), 0);
        let sections = root.sections("connector");
        if sections.is_empty() && !root.has("connector") {
            root.problem(
                "connector",
                "there is none: write [[connector]] with at least source.url",
            );
        }
        let mut connectors = Vec::with_capacity(sections.len());
        let mut taken = Taken::default();
        for section in sections {
            connectors.extend(connector(section, &mut taken));
        }
        root.finish();
        let problems = reader.into_problems();
        if problems.is_empty() {
            Ok(Self { connectors })
        } else {
            Err(problems)
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| {
        format!(
            "it cannot be read: {error}; name the file with -c FILE, or use --source and --nats"
        )
    })?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// What only one connector may have.
#[derive(Default)]
struct Taken {
    names: HashMap<String, ()>,
    streams: HashMap<String, String>,
}

/// Reads one `[[connector]]`; none if it cannot be used, which has been reported then.
fn connector(mut section: Section<'_>, taken: &mut Taken) -> Option<Connector> {
    let name = section.text("name");
    let mut source = section.section("source");
    let mut snapshot = section.section("snapshot");
    let mut nats = section.section("nats");
    let mut format = section.section("format");

    let connect = source::connect(&mut source);
    let name = match name {
        Some(name) if is_name(&name.value) => Some(name.value),
        Some(name) => {
            section.problem("name", format!("{:?} is not a name: it starts with a lower-case letter, has lower-case letters, digits and _, and at most {NAME_LEN_MAX} of them, as in \"shop\"", name.written));
            None
        }
        None if section.has("name") => None,
        None => connect.as_ref().map(|connect| name_of(&connect.name())),
    };
    // What depends on the name is still checked when there is none.
    let label = name.as_deref().unwrap_or("connector");
    if let Some(name) = &name
        && taken.names.insert(name.clone(), ()).is_some()
    {
        section.problem(
            "name",
            format!("another connector is called {name:?} already: give each a name of its own"),
        );
    }
    let source_options = source::read(&mut source, &mut snapshot, connect, label);
    let confirm_lag = nats.duration("confirm_lag", Duration::ZERO);
    let nats_config = nats::read(&mut nats, label);
    if let Some(nats_config) = &nats_config
        && let Some(other) = taken
            .streams
            .insert(nats_config.stream.clone(), label.to_owned())
    {
        nats.problem("stream", format!("connector {other:?} writes to stream {:?} already: a stream has one writer, give each connector its own", nats_config.stream));
    }
    let values = values(&mut format);
    for part in [source, snapshot, nats, format, section] {
        part.finish();
    }
    Some(Connector {
        name: name?,
        source: source_options?,
        nats: nats_config?,
        confirm_lag,
        values,
    })
}

fn values(format: &mut Section<'_>) -> ValueOptions {
    format.choice("kind", &[("adit", ())], ());
    ValueOptions {
        integers_as_strings: format.choice(
            "integers",
            &[("number", false), ("string", true)],
            false,
        ),
        decimals_as_numbers: format.choice(
            "decimals",
            &[("string", false), ("number", true)],
            false,
        ),
        bytes_as_hex: format.choice("bytes", &[("base64", false), ("hex", true)], false),
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The name of a connector that was given none: its database's, made legal.
fn name_of(database: &str) -> String {
    let mut name: String = database
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '_'
            }
        })
        .take(NAME_LEN_MAX)
        .collect();
    if !is_name(&name) {
        name.insert_str(0, "db_");
        name.truncate(NAME_LEN_MAX);
    }
    name
}
