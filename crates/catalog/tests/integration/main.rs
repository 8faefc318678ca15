//! The client and the server, over a socket.

use std::sync::Arc;

use cairn_catalog::{BlockMeta, Catalog, Client, Server};
use cairn_model::{BlockId, Code, TenantId, TimeRange, WriterId};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Endpoint;

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

async fn connected(catalog: Catalog, tasks: &mut JoinSet<()>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let service = Server::new(catalog, Arc::new(|| 77)).into_service();
    tasks.spawn(async move {
        let server = tonic::transport::Server::builder().add_service(service);
        let incoming = TcpListenerStream::new(listener);
        server.serve_with_incoming(incoming).await.expect("served");
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("valid");
    Client::new(endpoint.connect().await.expect("listening"))
}

#[tokio::test]
async fn a_remote_catalog_answers_like_the_local_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let catalog = Catalog::open(dir.path()).expect("fresh");
    let tenant = TenantId::parse("t").expect("valid");
    let writer = WriterId::parse("ingester-0").expect("valid");
    catalog.register(&writer, "http://i0").await.expect("first");
    let blocks = vec![block(&tenant, 1), block(&tenant, 2)];
    let ids: Vec<BlockId> = blocks.iter().map(|block| block.id).collect();
    catalog
        .commit(&writer, 1, (1, 9), (blocks, 0))
        .await
        .expect("gapless");

    let mut tasks = JoinSet::new();
    let client = connected(catalog.clone(), &mut tasks).await;
    assert_eq!(
        client.snapshot(&tenant).await.expect("answered"),
        catalog.snapshot(&tenant)
    );
    assert_eq!(client.tenants().await.expect("answered"), catalog.tenants());

    let merged = vec![block(&tenant, 3)];
    client
        .replace(&tenant, &ids, merged.clone())
        .await
        .expect("live");
    client
        .replace(&tenant, &ids, merged)
        .await
        .expect("a repetition");
    let late = client.replace(&tenant, &ids, vec![block(&tenant, 4)]).await;
    let late = late.expect_err("not live");
    assert_eq!(late.code(), Code::Conflict);
    assert_eq!(late.to_string(), format!("block {} is not live", ids[0]));

    assert!(client.expired(76).await.expect("answered").is_empty());
    let expired = client.expired(77).await.expect("answered");
    assert_eq!(expired, catalog.expired(77));
    assert_eq!(expired.len(), 2);
    client.forget(&tenant, &ids).await.expect("dead");
    assert!(client.expired(77).await.expect("answered").is_empty());
    let live = client.forget(&tenant, &[block(&tenant, 3).id]).await;
    assert_eq!(live.expect_err("live").code(), Code::Conflict);
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    use cairn_wire::cairn::catalog::v1 as wire;
    use wire::catalog_service_server::CatalogService;

    let dir = tempfile::tempdir().expect("a folder");
    let catalog = Catalog::open(dir.path()).expect("fresh");
    let server = Server::new(catalog, Arc::new(|| 0));
    let request = wire::SnapshotRequest {
        tenant: "../x".to_owned(),
    };
    let status = server.snapshot(tonic::Request::new(request)).await;
    let status = status.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().starts_with("invalid tenant: "), "{status}");
    let request = wire::ForgetRequest {
        tenant: "t".to_owned(),
        blocks: vec!["x".to_owned()],
    };
    let status = server.forget(tonic::Request::new(request)).await;
    let status = status.expect_err("refused");
    assert!(
        status.message().starts_with("invalid block id: "),
        "{status}"
    );
}
