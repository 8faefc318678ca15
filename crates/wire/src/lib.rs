//! Code generated from proto/, and the only place where wire messages and domain types meet.
