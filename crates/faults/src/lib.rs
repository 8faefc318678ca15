//! Real processes under real faults: three ingesters, two queriers and a compactor over a real
//! object store, under load, while processes die and stand still, packets vanish, disks fill up and
//! the store fails.
//!
//! Afterwards every acknowledged profile must be there exactly once, and nobody may have been
//! without service for long. Owns the faults and the verdict; the programs are the ones that ship.

pub mod client;
pub mod cluster;
pub mod hosts;
pub mod load;
pub mod proxy;
pub mod report;
pub mod scenario;
mod settings;
mod store;

/// Installs the programs of others that the cluster needs. The first time it needs a package
/// registry.
///
/// # Panics
///
/// If they can't be installed.
pub fn install() {
    let _programs = [
        cairn_testkit::servers::seaweedfs(),
        cairn_testkit::servers::envoy(),
    ];
}
