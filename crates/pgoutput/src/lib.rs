//! PostgreSQL's logical replication bytes, decoded: replication frames, pgoutput messages, tuples and values.
