//! Configurations that cannot be used: exit code 2, every mistake named.

use anyhow::Result;

use crate::support::{Adit, SECRET};

/// Nothing is asked there: the configuration is refused first.
fn nowhere(name: &str) -> Result<Adit> {
    let nobody = ([127, 0, 0, 1], 1).into();
    Adit::new(name, nobody, nobody)
}

async fn is_misuse(mut adit: Adit, words: &[&str]) -> Result<()> {
    adit.check().await?.with(2, words)?;
    adit.start()?;
    adit.ends().await?.with(2, words)
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_a_suggestion() -> Result<()> {
    let mut adit = nowhere("unknown_key")?;
    adit.more = "[connector.source.postgres]\npublicaton = \"x\"".to_owned();
    is_misuse(adit, &["publicaton", "publication\"", "line 9"]).await
}

#[tokio::test]
async fn a_url_of_another_kind_is_refused_without_being_shown() -> Result<()> {
    let mut adit = nowhere("wrong_url")?;
    adit.source = format!("oracle://adit:{SECRET}@db/shop");
    is_misuse(adit, &["connector.source.url", "postgres://"]).await
}

#[tokio::test]
async fn a_url_with_an_unknown_parameter_is_refused() -> Result<()> {
    let mut adit = nowhere("wrong_parameter")?;
    adit.source = format!("postgres://adit:{SECRET}@db/shop?sslmod=require");
    is_misuse(adit, &["connector.source.url", "sslmod"]).await
}

#[tokio::test]
async fn a_wrong_nats_url_is_refused_without_being_shown() -> Result<()> {
    let mut adit = nowhere("wrong_nats_url")?;
    adit.nats = format!("http://adit:{SECRET}@broker");
    is_misuse(adit, &["nats", "nats://"]).await
}
