//! Bytes that real clients sent, decoded by the generated code.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use cairn_wire::parca::debuginfo::v1alpha1::{BuildIdType, ShouldInitiateUploadRequest};
use cairn_wire::parca::profilestore::v1alpha1::{LabelSet, WriteRawRequest};
use cairn_wire::parca::query::v1alpha1::{
    LabelsRequest, ProfileTypesRequest, QueryRangeRequest, QueryRequest, ValuesRequest,
    query_request,
};
use cairn_wire::push::v1::PushRequest;
use prost::Message;

fn captured(file: &str) -> Vec<u8> {
    let corpus = std::env::var_os("CAIRN_CORPUS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/corpus"
            ))
        },
        PathBuf::from,
    );
    let path = corpus.join("captured").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One message of a gRPC-web body: a flag, a length, the bytes.
fn unframed<M: Message + Default>(body: &[u8]) -> M {
    let (head, message) = body.split_at(5);
    assert_eq!(head[0], 0);
    let len = u32::from_be_bytes(head[1..].try_into().unwrap());
    assert_eq!(message.len(), len as usize);
    M::decode(message).unwrap()
}

fn binary<M: Message + Default>(number: &str) -> M {
    unframed(&captured(&format!(
        "parca-client-grpcweb-binary/{number}.body"
    )))
}

fn text<M: Message + Default>(number: &str) -> M {
    let body = captured(&format!("parca-client-grpcweb-text/{number}.body"));
    let engine = base64::engine::general_purpose::STANDARD;
    unframed(&engine.decode(body).unwrap())
}

/// A message that skips no field as unknown encodes to as many bytes as it was decoded from.
fn nothing_lost<M: Message>(message: &M, body: &[u8]) {
    assert_eq!(message.encoded_len(), body.len());
}

#[test]
fn parca_clients_read_requests_are_understood() {
    for (types, labels, values) in [
        (
            binary::<ProfileTypesRequest>("001"),
            binary::<LabelsRequest>("002"),
            binary::<ValuesRequest>("003"),
        ),
        (text("001"), text("002"), text("003")),
    ] {
        let (start, end) = (types.start.unwrap(), types.end.unwrap());
        assert_eq!(end.seconds - start.seconds, 3_600);
        assert!(cairn_wire::nanos(&start).unwrap() > 1_700_000_000_000_000_000);
        assert!(labels.r#match.is_empty() && labels.start.is_some());
        assert_eq!(values.label_name, "namespace");
        assert!(values.end.is_some());
    }
}

#[test]
fn parca_clients_queries_are_understood() {
    for (range, report) in [
        (
            binary::<QueryRangeRequest>("004"),
            binary::<QueryRequest>("005"),
        ),
        (text("004"), text("005")),
    ] {
        assert_eq!(
            range.query,
            r#"parca_agent:samples:count:cpu:nanoseconds:delta{namespace="default"}"#
        );
        assert_eq!(
            cairn_wire::nanos_of_duration(&range.step.unwrap()),
            15_000_000_000
        );

        assert_eq!(report.mode(), query_request::Mode::Merge);
        assert_eq!(
            report.report_type(),
            query_request::ReportType::FlamegraphArrow
        );
        assert_eq!(report.node_trim_threshold, Some(0.5));
        assert_eq!(report.group_by.unwrap().fields, ["labels.namespace"]);
        let Some(query_request::Options::Merge(merge)) = report.options else {
            panic!("a merge was asked for");
        };
        assert_eq!(
            merge.query,
            "parca_agent:samples:count:cpu:nanoseconds:delta{}"
        );
        assert!(merge.start.is_some() && merge.end.is_some());
    }
}

#[test]
fn parca_clients_writes_are_understood() {
    // The capture ends inside its profile; the label set in front of it is whole.
    let body = captured("parca-client-grpc/001.body");
    assert!(WriteRawRequest::decode(&body[..]).is_err());
    let labels = LabelSet::decode(&body[5..65]).unwrap();
    let labels = cairn_model::Labels::try_from(&labels).unwrap();
    assert_eq!(
        labels.to_string(),
        r#"{__name__="process_cpu", job="demo", namespace="default"}"#
    );

    let body = captured("parca-client-grpc/002.body");
    let ask = ShouldInitiateUploadRequest::decode(&body[..]).unwrap();
    nothing_lost(&ask, &body);
    assert_eq!(ask.build_id, "abcdef");
    assert_eq!(ask.build_id_type(), BuildIdType::Gnu);
}

#[test]
fn pyroscope_clients_pushes_are_understood() {
    for folder in ["pyroscope-io-python", "pyroscope-io-python-1.0.6"] {
        let mut body = Vec::new();
        let sent = captured(&format!("{folder}/001.body"));
        flate2::read::GzDecoder::new(&sent[..])
            .read_to_end(&mut body)
            .unwrap();
        let push = PushRequest::decode(&body[..]).unwrap();
        nothing_lost(&push, &body);
        let labels = cairn_wire::labels_of_pairs(&push.series[0].labels).unwrap();
        assert!(labels.get("service_name").is_some(), "{labels}");
        assert!(!push.series[0].samples[0].raw_profile.is_empty());
    }
}
