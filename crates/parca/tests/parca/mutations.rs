//! Random records come back, and damage never panics.
