//! The node as its own process, and the services in front of it, see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cairn_model::{TenantId, TimeRange};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::propose::Proposal;
use super::reads::Answer;
use crate::client::Attempt;
use crate::raft::machine::Current;
use crate::raft::network::{Network, Peer};
use crate::raft::{NodeId, Raft};
use crate::{Command, Error, Member, Shards, Snapshot, State, Status};

/// How long the leader may take to commit a command before its outcome is unknown.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(4);
/// How long a read waits for a leader where none is known: another node may know one.
const ELECTION_TIME_MAX: Duration = Duration::from_millis(500);
/// How long applying may lag behind.
const APPLY_TIME_MAX: Duration = Duration::from_secs(4);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Local(Arc<Inner>);

struct Inner {
    parts: LocalParts,
    shards: Mutex<Arc<Shards>>,
}

pub(super) struct LocalParts {
    pub(super) id: NodeId,
    pub(super) raft: Raft,
    pub(super) current: Current,
    pub(super) network: Network,
    pub(super) proposals: mpsc::Sender<Proposal>,
    pub(super) reads: mpsc::Sender<Answer>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Local").field(&self.id()).finish()
    }
}

enum Leader {
    Me,
    Other(Peer),
    Unknown,
}

impl Local {
    pub(super) fn new(parts: LocalParts) -> Self {
        let shards = Mutex::default();
        Self(Arc::new(Inner { parts, shards }))
    }

    pub(crate) fn id(&self) -> NodeId {
        self.0.parts.id
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.0.parts.network.cluster
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.0.parts.raft
    }

    /// See [`Node::watch`](super::Node::watch).
    pub(super) fn watch(&self) -> impl Fn() -> Option<Status> + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.0);
        move || inner.upgrade().map(|inner| Self(inner).status())
    }

    pub(super) fn known_leader(&self) -> Option<NodeId> {
        self.raft().metrics().borrow().current_leader
    }

    pub(super) fn leads(&self) -> bool {
        self.known_leader() == Some(self.id())
    }

    fn leader(&self) -> Leader {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow();
        match metrics.current_leader {
            None => Leader::Unknown,
            Some(leader) if leader == self.id() => Leader::Me,
            Some(leader) => {
                let node = metrics.membership_config.membership().get_node(&leader);
                node.map_or(Leader::Unknown, |node| {
                    Leader::Other(self.0.parts.network.peer(leader, &node.addr))
                })
            }
        }
    }

    /// Tries to have a command carried out, here or by the leader.
    pub(crate) async fn attempt(&self, command: &Command) -> Attempt {
        match self.leader() {
            Leader::Me => self.propose(command.clone()).await,
            Leader::Other(leader) => leader.forward(command, COMMIT_TIME_MAX).await,
            Leader::Unknown => Attempt::NotDone("no leader is known".to_owned()),
        }
    }

    /// Tries to have a command carried out, if this node leads.
    pub(crate) async fn propose(&self, command: Command) -> Attempt {
        if !self.leads() {
            return Attempt::NotDone(format!("node {} does not lead", self.id()));
        }
        let (answer, answered) = oneshot::channel();
        let proposal = Proposal { command, answer };
        let sent = self.0.parts.proposals.send(proposal);
        match tokio::time::timeout(COMMIT_TIME_MAX, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Attempt::NotDone("the node is stopping".to_owned()),
            Err(_) => return Attempt::NotDone("too many commands wait".to_owned()),
        }
        match tokio::time::timeout(COMMIT_TIME_MAX, answered).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(_)) => Attempt::Unknown("the node is stopping".to_owned()),
            Err(_) => Attempt::Unknown("no majority took it in time".to_owned()),
        }
    }

    /// Returns once everything that was answered before the call, by any node, shows in the state
    /// here.
    pub(crate) async fn up_to_date(&self) -> Result<(), Error> {
        let asked = tokio::time::timeout(COMMIT_TIME_MAX, self.read_index());
        let silent = |_| Error::Unavailable("no leader answered in time".to_owned());
        let index = asked.await.map_err(silent)??;
        let applied = self.0.parts.current.applied(index);
        let behind = |_| Error::Unavailable(format!("node {} is behind", self.id()));
        tokio::time::timeout(APPLY_TIME_MAX, applied)
            .await
            .map_err(behind)
    }

    /// The entry that a read must wait for: asks whoever leads, and anew once somebody else does. A
    /// leader that stands still says nothing until then.
    async fn read_index(&self) -> Result<u64, Error> {
        let mut metrics = self.raft().metrics();
        loop {
            let asked = metrics.borrow_and_update().current_leader;
            let answer = async {
                match self.leader() {
                    Leader::Me => self.own_read_index().await,
                    Leader::Other(leader) => leader.read_index(COMMIT_TIME_MAX).await,
                    Leader::Unknown => {
                        tokio::time::sleep(ELECTION_TIME_MAX).await;
                        Err(Error::Unavailable("no leader is known".to_owned()))
                    }
                }
            };
            tokio::select! {
                answer = answer => return answer,
                changed = metrics.wait_for(|now| now.current_leader != asked) => {
                    changed.map_err(|_| Error::Unavailable("the node is stopping".to_owned()))?;
                }
            }
        }
    }

    /// The entry that a read must wait for, if this node leads; a majority says so.
    pub(crate) async fn own_read_index(&self) -> Result<u64, Error> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Error::Unavailable("the node is stopping".to_owned());
        let sent = self.0.parts.reads.send(answer).await;
        sent.map_err(|_| stopping())?;
        let answered = answered.await.map_err(|_| stopping())?;
        answered.map_err(Error::Unavailable)
    }

    /// Asks the state here something short.
    pub(crate) fn read<R>(&self, ask: impl FnOnce(&State) -> R) -> R {
        self.0.parts.current.read(ask)
    }

    /// The state as it is now, to be asked something long.
    pub(crate) fn frozen(&self) -> State {
        self.read(State::clone)
    }

    pub(crate) fn snapshot(&self, tenant: &TenantId, range: TimeRange) -> Snapshot {
        self.read(|state| state.look(tenant)).snapshot(range)
    }

    pub(crate) fn shards(&self) -> Arc<Shards> {
        let mut known = self.0.shards.lock();
        self.read(|state| {
            if !known.is_of(state) {
                *known = Arc::new(Shards::of(state));
            }
        });
        Arc::clone(&known)
    }

    pub(crate) fn status(&self) -> Status {
        let metrics = self.raft().metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        let members = membership.nodes().map(|(node, at)| Member {
            node: *node,
            address: at.addr.clone(),
            is_voter: membership.voter_ids().any(|voter| voter == *node),
            matched_index: metrics.replication.as_ref().and_then(|matched| {
                let matched = matched.get(node)?.as_ref();
                Some(matched.map_or(0, |matched| matched.index))
            }),
        });
        Status {
            node: self.id(),
            cluster: self.cluster().to_owned(),
            role: format!("{:?}", metrics.state).to_lowercase(),
            leader: metrics.current_leader,
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            applied_index: metrics.last_applied.map_or(0, |last| last.index),
            snapshot_index: metrics.snapshot.map_or(0, |last| last.index),
            version: self.read(State::version),
            members: members.collect(),
            failure: metrics.running_state.err().map(|error| error.to_string()),
        }
    }
}
