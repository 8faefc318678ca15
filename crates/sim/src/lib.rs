#![doc = include_str!("../docs/architecture.md")]
