use std::sync::Arc;

use cairn_chassis::{Options, Process};
use cairn_model::ContentHash;
use cairn_store::Store;

use super::super::tests::uploads;
use super::*;
use crate::record::{Refusal, Stored, Upload};

const NOW: i64 = 1_000 * DAY.as_millis() as i64;
const KIND: FileKind = FileKind::Debuginfo;

fn id(text: &str) -> BuildId {
    BuildId::parse(text).expect("valid")
}

fn days_ago(days: i64) -> i64 {
    NOW - days * DAY.as_millis() as i64
}

fn object(build_id: &str, name: DebuginfoName, days: i64) -> DebuginfoObject {
    DebuginfoObject {
        build_id: id(build_id),
        name,
        bytes: 1,
        stored_unix_ms: days_ago(days),
    }
}

fn entry(build_id: &str, record: Record) -> Entry {
    Entry {
        place: Place {
            tenant: TenantId::anonymous(),
            build_id: id(build_id),
            kind: KIND,
        },
        record,
    }
}

fn stored(upload: u128, days: i64, is_refused: bool) -> Record {
    Record {
        file: Some(Stored {
            upload: UploadId(upload),
            content: None,
            finished_unix_ms: days_ago(days),
            bytes: 1,
            hash: String::new(),
            is_fetched: false,
            refusal: is_refused.then(|| Refusal {
                reason: String::new(),
                by_version: 1,
            }),
        }),
        ..Record::default()
    }
}

fn upload(id: u128) -> Option<Upload> {
    Some(Upload {
        id: UploadId(id),
        started_unix_ms: 0,
        bytes: 0,
        hash: String::new(),
        also: Vec::new(),
        is_hash: false,
        is_signed: false,
        came: None,
    })
}

fn state(number: u32) -> DebuginfoName {
    DebuginfoName::State { kind: KIND, number }
}

fn file(upload: u128) -> DebuginfoName {
    bytes(upload, None)
}

fn bytes(upload: u128, content: Option<u8>) -> DebuginfoName {
    DebuginfoName::File {
        kind: KIND,
        upload: UploadId(upload),
        content: content.map(|byte| ContentHash([byte; 32])),
    }
}

fn incoming(upload: u128) -> DebuginfoName {
    DebuginfoName::Incoming {
        kind: KIND,
        upload: UploadId(upload),
    }
}

fn also(of: &str) -> DebuginfoName {
    DebuginfoName::Also {
        kind: KIND,
        of: id(of),
    }
}

fn symbols(upload: u128, version: u32) -> DebuginfoName {
    DebuginfoName::Symbols {
        kind: KIND,
        upload: UploadId(upload),
        version,
    }
}

fn joined(upload: u128, program: u128, version: u32) -> DebuginfoName {
    DebuginfoName::Joined {
        kind: KIND,
        upload: UploadId(upload),
        version,
        program: UploadId(program),
    }
}

#[test]
fn what_nothing_leads_to_goes_when_it_is_old() {
    let replacing = Record {
        upload: upload(3),
        ..stored(2, 100, false)
    };
    let deleted = Record {
        deleted_unix_ms: Some(days_ago(40)),
        ..Record::default()
    };
    let entries = [
        entry("aa", replacing),
        entry("bb", stored(4, 100, true)),
        entry("cc", deleted),
        entry("dd", stored(5, 100, false)),
        // An upload that was given up.
        entry("ab", Record::default()),
    ];
    let used = |day| DebuginfoName::Used { day };
    let objects = [
        (object("aa", state(3), 40), false),
        (object("aa", state(2), 2), true),
        (object("aa", state(1), 0), false),
        (object("aa", file(1), 2), true),
        (object("aa", file(1), 0), false),
        (object("aa", file(2), 2), false),
        (object("aa", file(3), 2), false),
        (object("aa", incoming(3), 2), false),
        (object("bb", state(9), 40), false),
        (object("bb", file(4), 2), true),
        (object("cc", state(2), 31), true),
        (object("cc", file(7), 2), true),
        (object("dd", file(5), 900), false),
        (object("dd", incoming(5), 2), true),
        (object("dd", used(900), 100), true),
        (object("dd", used(950), 50), false),
        (object("ee", file(6), 2), true),
        (object("dd", symbols(5, cairn_symbols::VERSION), 100), false),
        (
            object("dd", symbols(5, cairn_symbols::VERSION + 1), 100),
            false,
        ),
        (
            object("dd", symbols(5, cairn_symbols::VERSION - 1), 2),
            true,
        ),
        (
            object("dd", symbols(5, cairn_symbols::VERSION - 1), 0),
            false,
        ),
        // The program is another build's, as names go: it is found by what its file says.
        (object("dd", joined(5, 2, cairn_symbols::VERSION), 2), false),
        (object("dd", joined(5, 1, cairn_symbols::VERSION), 2), true),
        (object("dd", joined(5, 1, cairn_symbols::VERSION), 0), false),
        (object("dd", joined(9, 2, cairn_symbols::VERSION), 2), true),
        (
            object("dd", joined(5, 2, cairn_symbols::VERSION - 1), 2),
            true,
        ),
        (object("ab", state(2), 2), true),
        (object("ac", used(960), 40), true),
        (object("ac", used(980), 20), false),
        (object("ad", used(960), 40), true),
        (object("ff", also("dd"), 100), false),
        (object("ff", also("cc"), 100), true),
        (object("ff", also("99"), 0), false),
    ];
    let all: Vec<_> = objects.iter().map(|(object, _)| object.clone()).collect();
    let left = leftovers(&all, &entries, NOW);
    for (object, is_left) in &objects {
        assert_eq!(left.contains(&object), *is_left, "{object:?}");
    }
}

#[test]
fn of_the_bytes_of_an_upload_those_that_its_record_names_stay() {
    let content = |byte| ContentHash([byte; 32]);
    let coming = |came: Option<u8>| Record {
        upload: upload(6).map(|upload| Upload {
            came: came.map(content),
            ..upload
        }),
        ..Record::default()
    };
    let there = |byte| {
        let mut record = stored(6, 100, false);
        record.file.as_mut().expect("a file").content = Some(content(byte));
        record
    };
    let entries = [
        entry("a4", coming(None)),
        entry("a5", coming(Some(1))),
        entry("a6", there(1)),
    ];
    let objects = [
        (object("a4", bytes(6, Some(1)), 2), false),
        (object("a4", bytes(6, Some(2)), 2), false),
        (object("a4", bytes(7, Some(1)), 2), true),
        (object("a5", bytes(6, Some(1)), 2), false),
        (object("a5", bytes(6, Some(2)), 2), true),
        (object("a5", bytes(6, Some(2)), 0), false),
        (object("a6", bytes(6, Some(1)), 2), false),
        (object("a6", bytes(6, Some(2)), 2), true),
    ];
    let all: Vec<_> = objects.iter().map(|(object, _)| object.clone()).collect();
    let left = leftovers(&all, &entries, NOW);
    for (object, is_left) in &objects {
        assert_eq!(left.contains(&object), *is_left, "{object:?}");
    }
}

#[test]
fn a_file_is_unused_when_neither_uploaded_nor_asked_for_lately() {
    let entries = [
        entry("aa", stored(1, 31, false)),
        entry("bb", stored(1, 29, false)),
        entry("cc", stored(1, 100, false)),
        entry("dd", stored(1, 100, true)),
        entry(
            "ee",
            Record {
                upload: upload(2),
                ..stored(1, 100, false)
            },
        ),
    ];
    let objects = [
        object("cc", DebuginfoName::Used { day: 975 }, 25),
        object("a1", also("aa"), 31),
        object("a2", also("bb"), 31),
    ];
    let unused = unused(&objects, &entries, 30 * DAY, NOW);
    let expected = Unused {
        place: entries[0].place.clone(),
        upload: UploadId(1),
        build_ids: Arc::new(HashSet::from([id("aa"), id("a1")])),
    };
    assert_eq!(unused, [expected]);
}

#[test]
fn a_file_is_used_by_whatever_name_its_build_has() {
    let sources = |build_id: &str| {
        let mut entry = entry(build_id, stored(9, 100, false));
        entry.place.kind = FileKind::Sources;
        entry
    };
    let entries = [
        entry("aa", stored(1, 100, false)),
        sources("a1"),
        sources("b1"),
        entry("bb", stored(2, 100, false)),
        sources("cc"),
    ];
    let used = |build_id, day| object(build_id, DebuginfoName::Used { day }, 1);
    let objects = [
        object("a1", also("aa"), 100),
        object("a2", also("aa"), 100),
        used("a2", 999),
        object("b1", also("bb"), 100),
        object("b2", also("bb"), 100),
        used("b1", 900),
    ];
    let unused = unused(&objects, &entries, 30 * DAY, NOW);
    let found: Vec<_> = unused
        .iter()
        .map(|unused| (unused.place.build_id.clone(), (*unused.build_ids).clone()))
        .collect();
    let of_bb = HashSet::from([id("b1"), id("bb"), id("b2")]);
    let expected = [
        (id("b1"), of_bb.clone()),
        (id("bb"), of_bb),
        (id("cc"), HashSet::from([id("cc")])),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_upload_that_does_not_end_in_a_day_or_while_it_may_is_abandoned() {
    let began = |days| Record {
        upload: upload(3).map(|upload| Upload {
            started_unix_ms: days_ago(days),
            ..upload
        }),
        ..stored(2, 100, false)
    };
    let (minutes, days) = (Duration::from_secs(17 * 60), 5 * DAY);
    for (record, stale_after, expected) in [
        (began(2), minutes, Some(UploadId(3))),
        (began(1), minutes, None),
        (began(-1), minutes, None),
        (began(4), days, None),
        (began(6), days, Some(UploadId(3))),
        (stored(2, 100, false), minutes, None),
    ] {
        let found = abandoned(&record, stale_after, NOW);
        assert_eq!(found, expected, "{record:?}");
    }
}

/// A build that comes again while a sweep decides keeps its names.
#[tokio::test]
async fn a_name_that_is_of_use_again_outlives_the_decision_to_delete_it() {
    let process = Process::bind(Options::for_tests(), &["symbolizer"]).await;
    let process = process.expect("free ports");
    let uploads = uploads(Store::memory(), &process).await;
    let records = uploads.files.records();
    let entry = entry("aa", Record::default());
    let (place, tenant) = (&entry.place, &entry.place.tenant);
    for build_id in ["a1", "a2"] {
        records.also(place, &id(build_id)).await.expect("noted");
    }
    let listed = records.store().list_debuginfo(tenant, None).await;
    let listed = listed.expect("listed");
    let left = leftovers(&listed, &[], i64::MAX);
    assert_eq!(left.len(), 2);
    uploads
        .delete_leftovers(tenant, &left[..1])
        .await
        .expect("deleted");
    let begin = |_: Option<&Record>| {
        let upload = upload(1).expect("one");
        Ok(Change::Write(Box::new(Record::begin(None, upload)), ()))
    };
    records.change(place, begin).await.expect("begun");
    uploads
        .delete_leftovers(tenant, &left[1..])
        .await
        .expect("deleted");
    let listed = records.store().list_debuginfo(tenant, None).await;
    let listed: Vec<_> = listed
        .expect("listed")
        .into_iter()
        .map(|object| (object.build_id, object.name))
        .collect();
    assert_eq!(listed, [(id("a2"), also("aa")), (id("aa"), state(1))]);
    process.stop().await.expect("it stops in order");
}

#[test]
fn fetched_files_make_room_by_the_day_of_their_last_use() {
    let fetched = |upload| DebuginfoName::Fetched {
        kind: KIND,
        upload: UploadId(upload),
    };
    let mut objects = Vec::new();
    let days = [
        ("aa", 990),
        ("bb", 970),
        ("cc", 980),
        ("dd", 999),
        ("ee", 0),
    ];
    for (upload, (build_id, used)) in (1..).zip(days) {
        objects.push(object(build_id, fetched(upload), 100));
        objects.push(object(build_id, file(upload), 100));
        if used > 0 {
            objects.push(object(build_id, DebuginfoName::Used { day: used }, 0));
        }
    }
    // What was uploaded is no such file.
    objects.push(object("ff", file(9), 100));
    let gone = |bytes_max| -> Vec<String> {
        let gone = overflow(&objects, bytes_max, 1000).into_iter();
        gone.map(|gone| gone.build_id.to_string()).collect()
    };
    assert_eq!(gone(6), [""; 0]);
    assert_eq!(gone(5), ["ee", "bb"]);
    assert_eq!(gone(0), ["ee", "bb", "cc", "aa"]);
}
