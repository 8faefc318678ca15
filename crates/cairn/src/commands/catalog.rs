//! `cairn catalog`: how the nodes of the catalog are, and who they are.

mod rebuild;

use std::io::Write;

use cairn_wire::cairn::catalog::v1::admin_service_client::AdminServiceClient;
use cairn_wire::cairn::catalog::v1::change_request::{
    AddLearner, Change, Remove, SetVoters, Snapshot,
};
use cairn_wire::cairn::catalog::v1::{ChangeRequest, Member, MembersRequest, StatusResponse};

use super::server::{Server, refused};

/// Look at the nodes of the catalog, and change who they are.
///
/// To replace a node that is lost: start a new one with a number that was never used, `add-learner`
/// it, wait until `status` shows that it has the log, name the new voters with `set-voters`, then
/// `remove` the lost one. Changes go to the node that leads; `status` says which one that is.
#[derive(Debug, clap::Args)]
pub struct Catalog {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how the node at --server sees the catalog: who leads, who votes, who is how far.
    Status,
    /// Add a node that gets everything and does not vote yet.
    AddLearner {
        /// The node's number, never used for another.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        node: u64,
        /// Where other nodes reach it, such as http://ingester-3:7071.
        address: String,
    },
    /// Name the nodes that vote, one, three or five; nobody else votes then.
    SetVoters {
        /// Numbers of nodes that are in the catalog already.
        #[arg(required = true, value_parser = clap::value_parser!(u64).range(1..))]
        nodes: Vec<u64>,
    },
    /// Remove a node that does not vote.
    Remove {
        /// The node's number, which must not be used again.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        node: u64,
    },
    Rebuild(rebuild::Rebuild),
    /// Have the node at --server take a snapshot, and drop old entries of its log.
    Snapshot,
}

impl Catalog {
    /// `drawn` is the time in milliseconds since the epoch, and a number that nobody else draws.
    pub async fn run(self, drawn: (u64, u128), out: &mut dyn Write) -> anyhow::Result<()> {
        if let Action::Rebuild(rebuild) = self.action {
            return rebuild.run(drawn, out).await;
        }
        let mut client = AdminServiceClient::new(self.server.connect().await?);
        let (change, done) = match self.action {
            Action::Rebuild(_) => unreachable!("it needs no server, and was run above"),
            Action::Status => {
                let status = client.members(MembersRequest {}).await;
                let status = status.map_err(|status| refused(&status))?;
                out.write_all(shown(&status.into_inner()).as_bytes())?;
                return Ok(());
            }
            Action::AddLearner { node, address } => (
                Change::AddLearner(AddLearner { node, address }),
                format!("node {node} gets the log; it does not vote yet"),
            ),
            Action::SetVoters { nodes } => {
                if nodes.len() % 2 == 0 {
                    writeln!(
                        out,
                        "note: {} voters survive no more losses than {}",
                        nodes.len(),
                        nodes.len() - 1
                    )?;
                }
                let done = format!("the voters are {nodes:?}");
                (Change::SetVoters(SetVoters { nodes }), done)
            }
            Action::Remove { node } => (
                Change::Remove(Remove { node }),
                format!("node {node} is not in the catalog any more"),
            ),
            Action::Snapshot => (
                Change::Snapshot(Snapshot {}),
                "a snapshot is being taken".to_owned(),
            ),
        };
        let change = Some(change);
        let changed = client.change(ChangeRequest { change }).await;
        changed.map_err(|status| refused(&status))?;
        writeln!(out, "{done}")?;
        Ok(())
    }
}

fn shown(status: &StatusResponse) -> String {
    let StatusResponse {
        node,
        cluster,
        role,
        leader,
        term,
        last_log_index,
        applied_index,
        snapshot_index,
        version,
        members,
        failure,
    } = status;
    let leads = match leader {
        0 => "no node leads, as far as it knows".to_owned(),
        leader => format!("node {leader} leads"),
    };
    let mut text = format!(
        "catalog {cluster}, seen by node {node} ({role}): {leads}, term {term}\n\
         log up to {last_log_index}, applied up to {applied_index}, snapshot of {snapshot_index}, \
         {version} changes\n"
    );
    if !failure.is_empty() {
        text += &format!("node {node} has FAILED and must be restarted: {failure}\n");
    }
    text += "\nnode   votes  has the log up to  address\n";
    for Member {
        node,
        address,
        voter,
        matched_index,
    } in members
    {
        let votes = if *voter { "yes" } else { "no" };
        let has = match matched_index {
            Some(index) => index.to_string(),
            None => "the leader knows".to_owned(),
        };
        let address = if address.is_empty() {
            "(alone)"
        } else {
            address
        };
        text += &format!("{node:<6} {votes:<6} {has:<18} {address}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_who_leads_and_who_lags() {
        let member = |node, voter, matched_index| Member {
            node,
            address: format!("http://i{node}:7071"),
            voter,
            matched_index,
        };
        let status = StatusResponse {
            node: 1,
            cluster: "cairn".to_owned(),
            role: "leader".to_owned(),
            leader: 1,
            term: 3,
            last_log_index: 90,
            applied_index: 90,
            snapshot_index: 50,
            version: 88,
            members: vec![member(1, true, Some(90)), member(4, false, None)],
            failure: "the disk is full".to_owned(),
        };
        insta::assert_snapshot!(shown(&status), @r"
        catalog cairn, seen by node 1 (leader): node 1 leads, term 3
        log up to 90, applied up to 90, snapshot of 50, 88 changes
        node 1 has FAILED and must be restarted: the disk is full

        node   votes  has the log up to  address
        1      yes    90                 http://i1:7071
        4      no     the leader knows   http://i4:7071
        ");
    }
}
