//! The symbolizer served in process, asked over gRPC, with real worker processes.

mod hostile;
mod http;
mod keeping;
mod large;
mod parca;
mod pyroscope;
mod reads;
mod server;
mod signed;
mod soak;
mod source_maps;
mod sources;
mod split;
mod sweep;
mod upstream;
mod workers;

use std::collections::HashMap;

use cairn_model::{BuildId, TenantId};
use cairn_store::{DebuginfoName, Key, Store};
use cairn_wire::cairn::symbols::v1::{
    Addressing, Binary, FileType, ListRequest, SymbolizeRequest, SymbolizeResponse,
};
use prost::Message as _;

use server::{Known, Server, Upload, config, native};

const WORK_PIE: &str = "1c8446f0ed602f28d3201a0505086fd690db3531";
/// What OpenTelemetry's profiler calls the same file.
const WORK_PIE_HASH: &str = "0ea5ac675e9628556a1c0cca44e33d0f";
const CPP_PIE: &str = "da7350760257e2998a3687d780fd94869ce6b6d9";
/// Inside the loop of `leaf`, into which `mix` is inlined.
const IN_MIX: u64 = 0x1228;
const NO_FILE: &str = "no file of this build id was uploaded";

fn chain(symbols: &Known) -> Vec<(&str, i64, bool)> {
    let frames = symbols.frames.iter();
    frames
        .map(|frame| (frame.function.as_str(), frame.line, frame.inlined))
        .collect()
}

#[tokio::test]
async fn an_uploaded_binary_names_its_addresses() {
    let server = Server::start().await;
    let elf = native("work_pie");
    let stored = server.upload(Upload::of("a", &elf)).await.expect("stored");
    assert_eq!(stored.build_id, WORK_PIE);
    assert_eq!(stored.bytes, elf.len() as u64);

    let asked = [IN_MIX, 0x1240, 0x11, u64::MAX];
    for (build_id, addressing) in [
        (WORK_PIE, Addressing::Virtual),
        (WORK_PIE, Addressing::FileOffset),
        (WORK_PIE_HASH, Addressing::Virtual),
    ] {
        let answer = server.symbolize("a", build_id, addressing, &asked).await;
        assert_eq!(answer.len(), asked.len());
        assert_eq!(chain(&answer[0]), [("mix", 5, true), ("leaf", 6, false)]);
        assert_eq!(chain(&answer[1]), [("fib", 7, false)]);
        assert_eq!(answer[1].frames[0].start_line, 7);
        assert!(answer[1].frames[0].file.ends_with("work.c"));
        let reason = match addressing {
            Addressing::Virtual => "the uploaded file names no function at this address",
            _ => "the uploaded file maps no code at this file offset",
        };
        assert_eq!(answer[2].reason, reason);
        assert_eq!(answer[3].reason, reason);
    }
    server.stop().await;
}

#[tokio::test]
async fn tenants_neither_see_nor_change_each_others_files() {
    let server = Server::start().await;
    let none = "no file of this build id was uploaded";
    assert_eq!(server.reason("a", WORK_PIE, IN_MIX).await, none);
    let elf = native("work_pie");
    server.upload(Upload::of("a", &elf)).await.expect("stored");

    // Another tenant gives the same build id to another file.
    let mut other = native("cpp_pie");
    let note = BuildId::parse(WORK_PIE).expect("valid");
    set_build_id(&mut other, CPP_PIE, &note);
    assert_eq!(server.reason("b", WORK_PIE, IN_MIX).await, none);
    server
        .upload(Upload::of("b", &other))
        .await
        .expect("stored");

    let ours = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&ours.await[0])[0].0, "mix");
    let theirs = server.symbolize("b", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_ne!(chain(&theirs.await[0])[0].0, "mix");
    assert_eq!(server.reason("c", WORK_PIE, IN_MIX).await, none);

    let list = |tenant: &str| {
        let tenant = tenant.to_owned();
        let mut client = server.files.clone();
        async move { client.list(ListRequest { tenant }).await.expect("listed") }
    };
    let listed = list("a").await.into_inner().files;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].build_id, WORK_PIE);
    assert_eq!(listed[0].r#type(), FileType::Executable);
    assert_eq!(listed[0].bytes, elf.len() as u64);
    assert!(listed[0].uploaded_unix_ms > 0);
    assert!(list("c").await.into_inner().files.is_empty());
    server.stop().await;
}

pub(crate) fn set_build_id(elf: &mut [u8], from: &str, to: &BuildId) {
    let bytes = |hex: &str| -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("hex");
                u8::from_str_radix(pair, 16).expect("hex")
            })
            .collect()
    };
    let (from, to) = (bytes(from), bytes(to.as_str()));
    let at = elf.windows(from.len()).position(|window| window == from);
    let at = at.expect("the file has this build id");
    elf[at..at + to.len()].copy_from_slice(&to);
}

#[tokio::test]
async fn a_build_id_keeps_the_file_it_first_got() {
    let server = Server::start().await;
    let elf = native("work_pie");
    for _ in 0..2 {
        let stored = server.upload(Upload::of("a", &elf)).await;
        assert_eq!(stored.expect("the same file again").build_id, WORK_PIE);
    }
    let mut changed = elf.clone();
    *changed.last_mut().expect("it has bytes") ^= 1;
    let refused = server.upload(Upload::of("a", &changed)).await;
    let refused = refused.expect_err("another file");
    assert_eq!(refused.code(), tonic::Code::AlreadyExists);
    assert!(refused.message().contains("no new upload is needed"));
    server.stop().await;
}

#[tokio::test]
async fn symbol_files_that_are_missing_or_damaged_are_made_again() {
    let server = Server::start().await;
    let elf = native("work_pie");
    server.upload(Upload::of("a", &elf)).await.expect("stored");
    let mut folder = server.stop().await;

    let (tenant, build_id) = (
        TenantId::parse("a").expect("valid"),
        BuildId::parse(WORK_PIE).expect("valid"),
    );
    let store = Store::open(&config(&folder).store, 1)
        .await
        .expect("opened");
    let name = symbol_file(&store, &tenant, &build_id).await;
    let symbols = Key::Debuginfo {
        tenant: &tenant,
        build_id: &build_id,
        name: &name,
    };
    let good = store.get(symbols).await.expect("stored by the upload");
    for damage in [None, Some(good.slice(..good.len() / 2))] {
        store.delete(symbols).await.expect("deleted");
        if let Some(bytes) = damage {
            store.create(symbols, bytes).await.expect("created");
        }
        let server = Server::start_with(config(&folder), folder).await;
        let answer = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(chain(&answer.await[0])[0].0, "mix");
        folder = server.stop().await;
        assert_eq!(store.get(symbols).await.expect("made again"), good);
    }
}

async fn symbol_file(store: &Store, tenant: &TenantId, build_id: &BuildId) -> DebuginfoName {
    let objects = store.list_debuginfo(tenant, Some(build_id)).await;
    let names = objects
        .expect("listed")
        .into_iter()
        .map(|object| object.name);
    let mut symbols = names.filter(|name| match name {
        DebuginfoName::Symbols { version, .. } => *version == cairn_symbols::VERSION,
        _ => false,
    });
    symbols.next().expect("stored by the upload")
}

/// What `objcopy` makes of a binary of the corpus.
pub(crate) fn objcopy(binary: &str, option: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = folder.path().join("made");
    let status = std::process::Command::new("objcopy")
        .arg(option)
        .arg(
            cairn_testkit::corpus::root()
                .join("generated/native/bin")
                .join(binary),
        )
        .arg(&made)
        .status();
    let status = status.expect("objcopy runs: apt-get install binutils");
    assert!(status.success());
    std::fs::read(&made).expect("objcopy wrote it")
}

#[tokio::test]
async fn symbol_files_on_the_disk_are_used_unless_they_are_damaged() {
    let server = Server::start().await;
    server
        .upload(Upload::of("a", &native("work_pie")))
        .await
        .expect("stored");
    let mut folder = server.stop().await;
    let cache = folder.path().join("cache");
    let with_cache = |folder: &tempfile::TempDir| {
        let mut config = config(folder);
        config.cache.path.clone_from(&cache);
        config
    };
    let only = || {
        let mut files = std::fs::read_dir(&cache).expect("listed");
        let file = files.next().expect("one is kept").expect("listed").path();
        assert!(files.next().is_none());
        file
    };
    let mut written = None;
    for damaged in [false, true, false] {
        if damaged {
            let mut bytes = std::fs::read(only()).expect("read");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(only(), bytes).expect("written");
        }
        let server = Server::start_with(with_cache(&folder), folder).await;
        let answer = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(chain(&answer.await[0])[0].0, "mix");
        folder = server.stop().await;
        let bytes = std::fs::read(only()).expect("read");
        assert_eq!(*written.get_or_insert_with(|| bytes.clone()), bytes);
    }
    // Nothing is read of the store for it any more but that it is there.
    let store = Store::open(&config(&folder).store, 1)
        .await
        .expect("opened");
    let (tenant, build_id) = (
        TenantId::parse("a").expect("valid"),
        BuildId::parse(WORK_PIE).expect("valid"),
    );
    let objects = store.list_debuginfo(&tenant, Some(&build_id)).await;
    for object in objects.expect("listed") {
        let key = Key::Debuginfo {
            tenant: &tenant,
            build_id: &build_id,
            name: &object.name,
        };
        if !matches!(object.name, DebuginfoName::State { .. }) {
            store.delete(key).await.expect("deleted");
        }
    }
    let server = Server::start_with(with_cache(&folder), folder).await;
    let answer = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");
    assert_eq!(server.reason("b", WORK_PIE, IN_MIX).await, NO_FILE);
    server.stop().await;
}

#[tokio::test]
async fn names_come_from_the_debug_file_and_places_from_the_executable() {
    let server = Server::start().await;
    let debug = objcopy("work_pie", "--only-keep-debug");
    let stripped = objcopy("work_pie", "--strip-all");

    server
        .upload(Upload::of("a", &debug))
        .await
        .expect("stored");
    let at_offset = || server.symbolize("a", WORK_PIE, Addressing::FileOffset, &[IN_MIX]);
    let before = at_offset().await;
    assert!(before[0].reason.ends_with("upload that too"), "{before:?}");
    let by_address = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&by_address.await[0])[0].0, "mix");

    server
        .upload(Upload::of("a", &stripped))
        .await
        .expect("stored");
    assert_eq!(chain(&at_offset().await[0])[0].0, "mix");
    server.stop().await;
}

#[tokio::test]
async fn answers_are_bounded_and_what_is_left_is_asked_for_again() {
    let server = Server::start().await;
    server
        .upload(Upload::of("a", &native("cpp_pie")))
        .await
        .expect("stored");
    let ask = |addresses: Vec<u64>, bytes_max: usize| {
        let binary = Binary {
            build_id: CPP_PIE.to_owned(),
            addressing: Addressing::Virtual.into(),
            addresses,
        };
        let request = SymbolizeRequest {
            tenant: "a".to_owned(),
            binaries: vec![binary],
            bytes_max: bytes_max as u64,
        };
        let mut client = server.client.clone();
        async move {
            let answer = client.symbolize(request).await;
            answer.expect("an answer").into_inner()
        }
    };
    let all: Vec<u64> = (0x1000..0x3000).step_by(4).collect();
    let whole = ask(all.clone(), 0).await;
    let bytes_max = whole.encoded_len() / 2;
    let known =
        |answer: &SymbolizeResponse, at: u32| Known::new(answer, &answer.symbols[at as usize]);
    let (mut left, mut found) = (all.clone(), HashMap::new());
    while !left.is_empty() {
        let answer = ask(left.clone(), bytes_max).await;
        assert!(answer.encoded_len() <= bytes_max);
        let before = found.len();
        let mut later = Vec::new();
        for (address, at) in left.into_iter().zip(&answer.binaries[0].symbols) {
            match answer.symbols[*at as usize].left {
                true => later.push(address),
                false => drop(found.insert(address, known(&answer, *at))),
            }
        }
        assert!(found.len() > before, "it goes on");
        left = later;
    }
    for (address, at) in all.iter().zip(&whole.binaries[0].symbols) {
        assert_eq!(found[address], known(&whole, *at));
    }
    // What never fits is not asked for again.
    let answer = ask(vec![0x1228], 500).await;
    assert!(!answer.symbols[0].left, "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn requests_beyond_the_limits_are_refused() {
    let server = Server::start().await;
    let request = |build_id: &str, addressing, addresses| {
        let binary = Binary {
            build_id: build_id.to_owned(),
            addressing,
            addresses: vec![0; addresses],
        };
        let request = SymbolizeRequest {
            tenant: "a".to_owned(),
            binaries: vec![binary],
            ..SymbolizeRequest::default()
        };
        let mut client = server.client.clone();
        async move { client.symbolize(request).await.expect_err("refused") }
    };
    for (build_id, addressing, addresses, text) in [
        (
            WORK_PIE,
            0,
            100_001,
            "100001 addresses are more than the 100000",
        ),
        (WORK_PIE, 7, 1, "no addressing 7"),
        ("", 0, 1, "invalid build id"),
    ] {
        let refused = request(build_id, addressing, addresses).await;
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains(text), "{refused:?}");
    }
    server.stop().await;
}
