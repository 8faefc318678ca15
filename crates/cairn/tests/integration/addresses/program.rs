//! A program, what binutils tell of it, and its samples in the formats of clients. Does not send.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cairn_parca::write::{self, Frame};
use cairn_testkit::addresses::answers;
use cairn_testkit::corpus;
use prost::Message;

use crate::clients::run;
use crate::messages::{self, Book};
use crate::oracle;

const START: i64 = 1_795_400_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Where the kernel put the program, if it may lie anywhere.
const BIAS: u64 = 0x55d0_1234_0000;
const PAGE: u64 = 0x1000;
/// What the programs are made of.
const SOURCES: [&str; 2] = ["work.c", "workpp.cpp"];

/// A call: linkage name, file and line. Innermost first, one after another.
pub(super) type Chain = Vec<(String, String, i64)>;

/// A program, and what binutils tell of it.
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) build_id: String,
    pub(super) is_fixed: bool,
    /// Of the part with the code: address, offset in the file, bytes.
    pub(super) code: (u64, u64, u64),
    /// Addresses of the file, each of other calls than the ones before.
    instructions: Vec<u64>,
    pub(super) calls: Vec<Chain>,
}

impl Program {
    fn read(path: PathBuf) -> Self {
        let headers = run(Command::new("readelf").args(["-lWn"]).arg(&path));
        let word_after = |mark: &str| {
            let (_, rest) = headers.split_once(mark).expect(mark);
            rest.split_whitespace().next().expect(mark).to_owned()
        };
        let code = headers
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .rfind(|words| words.first() == Some(&"LOAD") && words.contains(&"E"))
            .expect("a part with code");
        let number = |at: usize| {
            let digits = code[at].trim_start_matches("0x");
            u64::from_str_radix(digits, 16).expect("a number")
        };
        let code = (number(2), number(1), number(4));
        let all: Vec<u64> = (code.0..code.0 + code.2).collect();
        let mut program = Self {
            build_id: word_after("Build ID:"),
            is_fixed: word_after("Elf file type is") == "EXEC",
            code,
            instructions: Vec::new(),
            calls: Vec::new(),
            path,
        };
        let chains = addr2line(&program.path, &all);
        // Not the first byte of a call: addr2line knows the line of an inlined one there, but gives
        // it the caller's name.
        for at in 1..all.len() {
            let (before, calls) = (&chains[at - 1], &chains[at]);
            if before != calls || program.calls.contains(calls) {
                continue;
            }
            let is_known = calls.iter().all(|(name, file, line)| {
                name != "??" && file != "??" && (1..=lines_of_source(file)).contains(line)
            });
            // Functions of the library have several names that are as good as each other.
            let is_known = is_known && calls.last().is_some_and(|call| is_source(&call.1));
            if is_known {
                program.instructions.push(all[at]);
                program.calls.push(calls.clone());
            }
        }
        let mut calls = program.calls.iter();
        assert!(calls.len() >= 5, "{}", program.path.display());
        assert!(calls.any(|calls| calls.len() > 1), "some are inlined");
        program
    }

    pub(super) fn file(&self) -> String {
        let name = self.path.file_name().expect("a file");
        name.to_string_lossy().into_owned()
    }

    pub(super) fn bias(&self) -> u64 {
        if self.is_fixed { 0 } else { BIAS }
    }

    /// Where the part with the code is in the memory of a process.
    pub(super) fn mapped(&self) -> oracle::Mapping {
        let (address, offset, bytes) = self.code;
        assert_eq!((address % PAGE, offset % PAGE), (0, 0));
        oracle::Mapping {
            start: self.bias() + address,
            limit: self.bias() + address + bytes.next_multiple_of(PAGE),
            offset,
            ..oracle::Mapping::default()
        }
    }

    /// The value of a sample tells its instruction.
    fn samples(&self) -> impl Iterator<Item = (u64, i64)> {
        self.instructions.iter().copied().zip(1..)
    }

    /// A profile as pprof, of addresses so far from those of the file.
    pub(super) fn pprof(&self, mapping: oracle::Mapping, build_id: &str, bias: u64) -> Vec<u8> {
        let file = self.file();
        let strings = ["", "cpu", "nanoseconds", &file, build_id];
        let kind = oracle::ValueType { kind: 1, unit: 2 };
        let mut profile = oracle::Profile {
            sample_type: vec![kind],
            mapping: vec![oracle::Mapping {
                id: 1,
                file: 3,
                build_id: 4,
                ..mapping
            }],
            string_table: strings.map(|text| text.as_bytes().to_vec()).to_vec(),
            time: START,
            duration: SECOND,
            period_type: Some(kind),
            period: 1,
            ..oracle::Profile::default()
        };
        for (address, value) in self.samples() {
            let id = value.cast_unsigned();
            profile.location.push(oracle::Location {
                id,
                mapping_id: 1,
                address: address + bias,
                line: Vec::new(),
            });
            profile.sample.push(oracle::Sample {
                location_id: vec![id],
                value: vec![value],
                label: Vec::new(),
            });
        }
        profile.encode_to_vec()
    }

    /// A request of OpenTelemetry's.
    pub(super) fn otlp(&self, service: &str, mapping: oracle::Mapping, bias: u64) -> Vec<u8> {
        let mut book = Book::new();
        let build_id = messages::text(&self.build_id);
        let build_id = book.attribute("process.executable.build_id.gnu", build_id, "");
        let native = book.attribute("profile.frame.type", messages::text("native"), "");
        let sent = messages::Mapping {
            memory_start: mapping.start,
            memory_limit: mapping.limit,
            file_offset: mapping.offset,
            attribute_indices: vec![build_id],
            ..messages::Mapping::default()
        };
        let mapping_index = book.mapping(&self.file(), sent);
        let mut samples = Vec::new();
        for (address, value) in self.samples() {
            let location = book.location(&messages::Location {
                mapping_index,
                address: address + bias,
                lines: Vec::new(),
                attribute_indices: vec![native],
            });
            samples.push(messages::Sample {
                stack_index: book.stack(&[location]),
                values: vec![value],
                ..messages::Sample::default()
            });
        }
        let profile = messages::Profile {
            sample_type: book.kind("samples", "count"),
            period_type: book.kind("cpu", "nanoseconds"),
            period: 1,
            time_unix_nano: START.cast_unsigned(),
            duration_nano: SECOND.cast_unsigned(),
            samples,
            ..messages::Profile::default()
        };
        let attribute =
            |(key, value): (&str, &str)| messages::key_value(key, messages::text(value));
        let resource = messages::Resource {
            attributes: labels(service, &self.file()).map(attribute).to_vec(),
            ..messages::Resource::default()
        };
        let scopes = messages::Scopes {
            profiles: vec![profile.encode_to_vec()],
            ..messages::Scopes::default()
        };
        book.request_of(vec![messages::Resources {
            resource: Some(resource),
            scopes: vec![scopes],
            ..messages::Resources::default()
        }])
    }

    /// Samples of Parca's agent.
    pub(super) fn arrow(
        &self,
        service: &str,
        mapping: oracle::Mapping,
        bias: u64,
    ) -> Vec<write::Sample> {
        let file = self.file();
        let labels =
            labels(service, &file).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let sample = |(address, value): (u64, i64)| {
            let frame = Frame {
                address: address + bias,
                frame_type: "native".to_owned(),
                file: file.clone(),
                build_id: self.build_id.clone(),
                mapping_start: mapping.start,
                mapping_offset: mapping.offset,
                calls: Vec::new(),
            };
            // Stacks are known by these, also from one write to the next.
            let mut stack_id = [0; 16];
            stack_id[..8].copy_from_slice(&value.to_le_bytes());
            stack_id[8..].copy_from_slice(&(address + bias).to_be_bytes());
            write::Sample {
                labels: labels.to_vec(),
                stack: Arc::from([frame]),
                stack_id,
                value,
                producer: "process_cpu".to_owned(),
                sample_type: "cpu".to_owned(),
                sample_unit: "nanoseconds".to_owned(),
                period_type: "cpu".to_owned(),
                period_unit: "nanoseconds".to_owned(),
                temporality: "delta".to_owned(),
                period: 1,
                duration: SECOND,
                time: START,
            }
        };
        self.samples().map(sample).collect()
    }
}

pub(super) fn labels<'a>(service: &'a str, program: &'a str) -> [(&'a str, &'a str); 2] {
    [("service.name", service), ("program", program)]
}

fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next();
    name.is_some_and(|name| SOURCES.contains(&name))
}

/// For some functions of headers, addr2line names the source that includes them, at the line in the
/// header: there is no such line.
fn lines_of_source(path: &str) -> i64 {
    let name = path.rsplit('/').next().unwrap_or_default();
    if !is_source(path) {
        return i64::MAX;
    }
    let source = corpus::read(&format!("generated/native/bin/{name}"));
    String::from_utf8(source).unwrap().lines().count() as i64
}

fn addr2line(path: &Path, addresses: &[u64]) -> Vec<Chain> {
    let mut tool = Command::new("addr2line");
    tool.args(["-a", "-f", "-i", "-e"]).arg(path);
    let text = answers(&mut tool, addresses);
    let mut chains: Vec<Chain> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            chains.push(Chain::new());
            continue;
        }
        let place = lines.next().expect("a place follows a name");
        let (file, number) = place.rsplit_once(':').expect("file:line");
        let number = number.split(' ').next().expect("a number");
        let call = (
            line.to_owned(),
            file.to_owned(),
            number.parse().unwrap_or(0),
        );
        chains
            .last_mut()
            .expect("an address comes first")
            .push(call);
    }
    assert_eq!(chains.len(), addresses.len());
    chains
}

/// Programs of the corpus, and one that may lie anywhere whose addresses are not also offsets in the
/// file: linkers may leave holes.
pub(super) fn programs(folder: &Path) -> Vec<Program> {
    let bin = corpus::root().join("generated/native/bin");
    let apart = folder.join("work_apart");
    run(Command::new("gcc")
        .args(["-g", "-O2", "-pie", "-fPIE", "-Wl,--build-id"])
        .arg("-Wl,--section-start=.text=0x9000")
        .arg(bin.join("work.c"))
        .arg("-o")
        .arg(&apart));
    let named = ["work_pie", "work_nopie", "cpp_pie", "cpp_nopie"].map(|name| bin.join(name));
    let programs: Vec<Program> = named
        .into_iter()
        .chain([apart])
        .map(Program::read)
        .collect();
    let is_fixed: Vec<bool> = programs.iter().map(|program| program.is_fixed).collect();
    assert_eq!(is_fixed, [false, true, false, true, false]);
    let (address, offset, _) = programs[4].code;
    assert_ne!(address, offset);
    programs
}
