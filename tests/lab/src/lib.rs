//! Real servers for adit's tests.
