//! Samples, the request for their stacks, the stacks.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use cairn_model::Limits;
use cairn_parca::write::{self, Call, Frame, Sample};
use cairn_parca::{Error, MISSING_FRAME, StackId};

use crate::{decode, kind, labels, named, native, rows, sample};

const A: StackId = [0xa; 16];
const B: StackId = [0xb; 16];
const C: StackId = [0xc; 16];

fn with_id(pod: &str, stack_id: StackId, value: i64) -> Sample {
    Sample {
        stack_id,
        ..sample(pod, &[], value, 9)
    }
}

fn three() -> [Sample; 4] {
    [
        with_id("p", A, 1),
        with_id("p", B, 2),
        with_id("q", A, 4),
        with_id("q", C, 8),
    ]
}

fn stacks() -> Vec<(StackId, Arc<[Frame]>)> {
    vec![
        (B, Arc::from([named("python", "f", 3), native("app", 1)])),
        (A, Arc::from([native("app", 1)])),
    ]
}

#[test]
fn a_write_in_three_steps() {
    let limits = Limits::default();
    let samples = cairn_parca::samples(&write::v1_samples(&three()), &limits).unwrap();
    assert_eq!(samples.len(), 4);
    let ids: Vec<StackId> = samples.stack_ids().collect();
    assert_eq!(ids, [A, B, C]);
    let stacks = cairn_parca::stacks(&write::v1_stacks(&stacks()), &limits).unwrap();
    assert_eq!(
        (stacks.len(), stacks.contains(&A), stacks.contains(&C)),
        (2, true, false)
    );
    let decoded = samples.join(&stacks, &limits).unwrap();
    assert_eq!(
        (
            decoded.rows,
            decoded.missing_stacks,
            decoded.ignored_columns
        ),
        (4, 1, 0)
    );
    let [p, q] = &decoded.profiles[..] else {
        panic!("{decoded:?}");
    };
    assert_eq!(
        (labels(p), labels(q)),
        ("node=n1,pod=p".into(), "node=n1,pod=q".into())
    );
    assert_eq!(
        kind(p),
        "parca_agent:samples:count:cpu:nanoseconds period 52 time 9 duration 1000"
    );
    let app = "app(id of app)0x1";
    assert_eq!(
        rows(&p.profile),
        [
            format!("{app} = 1 []"),
            format!("[python]()0x3 f/f:f.src:1:3:2 < {app} = 2 []")
        ]
    );
    assert_eq!(
        rows(&q.profile),
        [
            format!("{app} = 4 []"),
            format!("0x0 {MISSING_FRAME}/::0:0:0 = 8 []")
        ]
    );
}

#[test]
fn both_records_may_come_in_one_buffer_in_any_order() {
    let (first, second) = (write::v1_samples(&three()), write::v1_stacks(&stacks()));
    let forth = decode(&[first.clone(), second.clone()].concat()).unwrap();
    let back = decode(&[second, first].concat()).unwrap();
    assert_eq!(forth, back);
    assert_eq!(
        (forth.rows, forth.missing_stacks, forth.profiles.len()),
        (4, 1, 2)
    );
}

#[test]
fn samples_without_any_stacks_keep_their_values() {
    let decoded = decode(&write::v1_samples(&three())).unwrap();
    assert_eq!(decoded.missing_stacks, 4);
    let values: Vec<&[i64]> = decoded
        .profiles
        .iter()
        .map(|p| &p.profile.samples.values[..])
        .collect();
    assert_eq!(values, [[3], [12]]);
}

#[test]
fn mapped_addresses_become_offsets_and_names_win_over_system_names() {
    let call = |name: &str, system_name: &str| Call {
        name: name.to_owned(),
        system_name: system_name.to_owned(),
        ..Call::default()
    };
    let mapped = Frame {
        mapping_start: 0x1000,
        mapping_offset: 0x200,
        calls: vec![call("plain", "_Zplain"), call("", "_Zonly")],
        ..native("app", 0x1234)
    };
    let below = Frame {
        mapping_start: 0x2000,
        ..native("app", 0x1234)
    };
    let stack: Arc<[Frame]> = Arc::from([mapped, below]);
    let limits = Limits::default();
    let samples = cairn_parca::samples(&write::v1_samples(&[with_id("p", A, 1)]), &limits);
    let stacks = cairn_parca::stacks(&write::v1_stacks(&[(A, stack)]), &limits).unwrap();
    let decoded = samples.unwrap().join(&stacks, &limits).unwrap();
    assert_eq!(
        rows(&decoded.profiles[0].profile),
        [
            "app(id of app)+0x434 plain/_Zplain::0:0:0 _Zonly/_Zonly::0:0:0 < \
          app(id of app)0x1234 = 1 []"
        ]
    );
}

#[test]
fn a_request_is_one_column_of_names() {
    let bytes = cairn_parca::request(&[A, C]);
    let reader = StreamReader::try_new(&bytes[..], None).unwrap();
    let schema = reader.schema();
    assert_eq!(
        schema.metadata().get("parca_write_schema_version").unwrap(),
        &"v1"
    );
    assert_eq!(schema.fields().len(), 1);
    assert_eq!(schema.field(0).name(), "stacktrace_id");
    assert_eq!(schema.field(0).data_type(), &DataType::Binary);
    let batches: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.len(), 1);
    let names: Vec<_> = batches[0]
        .column(0)
        .as_binary::<i32>()
        .iter()
        .flatten()
        .collect();
    assert_eq!(names, [A, C]);
    let none = cairn_parca::request(&[]);
    let none = StreamReader::try_new(&none[..], None).unwrap();
    assert_eq!(
        none.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        0
    );
}

#[test]
fn steps_are_not_taken_for_each_other() {
    let limits = Limits::default();
    let contradiction = |error| match error {
        Error::Contradiction(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    let error = cairn_parca::samples(&write::v1_stacks(&stacks()), &limits).unwrap_err();
    assert_eq!(
        contradiction(error),
        "it holds no samples that name their stacks"
    );
    let error = cairn_parca::samples(&write::v2(&three()), &limits).unwrap_err();
    assert_eq!(
        contradiction(error),
        "it holds no samples that name their stacks"
    );
    let error = cairn_parca::stacks(&write::v1_samples(&three()), &limits).unwrap_err();
    assert_eq!(contradiction(error), "it holds no stacks");
}
