//! What is deleted by itself, as days go by.

use std::time::Duration;

use bytesize::ByteSize;
use cairn_chassis::{Clock, FakeClock};
use cairn_model::TenantId;
use cairn_store::{DebuginfoName, Store};
use cairn_symbolizer::QuotaConfig;
use cairn_wire::cairn::symbols::v1::Addressing;
use tempfile::TempDir;
use tonic::Code;

use crate::parca::{Agent, Said};
use crate::server::{Server, Upload, config, native};
use crate::{IN_MIX, WORK_PIE, chain};

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
