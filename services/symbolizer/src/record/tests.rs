use super::*;

mod races;

const STALE: Duration = Duration::from_secs(17 * 60);
const MINUTE: i64 = 60_000;

fn upload(id: u128, started_unix_ms: i64) -> Upload {
    Upload {
        id: UploadId(id),
        started_unix_ms,
        bytes: 1,
        hash: format!("hash {id}"),
        also: Vec::new(),
        is_hash: false,
        is_signed: false,
        came: None,
    }
}

fn stored(id: u128, refused: bool) -> Stored {
    Stored {
        upload: UploadId(id),
        content: None,
        finished_unix_ms: 0,
        bytes: 1,
        hash: format!("hash {id}"),
        is_fetched: false,
        refusal: refused.then(|| Refusal {
            reason: "no ELF".to_owned(),
            by_version: cairn_symbols::VERSION,
        }),
    }
}

fn ask(hash: &str, force: bool, now_unix_ms: i64) -> Ask<'_> {
    Ask {
        hash,
        force,
        now_unix_ms,
        stale_after: STALE,
    }
}

#[test]
fn one_content_may_be_stored_with_an_upload() {
    let hash = |byte| ContentHash([byte; 32]);
    let begun = Record::begin(None, upload(1, 0));
    let Came::First(came) = Record::came(Some(&begun), UploadId(1), hash(0xaa)) else {
        panic!("nothing came before");
    };
    let came = *came;
    let at = |record, id, byte| Record::came(record, UploadId(id), hash(byte));
    assert_eq!(at(Some(&came), 1, 0xaa), Came::Again);
    assert_eq!(at(Some(&came), 1, 0xbb), Came::Other);
    let ended = came.end(stored(1, false)).expect("it is under way");
    let given_up = came.give_up(UploadId(1));
    for (record, id) in [
        (None, 1),
        (Some(&came), 2),
        (Some(&ended), 1),
        (given_up.as_ref(), 1),
    ] {
        assert_eq!(at(record, id, 0xaa), Came::Late);
    }
    // The next upload begins anew.
    let next = Record::begin(Some(&came), upload(2, 0));
    assert!(matches!(at(Some(&next), 2, 0xbb), Came::First(_)));
}

/// The whole table, with the first words of each answer as clients see them.
#[test]
fn every_state_has_its_answer() {
    let (no, yes) = (false, true);
    let uploading = Record::begin(None, upload(1, 0));
    let there = uploading.end(stored(1, false)).expect("it is under way");
    let replacing = Record::begin(Some(&there), upload(2, 0));
    let (early, late) = (17 * MINUTE, 17 * MINUTE + 1);
    let new = "First time we see";
    answers(
        None,
        &[(ask("", no, 0), yes, new), (ask("", yes, 0), yes, new)],
    );
    answers(Some(&Record::default()), &[(ask("", no, 0), yes, new)]);
    let in_progress = "A previous upload is still";
    answers(
        Some(&uploading),
        &[
            (ask("", no, early), no, in_progress),
            (ask("", no, late), yes, "A previous upload was started"),
            (
                ask("", yes, 0),
                yes,
                "A previous upload is in-progress, but",
            ),
        ],
    );
    let is_there = "Debuginfo already exists and is not marked as invalid, therefore no new";
    let forced = "Debuginfo already exists and is not marked as invalid, therefore wouldn't";
    answers(
        Some(&there),
        &[
            (ask("", no, 0), no, is_there),
            (ask("hash 1", no, 0), no, is_there),
            (ask("", yes, 0), yes, forced),
        ],
    );
    answers(
        Some(&replacing),
        &[
            (ask("", no, early), no, in_progress),
            (ask("", no, late), no, is_there),
        ],
    );
    let deleted = there.delete(5).expect("it is there");
    let purged = "Debuginfo was previously uploaded but has been purged/cleaned up";
    answers(Some(&deleted), &[(ask("", no, 0), yes, purged)]);
}

#[test]
fn what_was_refused_is_wanted_only_if_it_may_be_better() {
    let (no, yes) = (false, true);
    let uploading = Record::begin(None, upload(1, 0));
    let refused = uploading.end(stored(1, true)).expect("it is under way");
    let needed = "Debuginfo already exists but is marked as invalid, therefore a new upload is";
    let same = "Debuginfo already exists and is marked as invalid, but the proposed hash is";
    let other = "Debuginfo already exists but is marked as invalid, therefore a new upload will";
    answers(
        Some(&refused),
        &[
            (ask("", no, 0), yes, needed),
            (ask("hash 1", no, 0), no, same),
            (ask("hash 1", yes, 0), no, same),
            (ask("hash 2", no, 0), yes, other),
        ],
    );
    let mut long_ago = refused.clone();
    let file = long_ago.file.as_mut().expect("a file");
    file.refusal.as_mut().expect("refused").by_version = cairn_symbols::VERSION - 1;
    answers(Some(&long_ago), &[(ask("hash 1", no, 0), yes, other)]);
}

fn answers(record: Option<&Record>, expected: &[(Ask<'_>, bool, &str)]) {
    for (ask, wanted, text) in expected {
        let reason = Record::wants(record, false, ask);
        let context = format!("{record:?}, {ask:?}: {reason:?}");
        assert_eq!(reason.is_wanted(), *wanted, "{context}");
        assert!(reason.text().starts_with(text), "{context}");
    }
}

#[test]
fn what_a_debuginfod_server_has_is_not_wanted_unless_it_is_of_no_use() {
    let reason = Record::wants(None, true, &ask("", false, 0));
    assert!(!reason.is_wanted());
    let text = "Debuginfo exists in debuginfod, therefore no upload is necessary.";
    assert_eq!(reason.text(), text);
    let fetched = |refused| Stored {
        is_fetched: true,
        ..stored(1, refused)
    };
    let (no, yes) = (false, true);
    let in_use = Record::fetched(None, fetched(false)).expect("there was none");
    let available = "Debuginfo is available from debuginfod already and not marked as invalid";
    answers(Some(&in_use), &[(ask("", no, 0), no, available)]);
    let refused = Record::fetched(None, fetched(true)).expect("there was none");
    let invalid = "Debuginfo is available from debuginfod already but is marked as invalid";
    answers(Some(&refused), &[(ask("", no, 0), yes, invalid)]);
    // What was uploaded comes first, and an upload goes on.
    let uploading = Record::begin(None, upload(2, 0));
    let both = Record::fetched(Some(&uploading), fetched(false)).expect("there was none");
    let there = both.end(stored(2, false)).expect("it is under way");
    assert_eq!(Record::fetched(Some(&there), fetched(false)), None);
    let reason = Record::wants(Some(&there), true, &ask("", false, 0));
    assert_eq!(reason, Reason::There);
}

#[test]
fn only_the_announced_upload_goes_on() {
    let id = |id: u128| UploadId(id).to_string();
    assert_eq!(Record::receiving(None, &id(1)), Err(Halt::NotBegun));
    assert_eq!(Record::ending(None, &id(1)), Err(Halt::Unknown));
    let uploading = Record::begin(None, upload(1, 0));
    assert_eq!(
        Record::receiving(Some(&uploading), &id(1)),
        Ok(upload(1, 0))
    );
    for wrong in ["", "1", "../1", &id(2)] {
        let halt = Record::receiving(Some(&uploading), wrong);
        assert_eq!(halt, Err(Halt::OtherUpload), "{wrong}");
        let halt = Record::ending(Some(&uploading), wrong);
        assert_eq!(halt, Err(Halt::OtherUpload), "{wrong}");
    }
    // The answer may be lost, so the end may come twice.
    let there = uploading.end(stored(1, false)).expect("it is under way");
    let again = Record::ending(Some(&there), &id(1));
    assert_eq!(again, Ok(End::Before(stored(1, false))));
    assert_eq!(there.end(stored(1, false)), None);
    assert_eq!(Record::receiving(Some(&there), &id(1)), Err(Halt::NotBegun));
    // What was given up or deleted does not come back.
    let given_up = uploading.give_up(UploadId(1)).expect("it is under way");
    let deleted = there.delete(0).expect("it is there");
    for gone in [given_up, deleted] {
        assert_eq!(Record::ending(Some(&gone), &id(1)), Err(Halt::NotBegun));
        assert_eq!(gone.end(stored(1, false)), None);
        assert_eq!(gone.delete(1), None);
    }
}

#[test]
fn records_read_back() {
    let mut begun = upload(1, 5);
    begun.also = vec![BuildId::parse("go/x-1").expect("valid")];
    begun.came = Some(ContentHash([1; 32]));
    let there = Record::begin(None, begun).end(stored(1, true));
    let replacing = Record::begin(there.as_ref(), upload(2, 7));
    for record in [Record::default(), replacing] {
        let text = serde_json::to_string(&record).expect("it is plain data");
        assert_eq!(serde_json::from_str::<Record>(&text).ok(), Some(record));
    }
}
