//! A client in another process, and what the service makes of nonsense.

use std::sync::Arc;

use cairn_catalog::{BlockMeta, Client, Command, Error, Log, Node, Refused, Registration, Work};
use cairn_model::{BlockId, Code, TenantId, TimeRange, WriterId};
use cairn_wire::cairn::catalog::v1 as wire;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

use crate::cluster::{connect, remote};
use wire::catalog_service_client::CatalogServiceClient;

const NOW: i64 = 77;

fn block(tenant: &TenantId, number: u128) -> BlockMeta {
    BlockMeta {
        id: BlockId::new(1_700_000_000_000, number),
        tenant: tenant.clone(),
        level: 1,
        range: TimeRange {
            start: -5,
            end: i64::MAX,
        },
        bytes: u64::MAX,
        rows: 2,
        profiles: 3,
        created_unix_ms: 4,
    }
}

async fn served(node: &Node, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let service = node.catalog_service();
    tasks.spawn(async move {
        let server = tonic::transport::Server::builder().add_service(service);
        let incoming = TcpListenerStream::new(listener);
        server.serve_with_incoming(incoming).await.expect("served");
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_remote_catalog_answers_like_the_local_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::alone(dir.path(), Arc::new(|| NOW))
        .await
        .expect("fresh");
    let catalog = node.client();
    let tenant = TenantId::parse("t").expect("valid");
    let writer = WriterId::parse("ingester-0").expect("valid");

    let mut tasks = JoinSet::new();
    let address = served(&node, &mut tasks).await;
    // Nobody listens at the first.
    let client = remote(&["http://127.0.0.1:1", &address]);
    let registration = Registration {
        zone: "here".to_owned(),
        log: Log::OnePerIncarnation,
        ..Registration::continued(writer.clone(), "http://i0")
    };
    let registered = client.register(registration.clone()).await.expect("first");
    assert_eq!((registered.incarnation, registered.flushed_lsn), (1, 0));
    let blocks = vec![block(&tenant, 1), block(&tenant, 2)];
    let ids: Vec<BlockId> = blocks.iter().map(|block| block.id).collect();
    client
        .commit(&writer, 1, (1, 9), blocks.clone())
        .await
        .expect("gapless");
    client
        .commit(&writer, 1, (1, 9), blocks)
        .await
        .expect("a repetition");
    assert_eq!(
        client
            .register(registration)
            .await
            .expect("again")
            .incarnation,
        2
    );

    let snapshot = client.snapshot(&tenant).await.expect("answered");
    assert_eq!(snapshot, catalog.snapshot(&tenant).await.expect("answered"));
    assert_eq!((snapshot.writers.len(), snapshot.sealed.len()), (1, 1));
    assert_eq!(snapshot.sealed[0].flushed_lsn, 9);
    assert_eq!(
        client.tenants().await.expect("answered"),
        std::slice::from_ref(&tenant)
    );
    let jobs = client.jobs().await.expect("answered");
    assert_eq!(jobs, catalog.jobs().await.expect("answered"));
    assert!(matches!(jobs[0].work, Work::Recover { incarnation: 1, .. }));
    let moves = vec![(7, writer.clone())];
    client
        .apply(Command::Assign { epoch: 0, moves })
        .await
        .expect("open");
    let shards = client.shards().await.expect("answered");
    assert_eq!(shards, catalog.shards().await.expect("answered"));
    assert_eq!(shards.owner(7).expect("assigned").writer, writer);
    assert_eq!(shards.writers[&writer].zone, "here");

    swap_and_forget(&client, &catalog, &tenant, &ids).await;
    node.shutdown().await.expect("stopped");
}

async fn swap_and_forget(client: &Client, catalog: &Client, tenant: &TenantId, ids: &[BlockId]) {
    let merged = vec![block(tenant, 3)];
    client
        .replace(tenant, ids, merged.clone(), None)
        .await
        .expect("live");
    client
        .replace(tenant, ids, merged, None)
        .await
        .expect("a repetition");
    let late = client
        .replace(tenant, ids, vec![block(tenant, 4)], None)
        .await;
    let late = late.expect_err("not live");
    assert!(
        matches!(late, Error::Refused(Refused::NotLive(id)) if id == ids[0]),
        "{late}"
    );

    assert!(client.expired(NOW - 1).await.expect("answered").is_empty());
    let expired = client.expired(NOW).await.expect("answered");
    assert_eq!(expired, catalog.expired(NOW).await.expect("answered"));
    assert_eq!(expired.len(), 2);
    client.forget(tenant, ids).await.expect("dead");
    assert!(client.expired(NOW).await.expect("answered").is_empty());
    let live = client.forget(tenant, &[block(tenant, 3).id]).await;
    assert_eq!(live.expect_err("live").code(), Code::Conflict);
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::alone(dir.path(), Arc::new(|| NOW))
        .await
        .expect("fresh");
    let mut tasks = JoinSet::new();
    let address = served(&node, &mut tasks).await;
    let mut client = CatalogServiceClient::new(connect(&address).expect("valid"));
    let tenant = "../x".to_owned();
    let status = client
        .snapshot(wire::SnapshotRequest {
            tenant,
            ..Default::default()
        })
        .await;
    let status = status.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().starts_with("invalid tenant: "), "{status}");
    for command in [&b""[..], b"\x02{}", b"\x01{\"Explode\":{}}", b"\x01{"] {
        let command = command.into();
        let status = client.apply(wire::ApplyRequest { command }).await;
        let status = status.expect_err("refused");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(
            status.message().starts_with("invalid command: "),
            "{status}"
        );
    }
    node.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn nobody_to_ask_is_surely_not_done() {
    let client =
        remote(&["http://127.0.0.1:1"]).with_patience(std::time::Duration::from_millis(300));
    let writer = WriterId::parse("w").expect("valid");
    let error = client
        .close(&writer, 1, 0)
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    let error = client.tenants().await.expect_err("nobody is there");
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn concurrent_commands_each_happen_once_and_share_syncs() {
    const WRITERS: u64 = 64;
    const COMMITS: u64 = 8;
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::alone(dir.path(), Arc::new(|| NOW))
        .await
        .expect("fresh");
    let catalog = node.client();
    let start = std::time::Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS {
        let catalog = catalog.clone();
        tasks.spawn(async move {
            let writer = WriterId::parse(&format!("w{number}")).expect("valid");
            let registration = Registration::continued(writer.clone(), "");
            let registered = catalog.register(registration).await.expect("first");
            for lsn in 1..=COMMITS {
                let blocks = vec![block(
                    &TenantId::anonymous(),
                    u128::from(number * 100 + lsn),
                )];
                let incarnation = registered.incarnation;
                let committed = catalog.commit(&writer, incarnation, (lsn, lsn), blocks);
                committed.await.expect("gapless");
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.expect("no panic");
    }
    let commands = WRITERS * (COMMITS + 1);
    let entries = node.status().last_log_index;
    println!(
        "{commands} commands in {entries} entries took {:?}",
        start.elapsed()
    );
    assert!(entries < commands / 4, "{entries} entries");
    let tenant = TenantId::anonymous();
    let snapshot = catalog.snapshot(&tenant).await.expect("answered");
    assert_eq!(snapshot.blocks.len() as u64, WRITERS * COMMITS);
    assert_eq!(snapshot.version, commands);
    node.shutdown().await.expect("stopped");
    let node = Node::alone(dir.path(), Arc::new(|| NOW))
        .await
        .expect("well");
    let again = node.client().snapshot(&tenant).await.expect("answered");
    assert_eq!(again, snapshot);
    node.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn of_two_compactions_of_one_block_one_wins() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::alone(dir.path(), Arc::new(|| NOW))
        .await
        .expect("fresh");
    let (catalog, tenant) = (node.client(), TenantId::anonymous());
    let writer = WriterId::parse("w").expect("valid");
    let registration = Registration::continued(writer.clone(), "");
    catalog.register(registration).await.expect("first");
    let input = block(&tenant, 1);
    let inputs = [input.id];
    catalog
        .commit(&writer, 1, (1, 1), vec![input])
        .await
        .expect("gapless");
    let (a, b) = tokio::join!(
        catalog.replace(&tenant, &inputs, vec![block(&tenant, 2)], None),
        catalog.replace(&tenant, &inputs, vec![block(&tenant, 3)], None),
    );
    assert_eq!(a.is_ok() as u8 + b.is_ok() as u8, 1);
    let lost = a.and(b).expect_err("one lost");
    assert_eq!(lost.code(), Code::Conflict);
    node.shutdown().await.expect("stopped");
}
