//! What a service answers: gRPC services and HTTP paths. Knows nothing of ports; several
//! services' routes are merged into one server by the process that hosts them.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

pub(crate) type GrpcService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The gRPC services and HTTP paths of one service.
///
/// gRPC services are reached under any path prefix, over gRPC and gRPC-web. Message sizes and
/// compression belong to the generated server types, so set them before handing one over:
/// `accept_compressed(Gzip).accept_compressed(Zstd).max_decoding_message_size(n)`.
#[derive(Default)]
pub struct Routes {
    pub(crate) grpc: HashMap<&'static str, GrpcService>,
    pub(crate) http: axum::Router,
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    /// A generated tonic server.
    #[must_use]
    pub fn grpc<S>(mut self, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        let service = service.map_response(|response| response.into_response().map(Body::new));
        self.grpc.insert(S::NAME, BoxCloneSyncService::new(service));
        self
    }

    /// Paths for everything that is not gRPC. Two services of one process must not claim the
    /// same path, and only one may set a fallback.
    #[must_use]
    pub fn http(mut self, router: axum::Router) -> Self {
        self.http = self.http.merge(router);
        self
    }

    /// An HTTP handler on the path of a gRPC method, such as `/push.v1.PusherService/Push` for
    /// Connect. Requests with `content-type: application/grpc*` go to the gRPC service, all
    /// others here.
    #[must_use]
    pub fn connect(mut self, path: &str, handler: MethodRouter) -> Self {
        self.http = self.http.route(path, handler);
        self
    }
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes")
            .field("grpc", &self.grpc.keys())
            .finish_non_exhaustive()
    }
}
