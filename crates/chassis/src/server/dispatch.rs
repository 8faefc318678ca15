//! Which request goes where. gRPC and everything else share paths, so the content type decides
//! first; gRPC is then found by service name under any prefix.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use axum::extract::MatchedPath;
use axum::response::IntoResponse;
use cairn_model::Code;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::{Body as _, Incoming};
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, Cors, CorsLayer};

use super::observe::{Observer, Protocol};
use super::{Host, health};
use crate::Routes;
use crate::process::Shared;
use crate::routes::GrpcService;

/// Headers of answers that a page may read: those of gRPC-web, and ours about the answers
/// themselves.
const EXPOSED: [&str; 10] = [
    "cairn-partial",
    "cairn-warning",
    "cairn-remark",
    "cairn-max-error",
    "cairn-explain",
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-encoding",
    "retry-after",
];

/// What is answered at one moment.
#[derive(Default)]
pub(super) struct Table {
    grpc: HashMap<&'static str, GrpcService>,
    http: axum::Router,
    /// Every service of the process has added its routes, so what is missing does not exist.
    complete: bool,
}

impl Table {
    pub(super) fn build(host: &Host, added: &[(&'static str, Routes)]) -> anyhow::Result<Self> {
        let mut table = Self {
            complete: added.len() >= host.expected,
            ..Self::default()
        };
        let mut names: Vec<&'static str> = Vec::new();
        for (_, routes) in added {
            names.extend(routes.grpc.keys());
            for (name, service) in &routes.grpc {
                table
                    .grpc
                    .insert(name, observed(host.observer(false), service.clone()));
            }
            let observer = host.observer(false);
            let observe = axum::middleware::from_fn(move |request, next| {
                observe_http(observer.clone(), request, next)
            });
            table.http = table.http.merge(routes.http.clone().layer(observe));
        }
        let own = health::services(&host.health, &names).context("set up gRPC reflection")?;
        for (name, service) in own.grpc {
            table
                .grpc
                .insert(name, observed(host.observer(true), service));
        }
        Ok(table)
    }
}

impl Table {
    /// The same for a port to which nothing is added.
    pub(super) fn complete(mut self) -> Self {
        self.complete = true;
        self
    }
}

impl Host {
    fn observer(&self, cut_off: bool) -> Observer {
        Observer {
            metrics: self.metrics.clone(),
            in_flight: Arc::clone(&self.in_flight),
            cut_off: cut_off.then(|| self.draining.clone()),
        }
    }
}

/// gRPC-web outside, so that it also translates the answer to a panic.
fn observed(observer: Observer, service: GrpcService) -> GrpcService {
    let observed = tower::service_fn(move |request: Request<Body>| {
        let (observer, service) = (observer.clone(), service.clone());
        async move {
            let method = request.uri().path().to_owned();
            let answer = async move { service.oneshot(request).await };
            observer.observe(Protocol::Grpc, &method, answer).await
        }
    });
    BoxCloneSyncService::new(web(observed))
}

fn web<S, F>(service: S) -> GrpcService
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = F>
        + Clone
        + Send
        + Sync
        + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let layered = ServiceBuilder::new()
        .layer(tonic_web::GrpcWebLayer::new())
        .service(service);
    BoxCloneSyncService::new(layered)
}

/// Answers a gRPC call that nobody here serves.
fn refuse(code: Code, message: String) -> GrpcService {
    let status = match code {
        Code::NotFound => cairn_wire::unimplemented(&message),
        code => cairn_wire::status(code, &message),
    };
    web(tower::service_fn(move |_| {
        let response = status.clone().into_http();
        async move { Ok(response) }
    }))
}

async fn observe_http(
    observer: Observer,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("unmatched", MatchedPath::as_str);
    let method = format!("{} {path}", request.method());
    let answer = async move { Ok::<_, Infallible>(next.run(request).await.map(Body::new)) };
    match observer.observe(Protocol::Http, &method, answer).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

/// The service that every connection gets.
#[derive(Clone)]
pub(super) enum Dispatch {
    /// Whatever the process answers at the moment.
    Process(Arc<Shared>),
    /// Always the same.
    Fixed(Arc<Table>),
}

impl tower::Service<Request<Incoming>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let table = match self {
            Self::Process(shared) => shared.host.table(),
            Self::Fixed(table) => Arc::clone(table),
        };
        if is_grpc(&request) {
            Box::pin(grpc(table, request.map(Body::new)))
        } else {
            Box::pin(http(table, request.map(axum::body::Body::new)))
        }
    }
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A gRPC-web client that does not say which encoding it takes is answered in its own.
fn say_what_is_accepted<B>(request: &mut Request<B>) {
    let headers = request.headers_mut();
    let says = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.filter(|value| value.as_bytes().starts_with(b"application/grpc-web"))
    };
    if let (Some(sent), None) = (says(header::CONTENT_TYPE).cloned(), says(header::ACCEPT)) {
        headers.insert(header::ACCEPT, sent);
    }
}

async fn grpc(table: Arc<Table>, mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
    say_what_is_accepted(&mut request);
    let name = without_prefix(request.uri()).and_then(|(uri, service)| {
        let service = table.grpc.get(service).cloned();
        service.map(|service| (uri, service))
    });
    let service = match name {
        Some((uri, service)) => {
            *request.uri_mut() = uri;
            service
        }
        None if table.complete => refuse(
            Code::NotFound,
            format!("no service answers {}", request.uri().path()),
        ),
        None => refuse(Code::Unavailable, "starting, try again".to_owned()),
    };
    service.oneshot(request).await
}

/// `/any/prefix/package.Service/Method` as `/package.Service/Method`, and the service's name.
fn without_prefix(uri: &Uri) -> Option<(Uri, &str)> {
    let path = uri.path();
    let mut segments = path.rsplitn(3, '/');
    let (method, service, prefix) = (segments.next()?, segments.next()?, segments.next()?);
    if prefix.is_empty() {
        return Some((uri.clone(), service));
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/{service}/{method}")).ok()?);
    Some((Uri::from_parts(parts).ok()?, service))
}

async fn http(
    table: Arc<Table>,
    request: Request<axum::body::Body>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let response = table.http.clone().oneshot(request).await?;
    // Only the router itself answers like this: handlers say what is missing.
    let nobody_answered = response.body().size_hint().exact() == Some(0)
        && !response.headers().contains_key(header::CONTENT_TYPE);
    Ok(match response.status() {
        StatusCode::NOT_FOUND if nobody_answered && !table.complete => {
            json_error(Code::Unavailable, "starting, try again")
        }
        StatusCode::NOT_FOUND if nobody_answered => {
            json_error(Code::NotFound, &format!("nothing is at {path}"))
        }
        _ => response.map(Body::new),
    })
}

/// An error as Connect spells it.
pub(super) fn json_error(code: Code, message: &str) -> Response<Body> {
    let body = cairn_wire::connect::error(cairn_wire::connect_code(code), message);
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    let status = StatusCode::from_u16(cairn_wire::http_status(code))
        .expect("every code has a valid HTTP status");
    (status, content_type, body).into_response().map(Body::new)
}

/// Lets pages of this machine, and of the configured origins, read answers.
pub(super) fn with_cors(service: Dispatch, origins: &[String]) -> Cors<Dispatch> {
    let origins = origins.to_vec();
    let allowed = AllowOrigin::predicate(move |origin: &HeaderValue, _| {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        is_local(origin) || origins.iter().any(|given| given == "*" || given == origin)
    });
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(std::time::Duration::from_secs(600));
    ServiceBuilder::new().layer(layer).service(service)
}

/// Whether an origin, `scheme://host[:port]`, is a page served by this machine.
fn is_local(origin: &str) -> bool {
    let uri = origin.parse::<Uri>();
    let host = uri.as_ref().ok().and_then(Uri::host);
    matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_prefix_before_the_service_is_dropped() {
        let uri: Uri = "/a/b/pkg.Service/Method?x=1".parse().expect("a valid path");
        let (stripped, service) = without_prefix(&uri).expect("it has a service");
        assert_eq!(
            (stripped.path(), service),
            ("/pkg.Service/Method", "pkg.Service")
        );
        let uri: Uri = "/Method".parse().expect("a valid path");
        assert!(without_prefix(&uri).is_none());
    }

    #[test]
    fn only_pages_of_this_machine_are_local() {
        assert!(is_local("http://localhost:3000"));
        assert!(is_local("http://[::1]:3000"));
        assert!(!is_local("http://localhost.example.com"));
        assert!(!is_local("null"));
    }
}
