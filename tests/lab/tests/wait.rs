//! Waiting for a condition.

use std::time::Duration;

use adit_lab::wait_for;
use anyhow::{Result, bail};

#[tokio::test]
async fn waiting_ends_when_the_condition_holds_whatever_it_said_before() -> Result<()> {
    let mut looks = 0;
    wait_for("the third look", Duration::from_secs(10), async || {
        looks += 1;
        match looks {
            1 => bail!("not even there"),
            2 => Ok(false),
            _ => Ok(true),
        }
    })
    .await?;
    assert_eq!(looks, 3);
    Ok(())
}

#[tokio::test]
async fn waiting_in_vain_names_what_was_waited_for_and_the_last_error() {
    let waited = wait_for("the moon", Duration::from_millis(50), async || {
        bail!("still behind the hill")
    })
    .await;
    let error = format!("{:#}", waited.unwrap_err());
    assert_eq!(error, "the moon: not within 50ms: still behind the hill");
}

#[tokio::test]
async fn a_condition_that_never_returns_does_not_hold_up_the_deadline() {
    let waited = wait_for("silence", Duration::from_millis(50), async || {
        std::future::pending().await
    })
    .await;
    let error = format!("{:#}", waited.unwrap_err());
    assert!(error.starts_with("silence: not within 50ms"), "{error}");
}
