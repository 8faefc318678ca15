//! Parca's query API, over gRPC, gRPC-web and REST: the same functions behind all three.

mod arrow;
mod diff;
mod filter;
mod group;
mod labels;
mod query;
pub(crate) mod range;
mod rest;
mod table;
mod top;
mod types;

use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_service_server::{QueryService, QueryServiceServer};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use crate::api::grpc;
use crate::error::Error;
use crate::querier::{Querier, Reply, Session};

pub(crate) use rest::routes;

/// The gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    querier: Querier,
}

impl Api {
    pub(crate) fn serve(querier: Querier) -> QueryServiceServer<Self> {
        let max = querier.config().limits.message_bytes_max;
        QueryServiceServer::new(Self { querier })
            .max_decoding_message_size(max)
            .max_encoding_message_size(max)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
    }

    async fn call<Q, A, F>(
        &self,
        request: Request<Q>,
        answer: impl FnOnce(Session, Q) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<Reply<A>, Error>>,
    {
        grpc::call(&self.querier, request, answer).await
    }
}

const NO_SERIES: &str = "Series is not supported by this server";
const NO_SHARING: &str = "ShareProfile is not supported by this server: profiles stay here";

#[tonic::async_trait]
impl QueryService for Api {
    async fn query_range(
        &self,
        request: Request<wire::QueryRangeRequest>,
    ) -> Result<Response<wire::QueryRangeResponse>, Status> {
        self.call(request, range::query_range).await
    }

    async fn query(
        &self,
        request: Request<wire::QueryRequest>,
    ) -> Result<Response<wire::QueryResponse>, Status> {
        self.call(request, query::query).await
    }

    async fn series(
        &self,
        _: Request<wire::SeriesRequest>,
    ) -> Result<Response<wire::SeriesResponse>, Status> {
        Err(cairn_wire::unimplemented(NO_SERIES))
    }

    async fn profile_types(
        &self,
        request: Request<wire::ProfileTypesRequest>,
    ) -> Result<Response<wire::ProfileTypesResponse>, Status> {
        self.call(request, types::profile_types).await
    }

    async fn labels(
        &self,
        request: Request<wire::LabelsRequest>,
    ) -> Result<Response<wire::LabelsResponse>, Status> {
        self.call(request, labels::labels).await
    }

    async fn values(
        &self,
        request: Request<wire::ValuesRequest>,
    ) -> Result<Response<wire::ValuesResponse>, Status> {
        self.call(request, labels::values).await
    }

    async fn share_profile(
        &self,
        _: Request<wire::ShareProfileRequest>,
    ) -> Result<Response<wire::ShareProfileResponse>, Status> {
        Err(cairn_wire::unimplemented(NO_SHARING))
    }

    async fn has_profile_data(
        &self,
        request: Request<wire::HasProfileDataRequest>,
    ) -> Result<Response<wire::HasProfileDataResponse>, Status> {
        self.call(request, types::has_profile_data).await
    }
}
