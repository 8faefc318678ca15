//! The record of blocks and writers: a pure state machine, and the journal that keeps it.
