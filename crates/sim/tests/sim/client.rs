//! One ingester or querier as its clients see it: Parca's write and query APIs.

use std::collections::BTreeMap;

use anyhow::Context as _;
use cairn_chassis::Context;
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

use crate::cluster::{EPOCH_SECONDS, url};

/// The name under which all profiles are stored.
const NAME: &str = "simulated";
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What a querier answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) found: BTreeMap<Attempt, i64>,
    /// Not empty: something is missing, and the querier says so.
    pub(crate) warnings: Vec<String>,
}

/// Pushes the profile of one attempt.
pub(crate) async fn push(
    cx: &Context,
    ingester: &str,
    service: &str,
    attempt: Attempt,
) -> Result<(), tonic::Status> {
    let labels = [("__name__", NAME), ("service_name", service)];
    let labels = Labels::from_pairs(labels).expect("these labels are valid");
    let profile = ledger::profile(attempt, start() + attempt.cast_signed());
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
    let channel = cx.channel(&url(ingester)).expect("an address");
    let mut client = ProfileStoreServiceClient::new(channel);
    client.write_raw(request).await.map(drop)
}

/// Everything that is stored.
pub(crate) async fn stored(cx: &Context, querier: &str) -> anyhow::Result<Answer> {
    let range = TimeRange {
        start: start(),
        end: start() + 1_000_000_000_000,
    };
    let merge = MergeProfile {
        query: format!("{}{{}}", ledger::profile_type(NAME)),
        start: Some(cairn_wire::timestamp(range.start)),
        end: Some(cairn_wire::timestamp(range.end)),
    };
    let request = QueryRequest {
        mode: Mode::Merge.into(),
        options: Some(Options::Merge(merge)),
        report_type: ReportType::Pprof.into(),
        ..QueryRequest::default()
    };
    let channel = cx.channel(&url(querier)).expect("an address");
    let mut client = QueryServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let answer = match client.query(request).await {
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
    let options = cairn_pprof::Options::default();
    let decoded = cairn_pprof::decode(&bytes, &Limits::default(), &options);
    Ok(Answer {
        found: ledger::found(&decoded.context("read the answer")?.profile),
        warnings,
    })
}

/// When the first profile says it was taken: long enough before the run to be merged during it,
/// whatever the clocks say.
fn start() -> i64 {
    (EPOCH_SECONDS - 3600).cast_signed() * 1_000_000_000
}
