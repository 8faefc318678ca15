//! The catalog as a gRPC service: decode, call, encode.

use cairn_model::{Code, TimeRange};
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::catalog_service_server::{
    CatalogService as Calls, CatalogServiceServer,
};
use tonic::{Request, Response, Status};

use crate::convert::{response_of, tenant};
use crate::node::Local;
use crate::{Error, encoding};

/// The service, ready to be added to a server.
pub type CatalogService = CatalogServiceServer<Server>;

/// Bytes of one request: a command names at most some thousand blocks.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Answers other services' calls.
#[derive(Clone, Debug)]
pub struct Server(Local);

impl Server {
    pub(crate) fn new(local: Local) -> Self {
        Self(local)
    }

    pub(crate) fn into_service(self) -> CatalogService {
        CatalogServiceServer::new(self).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Calls for Server {
    async fn snapshot(
        &self,
        request: Request<wire::SnapshotRequest>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        let wire::SnapshotRequest {
            tenant: owner,
            time_start,
            time_end,
        } = request.into_inner();
        let owner = tenant(&owner).map_err(answer)?;
        let range = TimeRange {
            start: time_start.unwrap_or(i64::MIN),
            end: time_end.unwrap_or(i64::MAX),
        };
        self.0.up_to_date().await.map_err(answer)?;
        Ok(Response::new(self.0.snapshot(&owner, range).into()))
    }

    async fn expired(
        &self,
        request: Request<wire::ExpiredRequest>,
    ) -> Result<Response<wire::ExpiredResponse>, Status> {
        let wire::ExpiredRequest { before_unix_ms } = request.into_inner();
        self.0.up_to_date().await.map_err(answer)?;
        let tombstones = self.0.frozen().expired(before_unix_ms);
        Ok(Response::new(wire::ExpiredResponse {
            tombstones: tombstones.into_iter().map(Into::into).collect(),
        }))
    }

    async fn tenants(
        &self,
        request: Request<wire::TenantsRequest>,
    ) -> Result<Response<wire::TenantsResponse>, Status> {
        let wire::TenantsRequest {} = request.into_inner();
        self.0.up_to_date().await.map_err(answer)?;
        let tenants = self.0.frozen().tenants();
        Ok(Response::new(wire::TenantsResponse {
            tenants: tenants.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn apply(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::ApplyResponse>, Status> {
        let wire::ApplyRequest { command } = request.into_inner();
        let command = encoding::decode(&command).map_err(|error| {
            cairn_wire::status(Code::Invalid, &format!("invalid command: {error}"))
        })?;
        let attempt = self.0.attempt(&command).await;
        Ok(Response::new(response_of(attempt)))
    }

    async fn jobs(
        &self,
        request: Request<wire::JobsRequest>,
    ) -> Result<Response<wire::JobsResponse>, Status> {
        let wire::JobsRequest {} = request.into_inner();
        self.0.up_to_date().await.map_err(answer)?;
        let jobs = self.0.frozen().jobs().map(Into::into).collect();
        Ok(Response::new(wire::JobsResponse { jobs }))
    }

    async fn shards(
        &self,
        request: Request<wire::ShardsRequest>,
    ) -> Result<Response<wire::ShardsResponse>, Status> {
        let wire::ShardsRequest {} = request.into_inner();
        Ok(Response::new((&*self.0.shards()).into()))
    }

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let wire::StatusRequest {} = request.into_inner();
        Ok(Response::new(self.0.status().into()))
    }
}

pub(crate) fn answer(error: impl Into<Error>) -> Status {
    let error = error.into();
    let code = error.code();
    match code {
        Code::Internal | Code::Corrupt => tracing::error!(%error, "the catalog failed"),
        Code::Unavailable | Code::Timeout => tracing::warn!(%error, "the catalog is not well"),
        Code::Invalid
        | Code::Unauthenticated
        | Code::Forbidden
        | Code::NotFound
        | Code::Conflict
        | Code::Exhausted => tracing::debug!(%error, "refused"),
    }
    cairn_wire::status(code, &error.to_string())
}
