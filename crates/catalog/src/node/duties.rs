//! What the leader sees to by itself. Deciding is pure; a command that two nodes give, each taking
//! itself for the leader, is harmless.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Local, UnixMillis};
use crate::client::Attempt;
use crate::{Command, Log, State};

/// How often the leader looks round.
const PERIOD: Duration = Duration::from_millis(500);
/// Writers that are sealed at once.
const SEALS_MAX: usize = 64;

/// Decides whether shards should change hands: gives an assignment, or nothing.
pub type Placement = fn(&State) -> Option<Command>;

/// What is due: writers whose leases are over are sealed, if others can read their logs.
pub fn duties(state: &State, now_unix_ms: i64) -> Vec<Command> {
    let overdue = state.overdue(now_unix_ms).into_iter();
    let sealable = overdue.filter(|writer| writer.log == Log::OnePerIncarnation);
    let seal = |writer: crate::Writer| Command::Seal {
        writer: writer.id,
        incarnation: writer.incarnation,
        at_unix_ms: 0,
    };
    sealable.take(SEALS_MAX).map(seal).collect()
}

/// How to see to duties.
#[derive(Clone)]
pub(super) struct Housekeeping {
    pub(super) local: Local,
    pub(super) now: UnixMillis,
    /// A new leader seals nobody for so long: without a leader, nobody could renew a lease.
    pub(super) grace: Duration,
    pub(super) placement: Option<Placement>,
    pub(super) stop: CancellationToken,
}

impl Housekeeping {
    pub(super) async fn run(self) {
        let (mut leader_since, mut known_leader) = (None, None);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let leader = self.local.known_leader();
            if leader != known_leader {
                known_leader = leader;
                match leader {
                    Some(node) => tracing::info!(node, "the catalog has a new leader"),
                    None => tracing::warn!("the catalog has no leader"),
                }
            }
            if !self.local.leads() {
                leader_since = None;
                continue;
            }
            let now = (self.now)();
            let since = *leader_since.get_or_insert(now);
            for command in self.due(now, since) {
                match self.local.propose(command).await {
                    Attempt::Done(reply) => tracing::info!(?reply, "the leader did a duty"),
                    other => tracing::debug!(?other, "a duty was not done"),
                }
            }
        }
    }

    fn due(&self, now: i64, since: i64) -> Vec<Command> {
        let state = self.local.frozen();
        let grace = i64::try_from(self.grace.as_millis()).unwrap_or(i64::MAX);
        let mut due = match now.saturating_sub(since) >= grace {
            true => duties(&state, now),
            false => Vec::new(),
        };
        due.extend(self.placement.and_then(|place| place(&state)));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply;
    use crate::state::tests::writer;

    #[test]
    fn overdue_writers_are_sealed_if_others_can_read_their_logs() {
        let mut state = State::default();
        for (name, log, lease_until_unix_ms) in [
            ("own-disk", Log::Continued, 10),
            ("late", Log::OnePerIncarnation, 10),
            ("well", Log::OnePerIncarnation, 30),
        ] {
            let register = Command::RegisterWriter {
                writer: writer(name),
                address: String::new(),
                zone: String::new(),
                log,
                lease_until_unix_ms,
            };
            apply(&mut state, register).expect("first");
        }
        assert!(duties(&state, 9).is_empty());
        let due = duties(&state, 20);
        let seal = Command::Seal {
            writer: writer("late"),
            incarnation: 1,
            at_unix_ms: 0,
        };
        assert_eq!(due, std::slice::from_ref(&seal));
        apply(&mut state, seal.dated(20)).expect("overdue");
        assert!(duties(&state, 20).is_empty());
    }
}
