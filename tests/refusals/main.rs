//! What adit says when something is wrong: in `check` and in `run`, with the exit code that tells a supervisor whether
//! to try again, and never with a secret in it. What may heal is tried again, and works once it has healed.

mod bad_config;
mod bad_mysql;
mod bad_nats;
mod bad_postgres;
mod changed_behind;
mod least_rights;
mod support;
