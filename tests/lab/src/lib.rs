//! Real servers for adit's tests: fetched, started, broken and stopped.
//!
//! Every server lives in a folder of its own under `target/lab/run`, listens on a random free port of 127.0.0.1, and is
//! gone with its folder when its handle is dropped or when the process that started it dies, however it dies. A server
//! that cannot be had is an error and never a skipped test.
//!
//! [`Postgres`] and [`Nats`] are the servers, [`Proxy`] the faulty network between them and the code under test,
//! [`wait_for`] the way to wait without sleeping. [`Daemon`] is the program under test, [`Workload`] what is written to the
//! database meanwhile, and [`checker`] proves that the stream then tells the same.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use adit_lab::{Postgres, Proxy, pg};
//!
//! let mut server = Postgres::start(pg::Version::V17).await?;
//! server.exec("create table t (id int primary key)").await?;
//! let proxy = Proxy::start(server.addr()).await?;
//! // … point the code under test at proxy.addr() …
//! proxy.cut();
//! server.kill().await?;
//! server.restart().await?;
//! # Ok(())
//! # }
//! ```

mod daemon;
mod debian;
mod folder;
mod once;
mod package;
mod port;
mod process;
mod program;
mod user;
mod wait;

pub mod checker;
pub mod mysql;
pub mod nats;
pub mod pg;
pub mod proxy;
pub mod tls;
pub mod workload;

pub use daemon::Daemon;
pub use folder::root;
pub use mysql::Mysql;
pub use nats::Nats;
pub use pg::Postgres;
pub use process::Detached;
pub use proxy::{Direction, Proxy};
pub use wait::wait_for;
pub use workload::Workload;
