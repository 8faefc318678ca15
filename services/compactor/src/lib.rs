//! The compactor: merges the small blocks of a window into one, deletes what they replaced.
