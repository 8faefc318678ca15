//! Whether what was acknowledged can be read. Compares totals, not stacks.

use std::io::Write;

use anyhow::Context;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::parca::query::v1alpha1::{MergeProfile, QueryRequest};
use tonic::Request;
use tonic::transport::Channel;

use crate::run::{NAME, Outcome, Plan};

/// Asks for the sum of all samples of this run, once per tenant.
pub(crate) async fn verify(plan: &Plan, outcome: &Outcome, channel: Channel) -> anyhow::Result<()> {
    let mut client = QueryServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    let query = format!(
        "{NAME}:samples:count:cpu:nanoseconds:delta{{run=\"{}\"}}",
        plan.run
    );
    let mut wrong = 0;
    for (tenant, acked) in plan.workload.tenants.iter().zip(&outcome.samples) {
        let merge = MergeProfile {
            query: query.clone(),
            start: Some(cairn_wire::timestamp(plan.start)),
            end: Some(cairn_wire::timestamp(plan.end)),
        };
        let mut request = Request::new(QueryRequest {
            mode: Mode::Merge.into(),
            options: Some(Options::Merge(merge)),
            report_type: ReportType::Top.into(),
            ..QueryRequest::default()
        });
        if let Some(token) = &tenant.token {
            let value = format!("Bearer {token}").parse();
            let value = value.context("a token is printable")?;
            request.metadata_mut().insert("authorization", value);
        }
        let answer = client.query(request).await;
        let stored = answer.context("query the total")?.into_inner().total;
        let is_right = u64::try_from(stored) == Ok(*acked);
        wrong += usize::from(!is_right);
        writeln!(
            std::io::stdout(),
            "{:<20} {:>16} of {acked} samples of tenant {}",
            if is_right { "verified" } else { "WRONG" },
            stored,
            tenant.name,
        )?;
    }
    anyhow::ensure!(
        wrong == 0,
        "{wrong} tenants have other totals than were acknowledged"
    );
    Ok(())
}
