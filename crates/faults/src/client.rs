//! One ingester or querier as its clients see it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use cairn_model::{Labels, Limits, TimeRange};
use cairn_testkit::ledger::{self, Attempt};
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::parca::query::v1alpha1::{MergeProfile, QueryRequest};
use tonic::transport::{Channel, Endpoint};

/// When the first profile of every run says it was taken.
const TIME: i64 = 1_700_000_000_000_000_000;
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Reconnecting to a host that comes back must not wait for the system's own patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Speaks Parca's write and query APIs.
#[derive(Clone, Debug)]
pub struct Client {
    write: ProfileStoreServiceClient<Channel>,
    query: QueryServiceClient<Channel>,
}

/// What a querier answered.
#[derive(Debug)]
pub struct Answer {
    pub found: BTreeMap<Attempt, i64>,
    /// Not empty: something is missing, and the querier says so.
    pub warnings: Vec<String>,
}

impl Client {
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(CONNECT_TIMEOUT)
            .keep_alive_timeout(CONNECT_TIMEOUT)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_lazy();
        Ok(Self {
            write: ProfileStoreServiceClient::new(channel.clone()),
            query: QueryServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
        })
    }

    pub async fn push(
        &self,
        name: &str,
        service: &str,
        attempt: Attempt,
    ) -> Result<(), tonic::Status> {
        let labels = [("__name__", name), ("service_name", service)];
        let labels = Labels::from_pairs(labels).expect("these labels are valid");
        let profile = ledger::profile(attempt, TIME + attempt.cast_signed());
        let sample = RawSample {
            raw_profile: cairn_pprof::encode(&profile).into(),
            ..RawSample::default()
        };
        let series = RawProfileSeries {
            labels: Some(LabelSet::from(&labels)),
            samples: vec![sample],
        };
        let request = WriteRawRequest {
            series: vec![series],
            ..WriteRawRequest::default()
        };
        self.write.clone().write_raw(request).await.map(drop)
    }

    /// Everything that is stored under this name.
    pub async fn stored(&self, name: &str) -> anyhow::Result<Answer> {
        let range = TimeRange {
            start: TIME,
            end: TIME + 1_000_000_000_000,
        };
        let merge = MergeProfile {
            query: format!("{}{{}}", ledger::profile_type(name)),
            start: Some(cairn_wire::timestamp(range.start)),
            end: Some(cairn_wire::timestamp(range.end)),
        };
        let request = QueryRequest {
            mode: Mode::Merge.into(),
            options: Some(Options::Merge(merge)),
            report_type: ReportType::Pprof.into(),
            ..QueryRequest::default()
        };
        let answer = match self.query.clone().query(request).await {
            Ok(answer) => answer,
            Err(status) if status.code() == tonic::Code::NotFound => {
                return Ok(Answer {
                    found: BTreeMap::new(),
                    warnings: Vec::new(),
                });
            }
            Err(status) => return Err(status.into()),
        };
        let warnings = answer.metadata().get_all("cairn-warning").iter();
        let warnings = warnings.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
        let warnings = warnings.collect();
        let Some(Report::Pprof(bytes)) = answer.into_inner().report else {
            anyhow::bail!("the answer is no pprof report")
        };
        let limits = Limits {
            samples_max: usize::MAX,
            ..Limits::default()
        };
        let decoded = cairn_pprof::decode(&bytes, &limits, &cairn_pprof::Options::default());
        let decoded = decoded.context("read the answer")?;
        Ok(Answer {
            found: ledger::found(&decoded.profile),
            warnings,
        })
    }
}
