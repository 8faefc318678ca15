//! One test that keeps the house in order: layering, file length, module docs, links.
//!
//! Owns rules that neither the compiler nor clippy can check. Every complaint names the file, the
//! rule and what to do instead.

mod layers;
mod sources;

pub use layers::layers;
pub use sources::{links, sources};

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    pub place: String,
    pub rule: &'static str,
    pub instead: String,
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.rule, self.instead)
    }
}
