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
    })
}

fn state(number: u32) -> DebuginfoName {
    DebuginfoName::State { kind: KIND, number }
}

fn file(upload: u128) -> DebuginfoName {
    DebuginfoName::File {
        kind: KIND,
        upload: UploadId(upload),
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
        build_ids: HashSet::from([id("aa"), id("a1")]),
    };
    assert_eq!(unused, [expected]);
}
