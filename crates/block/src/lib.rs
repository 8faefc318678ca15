//! The block: one immutable object of Parquet sections. Write, read, merge.
