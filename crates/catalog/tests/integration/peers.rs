//! Calls of nodes that are wrong here, and nonsense.

use cairn_wire::cairn::catalog::v1 as wire;
use tonic::Code;
use tonic::transport::Channel;
use wire::peer_service_client::PeerServiceClient;

use crate::cluster::{Cluster, connect};

fn request(cluster: &str, to: u64, payload: &[u8]) -> wire::PeerRequest {
    wire::PeerRequest {
        cluster: cluster.to_owned(),
        to,
        payload: payload.to_vec().into(),
    }
}

async fn refused(client: &mut PeerServiceClient<Channel>, request: wire::PeerRequest) -> [Code; 4] {
    let told = |status: Option<tonic::Status>| status.expect("it is refused").code();
    [
        told(client.append(request.clone()).await.err()),
        told(client.vote(request.clone()).await.err()),
        told(client.forward(request.clone()).await.err()),
        told(client.read_index(request).await.err()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_refuse_strangers_and_nonsense_and_go_on() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let channel = connect(cluster.address(leader)).expect("valid");
    let mut client = PeerServiceClient::new(channel);
    let vote =
        br#"{"vote":{"leader_id":{"term":99,"node_id":2},"committed":false},"last_log_id":null}"#;
    let vote = [b"\x01", &vote[..]].concat();
    for stranger in [
        request("other", leader, &vote),
        request("cairn", leader % 3 + 1, &vote),
    ] {
        let codes = refused(&mut client, stranger).await;
        assert_eq!(codes, [Code::PermissionDenied; 4]);
    }
    for junk in [&b""[..], b"\x01", b"\x01[]", b"\x02{}", b"\x01{\"vote\":7}"] {
        let codes = refused(&mut client, request("cairn", leader, junk)).await;
        assert_eq!(codes, [Code::InvalidArgument; 4], "{junk:?}");
    }
    let log_id =
        |index: u64| format!(r#"{{"leader_id":{{"term":1,"node_id":2}},"index":{index}}}"#);
    for (before, entry) in [(4, 6), (u64::MAX, 0), (4, 4)] {
        let entries = format!(
            r#"{{"vote":{{"leader_id":{{"term":1,"node_id":2}},"committed":true}},"prev_log_id":{},"entries":[{{"log_id":{},"payload":"Blank"}}],"leader_commit":null}}"#,
            log_id(before),
            log_id(entry)
        );
        let payload = [b"\x01", entries.as_bytes()].concat();
        let gap = client.append(request("cairn", leader, &payload)).await;
        let gap = gap.expect_err("a gap");
        assert_eq!(gap.code(), Code::InvalidArgument, "{gap}");
        assert!(gap.message().ends_with("is missing"), "{gap}");
    }
    let piece = |offset, data: &[u8]| wire::PeerSnapshotRequest {
        cluster: "cairn".to_owned(),
        to: leader,
        head: b"\x01{}".to_vec().into(),
        offset,
        data: data.to_vec().into(),
        done: false,
    };
    for bad in [piece(0, b"x"), piece(u64::MAX, b"x"), piece(1 << 30, b"x")] {
        let status = client.install_snapshot(bad).await.expect_err("nonsense");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let client = cluster.client(leader);
    client.tenants().await.expect("it goes on");
    assert_eq!(cluster.status(leader).failure, None);
    cluster.stop().await;
}
