//! Clients mean the same instruction by different numbers: a place in the memory of a process, an
//! address of the ELF file, either of them beside a mapping that says one or the other. Whatever
//! they send, the query names what binutils names at that instruction.

mod program;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use cairn_model::Profile;
use cairn_parca::write;
use cairn_testkit::process::binary;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    ExecutableInfo, Label, LabelSet, LoadSegment, RawProfileSeries, RawSample, WriteArrowRequest,
    WriteRawRequest, WriteRequest,
};
use futures::StreamExt as _;
use tonic::transport::{Channel, Endpoint};

use self::program::{Chain, Program, labels, programs};
use crate::cairn::Cairn;
use crate::clients::run;
use crate::http::send;
use crate::oracle;
use crate::roundtrip::ANY_TIME;

const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");
const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta";
/// `ET_EXEC` and `ET_DYN`.
const ELF_TYPES: [u32; 2] = [2, 3];

/// Sends one program's samples in every way, and gives the names of the ways.
struct Sender<'a> {
    cairn: &'a Cairn,
    parca: ProfileStoreServiceClient<Channel>,
    program: &'a Program,
    ways: Vec<&'static str>,
}

impl Sender<'_> {
    fn http(&mut self, way: &'static str, pprof: &[u8]) {
        let [(_, service), (_, program)] = labels(way, &self.program.file())
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let at = format!(
            "POST /api/v1/profiles?name=process_cpu&label=service.name={service}&label=program={program}"
        );
        let answer = send(self.cairn.address, &at, &[], pprof);
        assert_eq!(answer.status, 200, "{way}: {}", answer.text());
        self.ways.push(way);
    }

    async fn raw(
        &mut self,
        way: &'static str,
        raw_profile: Vec<u8>,
        executable_info: Vec<ExecutableInfo>,
        normalized: bool,
    ) {
        let file = self.program.file();
        let pairs = labels(way, &file).into_iter();
        let label = |(name, value): (&str, &str)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let labels = pairs.chain([("__name__", "process_cpu")]).map(label);
        let series = RawProfileSeries {
            labels: Some(LabelSet {
                labels: labels.collect(),
            }),
            samples: vec![RawSample {
                raw_profile: raw_profile.into(),
                executable_info,
            }],
        };
        let request = WriteRawRequest {
            series: vec![series],
            normalized,
            ..WriteRawRequest::default()
        };
        self.parca.write_raw(request).await.expect(way);
        self.ways.push(way);
    }

    async fn otlp(&mut self, way: &'static str, mapping: oracle::Mapping, bias: u64) {
        let request = self.program.otlp(way, mapping, bias);
        let path = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
        let answer = crate::grpc::call(&self.cairn.url(), path, &request).await;
        assert_eq!(answer.expect(way), Bytes::new(), "{way}");
        self.ways.push(way);
    }

    async fn arrow_v2(&mut self, way: &'static str) {
        let samples = self.program.arrow(way, oracle::Mapping::default(), 0);
        let ipc_buffer = write::v2(&samples).into();
        let request = WriteArrowRequest { ipc_buffer };
        self.parca.write_arrow(request).await.expect(way);
        self.ways.push(way);
    }

    async fn arrow_v1(&mut self, way: &'static str, mapping: oracle::Mapping, bias: u64) {
        let samples = self.program.arrow(way, mapping, bias);
        let (tell, told) = futures::channel::mpsc::unbounded();
        let say = |record: Vec<u8>| {
            let record = record.into();
            tell.unbounded_send(WriteRequest { record }).unwrap();
        };
        say(write::v1_samples(&samples));
        let mut answers = self.parca.write(told).await.expect(way).into_inner();
        let asked = answers.next().await.expect(way).expect(way).record;
        let asked = |id: &[u8; 16]| asked.windows(16).any(|name| name == id);
        let stacks = samples
            .iter()
            .filter(|sample| asked(&sample.stack_id))
            .map(|sample| (sample.stack_id, Arc::clone(&sample.stack)));
        say(write::v1_stacks(&stacks.collect::<Vec<_>>()));
        assert!(
            answers.next().await.is_none(),
            "{way}: nothing more is asked"
        );
        self.ways.push(way);
    }

    async fn every_way(&mut self) {
        let program = self.program;
        let (bias, mapped, build_id) = (program.bias(), program.mapped(), &program.build_id);
        let (address, offset, bytes) = program.code;
        let in_elf = oracle::Mapping {
            start: address,
            limit: address + bytes,
            offset,
            ..oracle::Mapping::default()
        };
        let nowhere = oracle::Mapping::default();

        // Addresses of a process, within where the file is mapped.
        let of_process = program.pprof(mapped, build_id, bias);
        self.http("pprof", &of_process);
        self.raw("raw", of_process.clone(), Vec::new(), false).await;
        let info = ExecutableInfo {
            elf_type: ELF_TYPES[usize::from(!program.is_fixed)],
            load_segment: Some(LoadSegment {
                offset,
                vaddr: address,
            }),
        };
        self.raw("raw with segments", of_process, vec![info], false)
            .await;
        self.otlp("otlp of a process", mapped, bias).await;
        if !program.is_fixed {
            self.arrow_v1("arrow v1 of a process", mapped, bias).await;
        }

        // Addresses of the file, though the mapping is that of a process.
        let spelled = format!("gnu-{build_id}");
        self.http("lightswitch", &program.pprof(mapped, &spelled, 0));
        // Only what the request says keeps these from being read as offsets in the file.
        let everything = oracle::Mapping {
            limit: u64::MAX,
            ..nowhere
        };
        let of_file = program.pprof(everything, build_id, 0);
        self.raw("raw, normalized", of_file, Vec::new(), true).await;

        // Addresses of the file, and a mapping of the file's own or none.
        self.otlp("otlp of a file", in_elf, 0).await;
        self.otlp("otlp without a range", nowhere, 0).await;
        self.arrow_v2("arrow v2").await;
        self.arrow_v1("arrow v1", nowhere, 0).await;
    }
}

/// Calls by the values of samples.
fn named(profile: &Profile) -> BTreeMap<i64, Chain> {
    let call = |line: &cairn_model::Line| {
        let function = &profile.tables.functions[line.function as usize];
        let name = match profile.str(function.system_name) {
            "" => profile.str(function.name),
            name => name,
        };
        let file = profile.str(function.file).to_owned();
        (name.to_owned(), file, line.line)
    };
    let samples = 0..profile.samples.len();
    let named = samples.map(|at| {
        let stack = profile.stack(at).iter();
        let lines = stack.flat_map(|location| profile.lines(*location));
        (profile.values(at)[0], lines.map(call).collect())
    });
    named.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_convention_for_addresses_names_what_addr2line_does() {
    let folder = tempfile::tempdir().unwrap();
    let programs = programs(folder.path());
    let cairn = Cairn::start(&folder.path().join("data"), &[QUIET]);
    run(Command::new(binary("cairn"))
        .args(["debuginfo", "upload", "--server", &cairn.url()])
        .args(programs.iter().map(|program| &program.path)));
    let client = cairn.connect().await;
    let parca = Endpoint::from_shared(cairn.url()).unwrap().connect_lazy();
    let mut wrong = Vec::new();
    for program in &programs {
        let mut sender = Sender {
            cairn: &cairn,
            parca: ProfileStoreServiceClient::new(parca.clone()),
            program,
            ways: Vec::new(),
        };
        sender.every_way().await;
        let expected: BTreeMap<i64, Chain> = (1..).zip(program.calls.clone()).collect();
        for way in sender.ways {
            let file = program.file();
            let selector = format!("{TYPE}{{service.name={way:?}, program={file:?}}}");
            let answer = client.merged(&selector, ANY_TIME).await;
            let (answer, warnings) =
                answer.unwrap_or_else(|status| panic!("{file} as {way}: {status}"));
            assert!(warnings.is_empty(), "{file} as {way}: {warnings:?}");
            let found = named(&answer);
            assert_eq!(found.len(), expected.len(), "{file} as {way}");
            for (calls, found) in expected.values().zip(found.values()) {
                if calls != found {
                    wrong.push(format!("{file} as {way}: {found:?} instead of {calls:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cairn.stop();
}
