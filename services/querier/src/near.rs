//! The asking side of a scan in the process of its worker: nothing is encoded, nothing sent.

use std::sync::Arc;

use cairn_model::{Code, TenantId};
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::deadline::Deadline;
use crate::peers::Failure;
use crate::scan::Answered;
use crate::worker::{Wanted, Worker};

impl Worker {
    /// What a querier of this process wants. It is done in a task of its own, as it is for others:
    /// who asks may wait for something else meanwhile, and what a scan holds must not wait with it.
    pub(crate) async fn ask(
        &self,
        tenant: &TenantId,
        wanted: Wanted,
        (source, deadline): (Source, &Deadline),
    ) -> Result<Answered, Failure> {
        let (worker, tenant, until) = (self.clone(), tenant.clone(), deadline.clone());
        let sum = async move {
            let wanted = Arc::new(wanted);
            worker.sum(&tenant, &wanted, (source, until)).await
        };
        let mut task = JoinSet::new();
        task.spawn(sum.in_current_span());
        match deadline.cut(task.join_next()).await {
            Some(Some(Ok(sum))) => sum.map_err(|status| Failure::of(self.address(), &status)),
            Some(Some(Err(error))) => Err(Failure {
                code: Code::Internal,
                address: self.address().to_owned(),
                text: error.to_string(),
            }),
            Some(None) | None => Err(Failure::late(self.address())),
        }
    }
}
