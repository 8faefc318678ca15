//! Object storage: typed keys, create-only puts, ranged reads.
