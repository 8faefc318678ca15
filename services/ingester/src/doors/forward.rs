//! What other ingesters pass on: `cairn.ingest.v1.ForwardService` over gRPC.
//!
//! It is stored here or sent back, never passed on again.

use cairn_model::{Limits, TenantId};
use cairn_wire::cairn::ingest::v1 as wire_v1;
use tonic::{Request, Response, Status};
use wire_v1::forward_service_server::{ForwardService, ForwardServiceServer};

use super::caller::Caller;
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::Door;
use crate::route::{Claim, Router, wire};

/// The service of an ingester among others.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    ingester: Ingester,
    router: Router,
}

pub(super) fn server(ingester: Ingester, router: Router) -> ForwardServiceServer<Forward> {
    let bytes_max = ingester.limits().max(bytes_max);
    let server = ForwardServiceServer::new(Forward { ingester, router });
    server.max_decoding_message_size(bytes_max)
}

/// Bytes of a message: whatever a door lets in, inflated, fits; profiles and their tables are bounded
/// each.
pub(super) fn bytes_max(limits: &Limits) -> usize {
    let decoded = limits.profile_bytes_max.saturating_mul(2);
    let bytes = limits.request_bytes_max.max(decoded);
    bytes.saturating_add(wire::OVERHEAD_BYTES_MAX)
}

#[tonic::async_trait]
impl ForwardService for Forward {
    async fn store(
        &self,
        request: Request<wire_v1::StoreRequest>,
    ) -> Result<Response<wire_v1::StoreResponse>, Status> {
        let caller = Caller::of_grpc(&request);
        let request = request.into_inner();
        // No tenant that exists has another name.
        let tenant = TenantId::parse(&request.tenant).unwrap_or_else(|_| TenantId::anonymous());
        let caller = Caller { tenant, ..caller };
        match self.answer(request).await {
            Ok(response) => Ok(Response::new(response)),
            Err(error) => {
                caller.failed(&self.ingester, Door::Forward, &error);
                Err(cairn_wire::status(error.code(), &error.to_string()))
            }
        }
    }

    async fn release(
        &self,
        request: Request<wire_v1::ReleaseRequest>,
    ) -> Result<Response<wire_v1::ReleaseResponse>, Status> {
        let wire_v1::ReleaseRequest { epoch } = request.into_inner();
        let released = self.let_go(epoch).await;
        let released = released.map_err(|e| cairn_wire::status(e.code(), &e.to_string()))?;
        Ok(Response::new(released))
    }

    async fn reach_store(
        &self,
        _: Request<wire_v1::ReachStoreRequest>,
    ) -> Result<Response<wire_v1::ReachStoreResponse>, Status> {
        let is_reached = self.ingester.reaches_store().await;
        Ok(Response::new(wire_v1::ReachStoreResponse { is_reached }))
    }
}

impl Forward {
    async fn answer(
        &self,
        request: wire_v1::StoreRequest,
    ) -> Result<wire_v1::StoreResponse, Error> {
        let wire::Forwarded { part, epoch } = wire::read(request)?;
        match self.router.claim(epoch, &part.shards).await? {
            Claim::Foreign { epoch } => Ok(wire::not_owner(epoch)),
            Claim::Granted(_taking) => Ok(wire::stored(self.ingester.store(part.push).await?)),
        }
    }

    async fn let_go(&self, epoch: u64) -> Result<wire_v1::ReleaseResponse, Error> {
        self.router.release(epoch).await?;
        // Afterwards: what was still being stored belongs to it.
        let hashes = self.ingester.stored_lately().await?;
        let hashes: Vec<u8> = hashes.into_iter().flat_map(u128::to_le_bytes).collect();
        Ok(wire_v1::ReleaseResponse {
            hashes: hashes.into(),
        })
    }
}
