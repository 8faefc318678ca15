//! The settings of every service of the cluster, as the file that the service reads.

use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::{INGESTERS, PEER_PORT, PORT, QUERIERS, url};
use crate::hosts::Network;
use crate::store::StoreServer;

/// The section of a service's settings, which is the name of its program too.
pub(crate) fn section(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

/// JSON, which is YAML too.
pub(crate) fn of(name: &str, network: &Network, store: &StoreServer, data: &Path) -> Value {
    let addresses = |names: &[&str], port| -> Vec<String> {
        let hosts = names.iter().map(|name| network.host(name));
        hosts.map(|host| url(host, port)).collect()
    };
    let catalog = addresses(&INGESTERS, PORT);
    let mut own = match section(name) {
        "ingester" => ingester(name, network, data),
        "querier" => json!({"catalog": catalog, "workers": addresses(&QUERIERS, PORT)}),
        _ => json!({"catalog": catalog, "poll_interval": "1s", "deletion_delay": "40s"}),
    };
    own["store"] = json!({"s3": store.settings()});
    json!({section(name): own, "memory": {"bytes_max": "300MiB"}})
}

/// Flushes are frequent, so that faults meet every step on the way to a block.
fn ingester(name: &str, network: &Network, data: &Path) -> Value {
    let host = network.host(name);
    let node = |name: &str| {
        let at = INGESTERS.iter().position(|ingester| *ingester == name);
        at.expect("an ingester") + 1
    };
    let voter = |name| json!({"id": node(name), "address": url(network.host(name), PEER_PORT)});
    json!({
        "writer": name,
        "zone": format!("zone-{}", node(name)),
        "address": url(host, PORT),
        "data": data,
        "log": {"kind": "object"},
        "tail": {"flush_interval": "2s"},
        "catalog": {
            "listen": format!("{}:{PEER_PORT}", host.ip),
            "node": {
                "id": node(name),
                "voters": INGESTERS.map(voter),
            },
        },
    })
}
