//! Source maps: uploaded as plugins of bundlers do, asked for positions.

use std::path::Path;

use cairn_model::javascript::Position;
use cairn_wire::cairn::symbols::v1::upload_request::Part;
use cairn_wire::cairn::symbols::v1::{
    Addressing, FileInfo, FileState, FileType, ListRequest, SourceRequest, UploadResponse,
};
use cairn_wire::parca::debuginfo::v1alpha1 as wire;
use tonic::{Code, Status};

use crate::parca::{Agent, Said};
use crate::server::{Server, config};
use crate::{IN_MIX, NO_FILE};

const DEBUG_ID: &str = "85314830-023f-4cf1-a267-535f4e37bb17";
const NO_MAP: &str = "no source map of this debug id was uploaded";
/// Of `bundled`: where V8 sees `arrowOfOne` begin, and its call of `note`.
const BEGIN: u64 = 1 << 32 | 452;

fn read(name: &str) -> Vec<u8> {
    let folder = "../../crates/symbols/tests/data/source_map";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    std::fs::read(folder.join(name)).expect("committed")
}

/// A map that states its debug id.
fn map() -> Vec<u8> {
    let map = String::from_utf8(read("esbuild.cjs.map")).expect("text");
    let stated = format!("{{\"debugId\":\"{DEBUG_ID}\",");
    map.replacen('{', &stated, 1).into_bytes()
}

/// Code and map in one file.
fn bundled() -> Vec<u8> {
    let (code, map) = (read("esbuild.cjs"), map());
    let lengths = [code.len() as u64, map.len() as u64].map(u64::to_le_bytes);
    [lengths.concat(), code, map].concat()
}

async fn upload(server: &Server, build_id: &str, map: &[u8]) -> Result<UploadResponse, Status> {
    let info = FileInfo {
        tenant: "anonymous".to_owned(),
        build_id: build_id.to_owned(),
        r#type: FileType::SourceMap.into(),
        force: true,
        ..FileInfo::default()
    };
    let chunks = map.chunks(4096).map(bytes::Bytes::copy_from_slice);
    let parts = std::iter::once(Part::Info(info)).chain(chunks.map(Part::Chunk));
    server.send(parts.collect()).await
}

async fn first(server: &Server, tenant: &str) -> (String, String, i64, String) {
    let answer = server.symbolize(tenant, DEBUG_ID, Addressing::Position, &[BEGIN]);
    let known = answer.await.remove(0);
    match known.frames.into_iter().next() {
        Some(call) => (call.function, call.file, call.line, known.reason),
        None => (String::new(), String::new(), 0, known.reason),
    }
}

fn at_begin() -> (String, String, i64, String) {
    let (function, file) = ("arrowOfOne".to_owned(), "src/forms.js".to_owned());
    (function, file, 13, String::new())
}

#[tokio::test]
async fn debug_ids_may_have_any_length_that_can_be_kept() {
    let server = Server::start().await;
    let map = String::from_utf8(read("esbuild.cjs.map")).expect("text");
    let stating = |id: &str| map.replacen('{', &format!("{{\"debugId\":\"{id}\","), 1);
    // A hash of code, a GUID with an age, and hashes of every size.
    for digits in [1, 8, 32, 33, 40, 41, 64, 128, 240] {
        let id = "7c".repeat(120)[..digits].to_owned();
        let stored = upload(&server, "", stating(&id).as_bytes()).await;
        assert_eq!(stored.expect("stored").build_id, id);
        let answer = server.symbolize("anonymous", &id, Addressing::Position, &[BEGIN]);
        let known = answer.await.remove(0);
        assert!(!known.frames.is_empty(), "{digits}: {known:?}");
    }
    for (digits, told) in [
        (241, "too long"),
        (256, "too long"),
        (257, "too long for one"),
    ] {
        let id = &"7c".repeat(130)[..digits];
        let refused = upload(&server, "", stating(id).as_bytes()).await;
        let refused = refused.expect_err("too long");
        assert_eq!(refused.code(), Code::InvalidArgument, "{digits}");
        assert!(refused.message().contains(told), "{digits}: {refused:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bundle_that_an_agent_uploads_names_positions() {
    let server = Server::start().await;
    let reason = |known: (String, String, i64, String)| known.3;
    assert_eq!(reason(first(&server, "anonymous").await), NO_MAP);
    let agent = Agent::of(&server).await;
    let bundle = bundled();
    let said = Said {
        kind: wire::DebuginfoType::SourceMap.into(),
        ..Said::of(DEBUG_ID, &bundle)
    };
    assert!(agent.should(&said, &said.hash).await.0);
    agent.upload(&said, &bundle).await.expect("stored");
    assert!(!agent.should(&said, &said.hash).await.0);

    assert_eq!(first(&server, "anonymous").await, at_begin());
    assert_eq!(reason(first(&server, "other").await), NO_MAP);
    // Positions are none of machine code, and the other way round.
    assert_eq!(server.reason("anonymous", DEBUG_ID, IN_MIX).await, NO_FILE);
    let far = Position {
        line: 900,
        column: 1,
    };
    let asked = [0, 1, far.address(), u64::MAX];
    let answer = server.symbolize("anonymous", DEBUG_ID, Addressing::Position, &asked);
    for known in answer.await {
        assert_eq!(known.reason, "the source map says nothing of this position");
    }

    // It is made again of what was uploaded, and read in another process.
    let folder = server.stop().await;
    let server = Server::start_with(config(&folder), folder).await;
    assert_eq!(first(&server, "anonymous").await, at_begin());
    server.stop().await;
}

#[tokio::test]
async fn a_map_alone_says_itself_what_it_is_of_and_carries_sources() {
    let server = Server::start().await;
    let stored = upload(&server, "", &map()).await.expect("stored");
    assert_eq!(stored.build_id, DEBUG_ID.replace('-', ""));
    let (_, file, line, reason) = first(&server, "anonymous").await;
    assert_eq!(
        (file.as_str(), line, reason.as_str()),
        ("src/forms.js", 13, "")
    );

    let source = |build_id: &str, file: &str| {
        let request = SourceRequest {
            tenant: "anonymous".to_owned(),
            build_id: build_id.to_owned(),
            file: file.to_owned(),
        };
        let mut client = server.files.clone();
        async move {
            client
                .source(request)
                .await
                .map(tonic::Response::into_inner)
        }
    };
    let found = source(DEBUG_ID, &file).await.expect("the map has it");
    assert_eq!(found.text.into_bytes(), read("src/forms.js"));
    let none = source(DEBUG_ID, "src/none.js").await;
    assert_eq!(none.expect_err("not there").code(), Code::NotFound);

    // One without sources goes on naming frames when somebody asks for one.
    let bare = read("terser.cjs.map");
    upload(&server, "aa", &bare).await.expect("stored");
    let none = source("aa", "src/forms.js").await;
    assert_eq!(none.expect_err("it has none").code(), Code::NotFound);
    let asked = [1 << 32 | 448];
    let answer = server.symbolize("anonymous", "aa", Addressing::Position, &asked);
    let frames = &answer.await[0].frames;
    assert_eq!(frames[0].file, "webpack/app/src/forms.js");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_map_of_this_debug_id_is_refused_with_the_reason() {
    let server = Server::start().await;
    let (bundle, map) = (bundled(), map());
    let malformed = br#"{"version":3,"mappings":"AA"}"#;
    for (build_id, bytes, reason) in [
        (
            "aa",
            &bundle[..],
            "its debug id is 85314830023f4cf1a267535f4e37bb17, not aa",
        ),
        ("bb", &bundle[..bundle.len() - 1], "a source map is JSON"),
        ("cc", &map[..map.len() - 2], "not a source map"),
        ("dd", b"[]", "a source map is JSON"),
        ("ee", malformed, "mappings are malformed"),
        ("", malformed, "say which build it is of"),
        ("", b"text", "a source map is JSON"),
    ] {
        let refused = upload(&server, build_id, bytes).await.expect_err(reason);
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(reason), "{refused:?}");
    }
    let request = ListRequest::default();
    let listed = server.files.clone().list(request).await.expect("listed");
    let listed = listed.into_inner().files;
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|file| file.state() == FileState::Refused));
    server.stop().await;
}
