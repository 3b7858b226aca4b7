//! The ports and the loop: what a source and a sink are, and how events pass between them exactly once.
