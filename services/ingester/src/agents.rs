//! Which agents pushed lately, by whichever door. Kept in memory only.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::push::{Door, Push};

/// Agents by name, address, software and door.
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<HashMap<Id, Agent>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    /// The node, or whatever else tells agents at one address apart; may be empty.
    pub(crate) name: String,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) software: String,
    pub(crate) door: Door,
}

/// What is known of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    /// Of the last push. Nanoseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) took: Duration,
    /// How much later than the end of its last profile it came; as far as that is known.
    pub(crate) lag: Option<Duration>,
    /// Of the last push that failed, or was stored in part.
    pub(crate) error: String,
    /// Whether that was the last push.
    pub(crate) is_failing: bool,
    pub(crate) pushes: u64,
    pub(crate) failures: u64,
}

/// One push.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: i64,
    pub(crate) took: Duration,
    pub(crate) lag: Option<Duration>,
    /// Empty if everything was stored.
    pub(crate) error: String,
}

/// Agents that are silent for longer are gone.
const SILENT_MAX: Duration = Duration::from_secs(5 * 60);
/// Agents that are remembered; more are not listed.
const AGENTS_MAX: usize = 10_000;
/// Characters of a name or an error that are kept.
const CHARS_MAX: usize = 256;

/// Labels that name the place where an agent runs, the best first.
const NAMES: [&str; 5] = [
    "node",
    "k8s.node.name",
    "host.name",
    "hostname",
    "service_name",
];

impl Id {
    pub(crate) fn of(push: &Push) -> Self {
        let labels = || push.series.first().into_iter().flat_map(|s| &s.labels);
        let find = |name: &&str| labels().find(|(label, _)| label == name);
        let name = NAMES.iter().find_map(find).map(|(_, value)| cut(value));
        Self {
            name: name.unwrap_or_default(),
            peer: push.sender.peer,
            software: push.sender.software.clone(),
            door: push.door,
        }
    }

    /// As Parca shows it.
    pub(crate) fn text(&self) -> String {
        let peer = self.peer.map(|peer| peer.to_string()).unwrap_or_default();
        match self.name.is_empty() {
            true => peer,
            false => format!("{}/{peer}", self.name),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(CHARS_MAX).collect()
}

impl Agents {
    pub(crate) fn note(&self, id: Id, seen: Seen) {
        let mut agents = self.0.lock();
        if agents.len() >= AGENTS_MAX && !agents.contains_key(&id) {
            forget_silent(&mut agents, seen.at);
            if agents.len() >= AGENTS_MAX {
                return;
            }
        }
        let agent = agents.entry(id).or_default();
        agent.at = seen.at;
        agent.took = seen.took;
        agent.lag = seen.lag.or(agent.lag);
        agent.pushes += 1;
        agent.is_failing = !seen.error.is_empty();
        if agent.is_failing {
            agent.failures += 1;
            agent.error = cut(&seen.error);
        }
    }

    /// In order of their names.
    pub(crate) fn list(&self, now: i64) -> Vec<(Id, Agent)> {
        let mut agents = self.0.lock();
        forget_silent(&mut agents, now);
        let agents = agents.iter().map(|(id, agent)| (id.clone(), agent.clone()));
        let mut list: Vec<_> = agents.collect();
        list.sort_by(|(a, _), (b, _)| a.cmp(b));
        list
    }
}

fn forget_silent(agents: &mut HashMap<Id, Agent>, now: i64) {
    let oldest = now.saturating_sub(SILENT_MAX.as_nanos() as i64);
    agents.retain(|_, agent| agent.at >= oldest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        Id {
            name: name.to_owned(),
            peer: Some(IpAddr::from([10, 0, 0, 1])),
            software: "agent/1.2".to_owned(),
            door: Door::Otlp,
        }
    }

    fn seen(at: i64, error: &str) -> Seen {
        Seen {
            at,
            took: Duration::from_millis(3),
            lag: (error.is_empty()).then(|| Duration::from_secs(2)),
            error: error.to_owned(),
        }
    }

    #[test]
    fn pushes_and_failures_are_counted_and_the_silent_are_forgotten() {
        let agents = Agents::default();
        agents.note(id("b"), seen(1, ""));
        agents.note(id("a"), seen(2, ""));
        agents.note(id("a"), seen(3, "no room"));
        let list = agents.list(4);
        let names: Vec<String> = list.iter().map(|(id, _)| id.text()).collect();
        assert_eq!(names, ["a/10.0.0.1", "b/10.0.0.1"]);
        let expected = Agent {
            at: 3,
            took: Duration::from_millis(3),
            lag: Some(Duration::from_secs(2)),
            error: "no room".to_owned(),
            is_failing: true,
            pushes: 2,
            failures: 1,
        };
        assert_eq!(list[0].1, expected);
        agents.note(id("a"), seen(5, ""));
        assert!(!agents.list(5)[0].1.is_failing, "it has recovered");
        let later = 2 + SILENT_MAX.as_nanos() as i64;
        assert_eq!(agents.list(later).len(), 1);
    }
}
