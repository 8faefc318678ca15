use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use cairn_model::WriterId;

use super::*;
use crate::{Key, Store};

/// A server whose waits take no time, but are added up.
fn server(seed: u64) -> (Server, Arc<AtomicU64>) {
    let waited = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&waited);
    let sleep: Sleep = Arc::new(move |wait| {
        let millis = u64::try_from(wait.as_millis()).expect("waits are short");
        counter.fetch_add(millis, Ordering::SeqCst);
        Box::pin(async {})
    });
    (
        Server::new(seed, sleep, Arc::new(|| 1_700_000_000_000)),
        waited,
    )
}

fn writer() -> WriterId {
    WriterId::parse("w").expect("valid")
}

fn segment(writer: &WriterId, first: u64) -> Key<'_> {
    Key::LogSegment {
        writer,
        incarnation: 1,
        first,
    }
}

#[tokio::test]
async fn handles_share_the_objects_and_one_can_be_cut_off() {
    let (server, waited) = server(1);
    let (one, other) = (server.connect(), server.connect());
    let stores = [&one, &other].map(|handle| Store::over(handle.clone()));
    let writer = writer();
    let key = segment(&writer, 1);
    stores[0]
        .create(key, Bytes::from_static(b"x"))
        .await
        .expect("created");
    assert_eq!(stores[1].get(key).await.expect("there"), "x");

    one.set_link(Link::Refused);
    stores[0].get(key).await.expect_err("refused");
    assert_eq!(waited.load(Ordering::SeqCst), 0);
    one.set_link(Link::Silent);
    stores[0].get(key).await.expect_err("times out");
    assert_eq!(waited.load(Ordering::SeqCst), 10_000);
    assert_eq!(stores[1].get(key).await.expect("there"), "x");
    one.set_link(Link::Up);
    let listed = stores[0].list_log(&writer, 1, 1).await.expect("listed");
    assert_eq!(listed[0].stored_unix_ms, 1_700_000_000_000);
}

#[tokio::test]
async fn a_lost_reply_leaves_the_object_and_a_refusal_does_not() {
    let (server, _) = server(1);
    let store = Store::over(server.connect());
    let writer = writer();
    let put = |first| store.create(segment(&writer, first), Bytes::from_static(b"x"));
    server.set_faults(Faults {
        lost_replies: 1000,
        ..Faults::default()
    });
    put(1).await.expect_err("the reply is lost");
    server.set_faults(Faults {
        refused: 1000,
        ..Faults::default()
    });
    put(2).await.expect_err("refused");
    server.set_faults(Faults::default());
    let listed = store.list_log(&writer, 1, 0).await.expect("listed");
    let firsts: Vec<_> = listed.iter().map(|object| object.first).collect();
    assert_eq!(firsts, [1]);
}

#[tokio::test]
async fn of_hanging_writes_some_happen_some_never_and_some_late() {
    let (server, _) = server(7);
    let store = Store::over(server.connect());
    let writer = writer();
    server.set_faults(Faults {
        hanging: 1000,
        ..Faults::default()
    });
    for first in 0..100 {
        let put = store.create(segment(&writer, first), Bytes::from_static(b"x"));
        put.await.expect_err("no reply");
    }
    server.deliver_late().await;
    server.set_faults(Faults::default());
    let stored = store.list_log(&writer, 1, 0).await.expect("listed").len();
    assert!((50..85).contains(&stored), "{stored} of 100 arrived");
}

#[tokio::test]
async fn a_late_write_arrives_after_its_sender_gave_up() {
    let (server, _) = server(7);
    let store = Store::over(server.connect());
    let writer = writer();
    server.set_faults(Faults {
        hanging: 1000,
        ..Faults::default()
    });
    let mut first = 0;
    while server.state().late.is_empty() {
        first += 1;
        let put = store.create(segment(&writer, first), Bytes::from_static(b"x"));
        put.await.expect_err("no reply");
    }
    let path = segment(&writer, first).path();
    let objects = &server.0.objects;
    objects.head(&path).await.expect_err("on its way");
    server.deliver_late().await;
    objects.head(&path).await.expect("arrived");
}

#[tokio::test]
async fn the_same_seed_fails_the_same_requests() {
    let outcomes = async |seed| {
        let (server, waited) = server(seed);
        server.set_faults(Faults {
            refused: 200,
            lost_replies: 200,
            hanging: 200,
            latency: Duration::from_millis(1)..Duration::from_millis(50),
            ..Faults::default()
        });
        let store = Store::over(server.connect());
        let writer = writer();
        let mut outcomes = Vec::new();
        for first in 0..50 {
            let put = store.create(segment(&writer, first), Bytes::from_static(b"x"));
            outcomes.push(put.await.is_ok());
        }
        (outcomes, waited.load(Ordering::SeqCst))
    };
    assert_eq!(outcomes(3).await, outcomes(3).await);
    assert_ne!(outcomes(3).await, outcomes(4).await);
}
