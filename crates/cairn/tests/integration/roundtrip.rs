//! What goes in comes out: the same stacks, labels and totals, for every profile of the corpus.

use std::collections::BTreeMap;

use cairn_model::{Profile, ProfileType, TimeRange};
use cairn_pprof::{Canonical, canonical};
use cairn_testkit::corpus;

use crate::cairn::{Cairn, Client};
use crate::oracle;

/// Profiles without a time of their own are stored at the time of their arrival.
pub(crate) const ANY_TIME: TimeRange = TimeRange {
    start: 0,
    end: 4_000_000_000_000_000_000,
};

/// By another reader than the one under test.
fn decode(bytes: &[u8]) -> Profile {
    oracle::decode(&oracle::inflate(bytes)).expect("the corpus is valid")
}

/// Value by stack and labels.
pub(crate) type Column = BTreeMap<(Vec<String>, Vec<(String, String)>), i64>;

/// Rows of one column with values.
pub(crate) fn column(rows: &Canonical, column: usize) -> Column {
    let cells = rows
        .iter()
        .map(|(key, values)| (key.clone(), values[column]));
    cells.filter(|(_, value)| *value != 0).collect()
}

pub(crate) fn type_of(name: &str, profile: &Profile, column: usize) -> ProfileType {
    let text = |id| profile.str(id).to_owned();
    ProfileType {
        name: name.to_owned(),
        sample_type: text(profile.types[column].kind),
        sample_unit: text(profile.types[column].unit),
        period_type: text(profile.period_type.kind),
        period_unit: text(profile.period_type.unit),
        delta: profile.duration != 0,
    }
}

async fn check(client: &Client, number: usize, name: &str, sent: &Profile) -> usize {
    let rows = canonical(sent);
    for at in 0..sent.types.len() {
        let selector = format!("{}{{file=\"{number}\"}}", type_of("corpus", sent, at));
        let expected = column(&rows, at);
        match client.merged_bytes(&selector, ANY_TIME).await {
            Ok((answer, warnings)) => {
                let answer = decode(&answer);
                assert!(warnings.is_empty(), "{name} {selector}: {warnings:?}");
                assert_eq!(
                    column(&canonical(&answer), 0),
                    expected,
                    "{name} {selector}"
                );
            }
            Err(status) if status.code() == tonic::Code::NotFound => {
                assert!(expected.is_empty(), "{name} {selector}: {status}");
            }
            Err(status) => panic!("{name} {selector}: {status}"),
        }
    }
    sent.types.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_profile_of_the_corpus_comes_back_exactly() {
    let data = tempfile::tempdir().unwrap();
    let profiles: Vec<(String, Vec<u8>)> = corpus::pprofs()
        .into_iter()
        .map(|p| (p.name, p.bytes))
        .collect();
    assert!(
        profiles.len() > 50,
        "the corpus has only {} profiles",
        profiles.len()
    );

    let cairn = Cairn::start(data.path(), &[]);
    let client = cairn.connect().await;
    for (number, (name, bytes)) in profiles.iter().enumerate() {
        let file = number.to_string();
        let pushed = client
            .push(bytes.clone(), &[("__name__", "corpus"), ("file", &file)])
            .await;
        pushed.unwrap_or_else(|status| panic!("{name}: {status}"));
    }
    let mut types = 0;
    for (number, (name, bytes)) in profiles.iter().enumerate() {
        types += check(&client, number, name, &decode(bytes)).await;
    }
    // A clean stop writes blocks, so the second look reads from them.
    cairn.stop();
    let cairn = Cairn::start(data.path(), &[]);
    let client = cairn.connect().await;
    for (number, (name, bytes)) in profiles.iter().enumerate() {
        check(&client, number, name, &decode(bytes)).await;
    }
    println!(
        "{} profiles, {types} types: from the tail and from blocks",
        profiles.len()
    );
    cairn.stop();
}
