//! Two replicas that decide at once, in every order in which their reads and writes may happen.

use super::*;

/// What a replica is asked to do.
#[derive(Clone, Copy, Debug)]
enum Act {
    Begin { id: u128, force: bool },
    End { id: u128, refused: bool },
    GiveUp { id: u128 },
    Refuse { id: u128 },
    Delete,
}

const ACTS: [Act; 8] = [
    Act::Begin {
        id: 1,
        force: false,
    },
    Act::Begin {
        id: 2,
        force: false,
    },
    Act::Begin { id: 2, force: true },
    Act::End {
        id: 1,
        refused: false,
    },
    Act::End {
        id: 2,
        refused: true,
    },
    Act::GiveUp { id: 1 },
    Act::Refuse { id: 1 },
    Act::Delete,
];

impl Act {
    /// The record that this writes, if it writes one.
    fn decide(self, record: Option<&Record>) -> Option<Record> {
        match self {
            Self::Begin { id, force } => {
                let reason = Record::wants(record, false, &ask("", force, 0));
                let next = Record::begin(record, upload(id, 0));
                reason.is_wanted().then_some(next)
            }
            Self::End { id, refused } => record?.end(stored(id, refused)),
            Self::GiveUp { id } => record?.give_up(UploadId(id)),
            Self::Refuse { id } => {
                let refusal = stored(id, true).refusal.expect("refused");
                record?.refuse(UploadId(id), refusal)
            }
            Self::Delete => record?.delete(9),
        }
    }

    /// Whether these records may follow each other by this act: said anew, without the decisions.
    fn allows(self, before: Option<&Record>, after: &Record) -> bool {
        let empty = Record::default();
        let before = before.unwrap_or(&empty);
        let id_of = |upload: &Option<Upload>| upload.as_ref().map(|upload| upload.id.0);
        let file_of = |file: &Option<Stored>| file.as_ref().map(|file| file.upload.0);
        let is_free = before.upload.is_none() && before.readable().is_none();
        match self {
            Self::Begin { id, force } => {
                (force || is_free) && id_of(&after.upload) == Some(id) && after.file == before.file
            }
            Self::End { id, refused } => {
                // What is of no use replaces nothing that is of use.
                let holds = match refused && before.readable().is_some() {
                    true => after.file == before.file,
                    false => {
                        file_of(&after.file) == Some(id) && after.readable().is_none() == refused
                    }
                };
                id_of(&before.upload) == Some(id) && after.upload.is_none() && holds
            }
            Self::GiveUp { id } => {
                id_of(&before.upload) == Some(id)
                    && after.upload.is_none()
                    && after.file == before.file
            }
            Self::Refuse { id } => {
                file_of(&before.file) == Some(id)
                    && file_of(&after.file) == Some(id)
                    && after.readable().is_none()
                    && after.upload == before.upload
            }
            Self::Delete => after.upload.is_none() && after.file.is_none(),
        }
    }
}

/// A replica between two steps.
#[derive(Clone, Copy, Debug)]
struct Replica<'a> {
    acts: &'a [Act],
    /// How many records there were when it read the newest, if it has read.
    read: Option<usize>,
    /// How many of its acts were written.
    written: usize,
}

impl Replica<'_> {
    /// Reads, or decides on what it has read and creates the next record if nobody else has.
    fn step(mut self, log: &[Record]) -> (Self, Option<(Act, Record)>) {
        let Some(read) = self.read.take() else {
            self.read = Some(log.len());
            return (self, None);
        };
        let act = self.acts[0];
        let seen = read.checked_sub(1).map(|at| &log[at]);
        match act.decide(seen) {
            Some(_) if log.len() > read => (self, None),
            next => {
                self.acts = &self.acts[1..];
                self.written += usize::from(next.is_some());
                (self, next.map(|next| (act, next)))
            }
        }
    }
}

/// Tries every order of the steps that are left, and gives how many there are.
fn explore(replicas: [Replica<'_>; 2], log: &mut Vec<Record>, begun: usize) -> usize {
    let mut ends = 0;
    for at in [0, 1] {
        if replicas[at].acts.is_empty() {
            continue;
        }
        let (moved, written) = replicas[at].step(log);
        let mut next = replicas;
        next[at] = moved;
        if let Some((act, record)) = &written {
            assert!(
                act.allows(log.last(), record),
                "{act:?}: {log:?}, {record:?}"
            );
            log.push(record.clone());
        }
        ends += explore(next, log, begun);
        if written.is_some() {
            log.pop();
        }
    }
    if replicas.iter().all(|replica| replica.acts.is_empty()) {
        // Whoever was told that it wrote has written a record of its own.
        let written = replicas.iter().map(|replica| replica.written);
        assert_eq!(log.len() - begun, written.sum::<usize>());
        return 1;
    }
    ends
}

#[test]
fn whatever_two_replicas_do_at_once_each_record_follows_from_the_one_before() {
    let uploading = Record::begin(None, upload(1, 0));
    let there = uploading.end(stored(1, false)).expect("it is under way");
    let replacing = Record::begin(Some(&there), upload(2, 0));
    let beginnings = [
        vec![],
        vec![uploading],
        vec![there.clone()],
        vec![there, replacing],
    ];
    let mut ends = 0;
    for log in beginnings {
        for first in ACTS {
            for second in ACTS {
                for other in ACTS {
                    let replica = |acts| Replica {
                        acts,
                        read: None,
                        written: 0,
                    };
                    let (one, two) = ([first, second], [other, second]);
                    let replicas = [replica(&one[..]), replica(&two[..])];
                    let begun = log.len();
                    ends += explore(replicas, &mut log.clone(), begun);
                }
            }
        }
    }
    assert!(ends > 100_000, "only {ends} orders were tried");
}

#[test]
fn of_two_that_begin_at_once_one_goes_on() {
    let (one, two) = (
        [Act::Begin {
            id: 1,
            force: false,
        }],
        [Act::Begin {
            id: 2,
            force: false,
        }],
    );
    let replica = |acts| Replica {
        acts,
        read: None,
        written: 0,
    };
    // Both have read that there is nothing.
    let (one, _) = replica(&one[..]).step(&[]);
    let (two, _) = replica(&two[..]).step(&[]);
    let (one, written) = one.step(&[]);
    let log = [written.expect("it was first").1];
    let (two, written) = two.step(&log);
    assert!(written.is_none() && two.acts.len() == 1);
    let (two, _) = two.step(&log);
    let (two, written) = two.step(&log);
    assert!(written.is_none() && two.acts.is_empty());
    assert_eq!((one.written, two.written), (1, 0));
}
