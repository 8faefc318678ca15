//! One Cairn under test: started on free ports over a folder, pushed to and asked over gRPC.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use cairn_model::{Labels, Limits, Profile, ProfileType, TimeRange};
use cairn_testkit::process::{Process, binary, spawn};
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::parca::query::v1alpha1::{
    MergeProfile, ProfileTypesRequest, QueryRangeRequest, QueryRequest,
};
use tonic::transport::{Channel, Endpoint};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const MESSAGE_BYTES_MAX: usize = 1 << 30;

pub(crate) struct Cairn {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Cairn {
    /// Starts over `data` with additional settings, each as `CAIRN__SECTION__KEY`.
    pub(crate) fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let data = data.to_str().unwrap();
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--data",
            data,
        ];
        let process = spawn(binary("cairn"), args, settings);
        let line = process.wait_for_line("http://127.0.0.1:", PATIENCE);
        let address = address_after(&line, "http://");
        Self { process, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything printed so far.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// Where operators connect.
    pub(crate) fn admin(&self) -> SocketAddr {
        address_after(&self.process.wait_for_line("Admin", PATIENCE), "http://")
    }

    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        self.process.wait_for_line(text, PATIENCE)
    }

    /// Sends SIGTERM, SIGINT or another signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE)
    }

    pub(crate) fn kill(self) {
        self.process.kill();
    }

    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.end();
        let output = self.output();
        assert!(status.success(), "cairn ended with {status}:\n{output}");
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(&self.url()).await
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let kill = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
    assert!(kill.unwrap().success(), "the program has ended before");
}

/// The address in a line of output that follows `mark`.
pub(crate) fn address_after(line: &str, mark: &str) -> SocketAddr {
    let (_, rest) = line.split_once(mark).expect("the line names an address");
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ':'));
    let address = &rest[..end.unwrap_or(rest.len())];
    address.parse().expect("the address is HOST:PORT")
}

/// Speaks Parca's write and query APIs.
#[derive(Clone)]
pub(crate) struct Client {
    write: ProfileStoreServiceClient<Channel>,
    query: QueryServiceClient<Channel>,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        Self::connect_to(url, url).await
    }

    /// For services apart: an ingester and a querier.
    pub(crate) async fn connect_to(ingester: &str, querier: &str) -> Self {
        let channel = |url: &str| {
            Endpoint::from_shared(url.to_owned())
                .unwrap()
                .connect_lazy()
        };
        Self {
            write: ProfileStoreServiceClient::new(channel(ingester))
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
            query: QueryServiceClient::new(channel(querier))
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        }
    }

    pub(crate) async fn push(
        &self,
        raw: Vec<u8>,
        labels: &[(&str, &str)],
    ) -> Result<(), tonic::Status> {
        let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
        let sample = RawSample {
            raw_profile: raw.into(),
            ..Default::default()
        };
        let series = RawProfileSeries {
            labels: Some(LabelSet::from(&labels)),
            samples: vec![sample],
        };
        let request = WriteRawRequest {
            series: vec![series],
            ..Default::default()
        };
        self.write.clone().write_raw(request).await.map(drop)
    }

    /// The merged profile, and whether the answer is flagged as partial.
    pub(crate) async fn merged(
        &self,
        selector: &str,
        range: TimeRange,
    ) -> Result<(Profile, Vec<String>), tonic::Status> {
        let (bytes, warnings) = self.merged_bytes(selector, range).await?;
        let limits = Limits {
            samples_max: usize::MAX,
            ..Limits::default()
        };
        let decoded = cairn_pprof::decode(&bytes, &limits, &Default::default())
            .expect("the answer is a valid profile");
        Ok((decoded.profile, warnings))
    }

    /// The same as pprof.
    pub(crate) async fn merged_bytes(
        &self,
        selector: &str,
        range: TimeRange,
    ) -> Result<(Vec<u8>, Vec<String>), tonic::Status> {
        let merge = MergeProfile {
            query: selector.to_owned(),
            start: Some(cairn_wire::timestamp(range.start)),
            end: Some(cairn_wire::timestamp(range.end)),
        };
        let request = QueryRequest {
            mode: Mode::Merge.into(),
            options: Some(Options::Merge(merge)),
            report_type: ReportType::Pprof.into(),
            ..Default::default()
        };
        let answer = self.query.clone().query(request).await?;
        let warnings = answer.metadata().get_all("cairn-warning");
        let warnings = warnings
            .iter()
            .map(|warning| warning.to_str().unwrap().to_owned())
            .collect();
        let Some(Report::Pprof(bytes)) = answer.into_inner().report else {
            panic!("a pprof report was asked for")
        };
        Ok((bytes.into(), warnings))
    }

    /// All profile types, as they are spelled in selectors.
    pub(crate) async fn types(&self, range: TimeRange) -> BTreeSet<String> {
        let request = ProfileTypesRequest {
            start: Some(cairn_wire::timestamp(range.start)),
            end: Some(cairn_wire::timestamp(range.end)),
        };
        let answer = self.query.clone().profile_types(request).await.unwrap();
        let types = answer.into_inner().types.into_iter().map(|found| {
            let of = ProfileType {
                name: found.name,
                sample_type: found.sample_type,
                sample_unit: found.sample_unit,
                period_type: found.period_type,
                period_unit: found.period_unit,
                delta: found.delta,
            };
            of.to_string()
        });
        types.collect()
    }

    /// The times of all profiles of a type, by those of their labels that have these names.
    pub(crate) async fn points(
        &self,
        of: &str,
        names: &BTreeSet<&str>,
        range: TimeRange,
    ) -> Vec<(BTreeMap<String, String>, i64)> {
        let request = QueryRangeRequest {
            query: format!("{of}{{}}"),
            start: Some(cairn_wire::timestamp(range.start)),
            end: Some(cairn_wire::timestamp(range.end)),
            sum_by: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        };
        let answer = self.query.clone().query_range(request).await.expect(of);
        let mut points = Vec::new();
        for series in answer.into_inner().series {
            let labels = series.labelset.unwrap_or_default().labels.into_iter();
            let labels: BTreeMap<_, _> = labels.map(|label| (label.name, label.value)).collect();
            for sample in series.samples {
                let time = sample.timestamp.expect("a point has a time");
                let time = time.seconds * 1_000_000_000 + i64::from(time.nanos);
                points.push((labels.clone(), time));
            }
        }
        points
    }
}
