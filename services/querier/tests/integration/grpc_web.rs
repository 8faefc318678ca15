//! Pyroscope's API as browsers speak it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cairn_wire::querier::v1::{
    ProfileTypesRequest, ProfileTypesResponse, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse,
};
use http::HeaderMap;
use prost::Message;

use crate::apis::{CPU, filled};
use crate::fixture::{Fixture, START, Sent, head};
use crate::pyroscope::{END_MS, START_MS, path};

/// What a call was answered with: the messages, and the trailers that end them.
pub(crate) struct Answered {
    headers: HeaderMap,
    pub(crate) messages: Vec<Vec<u8>>,
    trailers: String,
}

pub(crate) async fn call(
    fixture: &Fixture,
    path: &str,
    is_text: bool,
    message: &impl Message,
) -> Answered {
    let message = message.encode_to_vec();
    let mut body = vec![0];
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message);
    let content_type = match is_text {
        true => "application/grpc-web-text",
        false => "application/grpc-web+proto",
    };
    let body = match is_text {
        true => BASE64_STANDARD.encode(body).into_bytes(),
        false => body,
    };
    let response = fixture.post(path, content_type, body).await;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let told = headers["content-type"].to_str().unwrap();
    assert!(told.starts_with("application/grpc-web"), "{told}");
    assert_eq!(told.contains("text"), is_text, "{told}");
    let mut bytes = match is_text {
        // Each part of the answer is encoded, and padded, by itself.
        true => {
            let parts = response.body().chunks(4);
            let parts = parts.map(|part| BASE64_STANDARD.decode(part).unwrap());
            parts.flatten().collect()
        }
        false => response.body().to_vec(),
    };
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while let Some((head, rest)) = bytes.split_at_checked(5) {
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let (frame, rest) = rest.split_at(length);
        match head[0] {
            0 => messages.push(frame.to_vec()),
            0x80 => trailers.push_str(std::str::from_utf8(frame).unwrap()),
            other => panic!("a frame of kind {other}"),
        }
        bytes = rest.to_vec();
    }
    assert!(bytes.is_empty());
    Answered {
        headers,
        messages,
        trailers,
    }
}

pub(crate) fn status(answered: &Answered) -> String {
    let of_header = answered.headers.get("grpc-status");
    let of_header = of_header.map(|status| status.to_str().unwrap().to_owned());
    let lines = answered.trailers.lines();
    let of_trailer = lines
        .filter_map(|line| line.strip_prefix("grpc-status:"))
        .next();
    let found = of_header.or(of_trailer.map(|status| status.trim().to_owned()));
    found.unwrap()
}

fn stacktraces(max_nodes: Option<i64>) -> SelectMergeStacktracesRequest {
    SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        max_nodes,
        ..SelectMergeStacktracesRequest::default()
    }
}

#[tokio::test]
async fn binary_and_text_are_answered_as_grpc_is() {
    let fixture = filled().await;
    let mut client = fixture.pyroscope().await;
    let types = ProfileTypesRequest::default();
    let expected_types = client.profile_types(types).await.unwrap().into_inner();
    let expected = client.select_merge_stacktraces(stacktraces(Some(2))).await;
    let expected = expected.unwrap();
    let max_error = expected.metadata().get("cairn-max-error").unwrap();
    let stacktraces_path = path("SelectMergeStacktraces");
    for is_text in [false, true] {
        let found = call(&fixture, &path("ProfileTypes"), is_text, &types).await;
        assert_eq!(status(&found), "0");
        assert_eq!(found.messages.len(), 1);
        let message = ProfileTypesResponse::decode(&found.messages[0][..]).unwrap();
        assert_eq!(message, expected_types);

        let request = stacktraces(Some(2));
        let found = call(&fixture, &stacktraces_path, is_text, &request).await;
        assert_eq!(status(&found), "0");
        let message = SelectMergeStacktracesResponse::decode(&found.messages[0][..]).unwrap();
        assert_eq!(&message, expected.get_ref());
        assert_eq!(
            found.headers["cairn-max-error"],
            max_error.to_str().unwrap()
        );

        let bad = stacktraces(Some(-1));
        let refused = call(&fixture, &stacktraces_path, is_text, &bad).await;
        assert_eq!(status(&refused), "3");
        assert_eq!(refused.messages.len(), 0);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_name_that_stands_for_two_kinds_is_remarked_upon() {
    let fixture = filled().await;
    let mut client = fixture.pyroscope().await;
    let only = client.select_merge_stacktraces(stacktraces(None)).await;
    assert!(!only.unwrap().metadata().contains_key("cairn-remark"));
    // One without a duration: a snapshot under the name of what the others measured over time.
    let snapshot = Sent {
        at: START,
        duration: 0,
        samples: &[("main;idle", "", 1)],
        ..Sent::default()
    };
    fixture.add(&head(&[snapshot])).await;
    let both = client.select_merge_stacktraces(stacktraces(None)).await;
    let both = both.unwrap();
    let told = both.metadata().get("cairn-remark").unwrap();
    let told = told.to_str().unwrap();
    assert!(told.contains(&format!("{CPU}:delta")), "{told}");
    // Nothing of what was asked for is missing.
    assert!(!both.metadata().contains_key("cairn-partial"));
    let total = both.get_ref().flamegraph.as_ref().unwrap().total;
    assert_eq!(total, 1);
    let named = SelectMergeStacktracesRequest {
        profile_type_id: format!("{CPU}:delta"),
        ..stacktraces(None)
    };
    let named = client.select_merge_stacktraces(named).await.unwrap();
    assert!(!named.metadata().contains_key("cairn-remark"));
    fixture.stop().await;
}
