//! What every backing store must do, and that memory, a folder, SeaweedFS and moto do it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_model::{BlockId, BuildId, FileKind, TenantId, UploadId, WriterId};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};

use crate::faulty::{Faults, Server};
use crate::store::parts::PART_BYTES;
use crate::{BlockObject, Config, DebuginfoName, Error, Key, Store};

mod http;
mod servers;

/// Over an empty store.
async fn contract(store: &Store) {
    blocks_contract(store).await;
    debuginfo_contract(store).await;
    log_contract(store).await;
    repeated_creates_contract(store).await;
    race_contract(store).await;
    parts_contract(store).await;
}

async fn blocks_contract(store: &Store) {
    let (a, b) = (
        TenantId::parse("a").expect("valid"),
        TenantId::parse("ab").expect("valid"),
    );
    let id = |ms| BlockId::new(ms, 7);
    let block = |tenant, ms| Key::Block { tenant, id: id(ms) };
    assert_eq!(store.list_tenants().await.expect("listed"), []);
    assert_eq!(store.list_blocks(&a).await.expect("listed"), []);

    let bytes = Bytes::from_static(b"0123456789");
    for ms in [2, 1] {
        store
            .create(block(&a, ms), bytes.clone())
            .await
            .expect("created");
    }
    store
        .create(block(&b, 3), Bytes::from_static(b"other"))
        .await
        .expect("created");
    let again = store
        .create(block(&a, 1), Bytes::from_static(b"x"))
        .await
        .expect_err("the key is taken");
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again:?}");
    assert_eq!(again.code(), cairn_model::Code::Conflict);

    assert_eq!(store.get(block(&a, 1)).await.expect("there"), bytes);
    assert_eq!(store.size(block(&a, 1)).await.expect("there"), 10);
    let parts = store.get_ranges(block(&a, 1), &[8..10, 4..4, 0..3]).await;
    assert_eq!(parts.expect("in range"), ["89", "", "012"]);
    for (start, end) in [(5, 11), (10, u64::MAX), (7, 2)] {
        let range = Range { start, end };
        let cut = store.get_range(block(&a, 1), range).await;
        let cut = cut.expect_err("the object is shorter");
        assert!(matches!(cut, Error::OutOfRange { .. }), "{cut:?}");
    }

    let listed = store.list_blocks(&a).await.expect("listed");
    assert_eq!(
        listed,
        [1, 2].map(|ms| BlockObject {
            id: id(ms),
            bytes: 10
        })
    );
    assert_eq!(
        store.list_tenants().await.expect("listed"),
        [a.clone(), b.clone()]
    );

    for _ in 0..2 {
        store.delete(block(&a, 1)).await.expect("deleted");
    }
    let gone = store.get(block(&a, 1)).await.expect_err("deleted");
    assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
    assert_eq!(store.list_blocks(&a).await.expect("listed").len(), 1);
    store.size(block(&a, 1)).await.expect_err("deleted");
    let gone = store.get_range(block(&a, 1), 0..1).await;
    let gone = gone.expect_err("deleted");
    assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
}

async fn debuginfo_contract(store: &Store) {
    let tenant = TenantId::parse("t").expect("valid");
    let ids = ["ab", "a/b"].map(|id| BuildId::parse(id).expect("valid"));
    for build_id in &ids {
        let kind = FileKind::Debuginfo;
        let upload = UploadId(7);
        let state = DebuginfoName::State { kind, number: 1 };
        for name in [
            DebuginfoName::File {
                kind,
                upload,
                content: None,
            },
            state,
        ] {
            let key = Key::Debuginfo {
                tenant: &tenant,
                build_id,
                name: &name,
            };
            let bytes = Bytes::from_static(b"elf");
            store.create(key, bytes).await.expect("created");
        }
    }
    let listed = store.list_debuginfo(&tenant, None).await.expect("listed");
    let listed: Vec<_> = listed.iter().map(|f| (&f.build_id, f.bytes)).collect();
    assert_eq!(
        listed,
        [(&ids[1], 3), (&ids[1], 3), (&ids[0], 3), (&ids[0], 3)]
    );
    // A build id that begins like another is another.
    let longer = BuildId::parse("a").expect("valid");
    for (build_id, count) in [(&ids[0], 2), (&longer, 0)] {
        let listed = store.list_debuginfo(&tenant, Some(build_id)).await;
        assert_eq!(listed.expect("listed").len(), count, "{build_id}");
    }
    let tenants = store.list_debuginfo_tenants().await.expect("listed");
    assert_eq!(tenants, [tenant]);
    let other = TenantId::parse("u").expect("valid");
    assert_eq!(
        store.list_debuginfo(&other, None).await.expect("listed"),
        []
    );
}

async fn log_contract(store: &Store) {
    let (v, w) = (
        WriterId::parse("v").expect("valid"),
        WriterId::parse("v-1").expect("valid"),
    );
    assert_eq!(store.list_logs().await.expect("listed"), []);
    assert_eq!(store.list_log(&v, 2, 0).await.expect("listed"), []);
    let segments = [(&v, 2, 1), (&v, 2, 10), (&v, 2, 9), (&v, 11, 5), (&w, 2, 7)];
    for (writer, incarnation, first) in segments {
        let key = Key::LogSegment {
            writer,
            incarnation,
            first,
        };
        let bytes = Bytes::from(vec![0; first as usize]);
        store.create(key, bytes).await.expect("created");
    }
    let logs = store.list_logs().await.expect("listed");
    assert_eq!(logs, [(v.clone(), 2), (v.clone(), 11), (w, 2)]);
    let firsts = async |from| {
        let found = store.list_log(&v, 2, from).await.expect("listed");
        assert!(found.iter().all(|object| object.bytes == object.first));
        assert!(
            found
                .iter()
                .all(|object| object.stored_unix_ms > 1_500_000_000_000)
        );
        found.iter().map(|object| object.first).collect::<Vec<_>>()
    };
    assert_eq!(firsts(0).await, [1, 9, 10]);
    assert_eq!(firsts(1).await, [1, 9, 10]);
    assert_eq!(firsts(9).await, [9, 10]);
    assert_eq!(firsts(10).await, [10]);
    assert_eq!(firsts(u64::MAX).await, [0; 0]);
}

/// More segments than a store lists at once.
async fn long_log_contract(store: &Store) {
    const SEGMENTS: u64 = 1050;
    let writer = WriterId::parse("long").expect("valid");
    let segment = |first| Key::LogSegment {
        writer: &writer,
        incarnation: 1,
        first,
    };
    let creates = (1..=SEGMENTS).map(|first| store.create(segment(first), Bytes::from("x")));
    let created: Result<(), _> = stream::iter(creates)
        .buffer_unordered(16)
        .try_collect()
        .await;
    created.expect("created");
    for from in [1, 2, 40, 1001, SEGMENTS] {
        let listed = store.list_log(&writer, 1, from).await.expect("listed");
        let firsts: Vec<_> = listed.iter().map(|object| object.first).collect();
        assert_eq!(firsts, (from..=SEGMENTS).collect::<Vec<_>>());
    }
    let deletes = (1..=SEGMENTS).map(|first| store.delete(segment(first)));
    let deleted: Result<(), _> = stream::iter(deletes)
        .buffer_unordered(16)
        .try_collect()
        .await;
    deleted.expect("deleted");
    assert_eq!(store.list_log(&writer, 1, 1).await.expect("listed"), []);
}

async fn race_contract(store: &Store) {
    let tenant = TenantId::parse("racers").expect("valid");
    let key = Key::Block {
        tenant: &tenant,
        id: BlockId::new(1, 1),
    };
    let writers = (0..8u8).map(|n| store.create(key, Bytes::from(vec![n; 1000])));
    let outcomes = join_all(writers).await;
    let winner = outcomes.iter().position(Result::is_ok).expect("one wins");
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    let kept = store.get(key).await.expect("there");
    assert_eq!(kept, vec![winner as u8; 1000]);
}

async fn repeated_creates_contract(store: &Store) {
    let writer = WriterId::parse("twice").expect("valid");
    let key = Key::LogSegment {
        writer: &writer,
        incarnation: 1,
        first: 1,
    };
    for _ in 0..2 {
        let created = store.create_once(key, Bytes::from_static(b"mine")).await;
        created.expect("what is there is ours");
    }
    for foreign in ["your", "mine too", ""] {
        let refused = store.create_once(key, Bytes::from(foreign)).await;
        let refused = refused.expect_err("what is there is not ours");
        assert!(
            matches!(refused, Error::AlreadyExists { .. }),
            "{refused:?}"
        );
    }
    assert_eq!(store.get(key).await.expect("there"), "mine");
}

/// Objects of several parts, or of less than one.
async fn parts_contract(store: &Store) {
    let tenant = TenantId::parse("parts").expect("valid");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    for (ms, length) in [(1, 0), (2, PART_BYTES), (3, 2 * PART_BYTES + 1)] {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).expect("written");
        let key = Key::Block {
            tenant: &tenant,
            id: BlockId::new(ms, 1),
        };
        for _ in 0..2 {
            let stored = store.create_from(key, file.path()).await;
            stored.expect("what is there is ours");
        }
        let parts: Vec<Bytes> = store.parts(key, length).try_collect().await.expect("there");
        assert!(parts.iter().all(|part| part.len() as u64 <= PART_BYTES));
        assert!(parts.concat() == bytes, "{length} bytes come back");
        let more: Result<Vec<Bytes>, _> = store.parts(key, length + 1).try_collect().await;
        let more = more.expect_err("the object is shorter");
        assert!(matches!(more, Error::OutOfRange { .. }), "{more:?}");
        if length <= PART_BYTES {
            std::fs::write(file.path(), b"another").expect("written");
            let refused = store.create_from(key, file.path()).await;
            let refused = refused.expect_err("what is there is not ours");
            assert_eq!(refused.to_string(), format!("object {key} exists already"));
        }
        store.delete(key).await.expect("deleted");
    }
}

#[tokio::test]
async fn an_object_that_came_in_parts_is_there_though_the_last_reply_was_lost() {
    let sleep = Arc::new(|_| Box::pin(async {}) as _);
    let server = Server::new(1, sleep, Arc::new(|| 0));
    let store = Store::over(server.connect());
    let tenant = TenantId::anonymous();
    let key = Key::Block {
        tenant: &tenant,
        id: BlockId::new(1, 1),
    };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), vec![7; 3 * PART_BYTES as usize]).expect("written");
    // Lost is only the reply to a write: the last step of all.
    server.set_faults(Faults {
        lost_replies: 1000,
        ..Faults::default()
    });
    let stored = store.create_from(key, file.path()).await;
    stored.expect("it is there");
    assert_eq!(server.largest_request(), PART_BYTES);
    server.set_faults(Faults {
        refused: 1000,
        ..Faults::default()
    });
    let refused = store.create_from(key, file.path()).await;
    refused.expect_err("nothing is answered");
}

#[tokio::test]
async fn a_create_whose_reply_was_lost_is_known_as_ours_when_repeated() {
    let sleep = Arc::new(|_| Box::pin(async {}) as _);
    let server = Server::new(1, sleep, Arc::new(|| 0));
    let store = Store::over(server.connect());
    let writer = WriterId::parse("w").expect("valid");
    let key = Key::LogSegment {
        writer: &writer,
        incarnation: 1,
        first: 1,
    };
    let create = |bytes| store.create_once(key, Bytes::from_static(bytes));
    server.set_faults(Faults {
        lost_replies: 1000,
        ..Faults::default()
    });
    let unknown = create(b"mine").await.expect_err("the reply is lost");
    assert_eq!(unknown.code(), cairn_model::Code::Unavailable);
    server.set_faults(Faults::default());
    create(b"mine").await.expect("ours");
    let foreign = create(b"yours").await.expect_err("taken");
    assert_eq!(foreign.code(), cairn_model::Code::Conflict);
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let store = Store::memory();
    contract(&store).await;
    long_log_contract(&store).await;
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("made/on/open");
    let store = Store::open(&Config::folder(path), 1).await;
    let store = store.expect("opened");
    contract(&store).await;
    long_log_contract(&store).await;
}

#[tokio::test]
async fn objects_outlive_the_handle_that_wrote_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config::folder(folder.path());
    let tenant = TenantId::anonymous();
    let key = Key::Block {
        tenant: &tenant,
        id: BlockId::new(1, 1),
    };
    let store = Store::open(&config, 1).await.expect("opened");
    store
        .create(key, Bytes::from_static(b"kept"))
        .await
        .expect("created");
    drop(store);
    let store = Store::open(&config, 1).await.expect("opened again");
    assert_eq!(store.get(key).await.expect("there"), "kept");
}
