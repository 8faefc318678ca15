//! Object storage: typed keys, create-only puts, ranged reads.
//!
//! The only crate that names `object_store`. It knows where an object lives and whether it is
//! durable; it does not know what is inside one. Which stores were seen to work is in
//! `docs/stores.md`.

mod config;
#[cfg(test)]
mod conformance;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faulty;
mod key;
mod probe;
mod store;

#[cfg(any(test, feature = "faults"))]
pub use config::InProcess;
pub use config::{Config, S3};
pub use error::Error;
pub use key::{DebuginfoName, Key};
pub use store::Store;
pub use store::list::{BlockObject, DebuginfoObject, LogObject};
pub use store::parts::FileError;
