//! The service that other nodes call. What comes in is checked before openraft sees it.

use std::sync::Arc;

use cairn_model::Code;
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::peer_service_server::{
    PeerService as Calls, PeerServiceServer,
};
use openraft::error::{InstallSnapshotError, RaftError, SnapshotMismatch};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftLogId, Snapshot, SnapshotSegmentId};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Request, Response, Status};

use super::machine::file::SNAPSHOT_BYTES_MAX;
use super::network::{MESSAGE_BYTES_MAX, SnapshotHead};
use super::{NodeId, Types};
use crate::convert::response_of;
use crate::encoding;
use crate::node::Local;
use crate::server::answer;

/// The service, ready to be added to a server that only nodes reach.
pub type PeerService = PeerServiceServer<Peers>;

/// Answers other nodes' calls.
#[derive(Clone, Debug)]
pub struct Peers {
    local: Local,
    receiving: Arc<Mutex<Option<Receiving>>>,
}

/// A snapshot of which pieces have come.
#[derive(Debug)]
struct Receiving {
    head: SnapshotHead,
    bytes: Vec<u8>,
}

impl Peers {
    pub(crate) fn new(local: Local) -> Self {
        let receiving = Arc::default();
        Self { local, receiving }
    }

    pub(crate) fn into_service(self) -> PeerService {
        PeerServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn check(&self, cluster: &str, to: NodeId) -> Result<(), Status> {
        let (own, id) = (self.local.cluster(), self.local.id());
        if cluster == own && to == id {
            return Ok(());
        }
        let text = format!("this is node {id} of {own:?}, not node {to} of {cluster:?}");
        tracing::warn!(text, "a call for another node came here");
        Err(cairn_wire::status(Code::Forbidden, &text))
    }

    fn opened<T: DeserializeOwned>(
        &self,
        request: Request<wire::PeerRequest>,
    ) -> Result<T, Status> {
        let wire::PeerRequest {
            cluster,
            to,
            payload,
        } = request.into_inner();
        self.check(&cluster, to)?;
        decoded(&payload)
    }

    /// Keeps a piece; gives the snapshot once it is whole.
    fn receive(
        &self,
        head: SnapshotHead,
        piece: &wire::PeerSnapshotRequest,
    ) -> Result<Option<Receiving>, InstallSnapshotError> {
        let mut receiving = self.receiving.lock();
        let is_next = receiving
            .as_ref()
            .is_some_and(|known| known.head == head && known.bytes.len() as u64 == piece.offset);
        let known = match receiving.as_mut() {
            Some(known) if is_next => known,
            // A new snapshot, or the same from the start.
            _ if piece.offset == 0 => receiving.insert(Receiving {
                head,
                bytes: Vec::new(),
            }),
            known => {
                let offset = known.map_or(0, |known| known.bytes.len() as u64);
                let id = |offset| SnapshotSegmentId {
                    id: head.meta.snapshot_id.clone(),
                    offset,
                };
                let (expect, got) = (id(offset), id(piece.offset));
                return Err(SnapshotMismatch { expect, got }.into());
            }
        };
        known.bytes.extend_from_slice(&piece.data);
        Ok(if piece.done { receiving.take() } else { None })
    }
}

fn decoded<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Status> {
    encoding::decode(payload)
        .map_err(|error| cairn_wire::status(Code::Invalid, &format!("invalid payload: {error}")))
}

fn encoded<T: Serialize>(result: &T) -> Response<wire::PeerResponse> {
    let payload = encoding::encode(result).into();
    Response::new(wire::PeerResponse { payload })
}

/// Entries follow one another, and the one before them.
fn check_order(request: &AppendEntriesRequest<Types>) -> Result<(), Status> {
    let before = request.prev_log_id;
    let first = before.map_or(0, |before| before.index.saturating_add(1));
    let expected = (0..).map(|nth| first.saturating_add(nth));
    let mut pairs = expected.zip(&request.entries);
    match pairs.find(|(expected, entry)| entry.get_log_id().index != *expected) {
        None => Ok(()),
        Some((expected, _)) => {
            let text = format!("entry {expected} is missing");
            Err(cairn_wire::status(Code::Invalid, &text))
        }
    }
}

#[tonic::async_trait]
impl Calls for Peers {
    async fn append(
        &self,
        request: Request<wire::PeerRequest>,
    ) -> Result<Response<wire::PeerResponse>, Status> {
        let request: AppendEntriesRequest<Types> = self.opened(request)?;
        check_order(&request)?;
        let result: Result<AppendEntriesResponse<NodeId>, RaftError<NodeId>> =
            self.local.raft().append_entries(request).await;
        Ok(encoded(&result))
    }

    async fn vote(
        &self,
        request: Request<wire::PeerRequest>,
    ) -> Result<Response<wire::PeerResponse>, Status> {
        let request: VoteRequest<NodeId> = self.opened(request)?;
        let result: Result<VoteResponse<NodeId>, RaftError<NodeId>> =
            self.local.raft().vote(request).await;
        Ok(encoded(&result))
    }

    async fn install_snapshot(
        &self,
        request: Request<wire::PeerSnapshotRequest>,
    ) -> Result<Response<wire::PeerResponse>, Status> {
        let piece = request.into_inner();
        self.check(&piece.cluster, piece.to)?;
        if piece.offset.saturating_add(piece.data.len() as u64) > SNAPSHOT_BYTES_MAX {
            let text = format!("a snapshot has at most {SNAPSHOT_BYTES_MAX} bytes");
            return Err(cairn_wire::status(Code::Invalid, &text));
        }
        let head: SnapshotHead = decoded(&piece.head)?;
        let vote = self.local.raft().metrics().borrow().vote;
        type Answer =
            Result<InstallSnapshotResponse<NodeId>, RaftError<NodeId, InstallSnapshotError>>;
        // An older leader need not go on.
        if head.vote < vote {
            let answer: Answer = Ok(InstallSnapshotResponse { vote });
            return Ok(encoded(&answer));
        }
        let answer: Answer = match self.receive(head, &piece) {
            Err(error) => Err(RaftError::APIError(error)),
            Ok(None) => Ok(InstallSnapshotResponse { vote }),
            Ok(Some(Receiving { head, bytes })) => {
                let snapshot = Snapshot {
                    meta: head.meta,
                    snapshot: Box::new(std::io::Cursor::new(bytes)),
                };
                let installed = self.local.raft().install_full_snapshot(head.vote, snapshot);
                installed.await.map(Into::into).map_err(RaftError::Fatal)
            }
        };
        Ok(encoded(&answer))
    }

    async fn forward(
        &self,
        request: Request<wire::PeerRequest>,
    ) -> Result<Response<wire::ApplyResponse>, Status> {
        let command = self.opened(request)?;
        let attempt = self.local.propose(command).await;
        Ok(Response::new(response_of(attempt)))
    }

    async fn read_index(
        &self,
        request: Request<wire::PeerRequest>,
    ) -> Result<Response<wire::ReadIndexResponse>, Status> {
        let () = self.opened(request)?;
        let index = self.local.own_read_index().await.map_err(answer)?;
        Ok(Response::new(wire::ReadIndexResponse { index }))
    }
}
