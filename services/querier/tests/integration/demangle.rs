//! Functions are named as a request wants it.

use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use tonic::metadata::MetadataValue;

use crate::apis::merge;
use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};

const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta";
const MANGLED: &str = "_ZN3foo3barIiEEvPKc";
const NAMES: [(&str, &str); 4] = [
    ("none", MANGLED),
    ("simple", "foo::bar"),
    ("templates", "foo::bar<int>"),
    ("full", "void foo::bar<int>(char const*)"),
];

async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    let sent = Sent {
        samples: &[("main;_ZN3foo3barIiEEvPKc", "", 30)],
        ..Sent::default()
    };
    fixture.add(&head(&[sent])).await;
    fixture
}

#[tokio::test]
async fn a_url_says_how_functions_are_named() {
    let fixture = filled().await;
    let path = |demangle: &str| {
        let (from, until) = (START / SECOND, START / SECOND + 60);
        let of = encoded(TYPE);
        format!("/api/v1/folded?type={of}&from={from}&until={until}&demangle={demangle}")
    };
    for (mode, name) in NAMES {
        let answer = fixture.get(&path(mode)).await;
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(text, format!("main;{name} 30\n"), "{mode}");
    }
    // Names stay as they were sent if nothing is said.
    let answer = fixture.get(&path("")).await;
    assert_eq!(*answer.body(), format!("main;{MANGLED} 30\n"));
    let refused = fixture.get(&path("some")).await;
    assert_eq!(refused.status(), 400);
    let text = String::from_utf8(refused.body().to_vec()).unwrap();
    assert!(text.contains("templates"), "{text}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_header_says_it_over_grpc() {
    let fixture = filled().await;
    let mut client = fixture.parca().await;
    let mut ask = async |names: &'static str| {
        let mut request = tonic::Request::new(merge(TYPE, ReportType::Pprof));
        let names = MetadataValue::from_static(names);
        request.metadata_mut().insert("cairn-demangle", names);
        client.query(request).await
    };
    let full = ask("full").await.unwrap().into_inner();
    let Some(Report::Pprof(bytes)) = full.report else {
        panic!("not a pprof file")
    };
    let decoded = cairn_pprof::decode(&bytes, &Default::default(), &Default::default()).unwrap();
    let tables = &decoded.profile.tables;
    let names = tables.functions.iter().map(|f| tables.strings.get(f.name));
    let names: Vec<&str> = names.collect();
    assert!(names.contains(&NAMES[3].1), "{names:?}");
    assert_eq!(
        ask("some").await.unwrap_err().code(),
        tonic::Code::InvalidArgument
    );
    fixture.stop().await;
}
