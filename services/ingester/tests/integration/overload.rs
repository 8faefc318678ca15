//! More than fits is turned away with the code that senders retry on, before it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use cairn_ingester::{AdmissionConfig, Config};
use cairn_parca::write::Frame as Place;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    Label, LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use futures::StreamExt;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

use crate::agents::{converse, frames, sample, try_to_converse};
use crate::harness::{Running, config, folder};

const WRITE_RAW: &str = "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw";
const MESSAGE_BYTES: usize = 16 << 20;
const CHUNK_BYTES: usize = 64 << 10;

/// Room for one message at a time, and no patience.
fn narrow(config: Config) -> Config {
    Config {
        admission: AdmissionConfig {
            inflight_bytes_max: ByteSize::mib(16),
            wait_max: Duration::ZERO,
        },
        ..config
    }
}

/// A message that never ends, and how much of it was taken.
pub(crate) fn endless(taken: Arc<AtomicUsize>) -> Body {
    let mut prefix = vec![0];
    prefix.extend((MESSAGE_BYTES as u32).to_be_bytes());
    let chunks = MESSAGE_BYTES / CHUNK_BYTES - 1;
    let chunks = futures::stream::iter(0..chunks).map(move |_| {
        taken.fetch_add(CHUNK_BYTES, Relaxed);
        Bytes::from_static(&[0; CHUNK_BYTES])
    });
    let frames = futures::stream::iter([Bytes::from(prefix)])
        .chain(chunks)
        .chain(futures::stream::pending())
        .map(|chunk| Ok::<_, std::convert::Infallible>(Frame::data(chunk)));
    Body::new(StreamBody::new(frames))
}

pub(crate) async fn send(mut channel: Channel, path: &str, body: Body) -> String {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("valid");
    let channel = channel.ready().await.expect("connected");
    let answer = channel.call(request).await.expect("answered");
    let status = answer.headers().get("grpc-status").expect("an error");
    status.to_str().expect("a number").to_owned()
}

fn small_push() -> WriteRawRequest {
    let pprof = cairn_testkit::corpus::pprofs().swap_remove(0);
    let label = |name: &str| Label {
        name: name.to_owned(),
        value: "a".to_owned(),
    };
    WriteRawRequest {
        series: vec![RawProfileSeries {
            labels: Some(LabelSet {
                labels: vec![label("__name__"), label("service_name")],
            }),
            samples: vec![RawSample {
                raw_profile: pprof.bytes.into(),
                ..RawSample::default()
            }],
        }],
        ..WriteRawRequest::default()
    }
}

#[tokio::test]
async fn a_crowd_of_grpc_messages_is_turned_away_before_it_is_read() {
    const CROWD: usize = 8;
    let folder = folder();
    let running = Running::start(narrow(config(folder.path()))).await;
    let mut crowd = JoinSet::new();
    let mut all_taken = Vec::new();
    for _ in 0..CROWD {
        let taken = Arc::new(AtomicUsize::new(0));
        all_taken.push(Arc::clone(&taken));
        crowd.spawn(send(running.channel().await, WRITE_RAW, endless(taken)));
    }
    for _ in 1..CROWD {
        let status = crowd.join_next().await.expect("all but one").expect("sent");
        assert_eq!(status, "8", "RESOURCE_EXHAUSTED is what senders retry");
    }
    let taken = || all_taken.iter().map(|taken| taken.load(Relaxed));
    // A refused one has filled the socket's window at most; the admitted one may be there.
    let refused: usize = taken().sum::<usize>() - taken().max().unwrap_or(0);
    assert!(refused < CROWD * (4 << 20), "{refused} bytes were taken");

    // What was turned away comes through once the one that held everything up has gone.
    crowd.shutdown().await;
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    while let Err(status) = client.write_raw(small_push()).await {
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    }
    running.stop().await;
}

#[tokio::test]
async fn compressed_messages_take_turns_and_give_their_memory_back() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let mut senders = JoinSet::new();
    for coding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let channel = running.channel().await;
        for _ in 0..8 {
            let client = ProfileStoreServiceClient::new(channel.clone());
            let mut client = client.send_compressed(coding);
            senders.spawn(async move { client.write_raw(small_push()).await });
        }
    }
    while let Some(answer) = senders.join_next().await {
        answer.expect("sent").expect("stored");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_inflates_without_end_is_refused() {
    let folder = folder();
    let mut config = config(folder.path());
    config.limits.request_bytes_max = 1 << 20;
    let running = Running::start(config).await;
    let client = ProfileStoreServiceClient::new(running.channel().await);
    let mut client = client.send_compressed(CompressionEncoding::Gzip);
    let mut bomb = small_push();
    bomb.series[0].samples[0].raw_profile = vec![0; 32 << 20].into();
    let status = client.write_raw(bomb).await.expect_err("too large");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    client
        .write_raw(small_push())
        .await
        .expect("the turn is free again");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_conversations_loses_nothing_that_was_acknowledged() {
    const CROWD: i64 = 40;
    let folder = folder();
    let mut config = narrow(config(folder.path()));
    config.admission.inflight_bytes_max = ByteSize::kib(256);
    let running = Running::start(config).await;
    let stack: Arc<[Place]> = frames().into();
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let first = [sample("n0", &stack, (1, 1))];
    assert_eq!(converse(&mut client, &first).await.len(), 1);
    // All at once, with a stack that is known, and each with one that is not.
    let mut crowd = JoinSet::new();
    for node in 1..=CROWD {
        let mut client = ProfileStoreServiceClient::new(running.channel().await);
        let stack = Arc::clone(&stack);
        crowd.spawn(async move {
            let mut refused = 0;
            let known = sample(&format!("n{node}"), &stack, (1, 1));
            let new = sample(&format!("n{node}"), &stack[..1].into(), (2, 10));
            while let Err(status) =
                try_to_converse(&mut client, &[known.clone(), new.clone()]).await
            {
                assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
                refused += 1;
            }
            refused
        });
    }
    let refused: u32 = crowd.join_all().await.into_iter().sum();
    assert!(refused > 0, "there was room for all at once");
    assert_eq!(running.total("{}").await, 1 + CROWD * 11, "once each");
    running.stop().await;
}
