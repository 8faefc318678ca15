//! The write-ahead log: entries, and where they become durable.
