use std::path::PathBuf;

use anyhow::Result;

use crate::debian::Files;

/// MySQL's tests. The suite moves, so that no version can be pinned; the files are as old as the servers that wrote them.
const TESTS: Files = Files {
    suite: "sid",
    package: "mysql-testsuite",
    wanted: "./usr/lib/mysql-test/*std_data/*",
};

/// The folder below which MySQL's own tests have binary logs of servers of all ages, among other files; fetched if it is
/// not there. They are under the GPL, and no part of adit.
///
/// # Errors
///
/// apt is missing, or the mirror cannot be reached.
pub fn old_logs() -> Result<PathBuf> {
    Ok(TESTS.fetch()?.join("usr/lib/mysql-test"))
}
