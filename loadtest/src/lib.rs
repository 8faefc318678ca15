//! A load generator: named, seeded workloads against a running Cairn.
