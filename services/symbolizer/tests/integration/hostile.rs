//! Uploads that are damaged, crafted or simply wrong: refused with a reason, by a service that
//! goes on.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use cairn_wire::cairn::symbols::v1::FileInfo;
use cairn_wire::cairn::symbols::v1::upload_request::Part;
use tonic::{Code, Status};

use crate::server::{Server, Upload, config, native};
use crate::{IN_MIX, WORK_PIE};

async fn refused(server: &Server, upload: Upload<'_>) -> Status {
    let refused = server.upload(upload).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    refused
}

#[tokio::test]
async fn what_is_no_executable_is_refused_and_the_reason_is_kept() {
    let server = Server::start().await;
    for garbage in [&b""[..], b"\x7fELF", b"not a program at all", &[0; 100_000]] {
        let claimed = Upload {
            tenant: "a",
            build_id: WORK_PIE,
            elf: garbage,
        };
        let answer = refused(&server, claimed).await;
        let told = "the file was refused: the file is not an ELF file";
        assert!(answer.message().starts_with(told), "{answer:?}");
    }
    let reason = server.reason("a", WORK_PIE, IN_MIX).await;
    assert!(
        reason.starts_with("the uploaded file was refused"),
        "{reason}"
    );
    let reason = server.reason("b", WORK_PIE, IN_MIX).await;
    assert_eq!(reason, "no file of this build id was uploaded");

    // The right file puts it right, and garbage after that changes nothing.
    let elf = native("work_pie");
    server.upload(Upload::of("a", &elf)).await.expect("stored");
    refused(
        &server,
        Upload {
            tenant: "a",
            build_id: WORK_PIE,
            elf: b"garbage",
        },
    )
    .await;
    let asked = [IN_MIX];
    let virt = cairn_wire::cairn::symbols::v1::Addressing::Virtual;
    let answer = server.symbolize("a", WORK_PIE, virt, &asked).await;
    assert_eq!(answer[0].frames[0].function, "mix");
    server.stop().await;
}

#[tokio::test]
async fn wrong_claims_and_broken_streams_are_refused() {
    let server = Server::start().await;
    let elf = native("work_pie");
    let claimed = Upload {
        tenant: "a",
        build_id: "abcdef",
        elf: &elf,
    };
    let answer = refused(&server, claimed).await;
    let told = format!("the file says that its build id is {WORK_PIE}, not abcdef");
    assert_eq!(answer.message(), told);

    let large = vec![0; 5 << 20];
    let answer = refused(&server, Upload::of("a", &large)).await;
    let text = "more than the 4194304 bytes that symbolizer.upload.bytes_max allows";
    assert!(answer.message().contains(text), "{answer:?}");
    // Who says how long it is hears it before it is sent, with both sizes.
    let info = FileInfo {
        bytes: 5 << 20,
        ..FileInfo::default()
    };
    let answer = server.send(vec![Part::Info(info)]).await;
    let answer = answer.expect_err("too large");
    let text = "upload size 5242880 exceeds maximum allowed size 4194304, which \
                symbolizer.upload.bytes_max says";
    assert_eq!(answer.message(), text);
    for said in [3, 5] {
        let info = FileInfo {
            bytes: said,
            ..FileInfo::default()
        };
        let parts = vec![Part::Info(info), Part::Chunk(Bytes::from_static(b"four"))];
        let answer = server.send(parts).await.expect_err("another size");
        assert!(answer.message().contains("announced"), "{answer:?}");
    }
    let answer = refused(&server, Upload::of("../b", &elf)).await;
    assert!(answer.message().contains("invalid tenant"), "{answer:?}");

    let info = || Part::Info(FileInfo::default());
    let chunk = || Part::Chunk(Bytes::from_static(b"x"));
    for parts in [vec![], vec![chunk()], vec![info(), info()]] {
        let answer = server.send(parts).await.expect_err("refused");
        assert_eq!(answer.code(), Code::InvalidArgument, "{answer:?}");
    }
    server.stop().await;
}

/// A program that takes the worker's place, since no input is known that crashes the real one.
fn stand_in(folder: &std::path::Path, script: &str) -> PathBuf {
    let path = folder.join("worker");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("executable");
    path
}

#[tokio::test]
async fn a_worker_that_crashes_or_babbles_ends_alone() {
    for (script, code, told) in [
        (
            "kill -SEGV $$",
            Code::InvalidArgument,
            "only crafted or damaged files",
        ),
        (
            "i=0; while [ $i -lt 20000 ]; do echo babble >&2; i=$((i+1)); done; exit 3",
            Code::InvalidArgument,
            "babble",
        ),
        ("exit 0", Code::Internal, "internal error"),
        ("exit 4", Code::Internal, "internal error"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(&folder);
        config.conversion.program = Some(stand_in(folder.path(), script));
        config.conversion.time_max = Duration::from_secs(1);
        let server = Server::start_with(config, folder).await;
        let elf = native("work_pie");
        let failed = server.upload(Upload::of("a", &elf)).await;
        let failed = failed.expect_err("no symbol file came out");
        assert_eq!(failed.code(), code, "{script}: {failed:?}");
        assert!(failed.message().contains(told), "{script}: {failed:?}");
        // What is no fault of the file is tried again by whoever needs names of it.
        if code == Code::InvalidArgument {
            let reason = server.reason("a", WORK_PIE, IN_MIX).await;
            assert!(reason.contains(told), "{script}: {reason}");
        }
        server.stop().await;
    }
}

/// Machines are busy at times, so a file is not to blame at once for what takes too long.
#[tokio::test]
async fn a_worker_that_hangs_is_tried_a_few_times() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.conversion.program = Some(stand_in(folder.path(), "exec sleep 60"));
    config.conversion.time_max = Duration::from_millis(100);
    let server = Server::start_with(config, folder).await;
    let elf = native("work_pie");
    let failed = server.upload(Upload::of("a", &elf)).await;
    let failed = failed.expect_err("no symbol file came out");
    assert_eq!(failed.code(), Code::Unavailable, "{failed:?}");
    assert!(failed.message().contains("was not done in"), "{failed:?}");
    let later = server.reason("a", WORK_PIE, IN_MIX).await;
    assert!(later.contains("ask again"), "{later}");
    for _ in 0..2 {
        let reason = server.reason("a", WORK_PIE, IN_MIX).await;
        assert!(reason.contains("3 times in a row"), "{reason}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_file_of_no_use_replaces_none_that_is_of_use() {
    let server = Server::start().await;
    let elf = native("work_pie");
    server.upload(Upload::of("a", &elf)).await.expect("stored");
    let folder = server.stop().await;
    let mut hostile = config(&folder);
    hostile.conversion.program = Some(stand_in(folder.path(), "kill -SEGV $$"));
    let server = Server::start_with(hostile, folder).await;
    let info = FileInfo {
        tenant: "a".to_owned(),
        force: true,
        ..FileInfo::default()
    };
    let another = [&elf[..], b"x"].concat();
    let parts = vec![Part::Info(info), Part::Chunk(another.into())];
    let refused = server.send(parts).await.expect_err("of no use");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(
        refused.message().contains("only crafted or damaged files"),
        "{refused:?}"
    );
    // Here, and wherever nothing of it is known.
    let virt = cairn_wire::cairn::symbols::v1::Addressing::Virtual;
    let other = Server::beside(&server).await;
    for server in [&server, &other] {
        let answer = server.symbolize("a", WORK_PIE, virt, &[IN_MIX]).await;
        assert_eq!(answer[0].frames[0].function, "mix");
    }
    other.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_worker_keeps_to_its_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.conversion.memory_max = ByteSize::kib(64);
    // Large enough to read for longer than the worker takes to look at its memory.
    config.upload.bytes_max = ByteSize::gib(1);
    let server = Server::start_with(config, folder).await;
    let elf = std::fs::read(env!("CARGO_BIN_EXE_cairn-symbolizer")).expect("built");
    let answer = refused(&server, Upload::of("a", &elf)).await;
    assert!(
        answer.message().contains("65536 bytes of memory"),
        "{answer:?}"
    );
    server.stop().await;
}
