//! Every request: counted, timed, traced, and kept from taking the process down. Looks at no
//! request's content.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use cairn_model::Code;
use futures::FutureExt;
use http::{HeaderMap, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tracing::Instrument;

use crate::clock::stopwatch;
use crate::process::panic_text;

/// From a cached answer to the slowest query.
const LATENCY_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// How a call of a method that a service does not have is recorded.
const UNIMPLEMENTED: &str = "Unimplemented";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    code: String,
}

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    panics: Counter,
}

impl Metrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(LATENCY_SECONDS)),
            in_flight: Gauge::default(),
            panics: Counter::default(),
        };
        registry.register(
            "requests",
            "Requests answered, by method and gRPC code or HTTP status",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the end of its answer",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests whose answer is not completely sent",
            metrics.in_flight.clone(),
        );
        registry.register(
            "panics",
            "Requests that ended in a panic",
            metrics.panics.clone(),
        );
        metrics
    }
}

/// What answering a request needs to know besides the request.
#[derive(Clone)]
pub(super) struct Observer {
    pub(super) metrics: Metrics,
    pub(super) in_flight: Arc<AtomicUsize>,
    /// Ends the answer early when cancelled, for streams that would otherwise never end.
    pub(super) cut_off: Option<CancellationToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

impl Observer {
    /// Runs a request and follows its answer to the last byte.
    pub(super) async fn observe<F, E>(
        self,
        protocol: Protocol,
        method: &str,
        answer: F,
    ) -> Result<Response<Body>, E>
    where
        F: Future<Output = Result<Response<Body>, E>>,
    {
        let span = tracing::info_span!("request", method);
        let mut watch = Watch::start(self.metrics, self.in_flight, protocol, method);
        let caught = AssertUnwindSafe(answer.instrument(span.clone())).catch_unwind();
        let response = match caught.await {
            Ok(response) => response?,
            Err(panic) => span.in_scope(|| watch.panicked(&*panic)),
        };
        let (parts, body) = response.into_parts();
        watch.head(&parts);
        let body = Body::new(Observed {
            inner: body,
            watch,
            span,
            cut_off: self.cut_off.map(|token| Box::pin(token.cancelled_owned())),
            done: false,
        });
        Ok(Response::from_parts(parts, body))
    }
}

/// One request being answered. Recorded when dropped: also if the client went away.
struct Watch {
    metrics: Metrics,
    in_flight: Arc<AtomicUsize>,
    protocol: Protocol,
    method: String,
    start: Instant,
    /// Absent until known; `cancelled` if the client went away first.
    code: Option<String>,
}

impl Watch {
    fn start(
        metrics: Metrics,
        in_flight: Arc<AtomicUsize>,
        protocol: Protocol,
        method: &str,
    ) -> Self {
        metrics.in_flight.inc();
        in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            metrics,
            in_flight,
            protocol,
            method: method.to_owned(),
            start: stopwatch(),
            code: None,
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Response<Body> {
        self.metrics.panics.inc();
        let text = panic_text(panic);
        tracing::error!(method = self.method, panic = text, "a request panicked");
        match self.protocol {
            Protocol::Grpc => cairn_wire::status(Code::Internal, text).into_http(),
            Protocol::Http => super::dispatch::json_error(Code::Internal, "internal error"),
        }
    }

    fn head(&mut self, parts: &http::response::Parts) {
        match self.protocol {
            Protocol::Grpc => self.grpc_code(&parts.headers),
            Protocol::Http => self.code = Some(parts.status.as_str().to_owned()),
        }
    }

    fn grpc_code(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.code = Some(format!("{:?}", tonic::Code::from_bytes(code.as_bytes())));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let code = self.code.take().unwrap_or_else(|| "cancelled".to_owned());
        let elapsed = self.start.elapsed();
        tracing::debug!(method = self.method, code, ?elapsed, "answered");
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.metrics.in_flight.dec();
        let mut method = std::mem::take(&mut self.method);
        if code == UNIMPLEMENTED {
            // Clients make up names without end; metrics must not follow.
            method.truncate(method.rfind('/').map_or(0, |end| end + 1));
        }
        let by_method = MethodLabels {
            method: method.clone(),
        };
        let seconds = self.metrics.seconds.get_or_create(&by_method);
        seconds.observe(elapsed.as_secs_f64());
        let by_code = RequestLabels { method, code };
        self.metrics.requests.get_or_create(&by_code).inc();
    }
}

/// An answer on its way out.
struct Observed {
    inner: Body,
    watch: Watch,
    span: tracing::Span,
    cut_off: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    done: bool,
}

impl Observed {
    /// The last frame of a gRPC answer that went wrong after its head was sent.
    fn end_with(
        &mut self,
        code: Code,
        message: &str,
    ) -> Option<Result<Frame<Bytes>, tonic::Status>> {
        self.done = true;
        let status = cairn_wire::status(code, message);
        let mut trailers = HeaderMap::new();
        match self.watch.protocol {
            Protocol::Grpc if status.add_header(&mut trailers).is_ok() => {
                self.watch.grpc_code(&trailers);
                Some(Ok(Frame::trailers(trailers)))
            }
            // HTTP can only say so by not ending properly.
            Protocol::Grpc | Protocol::Http => Some(Err(status)),
        }
    }
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        if let Some(cut_off) = &mut this.cut_off
            && cut_off.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(this.end_with(Code::Unavailable, "the server is stopping"));
        }
        let span = this.span.clone();
        let _entered = span.enter();
        let poll = AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(cx));
        match std::panic::catch_unwind(poll) {
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.watch.grpc_code(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Ok(Poll::Ready(None)) => {
                this.done = true;
                if this.watch.code.is_none() {
                    this.watch.code = Some(format!("{:?}", tonic::Code::Unknown));
                }
                Poll::Ready(None)
            }
            Ok(other) => other,
            Err(panic) => {
                this.watch.panicked(&*panic);
                Poll::Ready(this.end_with(Code::Internal, "internal error"))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
