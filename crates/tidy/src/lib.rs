//! One test that keeps the house in order: layering, file length, links.
