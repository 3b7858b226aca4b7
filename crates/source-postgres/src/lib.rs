//! PostgreSQL as a source: connection, slot, publication, snapshot and stream.
