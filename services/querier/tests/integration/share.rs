//! Profiles that somebody makes a link to, and label sets.

use cairn_model::{Limits, ShareId};
use cairn_store::Key;
use cairn_wire::cairn::query::v1::SharedProfile;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::{SeriesRequest, ShareProfileRequest};
use cairn_wire::parca::share::v1alpha1 as wire;
use cairn_wire::parca::share::v1alpha1::query_response::Report;
use cairn_wire::parca::share::v1alpha1::share_service_client::ShareServiceClient;
use http::Request;
use http_body_util::Full;
use prost::Message;
use tonic::transport::Channel;

use crate::fixture::{Fixture, START, Sent, head, send};
use crate::reports::{CPU, merge};

async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    let again = Sent {
        labels: &[("service_name", "cart"), ("pod", "cart-2")],
        ..Sent::default()
    };
    fixture.add(&head(&[Sent::default()])).await;
    fixture.add(&head(&[again])).await;
    fixture
}

async fn shares(fixture: &Fixture) -> ShareServiceClient<Channel> {
    let address = format!("http://{}", fixture.address());
    ShareServiceClient::connect(address).await.unwrap()
}

fn request() -> ShareProfileRequest {
    ShareProfileRequest {
        // The report does not matter: what is shared is the profile.
        query_request: Some(merge(START, ReportType::FlamegraphArrow)),
        description: Some("a slow checkout".to_owned()),
    }
}

/// Total, what the filter took away, and the report.
async fn ask(fixture: &Fixture, id: &str, report: ReportType, filter: &str) -> (i64, i64, Report) {
    let request = wire::QueryRequest {
        id: id.to_owned(),
        profile_type: Some(CPU.to_owned()),
        report_type: report.into(),
        filter_query: Some(filter.to_owned()),
        node_trim_threshold: None,
    };
    let answer = shares(fixture).await.query(request).await.unwrap();
    let answer = answer.into_inner();
    (answer.total, answer.filtered, answer.report.unwrap())
}

#[tokio::test]
async fn a_shared_profile_opens_as_file_and_as_reports() {
    let fixture = filled().await;
    let link = fixture.parca().await.share_profile(request()).await;
    let link = link.unwrap().into_inner().link;
    let id = link.strip_prefix("/api/v1/share/").unwrap();

    let file = fixture.get(&link).await;
    assert_eq!(file.status(), 200);
    let options = cairn_pprof::Options::default();
    let decoded = cairn_pprof::decode(file.body(), &Limits::default(), &options).unwrap();
    assert_eq!(decoded.profile.samples.values.iter().sum::<i64>(), 84);

    let types = wire::ProfileTypesRequest { id: id.to_owned() };
    let types = shares(&fixture).await.profile_types(types).await.unwrap();
    let types = types.into_inner();
    assert_eq!(types.description, "a slow checkout");
    let names: Vec<&str> = types.types.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["process_cpu"]);

    let (total, filtered, report) = ask(&fixture, id, ReportType::Top, "").await;
    assert_eq!((total, filtered), (84, 0));
    assert!(matches!(report, Report::Top(top) if top.list.len() == 3));
    let (total, filtered, report) = ask(&fixture, id, ReportType::FlamegraphTable, "read").await;
    assert_eq!((total, filtered), (24, 60));
    let Report::Flamegraph(graph) = report else {
        panic!("another report");
    };
    assert_eq!((graph.root.unwrap().cumulative, graph.height), (24, 4));
    let (_, _, report) = ask(&fixture, id, ReportType::Callgraph, "").await;
    assert!(matches!(report, Report::Callgraph(graph) if graph.edges.len() == 2));
    let (_, _, report) = ask(&fixture, id, ReportType::Pprof, "").await;
    assert!(matches!(report, Report::Pprof(bytes) if bytes.starts_with(&[0x1f, 0x8b])));
    fixture.stop().await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_for_one_reason() {
    let fixture = filled().await;
    // In the store until somebody deletes it.
    let expired = ShareId {
        expires_unix_s: 1_700_000_000,
        nonce: 7,
    };
    let shared = SharedProfile {
        profile_type: CPU.to_owned(),
        ..SharedProfile::default()
    };
    let key = Key::Share {
        tenant: &fixture.tenant,
        id: expired,
    };
    let bytes = shared.encode_to_vec().into();
    fixture.store.create(key, bytes).await.unwrap();
    let unknown = ShareId {
        expires_unix_s: u32::MAX,
        nonce: 7,
    };
    let mut shares = shares(&fixture).await;
    let mut texts = Vec::new();
    for id in [expired.to_string(), unknown.to_string()] {
        assert_eq!(
            fixture.get(&format!("/api/v1/share/{id}")).await.status(),
            404
        );
        let request = wire::ProfileTypesRequest { id };
        let status = shares.profile_types(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound);
        texts.push(status.message().to_owned());
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(fixture.get("/api/v1/share/abc").await.status(), 400);
    let upload = shares.upload(wire::UploadRequest::default()).await;
    assert_eq!(upload.unwrap_err().code(), tonic::Code::Unimplemented);
    let mut parca = fixture.parca().await;
    let mut long = request();
    long.description = Some("a".repeat(5000));
    for bad in [ShareProfileRequest::default(), long] {
        let status = parca.share_profile(bad).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
    fixture.stop().await;

    let off = Fixture::with(|config, _| config.share.lifetime = std::time::Duration::ZERO).await;
    off.add(&head(&[Sent::default()])).await;
    let status = off.parca().await.share_profile(request()).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unimplemented);
    off.stop().await;
}

#[tokio::test]
async fn rest_shares_what_its_body_asks_for() {
    let fixture = Fixture::with(|config, _| {
        config.share.base_url = "https://cairn.example.com/".to_owned();
    })
    .await;
    fixture.add(&head(&[Sent::default()])).await;
    let body = serde_json::json!({ "queryRequest": {
        "mode": "MODE_MERGE",
        "merge": { "query": CPU, "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z" },
    }});
    let post = |body: String| {
        let uri = format!("http://{}/api/profiles/share", fixture.address());
        send(Request::post(uri).body(Full::from(body)).unwrap())
    };
    let answer = post(body.to_string()).await;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    assert_eq!(answer.status(), 200, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let link = answer["link"].as_str().unwrap();
    let path = link.strip_prefix("https://cairn.example.com").unwrap();
    assert_eq!(fixture.get(path).await.status(), 200);
    assert_eq!(post("{".to_owned()).await.status(), 400);
    fixture.stop().await;
}

#[tokio::test]
async fn series_are_the_label_sets_that_match() {
    let fixture = filled().await;
    let pods = async |matchers: &[&str]| {
        let request = SeriesRequest {
            r#match: matchers.iter().map(|m| (*m).to_owned()).collect(),
            ..SeriesRequest::default()
        };
        let answer = fixture.parca().await.series(request).await.unwrap();
        let sets = answer.into_inner().labelsets.into_iter();
        sets.map(|set| {
            let pair = |label: &cairn_wire::parca::profilestore::v1alpha1::Label| {
                format!("{}={}", label.name, label.value)
            };
            let pairs: Vec<String> = set.labels.iter().map(pair).collect();
            pairs.join(",")
        })
        .collect::<Vec<String>>()
    };
    let both = [
        "pod=cart-1,service_name=cart",
        "pod=cart-2,service_name=cart",
    ];
    assert_eq!(pods(&[]).await, both);
    assert_eq!(pods(&[r#"{pod="cart-2"}"#]).await, both[1..]);
    let either = [r#"{pod="cart-2"}"#, r#"{pod="cart-1"}"#, CPU];
    assert_eq!(pods(&either).await, both);
    assert_eq!(pods(&["no:such:type:at:all"]).await, [""; 0]);
    let rest = fixture.json("/api/profiles/series").await;
    assert_eq!(rest["labelsets"].as_array().unwrap().len(), 2);
    fixture.stop().await;
}
