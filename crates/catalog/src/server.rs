//! The catalog as a gRPC service: decode, call, encode.

use std::fmt;
use std::sync::Arc;

use cairn_model::Code;
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::catalog_service_server::{
    CatalogService, CatalogServiceServer,
};
use tonic::{Request, Response, Status};

use crate::convert::{block_ids, tenant};
use crate::{BlockMeta, Catalog, Error, InvalidMessage};

/// Tells the time, in milliseconds since the Unix epoch.
pub type UnixMillis = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Bytes of one request: a replacement names at most some thousand blocks.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Answers other services' calls.
#[derive(Clone)]
pub struct Server {
    catalog: Catalog,
    now: UnixMillis,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.catalog).finish()
    }
}

impl Server {
    /// `now` dates tombstones, so that callers' clocks do not matter.
    pub fn new(catalog: Catalog, now: UnixMillis) -> Self {
        Self { catalog, now }
    }

    /// The service, ready to be added to a server.
    pub fn into_service(self) -> CatalogServiceServer<Self> {
        CatalogServiceServer::new(self).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl CatalogService for Server {
    async fn snapshot(
        &self,
        request: Request<wire::SnapshotRequest>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        let wire::SnapshotRequest { tenant: owner } = request.into_inner();
        let owner = tenant(&owner).map_err(answer)?;
        Ok(Response::new(self.catalog.snapshot(&owner).into()))
    }

    async fn replace(
        &self,
        request: Request<wire::ReplaceRequest>,
    ) -> Result<Response<wire::ReplaceResponse>, Status> {
        let wire::ReplaceRequest {
            tenant: owner,
            inputs,
            outputs,
        } = request.into_inner();
        let owner = tenant(&owner).map_err(answer)?;
        let inputs = block_ids(&inputs).map_err(answer)?;
        let outputs: Result<Vec<_>, InvalidMessage> =
            outputs.into_iter().map(BlockMeta::try_from).collect();
        let outputs = outputs.map_err(answer)?;
        let at = (self.now)();
        self.catalog
            .replace(&owner, inputs, outputs, at)
            .await
            .map_err(answer)?;
        Ok(Response::new(wire::ReplaceResponse {}))
    }

    async fn expired(
        &self,
        request: Request<wire::ExpiredRequest>,
    ) -> Result<Response<wire::ExpiredResponse>, Status> {
        let wire::ExpiredRequest { before_unix_ms } = request.into_inner();
        let tombstones = self.catalog.expired(before_unix_ms);
        Ok(Response::new(wire::ExpiredResponse {
            tombstones: tombstones.into_iter().map(Into::into).collect(),
        }))
    }

    async fn forget(
        &self,
        request: Request<wire::ForgetRequest>,
    ) -> Result<Response<wire::ForgetResponse>, Status> {
        let wire::ForgetRequest {
            tenant: owner,
            blocks,
        } = request.into_inner();
        let owner = tenant(&owner).map_err(answer)?;
        let blocks = block_ids(&blocks).map_err(answer)?;
        self.catalog.forget(&owner, blocks).await.map_err(answer)?;
        Ok(Response::new(wire::ForgetResponse {}))
    }

    async fn tenants(
        &self,
        request: Request<wire::TenantsRequest>,
    ) -> Result<Response<wire::TenantsResponse>, Status> {
        let wire::TenantsRequest {} = request.into_inner();
        let tenants = self.catalog.tenants();
        Ok(Response::new(wire::TenantsResponse {
            tenants: tenants.iter().map(ToString::to_string).collect(),
        }))
    }
}

fn answer(error: impl Into<Error>) -> Status {
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
