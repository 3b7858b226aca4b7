//! NATS JetStream as the sink: subjects, stream, fenced pipelined publishing, checkpoints and lease.
