//! What is deleted by itself, as days go by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use cairn_block::{Head, Origin};
use cairn_chassis::{Clock, FakeClock};
use cairn_model::{BlockId, Labels, Location, Mapping, Profile, Tables, TenantId, ValueType};
use cairn_store::{DebuginfoName, Key, Store};
use cairn_symbolizer::QuotaConfig;
use cairn_wire::cairn::symbols::v1::{Addressing, FileState};
use tempfile::TempDir;
use tonic::Code;

use crate::keeping::list;
use crate::parca::{Agent, Said};
use crate::server::{Server, Upload, config, native};
use crate::sources::archive;
use crate::{CPP_PIE, IN_MIX, WORK_PIE, WORK_PIE_HASH, chain};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What lies in the store of a tenant, without days of use.
async fn objects(folder: &TempDir) -> Vec<DebuginfoName> {
    let store = Store::open(&config(folder).store, 1).await.expect("opened");
    let objects = store.list_debuginfo(&TenantId::anonymous(), None).await;
    let names = objects.expect("listed").into_iter();
    names.map(|object| object.name).collect()
}

fn uploads(names: &[DebuginfoName]) -> usize {
    let is_upload = |name: &&DebuginfoName| matches!(name, DebuginfoName::File { .. });
    names.iter().filter(is_upload).count()
}

#[tokio::test]
async fn uploads_that_never_end_take_room_and_go_after_a_day() {
    let clock = FakeClock::at(Clock::real().now());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (elf, good) = (native("work_pie"), native("cpp_pie"));
    let mut config = config(&folder);
    config.upload.sweep_interval = HOUR;
    config.upload.quota = QuotaConfig {
        bytes_max: ByteSize::b((good.len() + elf.len() * 3 / 2) as u64),
        files_max: 10,
    };
    let server = Server::start_by(clock.clock(), config, folder).await;
    server.upload(Upload::of("", &good)).await.expect("stored");
    let agent = Agent::of(&server).await;
    let said = Said::of(WORK_PIE, &elf);
    let to = agent.initiate(&said).await.expect("wanted");
    agent.send(&to, &elf).await.expect("received");
    // It is told what there is no room for, also when the count is made anew.
    let other = Said::of("abcd", &elf);
    for _ in 0..2 {
        let refused = agent.initiate(&other).await.expect_err("no room");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        clock.advance(2 * HOUR);
    }
    assert_eq!(uploads(&objects(&server.folder).await), 2);

    clock.advance(24 * HOUR);
    // What ended stays.
    while uploads(&objects(&server.folder).await) > 1 {
        // The sweep sleeps an hour and a quarter at most.
        clock.advance(HOUR);
        tokio::task::yield_now().await;
    }
    let late = agent.finish(&to).await.expect_err("given up");
    assert_eq!(late.code(), Code::NotFound, "{late:?}");
    agent.upload(&said, &elf).await.expect("there is room");
    let named = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&named.await[0])[0].0, "mix");
    server.stop().await;
}

/// A block of one profile with a sample of an address of this build, as agents send it.
fn block(build_id: &str) -> Bytes {
    let mut tables = Tables::default();
    let cpu = ValueType {
        kind: tables.strings.push("cpu"),
        unit: tables.strings.push("nanoseconds"),
    };
    tables.mappings.push(Mapping {
        build_id: tables.strings.push(build_id),
        ..Mapping::default()
    });
    tables.locations.push(Location {
        mapping: 0,
        address: IN_MIX,
        lines: (0, 0),
    });
    tables.stacks.locations.push(0);
    let mut profile = Profile {
        types: vec![cpu],
        period_type: cpu,
        period: 1,
        ..Profile::default()
    };
    profile.samples.stacks.push(tables.stacks.end());
    profile.samples.attr_ends.push(0);
    profile.samples.values.push(7);
    profile.tables = Arc::new(tables);
    let origin = Origin {
        name: "process_cpu".into(),
        labels: Labels::from_pairs([("service_name", "cart")]).expect("valid"),
        time: 0,
        lsn: 1,
        batch: 1,
    };
    let mut head = Head::default();
    head.append(&profile, &origin).expect("it fits");
    let built = cairn_block::write(&head, cairn_block::Options::default());
    built.expect("written").bytes
}

#[tokio::test]
async fn what_neither_a_block_nor_a_question_names_goes_after_its_time() {
    let clock = FakeClock::at(Clock::real().now());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.upload.sweep_interval = HOUR;
    let store = Store::open(&config.store, 1).await.expect("opened");
    let server = Server::start_by(clock.clock(), config, folder).await;
    let (elf, other) = (native("work_pie"), native("cpp_pie"));
    for elf in [&elf, &other] {
        let stored = server.upload(Upload::of("anonymous", elf)).await;
        stored.expect("stored");
    }
    let agent = Agent::of(&server).await;
    let sources = archive(&[("src/work.c", b"int main() {}")]);
    let said = Said {
        kind: 2,
        ..Said::of(WORK_PIE, &sources)
    };
    agent.upload(&said, &sources).await.expect("stored");
    // Profiles know the build by another name than that under which its files lie.
    let tenant = TenantId::anonymous();
    let key = Key::Block {
        tenant: &tenant,
        id: BlockId::new(1, 1),
    };
    let block = block(WORK_PIE_HASH);
    store.create(key, block).await.expect("created");

    let states = async || -> Vec<(String, FileState)> {
        let files = list(&server, "anonymous").await.into_iter();
        files
            .map(|file| (file.build_id.clone(), file.state()))
            .collect()
    };
    let file = |build_id: &str, state| (build_id.to_owned(), state);
    let (there, gone) = (FileState::Uploaded, FileState::Deleted);
    let all = vec![
        file(WORK_PIE, there),
        file(WORK_PIE, there),
        file(CPP_PIE, there),
    ];
    clock.advance(24 * 29 * HOUR);
    for _ in 0..20 {
        assert_eq!(states().await, all);
        clock.advance(HOUR / 2);
        tokio::task::yield_now().await;
    }
    clock.advance(24 * HOUR);
    let mut now = all.clone();
    while now == all {
        clock.advance(HOUR);
        now = states().await;
    }
    let mut expected = all;
    expected[2].1 = gone;
    assert_eq!(now, expected);
    assert_eq!(uploads(&objects(&server.folder).await), 2);
    let named = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&named.await[0])[0].0, "mix");

    // When the block is gone, nobody needs its build any more.
    store.delete(key).await.expect("deleted");
    clock.advance(24 * 29 * HOUR);
    while uploads(&objects(&server.folder).await) > 0 {
        clock.advance(6 * HOUR);
    }
    server.stop().await;
}
