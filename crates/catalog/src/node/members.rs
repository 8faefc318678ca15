//! Who the nodes are, and changes of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers};

use super::Local;
use crate::Error;
use crate::raft::NodeId;

/// Time for a change to be committed.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(20);
/// Entries that a node may lack before it becomes a voter: it has to have them before anything
/// else can be committed.
const LAG_MAX: u64 = 1_000;

/// One change of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node that gets the log and does not vote.
    AddLearner { node: NodeId, address: String },
    /// These vote from now on, and nobody else. Those who did are learners then.
    SetVoters(BTreeSet<NodeId>),
    /// A node that does not vote goes.
    Remove(NodeId),
    /// A snapshot is taken, and old entries of the log go.
    Snapshot,
}

impl Local {
    pub(crate) async fn change(&self, change: Change) -> Result<(), Error> {
        match tokio::time::timeout(CHANGE_TIME_MAX, self.try_change(change)).await {
            Ok(done) => done,
            Err(_) => Err(Error::Unknown {
                reason: "no majority took the change in time".to_owned(),
                refused: None,
            }),
        }
    }

    async fn try_change(&self, change: Change) -> Result<(), Error> {
        let raft = self.raft();
        let members = match change {
            Change::Snapshot => {
                let triggered = raft.trigger().snapshot().await;
                return triggered.map_err(|error| Error::Unavailable(error.to_string()));
            }
            Change::AddLearner { node, address } => {
                self.check_new(node, &address)?;
                ChangeMembers::AddNodes(BTreeMap::from([(node, BasicNode::new(address))]))
            }
            Change::SetVoters(voters) => {
                self.check_voters(&voters)?;
                ChangeMembers::ReplaceAllVoters(voters)
            }
            Change::Remove(node) => {
                let status = self.status();
                let known = status.members.iter().find(|member| member.node == node);
                match known {
                    None => return Err(wrong(format!("there is no node {node}"))),
                    Some(member) if member.is_voter => {
                        return Err(wrong(format!("node {node} votes: set other voters first")));
                    }
                    Some(_) => ChangeMembers::RemoveNodes(BTreeSet::from([node])),
                }
            }
        };
        let changed = raft.change_membership(members, true).await;
        changed.map(drop).map_err(|error| self.refusal(error))
    }

    fn check_new(&self, node: NodeId, address: &str) -> Result<(), Error> {
        if node == 0 || address.is_empty() {
            return Err(wrong(
                "a node has a number from 1 and an address".to_owned(),
            ));
        }
        let members = self.status().members;
        let known = members.iter().find(|member| member.node == node);
        match known.filter(|known| known.address != address) {
            None => Ok(()),
            Some(known) => Err(wrong(format!(
                "node {node} is at {}; a node elsewhere needs a number of its own",
                known.address
            ))),
        }
    }

    /// A node that lacks much would hold everyone up.
    fn check_voters(&self, voters: &BTreeSet<NodeId>) -> Result<(), Error> {
        if voters.is_empty() {
            return Err(wrong("nobody would vote".to_owned()));
        }
        let status = self.status();
        if status.leader != Some(self.id()) {
            return Err(self.not_leading());
        }
        for voter in voters {
            let Some(member) = status.members.iter().find(|member| member.node == *voter) else {
                return Err(wrong(format!(
                    "there is no node {voter}: add it as a learner first"
                )));
            };
            let has = member.matched_index.unwrap_or_default();
            let is_behind = has.saturating_add(LAG_MAX) < status.last_log_index || has == 0;
            if !member.is_voter && is_behind {
                return Err(wrong(format!(
                    "node {voter} has {has} of {} entries: wait until it has them, and see that it runs",
                    status.last_log_index
                )));
            }
        }
        Ok(())
    }

    fn not_leading(&self) -> Error {
        let status = self.status();
        let leader = status
            .members
            .iter()
            .find(|m| Some(m.node) == status.leader);
        Error::Unavailable(match leader {
            Some(leader) => format!(
                "node {} leads, which other nodes reach at {}: ask it",
                leader.node, leader.address
            ),
            None => "no node leads".to_owned(),
        })
    }

    fn refusal(&self, error: RaftError<NodeId, ClientWriteError<NodeId, BasicNode>>) -> Error {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => self.not_leading(),
            RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            )) => Error::Unavailable("another change is not committed yet".to_owned()),
            RaftError::APIError(other) => wrong(other.to_string()),
            RaftError::Fatal(fatal) => Error::Unavailable(fatal.to_string()),
        }
    }
}

fn wrong(text: String) -> Error {
    Error::Config(text)
}
