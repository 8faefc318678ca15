//! Sources: uploaded as an archive, read file by file.

use cairn_wire::cairn::symbols::v1::upload_request::Part;
use cairn_wire::cairn::symbols::v1::{
    Addressing, FileInfo, FileState, FileType, ListRequest, SourceRequest, SourceResponse,
};
use tonic::{Code, Status};

use crate::parca::{Agent, Said};
use crate::server::{Server, Upload, native};
use crate::{IN_MIX, WORK_PIE, WORK_PIE_HASH};

/// As `parca-debuginfo source` makes one, of the files that symbols name.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = folder.path().join("made.tar");
    let mut tar = std::process::Command::new("tar");
    tar.arg("--create").arg("--file").arg(&made);
    tar.arg("--directory").arg(folder.path());
    for (name, text) in files {
        let path = folder.path().join(name);
        let parent = path.parent().expect("a folder");
        std::fs::create_dir_all(parent).expect("made");
        std::fs::write(&path, text).expect("written");
        tar.arg(name);
    }
    assert!(tar.status().expect("tar runs").success());
    let tar = std::fs::read(&made).expect("tar wrote it");
    zstd::encode_all(&tar[..], 3).expect("in memory")
}

async fn source(
    server: &Server,
    (tenant, build_id): (&str, &str),
    file: &str,
) -> Result<SourceResponse, Status> {
    let request = SourceRequest {
        tenant: tenant.to_owned(),
        build_id: build_id.to_owned(),
        file: file.to_owned(),
    };
    Ok(server.files.clone().source(request).await?.into_inner())
}

#[tokio::test]
async fn the_source_of_a_line_is_read_by_the_name_that_its_symbol_has() {
    let server = Server::start().await;
    let (tenant, elf) = ("anonymous", native("work_pie"));
    server
        .upload(Upload::of(tenant, &elf))
        .await
        .expect("stored");
    let symbols = server.symbolize(tenant, WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    let file = symbols.await[0].frames[0].file.clone();
    assert!(file.ends_with("work.c"), "{file}");
    let none = source(&server, (tenant, WORK_PIE), &file).await;
    let none = none.expect_err("none yet");
    assert_eq!(none.code(), Code::NotFound);
    assert!(none.message().contains("no sources of build"), "{none:?}");

    let agent = Agent::of(&server).await;
    let text = "int mix(int a) { return a; }\n";
    let sources = archive(&[("src/work.c", text.as_bytes()), ("src/other.c", b"other")]);
    let said = Said {
        kind: 2,
        ..Said::of(WORK_PIE, &sources)
    };
    agent.upload(&said, &sources).await.expect("stored");
    // The build is known under each of its names.
    for build_id in [WORK_PIE, WORK_PIE_HASH] {
        let found = source(&server, (tenant, build_id), "/home/me/src/work.c").await;
        let found = found.expect("it is there");
        assert_eq!(
            (found.text.as_str(), found.file.as_str()),
            (text, "src/work.c")
        );
    }
    for (who, file) in [
        ((tenant, WORK_PIE), "../../../../etc/passwd"),
        ((tenant, WORK_PIE), "nowhere.c"),
        (("other", WORK_PIE), "src/work.c"),
        ((tenant, "abcd"), "src/work.c"),
    ] {
        let none = source(&server, who, file).await.expect_err("not there");
        assert_eq!(none.code(), Code::NotFound, "{who:?} {file}");
    }
    let long = source(&server, (tenant, WORK_PIE), &"x".repeat(5000)).await;
    assert_eq!(long.expect_err("too long").code(), Code::InvalidArgument);
    server.stop().await;
}

#[tokio::test]
async fn archives_that_are_none_or_never_end_are_refused_with_the_reason() {
    let server = Server::start().await;
    let upload = |build_id: &str, bytes: &[u8]| {
        let info = FileInfo {
            tenant: "a".to_owned(),
            build_id: build_id.to_owned(),
            r#type: FileType::Sources.into(),
            force: false,
            ..FileInfo::default()
        };
        let parts = vec![
            Part::Info(info),
            Part::Chunk(bytes::Bytes::copy_from_slice(bytes)),
        ];
        server.send(parts)
    };
    let sources = archive(&[("a.c", b"text")]);
    let cut = zstd::encode_all(&vec![7; 2000][..], 3).expect("in memory");
    for (build_id, bytes, reason) in [
        ("aa", &b"not an archive"[..], "sources are a tar archive"),
        ("bb", &sources[..20], "read the archive"),
        ("cc", &cut, "read the archive"),
    ] {
        let refused = upload(build_id, bytes).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(reason), "{refused:?}");
    }
    let nameless = upload("", &sources).await.expect_err("of no build");
    assert!(
        nameless.message().contains("say which build"),
        "{nameless:?}"
    );
    // A name may begin as a source map does.
    let curly = archive(&[("{app}/a.c", b"text")]);
    let curly = zstd::decode_all(&curly[..]).expect("in memory");
    assert!(cairn_symbols::is_source_map(&curly));
    upload("dd", &curly).await.expect("stored");
    let found = source(&server, ("a", "dd"), "/{app}/a.c").await;
    assert_eq!(found.expect("it is there").text, "text");
    let request = ListRequest {
        tenant: "a".to_owned(),
    };
    let listed = server.files.clone().list(request).await.expect("listed");
    let states = listed.into_inner().files.into_iter();
    let states: Vec<_> = states.map(|file| (file.r#type(), file.state())).collect();
    let refused = (FileType::Sources, FileState::Refused);
    let expected = [
        refused,
        refused,
        refused,
        (FileType::Sources, FileState::Uploaded),
    ];
    assert_eq!(states, expected);
    server.stop().await;
}
