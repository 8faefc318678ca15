//! What recorded requests say, told without the decoders that are under test: protobuf is read by
//! `prost`, and what the fields mean is spelled out here once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model as model;
use cairn_pprof::canonical;
use cairn_testkit::corpus::Captured;
use cairn_wire::push::v1::PushRequest;
use prost::Message;
use serde_json::Value;

use crate::messages;
use crate::oracle;
use crate::roundtrip::{Column, column, type_of};

/// One value column of one profile: its type, the labels of its series, when it was taken.
pub(crate) type Key = (String, BTreeMap<String, String>, i64);

/// All that is stored once the requests are.
pub(crate) type Store = BTreeMap<Key, Column>;

/// Adds what a request says. `false` if it brings no profiles, or can't be read by anybody.
pub(crate) fn add(request: &Captured, store: &mut Store) -> bool {
    let profiles = match request.path.as_str() {
        "/ingest" => ingest(request),
        "/push.v1.PusherService/Push" => push(request),
        path if path.contains("v1development") => otlp(request),
        _ => return false,
    };
    assert!(!profiles.is_empty(), "{}: no profiles", request.name);
    for (name, labels, profile) in profiles {
        let rows = canonical(&profile);
        for at in 0..profile.types.len() {
            let of = type_of(&name, &profile, at).to_string();
            let cells = store.entry((of, labels.clone(), profile.time)).or_default();
            for (row, value) in column(&rows, at) {
                *cells.entry(row).or_default() += value;
            }
        }
    }
    true
}

type Named = (String, BTreeMap<String, String>, model::Profile);

fn pprof(raw: &[u8]) -> model::Profile {
    let profile = oracle::decode(&oracle::inflate(raw)).expect("as recorded");
    assert_ne!(profile.time, 0, "recorded profiles say when they are from");
    profile
}

/// The labels are in the application's name, and what the profile is called in its values.
fn ingest(request: &Captured) -> Vec<Named> {
    let name = request.query("name").expect("an application");
    let (app, tags) = name.split_once('{').unwrap_or((name, "}"));
    let tags = tags.strip_suffix('}').expect("closed").split(',');
    let mut labels: BTreeMap<String, String> = tags
        .filter_map(|tag| tag.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    labels.insert("service_name".to_owned(), app.to_owned());
    let spy = request.query("spyName").expect("all of them send it");
    labels.insert("pyroscope_spy".to_owned(), spy.to_owned());
    let [raw] = &request.pprofs()[..] else {
        panic!("{}: not one profile", request.name)
    };
    let profile = pprof(&raw.bytes);
    let is_block =
        String::from_utf8_lossy(&request.body).contains(r#""display-name":"block_count""#);
    let kinds: Vec<&str> = profile.types.iter().map(|t| profile.str(t.kind)).collect();
    let called = match &kinds.join(" ")[..] {
        "cpu" | "samples cpu" => "process_cpu",
        "samples wall cpu" => "wall",
        "inuse_objects inuse_space" | "alloc_objects alloc_space inuse_objects inuse_space" => {
            "memory"
        }
        "goroutine" => "goroutines",
        "contentions delay" if is_block => "block",
        "contentions delay" => "mutex",
        other => panic!("{}: values of {other}", request.name),
    };
    vec![(called.to_owned(), labels, profile)]
}

/// Labels of every series of a push, once for each of its profiles.
fn labels_of_push(request: &Captured) -> Vec<BTreeMap<String, String>> {
    let body = request.plain_body();
    if request.header("content-type") != Some("application/json") {
        let push = PushRequest::decode(&*body).expect("as recorded");
        let series = push.series.into_iter().flat_map(|series| {
            let labels = series
                .labels
                .into_iter()
                .map(|pair| (pair.name, pair.value));
            vec![labels.collect(); series.samples.len()]
        });
        return series.collect();
    }
    let json: Value = serde_json::from_slice(&body).expect("as recorded");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let array = |value: &Value| value.as_array().expect("a list").clone();
    let series = array(&json["series"]).into_iter().flat_map(|series| {
        let pairs = array(&series["labels"]).into_iter();
        let labels = pairs.map(|pair| (text(&pair["name"]), text(&pair["value"])));
        vec![labels.collect(); array(&series["samples"]).len()]
    });
    series.collect()
}

fn push(request: &Captured) -> Vec<Named> {
    let (labels, pprofs) = (labels_of_push(request), request.pprofs());
    assert_eq!(labels.len(), pprofs.len(), "{}", request.name);
    let named = labels.into_iter().zip(pprofs).map(|(mut labels, raw)| {
        let name = labels.remove("__name__").expect("all of them send it");
        (name, labels, pprof(&raw.bytes))
    });
    named.collect()
}

/// Clients of one release each.
fn otlp(request: &Captured) -> Vec<Named> {
    let body = messages::Request::decode(&*request.plain_body()).expect("as recorded");
    let tables = body.dictionary.expect("a dictionary");
    let mut named = Vec::new();
    for resources in &body.resources {
        let resource = resources.resource.clone().unwrap_or_default();
        for scopes in &resources.scopes {
            let mut labels = BTreeMap::new();
            for pair in &resource.attributes {
                let value = said(pair.value.as_ref()).expect("texts only");
                labels.insert(pair.key.clone(), value);
            }
            let service = labels.get("service.name").expect("it was set").clone();
            labels.insert("service_name".to_owned(), service);
            let scope = scopes.scope.clone().unwrap_or_default();
            assert!(scope.attributes.is_empty(), "{}", request.name);
            labels.insert("otel.scope.name".to_owned(), scope.name);
            labels.insert("otel.scope.version".to_owned(), scope.version);
            for raw in &scopes.profiles {
                let sent = match request.client.starts_with("beacon") {
                    true => Sent::of_1_10(raw),
                    false => Sent::of_1_9(raw),
                };
                let (name, profile) = sent.read(&tables);
                named.push((name, labels.clone(), profile));
            }
        }
    }
    named
}

fn said(value: Option<&messages::AnyValue>) -> Option<String> {
    match value?.value.as_ref()? {
        messages::Any::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// A profile of OpenTelemetry's, whatever the release.
struct Sent {
    sample_type: messages::ValueType,
    period_type: messages::ValueType,
    period: i64,
    time: u64,
    duration: u64,
    samples: Vec<messages::Sample>,
}

impl Sent {
    fn of_1_10(raw: &[u8]) -> Self {
        let profile = messages::Profile::decode(raw).expect("as recorded");
        assert!(profile.attribute_indices.is_empty());
        Self {
            sample_type: profile.sample_type.expect("a type"),
            period_type: profile.period_type.expect("a period"),
            period: profile.period,
            time: profile.time_unix_nano,
            duration: profile.duration_nano,
            samples: profile.samples,
        }
    }

    fn of_1_9(raw: &[u8]) -> Self {
        let profile = messages::Profile9::decode(raw).expect("as recorded");
        assert!(profile.attribute_indices.is_empty());
        let sample = |sample: messages::Sample8| messages::Sample {
            stack_index: sample.stack_index,
            attribute_indices: sample.attribute_indices,
            link_index: sample.link_index,
            values: sample.values,
            timestamps_unix_nano: sample.timestamps_unix_nano,
        };
        Self {
            sample_type: profile.sample_type.expect("a type"),
            period_type: profile.period_type.expect("a period"),
            period: profile.period,
            time: profile.time_unix_nano,
            duration: profile.duration_nano,
            samples: profile.samples.into_iter().map(sample).collect(),
        }
    }

    /// What it is called, and the profile. All tables stand in it whole, one row later where ours
    /// have a zero row that theirs need not have.
    fn read(&self, tables: &messages::Tables) -> (String, model::Profile) {
        let mut out = model::Profile {
            time: self.time.cast_signed(),
            duration: self.duration.cast_signed(),
            period: self.period,
            ..model::Profile::default()
        };
        let mut made = model::Tables::default();
        let strings: Vec<u32> = tables
            .strings
            .iter()
            .map(|s| made.strings.push(s))
            .collect();
        let string = |index: i32| match tables.strings[index as usize].as_str() {
            "" => 0,
            _ => strings[index as usize],
        };
        let text = |index: i32| tables.strings[index as usize].as_str();
        let value_type = |sent: &messages::ValueType| model::ValueType {
            kind: string(sent.type_strindex),
            unit: string(sent.unit_strindex),
        };
        out.period_type = value_type(&self.period_type);
        // A count of samples is shown as the time that each of them stands for.
        let kinds = [&self.sample_type, &self.period_type].map(|kind| text(kind.type_strindex));
        let (name, of, factor) = match kinds {
            ["samples", "wall"] => ("wall", out.period_type, self.period),
            ["memory.heap.bytes" | "memory.heap.objects", "memory.heap"] => {
                ("memory", value_type(&self.sample_type), 1)
            }
            other => panic!("values of {other:?}"),
        };
        out.types.push(of);
        for sent in &tables.functions {
            made.functions.push(model::Function {
                name: string(sent.name_strindex),
                system_name: string(sent.system_name_strindex),
                file: string(sent.filename_strindex),
                start_line: sent.start_line,
            });
        }
        for raw in &tables.locations {
            let sent = messages::Location::decode(&**raw).expect("as recorded");
            let start = made.lines.len() as u32;
            made.lines.extend(sent.lines.iter().map(|line| model::Line {
                function: line.function_index.cast_unsigned(),
                line: line.line,
                column: line.column,
            }));
            made.locations.push(model::Location {
                mapping: model::NONE,
                address: sent.address,
                lines: (start, made.lines.len() as u32),
            });
        }
        for sent in &tables.links {
            made.links.push(model::Link {
                trace_id: sent.trace_id.as_slice().try_into().unwrap_or_default(),
                span_id: sent.span_id.as_slice().try_into().unwrap_or_default(),
            });
        }
        for sample in &self.samples {
            push_sample(sample, tables, &string, &mut out.samples, &mut made);
            out.samples.values.push(value(sample) * factor);
        }
        out.tables = Arc::new(made);
        (name.to_owned(), out)
    }
}

fn push_sample(
    sent: &messages::Sample,
    tables: &messages::Tables,
    string: &impl Fn(i32) -> u32,
    samples: &mut model::Samples,
    made: &mut model::Tables,
) {
    let stack = &*tables.stacks[sent.stack_index as usize];
    let stack = messages::Stack::decode(stack).expect("as recorded");
    let locations = stack.location_indices.into_iter();
    let locations = locations.map(i32::cast_unsigned);
    made.stacks.locations.extend(locations);
    samples.stacks.push(made.stacks.end());
    for index in &sent.attribute_indices {
        let attribute = &*tables.attributes[*index as usize];
        let attribute = messages::Attribute::decode(attribute).expect("as recorded");
        let value = attribute.value.and_then(|value| value.value);
        samples.attrs.push(model::Attr {
            key: string(attribute.key_strindex),
            value: match value.expect("a value") {
                messages::Any::Int(value) => model::AttrValue::Num {
                    value,
                    unit: string(attribute.unit_strindex),
                },
                messages::Any::Text(value) => model::AttrValue::Str(made.strings.push(&value)),
                other => panic!("an attribute of {other:?}"),
            },
        });
    }
    samples.attr_ends.push(samples.attrs.len() as u32);
    samples.links.push(sent.link_index.cast_unsigned());
}

/// Where there are only times, each of them is one.
fn value(sent: &messages::Sample) -> i64 {
    match sent.values.is_empty() {
        true => sent.timestamps_unix_nano.len() as i64,
        false => sent.values.iter().sum(),
    }
}
