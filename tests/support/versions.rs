//! One test for each version of PostgreSQL.

use anyhow::Result;

/// Makes a module for each name, with a test for each version.
macro_rules! on_every_version {
    ($($name:ident = $test:path;)*) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_13() { super::report($test(super::Version::V13).await); }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_15() { super::report($test(super::Version::V15).await); }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_17() { super::report($test(super::Version::V17).await); }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_18() { super::report($test(super::Version::V18).await); }
        })*
    };
}

/// Fails the test with the error and its causes.
pub(crate) fn report(result: Result<()>) {
    if let Err(error) = result {
        panic!("{error:#}");
    }
}
