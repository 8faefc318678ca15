//! Parca's query API, over gRPC, gRPC-web and REST: the same functions behind all three. Not served
//! is the text of sources.

mod arrow;
mod callgraph;
mod diff;
mod filter;
mod flamegraph;
mod group;
mod labels;
mod place;
mod query;
pub(crate) mod range;
mod report;
mod rest;
mod selection;
mod series;
pub(crate) mod share;
mod source;
mod table;
mod top;
mod types;

use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_service_server::{QueryService, QueryServiceServer};
use cairn_wire::parca::share::v1alpha1 as shared;
use cairn_wire::parca::share::v1alpha1::share_service_server::{ShareService, ShareServiceServer};
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

    /// What opens shared profiles.
    pub(crate) fn serve_shared(querier: Querier) -> ShareServiceServer<Self> {
        let max = querier.config().limits.message_bytes_max;
        ShareServiceServer::new(Self { querier })
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

const NO_UPLOAD: &str =
    "Upload is not supported by this server: push profiles to it, and share what a query finds";

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
        request: Request<wire::SeriesRequest>,
    ) -> Result<Response<wire::SeriesResponse>, Status> {
        self.call(request, series::series).await
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
        request: Request<wire::ShareProfileRequest>,
    ) -> Result<Response<wire::ShareProfileResponse>, Status> {
        self.call(request, share::share_profile).await
    }

    async fn has_profile_data(
        &self,
        request: Request<wire::HasProfileDataRequest>,
    ) -> Result<Response<wire::HasProfileDataResponse>, Status> {
        self.call(request, types::has_profile_data).await
    }
}

#[tonic::async_trait]
impl ShareService for Api {
    async fn upload(
        &self,
        _: Request<shared::UploadRequest>,
    ) -> Result<Response<shared::UploadResponse>, Status> {
        Err(cairn_wire::unimplemented(NO_UPLOAD))
    }

    async fn query(
        &self,
        request: Request<shared::QueryRequest>,
    ) -> Result<Response<shared::QueryResponse>, Status> {
        self.call(request, share::query).await
    }

    async fn profile_types(
        &self,
        request: Request<shared::ProfileTypesRequest>,
    ) -> Result<Response<shared::ProfileTypesResponse>, Status> {
        self.call(request, share::profile_types).await
    }
}
