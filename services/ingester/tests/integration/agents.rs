//! What Parca's agents send as Arrow and in conversations, and what they ask besides.

use std::sync::Arc;

use cairn_parca::write::{self, Call, Frame, Sample};
use cairn_wire::cairn::query::v1::Stacks;
use cairn_wire::cairn::query::v1::scan_ticket::Question;
use cairn_wire::parca::profilestore::v1alpha1::agents_service_client::AgentsServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{AgentsRequest, WriteArrowRequest, WriteRequest};
use cairn_wire::parca::scrape::v1alpha1::TargetsRequest;
use cairn_wire::parca::scrape::v1alpha1::scrape_service_client::ScrapeServiceClient;
use cairn_wire::parca::telemetry::v1alpha1::ReportPanicRequest;
use cairn_wire::parca::telemetry::v1alpha1::telemetry_service_client::TelemetryServiceClient;
use futures::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::formats::call;
use crate::harness::{NOW, Running, config, folder};

pub(crate) type Client = ProfileStoreServiceClient<Channel>;

pub(crate) fn sample(node: &str, stack: &Arc<[Frame]>, (id, value): (u8, i64)) -> Sample {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Sample {
        labels: vec![label("node", node), label("comm", "cart")],
        stack: Arc::clone(stack),
        stack_id: [id; 16],
        value,
        period: 50_000_000,
        duration: 5_000_000_000,
        time: NOW,
        ..Sample::of_cpu()
    }
}

fn stack() -> Arc<[Frame]> {
    Arc::from(frames())
}

pub(crate) fn frames() -> [Frame; 2] {
    let native = Frame {
        address: 0x1234,
        frame_type: "native".to_owned(),
        file: "libc.so.6".to_owned(),
        build_id: "abcdef".to_owned(),
        ..Frame::default()
    };
    let named = Frame {
        frame_type: "cpython".to_owned(),
        calls: vec![Call {
            system_name: "main".to_owned(),
            name: "main".to_owned(),
            ..Call::default()
        }],
        ..Frame::default()
    };
    [native, named]
}

/// Writes samples in two steps. Gives the names of the stacks that were asked for, and sent.
pub(crate) async fn converse(client: &mut Client, samples: &[Sample]) -> Vec<[u8; 16]> {
    try_to_converse(client, samples).await.expect("no error")
}

pub(crate) async fn try_to_converse(
    client: &mut Client,
    samples: &[Sample],
) -> Result<Vec<[u8; 16]>, Status> {
    let (tell, told) = futures::channel::mpsc::unbounded();
    let say = |record: Vec<u8>| {
        let record = record.into();
        tell.unbounded_send(WriteRequest { record })
    };
    say(write::v1_samples(samples)).expect("open");
    let mut answers = client.write(told).await?.into_inner();
    let Some(asked) = answers.next().await.transpose()? else {
        return Ok(Vec::new());
    };
    let asked = asked.record;
    let names = |sample: &&Sample| asked.windows(16).any(|name| name == sample.stack_id);
    let sent = samples.iter().filter(names);
    let sent = sent.map(|sample| (sample.stack_id, Arc::clone(&sample.stack)));
    let sent: Vec<_> = sent.collect();
    // The other side may have ended it: its answer says why.
    let _ = say(write::v1_stacks(&sent));
    let more = answers.next().await.transpose()?;
    assert!(more.is_none(), "nothing more is asked");
    Ok(sent.into_iter().map(|(name, _)| name).collect())
}

#[tokio::test]
async fn only_stacks_that_were_not_sent_lately_are_asked_for() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let (stack, [native, named]) = (stack(), frames());
    let [only_native, only_named] = [native, named].map(|frame| Arc::from([frame]));
    let one = [sample("n1", &stack, (1, 5))];
    assert_eq!(converse(&mut client, &one).await, [[1; 16]]);
    let all = |node| {
        [
            sample(node, &only_native, (2, 7)),
            sample(node, &stack, (1, 100)),
            sample(node, &only_named, (3, 1_000)),
        ]
    };
    assert_eq!(converse(&mut client, &all("n2")).await, [[2; 16], [3; 16]]);
    let none: [[u8; 16]; 0] = [];
    assert_eq!(converse(&mut client, &all("n3")).await, none);

    // What was not sent is stored all the same.
    let stacks = |node| format!(r#"{{node="{node}"}}"#);
    let mut partials = Vec::new();
    for node in ["n2", "n3"] {
        let question = Question::Stacks(Stacks::default());
        let scanned = running.scan(&stacks(node), question, None).await;
        partials.push(scanned.expect("the tail answers").answer);
    }
    assert_eq!(partials[0], partials[1]);
    assert_eq!(running.total(&stacks("n3")).await, 1_107);
    running.stop().await;

    // Known stacks are in memory only.
    let running = Running::start(config(folder.path())).await;
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    assert_eq!(converse(&mut client, &one).await, [[1; 16]]);
    running.stop().await;
}

#[tokio::test]
async fn arrow_records_of_both_versions_are_stored_and_agents_are_listed() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let stack = stack();
    let client = ProfileStoreServiceClient::new(running.channel().await);
    // Compressed messages take turns: the second of a conversation must not wait for its own first.
    let mut client = client.send_compressed(CompressionEncoding::Gzip);
    let samples = [sample("n1", &stack, (1, 5)), sample("n2", &stack, (1, 7))];
    let ipc_buffer = write::v2(&samples).into();
    client
        .write_arrow(WriteArrowRequest { ipc_buffer })
        .await
        .expect("stored");
    let selector =
        |node: &str| format!(r#"parca_agent:samples:count:cpu:nanoseconds:delta{{node="{node}"}}"#);
    assert_eq!(running.total(&selector("n1")).await, 5);
    assert_eq!(running.total(&selector("n2")).await, 7);

    let samples = [sample("n3", &stack, (9, 11))];
    assert_eq!(converse(&mut client, &samples).await, [[9; 16]]);
    assert_eq!(running.total(&selector("n3")).await, 11);

    let bad = WriteArrowRequest {
        ipc_buffer: "junk".into(),
    };
    let refused = client.write_arrow(bad).await.expect_err("malformed");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let (tell, told) = futures::channel::mpsc::unbounded();
    drop(tell);
    let mut answers = client.write(told).await.expect("it answers").into_inner();
    let refused = answers
        .next()
        .await
        .expect("an answer")
        .expect_err("no record came");
    assert_eq!(refused.code(), Code::InvalidArgument);

    agents_are_listed(&running).await;
    running.stop().await;
}

async fn agents_are_listed(running: &Running) {
    let mut agents = AgentsServiceClient::new(running.channel().await);
    let listed = agents
        .agents(AgentsRequest {})
        .await
        .expect("it answers")
        .into_inner();
    let ids: Vec<&str> = listed
        .agents
        .iter()
        .map(|agent| agent.id.as_str())
        .collect();
    assert_eq!(ids, ["n1/127.0.0.1", "n3/127.0.0.1"]);
    let answer = running.get("/api/v1/agents").await;
    let list: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let first = &list["agents"][0];
    assert_eq!(
        (&first["door"], &first["pushes"]),
        (&"WriteArrow".into(), &1.into())
    );
    assert!(
        first["software"]
            .as_str()
            .is_some_and(|s| s.starts_with("tonic/")),
        "{first}"
    );
    assert!(first["lagMs"].is_u64(), "{first}");
}

#[tokio::test]
async fn what_agents_ask_besides_is_answered() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let mut telemetry = TelemetryServiceClient::new(running.channel().await);
    let report = ReportPanicRequest {
        stderr: "panic: nil map".to_owned(),
        metadata: [("go_arch".to_owned(), "amd64".to_owned())].into(),
    };
    telemetry.report_panic(report).await.expect("taken");
    let mut scrape = ScrapeServiceClient::new(running.channel().await);
    let targets = scrape
        .targets(TargetsRequest::default())
        .await
        .expect("it answers");
    assert_eq!(targets.into_inner().targets.len(), 0);
    let unknown = call(&running, "/nobody.Knows/This", b"")
        .await
        .expect_err("unknown");
    assert_eq!(unknown.code(), Code::Unimplemented);
    running.stop().await;
}
