//! Files larger than what a process may hold.

use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use cairn_model::{BuildId, TenantId};
use cairn_store::faulty::Server as Objects;
use cairn_store::{InProcess, Key, Store};
use cairn_wire::cairn::symbols::v1::Addressing;

use crate::server::{Server, Upload, config, native};
use crate::{IN_MIX, WORK_PIE, chain, symbol_file};

/// What one request to a store may carry.
const PART_BYTES: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_goes_to_the_store_and_back_a_part_at_a_time() {
    let sleep = |time: Duration| Box::pin(tokio::time::sleep(time)) as _;
    let objects = Objects::new(1, Arc::new(sleep), Arc::new(|| 0));
    let connection = objects.connect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.store.in_process = Some(InProcess(connection.clone()));
    config.upload.bytes_max = ByteSize::mib(64);
    // What follows the tables of an ELF file is nobody's.
    let mut elf = native("work_pie");
    elf.resize(5 * PART_BYTES as usize + 1, 0);

    let server = Server::start_with(config.clone(), folder).await;
    for _ in 0..2 {
        let stored = server.upload(Upload::of("a", &elf)).await.expect("stored");
        assert_eq!(stored.bytes, elf.len() as u64);
    }
    let folder = server.stop().await;
    assert_eq!(objects.largest_request(), PART_BYTES);

    // It is read again when its symbol file is gone.
    let (tenant, build_id) = (
        TenantId::parse("a").expect("valid"),
        BuildId::parse(WORK_PIE).expect("valid"),
    );
    let store = Store::over(connection);
    let name = symbol_file(&store, &tenant, &build_id).await;
    let symbols = Key::Debuginfo {
        tenant: &tenant,
        build_id: &build_id,
        name: &name,
    };
    store.delete(symbols).await.expect("deleted");
    let server = Server::start_with(config.clone(), folder).await;
    let answer = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");
    let folder = server.stop().await;
    assert_eq!(objects.largest_request(), PART_BYTES);

    // So is a symbol file, also a damaged one.
    store.delete(symbols).await.expect("deleted");
    let damaged = folder.path().join("damaged");
    std::fs::write(&damaged, vec![0; 3 * PART_BYTES as usize]).expect("written");
    let stored = store.create_from(symbols, &damaged).await;
    stored.expect("stored");
    let server = Server::start_with(config, folder).await;
    let answer = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");
    server.stop().await;
    let size = store.size(symbols).await.expect("made again");
    assert!(size < PART_BYTES);
    assert_eq!(objects.largest_request(), PART_BYTES);
}
