//! The vocabulary of adit: events, rows, relations, values, positions and the published envelope.
