//! The fuzz targets' inputs, run as an ordinary test.

use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use cairn_engine::codec::{encode, schema};
use cairn_engine::repeats::Ask;
use cairn_engine::{GroupBy, Query, Question, Scanned, exchange};
use cairn_model::{MatchOp, Matcher, TenantId};
use cairn_testkit::seeds::{self, STALE};
use cairn_wire::cairn::query::v1::Tail;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use futures::TryStreamExt;
use futures::executor::block_on;
use prost::Message;

use crate::model::{Made, MadeSample, Value};
use crate::scan::{answer, query};

#[path = "../../../../fuzz/checks/engine_codec.rs"]
mod check_codec;
#[path = "../../../../fuzz/checks/engine_ticket.rs"]
mod check_ticket;

#[test]
fn answers_are_refused_or_merge() {
    let accepted = seeds::accepted("engine_codec", |raw| check_codec::check(raw).is_some());
    assert!(accepted >= 3, "only {accepted} seeds are answers");
}

#[test]
fn tickets_are_refused_or_survive_a_round_trip() {
    let accepted = seeds::accepted("engine_ticket", check_ticket::check);
    assert!(accepted >= 2, "only {accepted} seeds are tickets");
}

#[test]
fn generated_seeds_are_as_committed() {
    for (name, question) in questions() {
        let asked = ticket(question.clone());
        let committed = seeds::committed("engine_ticket", name, &asked);
        assert!(committed == asked, "{name} {STALE}");
        let scanned = answer(&made(), &query(question));
        let committed = seeds::committed("engine_codec", name, &messages(&scanned));
        // The library may lay messages out anew; what they mean may not change.
        let read = check_codec::check(&committed);
        assert!(read == Some(scanned), "{name} {STALE}");
    }
}

fn questions() -> [(&'static str, Question); 4] {
    let series = Question::Series {
        step: 5,
        sum_by: None,
    };
    [
        ("stacks", Question::Stacks(GroupBy::Nothing)),
        ("groups", Question::Stacks(GroupBy::SampleLabels)),
        ("series", series),
        ("names", Question::LabelNames),
    ]
}

fn made() -> Vec<Made> {
    let sample = |stack: &[u32], value, attr, link| MadeSample {
        stack: stack.to_vec(),
        values: [value, -value],
        attrs: vec![attr],
        taken: None,
        link,
    };
    let profile = |time, samples| Made {
        labels: vec![("a", "x"), ("b", "y")],
        name: "cpu",
        time,
        duration: 10,
        period: 1,
        types: 2,
        samples,
    };
    let thread = ("thread", Value::Text("t1"));
    let size = ("size", Value::Number(-5, "bytes"));
    vec![
        profile(
            3,
            vec![
                sample(&[0, 2, 5], 10, thread, None),
                sample(&[1, 2, 5], 20, size, Some((1, 1))),
            ],
        ),
        profile(9, vec![sample(&[3, 4, 6, 7], 7, thread, None)]),
    ]
}

fn ticket(question: Question) -> Vec<u8> {
    let matcher = |name, op, value| Matcher::new(name, op, value).expect("valid");
    let query = Query {
        profile_type: Some("cpu:time:ns:time:ns:delta".parse().expect("valid")),
        matchers: vec![
            matcher("a", MatchOp::Equal, "x"),
            matcher("odd/name", MatchOp::NotRegex, "^y|\"z\\d$"),
        ],
        ..query(question)
    };
    let source = Source::Tail(Tail::default());
    exchange::encode(&TenantId::anonymous(), &query, source, &Ask::NOTHING).encode_to_vec()
}

fn messages(scanned: &Scanned) -> Vec<u8> {
    let batches = encode(scanned).into_iter().map(Ok);
    let encoder = FlightDataEncoderBuilder::new().with_schema(schema());
    let messages = encoder.build(futures::stream::iter(batches));
    let messages: Vec<FlightData> = block_on(messages.try_collect()).expect("encoded");
    let delimited = messages
        .iter()
        .flat_map(Message::encode_length_delimited_to_vec);
    delimited.collect()
}
