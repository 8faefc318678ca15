//! Few bytes that stand for many: what comes out of shared tables is bounded.

use cairn_model::Limits;
use prost::Message;

use crate::decode;
use crate::faults::{one, refused, sampled};
use crate::messages::{Book, Location, Resource, Resources, Scopes, Stack, key_value, text};

/// A stack of a few thousand bytes and samples of a few each would be gigabytes, written out.
#[test]
fn shared_stacks_do_not_multiply() {
    let mut book = Book::new();
    let location = book.location(&Location {
        address: 1,
        ..Location::default()
    });
    let stack = Stack {
        location_indices: vec![location; 2_000],
    };
    book.tables.stacks.push(stack.encode_to_vec());
    let samples = vec![one(1); 100_000];
    let large = sampled(&mut book, samples);
    let small = sampled(&mut book, vec![one(1)]);
    let bytes = book.request(&[large.clone(), small.clone(), large, small]);
    let limits = Limits {
        profile_bytes_max: 16 << 20,
        ..Limits::default()
    };
    let request = cairn_otlp::decode(&bytes, &limits).unwrap();
    for profile in &request.profiles {
        let profile = &profile.as_ref().unwrap().described.profile;
        assert_eq!(profile.tables.stacks.locations.len(), 2_000);
    }
}

/// Long labels of a resource that thousands of scopes repeat.
#[test]
fn shared_labels_do_not_multiply_without_end() {
    let book = Book::new();
    let attributes = (0..100).map(|at| key_value(&format!("k{at}"), text(&"v".repeat(8_000))));
    let scope = Scopes {
        profiles: vec![vec![]],
        ..Scopes::default()
    };
    let bytes = book.request_of(vec![Resources {
        resource: Some(Resource {
            attributes: attributes.collect(),
            ..Resource::default()
        }),
        scopes: vec![scope; 10_000],
        ..Resources::default()
    }]);
    let request = decode(&bytes);
    let kept = request.profiles.iter().filter(|p| p.is_ok()).count();
    assert!((100..400).contains(&kept), "{kept}");
}

/// Short rows that refer to one long text, each in another place.
#[test]
fn shared_texts_do_not_multiply_without_end() {
    let mut book = Book::new();
    let id = text(&"b".repeat(1 << 20));
    let id = book.attribute("process.executable.build_id.gnu", id, "");
    let locations: Vec<i32> = (0..1_000)
        .map(|at| {
            let mapping_index = book.mapping(
                "libc.so.6",
                crate::messages::Mapping {
                    file_offset: at,
                    attribute_indices: vec![id],
                    ..Default::default()
                },
            );
            book.location(&Location {
                mapping_index,
                ..Location::default()
            })
        })
        .collect();
    let stack = book.stack(&locations);
    let profile = sampled(&mut book, vec![one(stack)]);
    let bytes = book.request(&[profile]);
    let refusal = refused(&bytes, &Limits::default());
    assert!(
        refusal.reason.contains("profile_bytes_max"),
        "{}",
        refusal.reason
    );
}

/// Release 1.7 has no table of stacks: each sample says where its own begins in one list.
#[test]
fn shared_stacks_of_1_7_do_not_multiply_without_end() {
    use crate::messages::{Profile7, Sample7};
    let mut book = Book::new();
    book.tables.stacks.clear();
    book.tables.attributes.clear();
    let sample = Sample7 {
        locations_length: 100_000,
        value: vec![1],
        ..Sample7::default()
    };
    let profile = Profile7 {
        sample_type: vec![book.kind("events", "count").unwrap()],
        sample: vec![sample; 100_000],
        location_indices: vec![0; 100_000],
        ..Profile7::default()
    };
    let bytes = book.request_of(vec![Resources {
        scopes: vec![Scopes {
            profiles: vec![profile.encode_to_vec()],
            ..Scopes::default()
        }],
        ..Resources::default()
    }]);
    let refusal = refused(&bytes, &Limits::default());
    assert!(refusal.reason.contains("profile_bytes_max"));
}
