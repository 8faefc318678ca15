//! The ingester: admission, decoding, write-ahead log, tail, first blocks; hosts the catalog.
