//! Which agents pushed lately, for Parca's list of agents. Kept in memory only.

use std::net::SocketAddr;
use std::time::Duration;

use cairn_wire::parca::profilestore::v1alpha1::Agent;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// Agents by node and peer.
#[derive(Debug, Default)]
pub(super) struct Agents(Mutex<HashMap<String, Seen>>);

/// One push of an agent.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Nanoseconds since the epoch.
    pub(super) at: i64,
    pub(super) took: Duration,
    /// Empty if the push was stored.
    pub(super) error: String,
}

/// Agents that are silent for longer are gone.
const SILENT_MAX: Duration = Duration::from_secs(5 * 60);
/// Agents that are remembered; more are not listed.
const AGENTS_MAX: usize = 10_000;

impl Agents {
    pub(super) fn note(&self, node: Option<&str>, peer: Option<SocketAddr>, seen: Seen) {
        let peer = peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        let id = match node {
            Some(node) => format!("{node}/{peer}"),
            None => peer,
        };
        let mut agents = self.0.lock();
        if agents.len() >= AGENTS_MAX && !agents.contains_key(&id) {
            forget_silent(&mut agents, seen.at);
            if agents.len() >= AGENTS_MAX {
                return;
            }
        }
        agents.insert(id, seen);
    }

    pub(super) fn list(&self, now: i64) -> Vec<Agent> {
        let mut agents = self.0.lock();
        forget_silent(&mut agents, now);
        let mut list: Vec<Agent> = agents
            .iter()
            .map(|(id, seen)| Agent {
                id: id.clone(),
                last_error: seen.error.clone(),
                last_push: Some(cairn_wire::timestamp(seen.at)),
                last_push_duration: Some(cairn_wire::duration(
                    i64::try_from(seen.took.as_nanos()).unwrap_or(i64::MAX),
                )),
            })
            .collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list
    }
}

fn forget_silent(agents: &mut HashMap<String, Seen>, now: i64) {
    let oldest = now.saturating_sub(SILENT_MAX.as_nanos() as i64);
    agents.retain(|_, seen| seen.at >= oldest);
}
