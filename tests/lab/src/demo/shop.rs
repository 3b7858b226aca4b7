//! A small shop whose tables keep changing, with its books in a database of either kind.

mod mysql;
mod postgres;

use std::time::Duration;

use anyhow::{Context, Result};
use rand::Rng as _;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use mysql::MysqlBooks;
pub(crate) use postgres::PostgresBooks;

/// The shop's database.
pub(crate) const DATABASE: &str = "shop";

/// Names that new customers get.
const NAMES: [&str; 8] = [
    "Tony", "Margaret", "Dennis", "Radia", "Leslie", "Frances", "Niklaus", "Karen",
];

/// Most lines of an order.
const LINES_MAX: i32 = 3;
/// A product of which fewer are left is ordered anew.
const STOCK_LOW: i32 = 5;
/// Pause between two transactions, in milliseconds: slow enough to read along.
const PAUSE_MS: std::ops::Range<u64> = 250..900;

/// One transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deal {
    /// A customer fills a cart with so many lines, and mostly pays at once.
    Order { paid: bool, lines: i32 },
    /// An order is packed or shipped.
    MoveOn,
    /// The oldest cart that nobody paid for is thrown away.
    ClearACart,
    /// Somebody new.
    Welcome(&'static str),
    /// What runs low is ordered anew; else a price changes.
    Restock,
}

/// The shop's side of a database.
pub(crate) trait Books: Send + 'static {
    /// Performs a transaction; how many rows it changed.
    fn enter(&mut self, deal: Deal) -> impl Future<Output = Result<u64>> + Send;
}

/// Does business until `stop`; how many rows that changed.
///
/// # Errors
/// The server is gone, or refuses a statement.
pub(crate) async fn run(mut books: impl Books, stop: CancellationToken) -> Result<u64> {
    let mut changes = 0;
    while !stop.is_cancelled() {
        let entered = books.enter(deal()).await;
        changes += entered.context("the shop cannot go on")?;
        let pause = Duration::from_millis(rand::rng().random_range(PAUSE_MS));
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(pause) => {}
        }
    }
    Ok(changes)
}

/// What comes next.
fn deal() -> Deal {
    let mut random = rand::rng();
    match random.random_range(0..100) {
        0..45 => Deal::Order {
            paid: random.random_bool(0.7),
            lines: random.random_range(1..=LINES_MAX),
        },
        45..80 => Deal::MoveOn,
        80..88 => Deal::ClearACart,
        88..94 => {
            let at = random.random_range(0..NAMES.len());
            Deal::Welcome(NAMES.get(at).copied().unwrap_or("Somebody"))
        }
        _ => Deal::Restock,
    }
}
