//! Mappings, addresses, lines and kinds of frames.

use cairn_model::{Addressing, NONE, Profile as Decoded};

use crate::messages::{Any, Book, Location, Mapping, Profile, Sample, text};
use crate::{decode, frames, only};

/// Decodes one sample whose stack is these locations.
fn decoded(mut book: Book, locations: &[Location]) -> (Decoded, cairn_otlp::Counts) {
    let indices: Vec<i32> = locations.iter().map(|l| book.location(l)).collect();
    let stack_index = book.stack(&indices);
    let profile = Profile {
        sample_type: book.kind("events", "count"),
        samples: vec![Sample {
            stack_index,
            values: vec![1],
            ..Sample::default()
        }],
        ..Profile::default()
    };
    let request = decode(&book.request(&[profile]));
    (only(&request).described.profile.clone(), request.counts)
}

/// File, build id, addressing and address of a location.
fn place(profile: &Decoded, at: u32) -> Option<(&str, &str, Addressing, u64)> {
    let location = profile.tables.locations[at as usize];
    if location.mapping == NONE {
        return None;
    }
    let mapping = profile.tables.mappings[location.mapping as usize];
    Some((
        profile.str(mapping.file),
        profile.str(mapping.build_id),
        mapping.addressing,
        location.address,
    ))
}

#[test]
fn the_best_build_id_counts() {
    let ids = ["gnu", "go", "htlhash", "profiling"];
    for first in 0..ids.len() {
        let mut book = Book::new();
        // The best one stands last.
        let mut attribute_indices: Vec<i32> = ids[first..]
            .iter()
            .rev()
            .map(|id| book.attribute(&format!("process.executable.build_id.{id}"), text(id), ""))
            .collect();
        attribute_indices.push(book.attribute("other", text("x"), ""));
        let mapping_index = book.mapping(
            "libc.so.6",
            Mapping {
                attribute_indices,
                ..Mapping::default()
            },
        );
        let location = Location {
            mapping_index,
            address: 0x1234,
            ..Location::default()
        };
        let (profile, counts) = decoded(book, &[location]);
        let expected = ("libc.so.6", ids[first], Addressing::Virtual, 0x1234);
        assert_eq!(place(&profile, 0), Some(expected));
        assert_eq!(counts.attributes_left_out, 1);
    }
}

#[test]
fn addresses_of_processes_become_offsets_and_others_stay() {
    let mut book = Book::new();
    let range = |start: u64| Mapping {
        memory_start: start,
        memory_limit: start + 0x1000,
        file_offset: 0x4000,
        ..Mapping::default()
    };
    let runtime = book.mapping("lib.so", range(0x7f00_0000_0000));
    let elf = book.mapping("lib.so", range(0x40_0000));
    let place_at = |mapping_index, address| Location {
        mapping_index,
        address,
        ..Location::default()
    };
    let (profile, _) = decoded(
        book,
        &[
            place_at(runtime, 0x7f00_0000_0010),
            place_at(runtime, 0x10),
            place_at(elf, 0x40_0010),
            place_at(0, 0x99),
        ],
    );
    let expected = [
        Some(("lib.so", "", Addressing::FileOffset, 0x4010)),
        Some(("lib.so", "", Addressing::Virtual, 0x10)),
        Some(("lib.so", "", Addressing::Virtual, 0x40_0010)),
        None,
    ];
    for (at, expected) in expected.into_iter().enumerate() {
        assert_eq!(place(&profile, at as u32), expected, "{at}");
    }
    assert_eq!(profile.tables.mappings.len(), 2, "equal mappings are one");
    assert_eq!(profile.tables.locations[3].address, 0x99);
}

#[test]
fn kinds_of_frames_name_files_where_there_are_none() {
    let mut book = Book::new();
    let mapping = book.mapping("libjvm.so", Mapping::default());
    let line = book.line("run", 3);
    let mut location = |kind: &str, mapping_index, has_line: bool| Location {
        mapping_index,
        lines: if has_line { vec![line.clone()] } else { vec![] },
        attribute_indices: vec![book.attribute("profile.frame.type", text(kind), "")],
        address: 5,
    };
    let locations = [
        location("jvm", 0, true),
        location("cpython", 0, true),
        location("kernel", 0, true),
        location("kernel", mapping, false),
        location("native", 0, true),
        location("go", 0, true),
        location("jvm", mapping, true),
        location("jvm", 0, false),
    ];
    let (profile, counts) = decoded(book, &locations);
    let files: Vec<Option<&str>> = (0..8).map(|at| place(&profile, at).map(|p| p.0)).collect();
    assert_eq!(
        files,
        [
            Some("[jvm]"),
            Some("[cpython]"),
            Some("[kernel]"),
            Some("libjvm.so"),
            None,
            None,
            Some("libjvm.so"),
            None
        ]
    );
    assert_eq!(counts.frame_types_left_out, 2);
}

#[test]
fn attributes_of_locations_that_are_no_frame_types_are_counted() {
    let mut book = Book::new();
    let attribute_indices = vec![
        book.attribute("profile.frame.type", Any::Int(1), ""),
        book.attribute("color", text("red"), ""),
        0,
    ];
    let (_, counts) = decoded(
        book,
        &[Location {
            attribute_indices,
            ..Location::default()
        }],
    );
    assert_eq!(counts.attributes_left_out, 2);
}

#[test]
fn inlined_calls_keep_their_order_and_lines_without_function_go() {
    let mut book = Book::new();
    let lines = vec![
        book.line("inner", 1),
        book.line("outer", 2),
        crate::messages::Line {
            line: 9,
            ..Default::default()
        },
    ];
    let location = Location {
        lines,
        ..Location::default()
    };
    let (profile, counts) = decoded(book, &[location]);
    assert_eq!(frames(&profile, 0), ["inner", "outer"]);
    let lines: Vec<i64> = profile.lines(0).iter().map(|line| line.line).collect();
    assert_eq!(lines, [1, 2]);
    assert_eq!(counts.lines_left_out, 1);
}
