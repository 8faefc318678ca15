//! The doors that other people's clients use, over every protocol and path they use.

use cairn_wire::parca::profilestore::v1alpha1::AgentsRequest;
use cairn_wire::parca::profilestore::v1alpha1::agents_service_client::AgentsServiceClient;
use cairn_wire::push::v1::pusher_service_client::PusherServiceClient;
use cairn_wire::push::v1::{PushRequest, RawProfileSeries, RawSample};
use cairn_wire::types::v1::LabelPair;
use prost::Message;
use tonic::transport::Endpoint;

use crate::cairn::Cairn;
use crate::crash::{LABELS, profile, stored};
use crate::http::{Answer, send};

const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");
const PATH: &str = "push.v1.PusherService/Push";

fn request(number: u64) -> PushRequest {
    let label = |(name, value): (&str, &str)| LabelPair {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let sample = RawSample {
        raw_profile: profile(number).into(),
        ..Default::default()
    };
    let series = RawProfileSeries {
        labels: LABELS.map(label).to_vec(),
        samples: vec![sample],
        ..Default::default()
    };
    PushRequest {
        series: vec![series],
    }
}

/// One message as gRPC frames it.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat()
}

fn post(cairn: &Cairn, path: &str, content_type: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", content_type)];
    send(cairn.address, &format!("POST {path}"), &headers, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn push_is_taken_over_every_protocol_and_under_any_prefix() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[QUIET]);

    let channel = Endpoint::from_shared(cairn.url()).unwrap().connect_lazy();
    let mut plain = PusherServiceClient::new(channel.clone());
    plain.push(request(1)).await.unwrap();
    let origin = format!("{}/some/prefix", cairn.url()).parse().unwrap();
    let mut prefixed = PusherServiceClient::with_origin(channel, origin);
    prefixed.push(request(2)).await.unwrap();

    for (number, prefix) in [(3, ""), (4, "/some/prefix")] {
        let path = format!("{prefix}/{PATH}");
        let body = framed(&request(number).encode_to_vec());
        let answer = post(&cairn, &path, "application/grpc-web+proto", &body);
        assert_eq!(answer.status, 200, "{path}");
        let trailers = answer.text();
        assert!(trailers.contains("grpc-status:0"), "{path}: {trailers:?}");
    }
    let body = request(5).encode_to_vec();
    let answer = post(&cairn, &format!("/{PATH}"), "application/proto", &body);
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));

    let numbers: Vec<u64> = stored(&cairn).await.into_keys().collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    cairn.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_refused_says_why_over_every_protocol() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[QUIET]);
    let mut bad = request(1);
    bad.series[0].samples[0].raw_profile = b"no profile".to_vec().into();

    let channel = Endpoint::from_shared(cairn.url()).unwrap().connect_lazy();
    let refused = PusherServiceClient::new(channel).push(bad.clone()).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(!status.message().is_empty());

    let body = framed(&bad.encode_to_vec());
    let answer = post(&cairn, &format!("/{PATH}"), "application/grpc-web", &body);
    let told = answer.head + &String::from_utf8_lossy(&answer.body);
    assert!(told.replace(' ', "").contains("grpc-status:3"), "{told}");

    let body = bad.encode_to_vec();
    let answer = post(&cairn, &format!("/{PATH}"), "application/proto", &body);
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("invalid_argument"),
        "{}",
        answer.text()
    );
    cairn.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_pushed_are_listed() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[QUIET]);
    let channel = Endpoint::from_shared(cairn.url()).unwrap().connect_lazy();
    let mut agents = AgentsServiceClient::new(channel);
    let list = agents.agents(AgentsRequest::default()).await.unwrap();
    assert!(list.into_inner().agents.is_empty());

    let client = cairn.connect().await;
    let labels = [LABELS[0], LABELS[1], ("node", "node-1")];
    client.push(profile(1), &labels).await.unwrap();
    let list = agents.agents(AgentsRequest::default()).await.unwrap();
    let list = list.into_inner().agents;
    assert_eq!(list.len(), 1, "{list:?}");
    assert!(list[0].id.contains("node-1"), "{list:?}");
    assert_eq!(list[0].last_error, "");
    assert!(list[0].last_push.is_some());
    cairn.stop();
}
