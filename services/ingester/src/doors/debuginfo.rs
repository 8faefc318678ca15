//! Agents send debug information to where they send profiles. Here it is passed on to the
//! symbolizer as it comes, if the settings name one; in one process the symbolizer answers itself.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::any;
use cairn_chassis::Context as Process;
use cairn_model::Code;
use futures::future::BoxFuture;
use http::{HeaderName, Request, Response, header};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::ServiceExt as _;

/// Headers that are about one connection only.
const OF_CONNECTIONS: [HeaderName; 5] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Passes requests on.
#[derive(Clone)]
pub(super) struct Passed {
    cx: Process,
    symbolizer: String,
}

impl Passed {
    pub(super) fn new(cx: Process, symbolizer: &str) -> Self {
        Self {
            cx,
            symbolizer: symbolizer.to_owned(),
        }
    }

    /// The paths of Pyroscope's service.
    pub(super) fn paths(self) -> Router {
        let pass = any(move |mut request: axum::extract::Request| {
            let passed = self.clone();
            async move {
                for name in OF_CONNECTIONS {
                    request.headers_mut().remove(name);
                }
                passed.pass(request.map(Body::new)).await
            }
        });
        Router::new().route("/debuginfo.v1alpha1.DebuginfoService/{*method}", pass)
    }

    async fn pass(self, request: Request<Body>) -> Response<Body> {
        let channel = match self.cx.channel(&self.symbolizer) {
            Ok(channel) => channel,
            Err(error) => return cairn_wire::status(error.code(), &error.to_string()).into_http(),
        };
        match channel.oneshot(request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%error, symbolizer = self.symbolizer, "debuginfo is not passed on");
                let text = "the symbolizer is not reached: try again later";
                cairn_wire::status(Code::Unavailable, text).into_http()
            }
        }
    }
}

impl NamedService for Passed {
    const NAME: &'static str = "parca.debuginfo.v1alpha1.DebuginfoService";
}

impl tower::Service<Request<Body>> for Passed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let passed = self.clone();
        Box::pin(async move { Ok(passed.pass(request).await) })
    }
}
