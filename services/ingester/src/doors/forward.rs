//! What other ingesters pass on: `cairn.ingest.v1.ForwardService` over gRPC.
//!
//! It is stored here or sent back, never passed on again.

use cairn_model::Limits;
use cairn_wire::cairn::ingest::v1 as wire_v1;
use tonic::{Request, Response, Status};
use wire_v1::forward_service_server::{ForwardService, ForwardServiceServer};

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
    let bytes_max = bytes_max(&ingester.config().limits);
    let server = ForwardServiceServer::new(Forward { ingester, router });
    server.max_decoding_message_size(bytes_max)
}

/// Bytes of a message: whatever a door lets in, inflated, fits.
pub(super) fn bytes_max(limits: &Limits) -> usize {
    let bytes = limits.request_bytes_max.max(limits.profile_bytes_max);
    bytes.saturating_add(wire::OVERHEAD_BYTES_MAX)
}

#[tonic::async_trait]
impl ForwardService for Forward {
    async fn store(
        &self,
        request: Request<wire_v1::StoreRequest>,
    ) -> Result<Response<wire_v1::StoreResponse>, Status> {
        match self.answer(request.into_inner()).await {
            Ok(response) => Ok(Response::new(response)),
            Err(error) => {
                self.ingester.failed(Door::Forward, &error);
                Err(cairn_wire::status(error.code(), &error.to_string()))
            }
        }
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
            Claim::Granted => Ok(wire::stored(self.ingester.store(part.push).await?)),
        }
    }
}
