//! Several ingesters, each with a shard map of its own: whoever takes a push, its owners store it,
//! once.

use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use cairn_ingester::{Config, Predecessor};
use cairn_wire::cairn::ingest::v1 as forward;
use cairn_wire::cairn::ingest::v1::forward_service_client::ForwardServiceClient;
use cairn_wire::cairn::ingest::v1::store_response::Outcome;
use tonic::Code;

use crate::cluster::{Member, NAMES, all_see, drawn, good, id, series, stop, three, totals};
use crate::harness::total;
use crate::overload::{endless, send};

#[tokio::test]
async fn pushes_to_any_ingester_arrive_at_their_owners_once() {
    let members = three().await;
    all_see(&members, 1, &NAMES);
    let good = good();
    let push: Vec<_> = (0..30).map(|service| series(service, &[&good])).collect();
    let expected = total(&good) * 30;
    for member in &members {
        // Whoever is asked, it is the same push: the owners know it again.
        member.write(push.clone()).await.expect("stored");
        let totals = totals(&members).await;
        assert_eq!(totals.iter().sum::<i64>(), expected, "{totals:?}");
        assert!(totals.iter().all(|total| *total > 0), "{totals:?}");
    }
    // The other doors go the same way.
    for (door, member) in members.iter().enumerate() {
        let target = format!("/ingest?name=door-{door}&format=pprof&from=1795400000");
        let answer = member.running.post(&target, &[], &good).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let totals = totals(&members).await;
    assert_eq!(totals.iter().sum::<i64>(), total(&good) * 33, "{totals:?}");
    stop(members).await;
}

#[tokio::test]
async fn shards_that_move_while_writes_come_in_lose_and_double_nothing() {
    let members = three().await;
    all_see(&members, 1, &["b"]);
    let good = good();
    let [a, b, c] = &members;
    let write = |service| a.write(vec![series(service, &[&good])]);
    for service in 0..5 {
        write(service).await.expect("stored");
    }
    assert_eq!(b.total().await, total(&good) * 5);
    // The owners know first, the sender last. Writes go on until the new owner has got some.
    let mut moved = drawn(2, &members, &["c"]);
    moved.writers = drawn(2, &members, &NAMES).writers;
    let (sent, ()) = tokio::join!(
        async {
            let mut sent = 5;
            while c.total().await == 0 {
                write(sent).await.expect("stored");
                sent += 1;
            }
            sent
        },
        async {
            b.sees(&moved);
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            c.sees(&moved);
            tokio::time::sleep(Duration::from_millis(100)).await;
            a.sees(&moved);
        }
    );
    for service in sent..sent + 5 {
        write(service).await.expect("stored");
    }
    let totals = totals(&members).await;
    let all = total(&good) * (sent as i64 + 5);
    assert_eq!(totals.iter().sum::<i64>(), all, "{totals:?}");
    assert_eq!(totals[0], 0);
    assert!(totals[2] >= total(&good) * 6, "{totals:?}");
    stop(members).await;
}

#[tokio::test]
async fn an_owner_that_has_not_heard_of_it_catches_up_before_it_answers() {
    let members = three().await;
    all_see(&members, 1, &["b"]);
    let good = good();
    let [a, _, c] = &members;
    a.write(vec![series(0, &[&good])]).await.expect("stored");
    let mut moved = drawn(2, &members, &["c"]);
    moved.writers = drawn(2, &members, &NAMES).writers;
    // The sender knows first, the new owner some time later.
    a.sees(&moved);
    let mut sent = 1;
    let (service, ()) = tokio::join!(
        async {
            while c.total().await == 0 {
                let push = vec![series(sent, &[&good])];
                a.write(push).await.expect("stored");
                sent += 1;
            }
            sent as i64
        },
        async {
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            c.sees(&moved);
        }
    );
    assert_eq!(
        totals(&members).await.iter().sum::<i64>(),
        total(&good) * service
    );
    stop(members).await;
}

#[tokio::test]
async fn a_dead_owner_is_unavailable_until_another_takes_over() {
    let mut members = Vec::from(three().await);
    // One zone, so that shards which stay with their owners stay in use.
    let mut before = drawn(1, &members, &NAMES);
    before.writers.iter_mut().for_each(|peer| peer.zone.clear());
    members.iter().for_each(|member| member.sees(&before));
    let good = good();
    let push: Vec<_> = (0..30).map(|service| series(service, &[&good])).collect();
    let dead = members.remove(1);
    let mut after = before.clone();
    after.epoch = 2;
    after.writers.retain(|peer| peer.id != id("b"));
    for (_, owner) in &mut after.owners {
        if *owner == id("b") {
            *owner = id("c");
        }
    }
    // Both have seen who owned what before.
    for member in &members {
        member
            .write(vec![series(0, &[&good])])
            .await
            .expect("stored");
    }
    dead.running.stop().await;
    let [a, c] = &members[..] else {
        panic!("two are left")
    };
    let status = a.write(push.clone()).await.expect_err("b is gone");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("send it again"), "{status}");

    // The shards have new owners, which wait for what b has left.
    c.heir.may.send_replace(false);
    members.iter().for_each(|member| member.sees(&after));
    let mut asked = c.heir.asked.subscribe();
    let left = Predecessor {
        writer: id("b"),
        incarnation: 1,
        epoch: 0,
    };
    let asked = asked.wait_for(|asked| asked.contains(&left)).await;
    drop(asked.expect("asked"));
    let (_, ()) = tokio::join!(
        async {
            // As senders do.
            while let Err(status) = a.write(push.clone()).await {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
            }
        },
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            c.heir.may.send_replace(true);
        }
    );
    // What was stored at the first try counts once.
    let totals = totals(&members).await;
    assert_eq!(totals.iter().sum::<i64>(), total(&good) * 30, "{totals:?}");
    stop(members).await;
}

#[tokio::test]
async fn shards_whose_past_stays_unknown_are_unavailable() {
    let hasty = |config: &mut Config| config.route.deadline = Duration::from_millis(300);
    let members = [
        Member::start("a", hasty).await,
        Member::start("b", |_| {}).await,
    ];
    let [a, b] = &members;
    a.heir.may.send_replace(false);
    let mut shards = drawn(1, &members, &["a"]);
    shards.writers[0].incarnation = 2;
    shards.sealed = vec![Predecessor {
        writer: id("a"),
        incarnation: 1,
        epoch: 0,
    }];
    members.iter().for_each(|member| member.sees(&shards));
    let good = good();
    let status = a
        .write(vec![series(0, &[&good])])
        .await
        .expect_err("pending");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("crashed"), "{status}");
    a.heir.may.send_replace(true);
    b.write(vec![series(0, &[&good])])
        .await
        .expect("b sends it to a");
    assert_eq!(totals(&members).await, [total(&good), 0]);
    stop(members).await;
}

#[tokio::test]
async fn refusals_of_owners_come_back_with_their_places() {
    let members = three().await;
    all_see(&members, 1, &NAMES);
    let good = good();
    let mut push: Vec<_> = (0..9).map(|service| series(service, &[&good])).collect();
    push[2] = series(2, &[&good, b"junk"]);
    push[5] = series(5, &[b"junk"]);
    push[7] = series(7, &[&good, &good, b"\xff\xff\xff"]);
    push[8].labels = None;
    for member in &members {
        let status = member.write(push.clone()).await.expect_err("four are bad");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let text = status.message();
        let places = [
            "series 2 (process_cpu), sample 1: ",
            "; series 5 (process_cpu), sample 0: ",
            "; series 7 (process_cpu), sample 2: ",
            "; series 8, sample 0: missing __name__ label",
            "(refused 4, stored 8)",
        ];
        let mut from = 0;
        for place in places {
            let at = text[from..].find(place);
            from += at.unwrap_or_else(|| panic!("no {place:?} in order in {text}"));
        }
    }
    // One of the good ones is there twice.
    assert_eq!(totals(&members).await.iter().sum::<i64>(), total(&good) * 7);
    stop(members).await;
}

#[tokio::test]
async fn what_an_owner_says_reaches_the_sender() {
    let narrow = |config: &mut Config| {
        config.admission.inflight_bytes_max = ByteSize::mib(16);
        config.admission.wait_max = Duration::ZERO;
        config.tail.memory_bytes_max = ByteSize::b(1);
        config.tail.head_bytes_max = ByteSize::gib(1);
    };
    let members = [
        Member::start("a", |_| {}).await,
        Member::start("b", narrow).await,
    ];
    let [a, b] = &members;
    let mut shards = drawn(1, &members, &["b"]);
    shards.writers = drawn(1, &members, &NAMES).writers;
    members.iter().for_each(|member| member.sees(&shards));
    let good = good();
    a.write(vec![series(0, &[&good])]).await.expect("stored");
    let status = a.write(vec![series(1, &[&good])]).await.expect_err("full");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("memory_bytes_max=1)"), "{status}");
    let answer = a
        .running
        .post("/ingest?name=x&format=pprof", &[], &good)
        .await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("retry-after"), "{answer:?}");

    // Somebody holds all memory for what other ingesters send.
    let path = "/cairn.ingest.v1.ForwardService/Store";
    let holding = send(b.running.channel().await, path, endless(Arc::default()));
    let asking = async {
        loop {
            let status = a.write(vec![series(1, &[&good])]).await.expect_err("busy");
            if status.code() == Code::ResourceExhausted {
                return status;
            }
        }
    };
    let status = tokio::select! {
        status = tokio::time::timeout(Duration::from_secs(30), asking) => status.expect("busy"),
        status = holding => panic!("the endless message ended with {status}"),
    };
    assert!(status.message().contains("inflight_bytes_max="), "{status}");
    stop(members).await;
}

#[tokio::test]
async fn forwarded_requests_are_stored_here_or_sent_back() {
    let members = three().await;
    all_see(&members, 7, &["a", "b"]);
    let good = good();
    let label = |name: &str, value: &str| forward::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let series = |shard| forward::Series {
        shard,
        labels: vec![label("__name__", "process_cpu")],
        profiles: vec![forward::RawProfile {
            profile: good.clone().into(),
            executables: Vec::new(),
            ..forward::RawProfile::default()
        }],
        ..forward::Series::default()
    };
    let request = |epoch, shards: &[u32]| forward::StoreRequest {
        tenant: "anonymous".to_owned(),
        epoch,
        door: forward::Door::WriteRaw.into(),
        received_unix_ns: crate::harness::NOW,
        series: shards.iter().copied().map(series).collect(),
        ..forward::StoreRequest::default()
    };
    let mut client = ForwardServiceClient::new(members[0].running.channel().await);
    // One foreign shard, and nothing is stored; no epoch changes that.
    for epoch in [7, 0, u64::MAX] {
        let answer = client
            .store(request(epoch, &[0, 1]))
            .await
            .expect("answered");
        match answer.into_inner().outcome {
            Some(Outcome::NotOwner(told)) => assert_eq!(told.epoch, 7),
            other => panic!("not sent back: {other:?}"),
        }
    }
    assert_eq!(totals(&members).await, [0; 3]);
    let answer = client.store(request(7, &[0])).await.expect("answered");
    match answer.into_inner().outcome {
        Some(Outcome::Stored(stored)) => assert_eq!(stored.profiles, 1),
        other => panic!("not stored: {other:?}"),
    }
    let bad = forward::StoreRequest {
        tenant: "../x".to_owned(),
        ..request(7, &[0])
    };
    let status = client.store(bad).await.expect_err("no tenant");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    stop(members).await;
}
