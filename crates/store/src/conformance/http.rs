//! Servers that do something wrong, over real HTTP: a few lines that keep objects in memory.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use cairn_model::{Secret, WriterId};
use tokio::task::JoinSet;

use crate::{Config, Error, Key, S3, Store};

/// What a server does with puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It ignores `If-None-Match`.
    Ignores,
    /// It looks whether the object is there, and puts a little later.
    ChecksFirst,
    /// The first put of an object is answered with an error although it happened.
    LosesReplies,
    /// The first two puts of an object are answered with "conflict" and don't happen.
    Conflicts,
    /// The first two puts of an object are refused with "slow down".
    IsBusy,
}

#[derive(Debug)]
struct Server {
    fault: Fault,
    objects: Mutex<HashMap<String, Bytes>>,
    puts: Mutex<HashMap<String, u32>>,
}

impl Server {
    /// How many puts of this object came before.
    fn puts_before(&self, path: &str) -> u32 {
        let mut puts = self.puts.lock().expect("no holder panics");
        let count = puts.entry(path.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    async fn put(&self, path: String, headers: HeaderMap, body: Bytes) -> StatusCode {
        let before = self.puts_before(&path);
        match self.fault {
            Fault::Conflicts if before < 2 => return StatusCode::CONFLICT,
            Fault::IsBusy if before < 2 => return StatusCode::SERVICE_UNAVAILABLE,
            _ => {}
        }
        let is_create = headers.contains_key("if-none-match") && self.fault != Fault::Ignores;
        let is_there = |objects: &HashMap<_, _>| is_create && objects.contains_key(&path);
        if self.fault == Fault::ChecksFirst {
            if is_there(&self.objects.lock().expect("no holder panics")) {
                return StatusCode::PRECONDITION_FAILED;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut objects = self.objects.lock().expect("no holder panics");
        if self.fault != Fault::ChecksFirst && is_there(&objects) {
            return StatusCode::PRECONDITION_FAILED;
        }
        objects.insert(path, body);
        match self.fault {
            Fault::LosesReplies if before == 0 => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    }
}

async fn on_put(
    State(server): State<Arc<Server>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let status = server.put(path, headers, body).await;
    (status, [("etag", "\"1\"")])
}

async fn on_get(State(server): State<Arc<Server>>, Path(path): Path<String>) -> Response {
    let objects = server.objects.lock().expect("no holder panics");
    match objects.get(&path) {
        Some(body) => {
            let dated = [
                ("etag", "\"1\""),
                ("last-modified", "Tue, 25 Nov 2025 10:00:00 GMT"),
            ];
            (dated, body.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn on_delete(State(server): State<Arc<Server>>, Path(path): Path<String>) -> StatusCode {
    let mut objects = server.objects.lock().expect("no holder panics");
    objects.remove(&path);
    StatusCode::NO_CONTENT
}

/// Starts a server; it ends when the set is dropped.
async fn start(fault: Fault) -> (Config, JoinSet<()>) {
    let server = Arc::new(Server {
        fault,
        objects: Mutex::default(),
        puts: Mutex::default(),
    });
    let routes = put(on_put).get(on_get).delete(on_delete);
    let router = Router::new().route("/{*path}", routes).with_state(server);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = listener.await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let mut tasks = JoinSet::new();
    tasks.spawn(async {
        axum::serve(listener, router)
            .await
            .expect("serving goes on")
    });
    let s3 = S3 {
        bucket: "bucket".to_owned(),
        endpoint: format!("http://{address}"),
        access_key_id: "id".to_owned(),
        secret_access_key: Secret::new("secret"),
        allow_http: true,
        ..S3::default()
    };
    let config = Config {
        s3: Some(s3),
        ..Config::default()
    };
    (config, tasks)
}

fn unprobed(config: &Config) -> Store {
    Store::over(config.connect().expect("the settings work").objects)
}

#[tokio::test]
async fn a_server_that_ignores_the_header_is_refused_at_start() {
    let (config, _server) = start(Fault::Ignores).await;
    let error = Store::open(&config, 1).await.expect_err("not enforced");
    assert!(error.to_string().contains("created twice"), "{error}");
}

#[tokio::test]
async fn a_server_that_checks_and_then_puts_is_refused_at_start() {
    let (config, _server) = start(Fault::ChecksFirst).await;
    let error = Store::open(&config, 1).await.expect_err("not enforced");
    assert!(error.to_string().contains("told that they won"), "{error}");
}

#[tokio::test]
async fn an_error_after_the_put_is_no_conflict_with_oneself() {
    let (config, _server) = start(Fault::LosesReplies).await;
    let store = unprobed(&config);
    let writer = WriterId::parse("w").expect("valid");
    let segment = |first| Key::LogSegment {
        writer: &writer,
        incarnation: 1,
        first,
    };
    let created = store.create(segment(1), Bytes::from_static(b"mine")).await;
    assert!(
        matches!(created, Err(Error::AlreadyExists { .. })),
        "{created:?}"
    );
    let created = store.create_once(segment(2), Bytes::from_static(b"mine"));
    created.await.expect("what is there is ours");
}

#[tokio::test]
async fn a_conflict_without_an_object_is_tried_again() {
    for fault in [Fault::Conflicts, Fault::IsBusy] {
        let (config, _server) = start(fault).await;
        let store = unprobed(&config);
        let writer = WriterId::parse("w").expect("valid");
        let key = Key::LogSegment {
            writer: &writer,
            incarnation: 1,
            first: 1,
        };
        let created = store.create_once(key, Bytes::from_static(b"mine"));
        created.await.expect("the third attempt succeeds");
        assert_eq!(store.get(key).await.expect("there"), "mine");
    }
}

#[tokio::test]
async fn a_server_that_sends_more_than_asked_gives_no_wrong_bytes() {
    let (config, _server) = start(Fault::Ignores).await;
    let store = unprobed(&config);
    let key = Key::Probe {
        nonce: 1,
        number: 1,
    };
    let created = store.create(key, Bytes::from_static(b"0123456789")).await;
    created.expect("created");
    store
        .get_range(key, 2..4)
        .await
        .expect_err("it has no ranges");
}

#[tokio::test]
async fn attempts_at_a_store_that_is_away_end_in_time() {
    let (mut config, server) = start(Fault::Ignores).await;
    drop(server);
    let s3 = config.s3.as_mut().expect("it is set");
    s3.retry_timeout = Duration::from_millis(300);
    let outcome = Store::open(&config, 1);
    let outcome = tokio::time::timeout(Duration::from_secs(10), outcome).await;
    let error = outcome.expect("it ends").expect_err("nobody listens");
    assert!(matches!(error, Error::Open { .. }), "{error}");
}
