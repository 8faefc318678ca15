//! Pyroscope's read API, `querier.v1.QuerierService`, over gRPC, gRPC-web and Connect: the same
//! functions behind all three.

mod beside;
mod exemplars;
mod heatmap;
mod labels;
mod rows;
mod series;
mod stacks;
mod stats;
mod tree;

pub(crate) use self::stacks::same_type;

use axum::Router;
use axum::routing::post;
use cairn_wire::EncodedProfile;
use cairn_wire::querier::v1 as wire;
use cairn_wire::querier::v1::querier_service_server::{QuerierService, QuerierServiceServer};
use cairn_wire::types::v1 as types;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use crate::api::connect::{compressed, unary};
use crate::api::grpc::call;
use crate::querier::Querier;

/// The paths of the service over Connect, and of the services that its clients ask beside it.
pub(crate) fn routes(querier: Querier) -> Router {
    let path = |method: &str| format!("/querier.v1.QuerierService/{method}");
    let router = Router::new()
        .route(&path("ProfileTypes"), unary(labels::profile_types))
        .route(&path("LabelValues"), unary(labels::label_values))
        .route(&path("LabelNames"), post(labels::connect_label_names))
        .route(&path("Series"), unary(labels::series))
        .route(
            &path("SelectMergeStacktraces"),
            unary(stacks::select_merge_stacktraces),
        )
        .route(
            &path("SelectMergeSpanProfile"),
            unary(stacks::select_merge_span_profile),
        )
        .route(
            &path("SelectMergeProfile"),
            unary(stacks::select_merge_profile),
        )
        .route(&path("SelectSeries"), unary(series::select_series))
        .route(&path("SelectHeatmap"), unary(heatmap::select_heatmap))
        .route(&path("Diff"), unary(stacks::diff))
        .route(&path("GetProfileStats"), unary(stats::get_profile_stats))
        .route(&path("AnalyzeQuery"), unary(stats::analyze_query));
    compressed(router.merge(beside::routes())).with_state(querier)
}

/// The gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct Api(Querier);

impl Api {
    pub(crate) fn serve(querier: Querier) -> QuerierServiceServer<Self> {
        let max = querier.config().limits.message_bytes_max;
        QuerierServiceServer::new(Self(querier))
            .max_decoding_message_size(max)
            .max_encoding_message_size(max)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    }
}

#[tonic::async_trait]
impl QuerierService for Api {
    async fn profile_types(
        &self,
        request: Request<wire::ProfileTypesRequest>,
    ) -> Result<Response<wire::ProfileTypesResponse>, Status> {
        call(&self.0, request, labels::profile_types).await
    }

    async fn label_values(
        &self,
        request: Request<types::LabelValuesRequest>,
    ) -> Result<Response<types::LabelValuesResponse>, Status> {
        call(&self.0, request, labels::label_values).await
    }

    async fn label_names(
        &self,
        request: Request<types::LabelNamesRequest>,
    ) -> Result<Response<types::LabelNamesResponse>, Status> {
        let names = labels::NamesWanted::of(request.metadata().as_ref());
        let answer = |session, request| labels::label_names(session, request, names);
        call(&self.0, request, answer).await
    }

    async fn series(
        &self,
        request: Request<wire::SeriesRequest>,
    ) -> Result<Response<wire::SeriesResponse>, Status> {
        call(&self.0, request, labels::series).await
    }

    async fn select_merge_stacktraces(
        &self,
        request: Request<wire::SelectMergeStacktracesRequest>,
    ) -> Result<Response<wire::SelectMergeStacktracesResponse>, Status> {
        call(&self.0, request, stacks::select_merge_stacktraces).await
    }

    async fn select_merge_span_profile(
        &self,
        request: Request<wire::SelectMergeSpanProfileRequest>,
    ) -> Result<Response<wire::SelectMergeSpanProfileResponse>, Status> {
        call(&self.0, request, stacks::select_merge_span_profile).await
    }

    async fn select_merge_profile(
        &self,
        request: Request<wire::SelectMergeProfileRequest>,
    ) -> Result<Response<EncodedProfile>, Status> {
        call(&self.0, request, stacks::select_merge_profile).await
    }

    async fn select_series(
        &self,
        request: Request<wire::SelectSeriesRequest>,
    ) -> Result<Response<wire::SelectSeriesResponse>, Status> {
        call(&self.0, request, series::select_series).await
    }

    async fn select_heatmap(
        &self,
        request: Request<wire::SelectHeatmapRequest>,
    ) -> Result<Response<wire::SelectHeatmapResponse>, Status> {
        call(&self.0, request, heatmap::select_heatmap).await
    }

    async fn diff(
        &self,
        request: Request<wire::DiffRequest>,
    ) -> Result<Response<wire::DiffResponse>, Status> {
        call(&self.0, request, stacks::diff).await
    }

    async fn get_profile_stats(
        &self,
        request: Request<types::GetProfileStatsRequest>,
    ) -> Result<Response<types::GetProfileStatsResponse>, Status> {
        call(&self.0, request, stats::get_profile_stats).await
    }

    async fn analyze_query(
        &self,
        request: Request<wire::AnalyzeQueryRequest>,
    ) -> Result<Response<wire::AnalyzeQueryResponse>, Status> {
        call(&self.0, request, stats::analyze_query).await
    }
}
