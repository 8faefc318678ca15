//! Calls to other nodes. One try each; openraft tries again, with our pauses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::peer_service_client::PeerServiceClient;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Timeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::{NodeId, SnapshotMeta, Types, Vote};
use crate::client::{Attempt, never_sent, text};
use crate::convert::attempt_of;
use crate::{Command, Connect, Error, encoding};

/// Bytes of one message between nodes: entries, or a piece of a snapshot, and their wrapping.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Pauses between calls to a node that can't be reached. Short, since a node that comes back must
/// hear of the leader before it thinks that there is none.
const PAUSES_MS: [u64; 4] = [50, 100, 200, 400];

/// How nodes reach each other.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) cluster: Arc<str>,
    pub(crate) connect: Connect,
    /// Connections live on the node's runtime, whoever asks for one first.
    pub(crate) handle: Handle,
}

/// The way to one node.
#[derive(Debug)]
pub(crate) struct Peer {
    network: Network,
    target: NodeId,
    address: String,
}

/// What comes with every piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SnapshotHead {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Network").field(&self.cluster).finish()
    }
}

type Service = PeerServiceClient<Channel>;
type Failed<E = openraft::error::Infallible> = RPCError<NodeId, BasicNode, RaftError<NodeId, E>>;

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Peer {
        self.peer(target, &node.addr)
    }
}

impl Network {
    pub(crate) fn peer(&self, target: NodeId, address: &str) -> Peer {
        Peer {
            network: self.clone(),
            target,
            address: address.to_owned(),
        }
    }
}

impl Peer {
    fn service(&self) -> Result<Service, String> {
        let _entered = self.network.handle.enter();
        let channel = (self.network.connect)(&self.address)?;
        let service = PeerServiceClient::new(channel);
        let service = service.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(service.max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn request(&self, payload: &impl Serialize) -> wire::PeerRequest {
        wire::PeerRequest {
            cluster: self.network.cluster.to_string(),
            to: self.target,
            payload: encoding::encode(payload).into(),
        }
    }

    /// Calls the node, for openraft.
    async fn call<T, E, F>(
        &self,
        (action, ttl): (RPCTypes, Duration),
        call: impl FnOnce(Service) -> F,
    ) -> Result<T, Failed<E>>
    where
        T: DeserializeOwned,
        E: std::error::Error + DeserializeOwned,
        F: Future<Output = Result<Response<wire::PeerResponse>, Status>>,
    {
        let unreachable = |reason: String| Unreachable::new(&AnyError::error(reason));
        let service = self.service().map_err(unreachable)?;
        let answer = match tokio::time::timeout(ttl, call(service)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) if never_sent(&status) => {
                return Err(unreachable(text(&status)).into());
            }
            Ok(Err(status)) => {
                let error = AnyError::error(format!("{}: {}", self.address, text(&status)));
                return Err(NetworkError::new(&error).into());
            }
            Err(_) => {
                let (id, target) = (self.target, self.target);
                let timeout = ttl;
                return Err(Timeout {
                    action,
                    id,
                    target,
                    timeout,
                }
                .into());
            }
        };
        let wire::PeerResponse { payload } = answer;
        let answer: Result<T, RaftError<NodeId, E>> = encoding::decode(&payload)
            .map_err(|error| NetworkError::new(&AnyError::error(error.to_string())))?;
        answer.map_err(|error| RemoteError::new(self.target, error).into())
    }

    /// Has the node carry a command out, if it leads.
    pub(crate) async fn forward(&self, command: &Command, ttl: Duration) -> Attempt {
        let mut service = match self.service() {
            Ok(service) => service,
            Err(reason) => return Attempt::NotDone(reason),
        };
        let call = service.forward(self.request(command));
        match tokio::time::timeout(ttl, call).await {
            Err(_) => Attempt::Unknown("the leader did not answer in time".to_owned()),
            Ok(Err(status)) if never_sent(&status) => Attempt::NotDone(text(&status)),
            Ok(Err(status)) => Attempt::Unknown(text(&status)),
            Ok(Ok(answer)) => attempt_of(answer.into_inner()),
        }
    }

    /// Asks the node for the entry that a read must wait for.
    pub(crate) async fn read_index(&self, ttl: Duration) -> Result<u64, Error> {
        let mut service = self.service().map_err(Error::Unavailable)?;
        let call = service.read_index(self.request(&()));
        match tokio::time::timeout(ttl, call).await {
            Err(_) => Err(Error::Unavailable(
                "the leader did not answer in time".to_owned(),
            )),
            Ok(Err(status)) => Err(Error::Unavailable(text(&status))),
            Ok(Ok(answer)) => Ok(answer.into_inner().index),
        }
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failed> {
        let request = self.request(&rpc);
        let action = (RPCTypes::AppendEntries, option.hard_ttl());
        self.call(action, |mut service| async move {
            service.append(request).await
        })
        .await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failed<InstallSnapshotError>> {
        let InstallSnapshotRequest {
            vote,
            meta,
            offset,
            data,
            done,
        } = rpc;
        let request = wire::PeerSnapshotRequest {
            cluster: self.network.cluster.to_string(),
            to: self.target,
            head: encoding::encode(&SnapshotHead { vote, meta }).into(),
            offset,
            data: data.into(),
            done,
        };
        let action = (RPCTypes::InstallSnapshot, option.hard_ttl());
        self.call(action, |mut service| async move {
            service.install_snapshot(request).await
        })
        .await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Failed> {
        let request = self.request(&rpc);
        let action = (RPCTypes::Vote, option.hard_ttl());
        self.call(
            action,
            |mut service| async move { service.vote(request).await },
        )
        .await
    }

    fn backoff(&self) -> Backoff {
        let last = PAUSES_MS[PAUSES_MS.len() - 1];
        let pauses = PAUSES_MS.into_iter().chain(std::iter::repeat(last));
        Backoff::new(pauses.map(Duration::from_millis))
    }
}
