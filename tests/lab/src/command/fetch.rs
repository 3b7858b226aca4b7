use adit_lab::{mysql, nats, pg};
use anyhow::Result;

/// Fetches every server of the lab.
pub(crate) fn run() -> Result<()> {
    for version in pg::VERSIONS {
        let folder = version.fetch()?;
        println!("postgres {version}: {}", folder.display());
    }
    for version in mysql::VERSIONS {
        println!("{version}: {}", version.fetch()?.display());
    }
    println!("logs of old servers: {}", mysql::old_logs()?.display());
    for version in nats::VERSIONS {
        let program = version.fetch()?;
        println!("nats {version}: {}", program.display());
    }
    Ok(())
}
