//! The port for operators: is it alive, is it ready, what does it count, how is it configured.
//! Never reachable by clients: it listens on its own address.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::net::Bound;
use crate::process::{Options, Shared};
use crate::readiness::Standing;
use crate::server;
use crate::telemetry::LogFilter;

/// A scraper, a probe, a person.
const CONNECTIONS_MAX: usize = 64;
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Admin {
    shared: Arc<Shared>,
    config_yaml: Arc<str>,
    log_filter: Option<LogFilter>,
}

/// Answers until the process has ended: probes and scrapes go on while draining.
pub(crate) fn start(shared: &Arc<Shared>, listener: Bound, options: &Options) {
    let router = axum::Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/log-filter", put(log_filter))
        .with_state(Admin {
            shared: Arc::clone(shared),
            config_yaml: options.config_yaml.as_str().into(),
            log_filter: options.log_filter.clone(),
        });
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stops = server::Stops {
        draining: shared.ended.clone(),
        cut: shared.ended.clone(),
    };
    let accepting = server::accept(TaskTracker::new(), listener, router, slots, stops);
    shared.admin.spawn(accepting);
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let ready = admin.shared.is_ready();
    let mut lines: Vec<String> = {
        let board = admin.shared.board.borrow();
        board.iter().map(Standing::describe).collect()
    };
    if admin.shared.stop.is_cancelled() {
        lines.insert(0, "stopping".to_owned());
    }
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, lines.join("\n") + "\n")
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let mut text = String::new();
    let encoded =
        prometheus_client::encoding::text::encode(&mut text, &admin.shared.registry.lock());
    match encoded {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn config(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/yaml")],
        admin.config_yaml.to_string(),
    )
}

async fn log_filter(State(admin): State<Admin>, directives: String) -> impl IntoResponse {
    let Some(filter) = &admin.log_filter else {
        return (StatusCode::NOT_FOUND, "logs are not ours here\n".to_owned());
    };
    match filter.set(directives.trim()) {
        Ok(()) => (StatusCode::OK, format!("{}\n", directives.trim())),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}
