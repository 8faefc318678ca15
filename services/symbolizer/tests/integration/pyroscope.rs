//! Pyroscope's debuginfo service as Grafana Alloy uses it: JSON and protobuf over Connect, and a
//! plain body.

use cairn_wire::cairn::symbols::v1::Addressing;
use cairn_wire::debuginfo::v1alpha1 as wire;
use prost::Message as _;

use crate::http::{Reply, send_part};
use crate::server::{Server, native};
use crate::{IN_MIX, NO_FILE, WORK_PIE, WORK_PIE_HASH, chain};

const SERVICE: &str = "/debuginfo.v1alpha1.DebuginfoService";

fn call(server: &Server, method: &str, json: &str) -> Reply {
    let path = format!("{SERVICE}/{method}");
    send(server, (&path, "application/json"), json.as_bytes())
}

fn send(server: &Server, about: (&str, &str), body: &[u8]) -> Reply {
    part(server, about, (body.len(), body))
}

fn part(
    server: &Server,
    (path, content_type): (&str, &str),
    (length, body): (usize, &[u8]),
) -> Reply {
    let url = format!("{}{path}", server.address());
    let about = (content_type, length);
    tokio::task::block_in_place(|| send_part("POST", &url, about, body))
}

fn said(build_id: &str, kind: &str) -> String {
    format!(
        r#"{{"file":{{"gnuBuildId":"{build_id}","otelFileId":"{WORK_PIE_HASH}","name":"work","type":"{kind}"}}}}"#
    )
}

fn upload(server: &Server, build_id: &str, elf: &[u8]) -> Reply {
    let path = format!("{SERVICE}/Upload/{build_id}");
    send(server, (&path, "application/octet-stream"), elf)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alloy_uploads_once_and_the_names_are_there() {
    let server = Server::start().await;
    let elf = native("work_pie");
    let stripped = crate::objcopy("work_pie", "--only-keep-debug");
    assert_eq!(upload(&server, WORK_PIE, &elf).status, 412);
    let unknown = call(
        &server,
        "UploadFinished",
        &format!(r#"{{"gnuBuildId":"{WORK_PIE}"}}"#),
    );
    assert_eq!(unknown.status, 404);
    let text = format!(
        r#"{{"code":"not_found","message":"no upload metadata found for build ID {WORK_PIE}"}}"#
    );
    assert_eq!(unknown.text(), text);

    let asked = said(WORK_PIE, "TYPE_EXECUTABLE_NO_TEXT");
    let first = call(&server, "ShouldInitiateUpload", &asked);
    let text = r#"{"shouldInitiateUpload":true,"reason":"First time we see this Build ID, therefore please upload!"}"#;
    assert_eq!((first.status, first.text().as_str()), (200, text));
    let second = call(&server, "ShouldInitiateUpload", &asked).text();
    assert!(
        second.contains("A previous upload is still in-progress"),
        "{second}"
    );
    assert!(!second.contains("true"), "{second}");

    let finish = format!(r#"{{"gnuBuildId":"{WORK_PIE}"}}"#);
    let early = call(&server, "UploadFinished", &finish);
    assert_eq!(early.status, 400);
    assert!(
        early.text().starts_with(r#"{"code":"failed_precondition""#),
        "{}",
        early.text()
    );
    let received = upload(&server, WORK_PIE, &stripped);
    assert_eq!((received.status, received.text().as_str()), (200, ""));
    let finished = call(&server, "UploadFinished", &finish);
    assert_eq!((finished.status, finished.text().as_str()), (200, "{}"));
    let again = call(&server, "UploadFinished", &finish);
    assert!(
        again.text().contains("upload is not in uploading state"),
        "{}",
        again.text()
    );
    let known = call(&server, "ShouldInitiateUpload", &asked).text();
    assert!(
        known.contains("Debuginfo already exists and is not marked as invalid"),
        "{known}"
    );

    // Profiles of OpenTelemetry's profiler name the build by the hash that the client said.
    for build_id in [WORK_PIE, WORK_PIE_HASH] {
        let answer = server.symbolize("anonymous", build_id, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(chain(&answer.await[0])[0].0, "mix", "{build_id}");
    }
    let listed = call(&server, "ListDebuginfo", "{}").text();
    assert!(
        listed.contains(WORK_PIE) && listed.contains("STATE_UPLOADED"),
        "{listed}"
    );
    assert!(listed.contains("TYPE_EXECUTABLE_NO_TEXT"), "{listed}");
    for _ in 0..2 {
        let deleted = call(&server, "DeleteDebuginfo", &finish);
        assert_eq!((deleted.status, deleted.text().as_str()), (200, "{}"));
    }
    assert_eq!(call(&server, "ListDebuginfo", "{}").text(), "{}");
    server.stop().await;
}

/// Whatever a client says of other names of a build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_no_folder_has_and_that_tell_nothing_are_left_out() {
    let server = Server::start().await;
    let stripped = crate::objcopy("work_pie", "--only-keep-debug");
    let long = "/".repeat(100) + "x";
    for name in ["redacted", &long] {
        let asked = said(WORK_PIE, "TYPE_EXECUTABLE_NO_TEXT");
        let asked = asked.replace(r#""name""#, &format!(r#""goBuildId":"{name}","name""#));
        let wanted = call(&server, "ShouldInitiateUpload", &asked).text();
        assert!(wanted.contains("true"), "{wanted}");
        assert_eq!(upload(&server, WORK_PIE, &stripped).status, 200);
        let finish = format!(r#"{{"gnuBuildId":"{WORK_PIE}"}}"#);
        let finished = call(&server, "UploadFinished", &finish);
        assert_eq!((finished.status, finished.text().as_str()), (200, "{}"));
        let answer = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(chain(&answer.await[0])[0].0, "mix", "{name}");
        let reason = server.reason("anonymous", name, IN_MIX).await;
        assert_eq!(reason, NO_FILE, "{name}");
        let deleted = call(&server, "DeleteDebuginfo", &finish);
        assert_eq!((deleted.status, deleted.text().as_str()), (200, "{}"));
    }
    // Nor is a file kept under one.
    let zeros = said(&"0".repeat(40), "TYPE_EXECUTABLE_NO_TEXT");
    let refused = call(&server, "ShouldInitiateUpload", &zeros);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("is no build id"),
        "{}",
        refused.text()
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_in_connects_words() {
    let server = Server::start().await;
    for (build_id, kind) in [
        ("", "TYPE_EXECUTABLE_FULL"),
        ("xyz", "TYPE_EXECUTABLE_FULL"),
        ("../../x", "TYPE_EXECUTABLE_FULL"),
        (WORK_PIE, "TYPE_UNSPECIFIED"),
    ] {
        let refused = call(&server, "ShouldInitiateUpload", &said(build_id, kind));
        assert_eq!(refused.status, 400, "{build_id}");
        let text = refused.text();
        assert!(
            text.contains("invalid_argument") && text.contains("not valid")
                || text.contains("invalid gnuBuildID"),
            "{text}"
        );
    }
    assert_eq!(upload(&server, "..%2f..%2fx", b"x").status, 400);
    let path = format!("{SERVICE}/ListDebuginfo");
    assert_eq!(send(&server, (&path, "text/plain"), b"").status, 415);

    // Garbage is marked, and told when it is complete.
    let request = wire::ShouldInitiateUploadRequest {
        file: Some(wire::FileMetadata {
            gnu_build_id: WORK_PIE.to_owned(),
            r#type: wire::file_metadata::Type::ExecutableFull.into(),
            ..wire::FileMetadata::default()
        }),
    };
    let path = format!("{SERVICE}/ShouldInitiateUpload");
    let answer = send(
        &server,
        (&path, "application/proto"),
        &request.encode_to_vec(),
    );
    let answer = wire::ShouldInitiateUploadResponse::decode(&answer.body[..]);
    assert!(answer.expect("a message").should_initiate_upload);
    let path = format!("{SERVICE}/Upload/{WORK_PIE}");
    let refused = part(&server, (&path, "application/octet-stream"), (5 << 20, b""));
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .text()
            .contains("maximum allowed size 4194304, which symbolizer.upload.bytes_max says"),
        "{}",
        refused.text()
    );
    assert_eq!(upload(&server, WORK_PIE, b"garbage").status, 200);
    let finish = format!(r#"{{"gnuBuildId":"{WORK_PIE}"}}"#);
    let refused = call(&server, "UploadFinished", &finish);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("not an ELF file"),
        "{}",
        refused.text()
    );
    server.stop().await;
}
