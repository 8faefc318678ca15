//! The asking side of a scan in the process of its worker: nothing is encoded, nothing sent.

use std::sync::Arc;

use cairn_model::Code;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use tokio::task::JoinSet;
use tonic::Status;
use tracing::Instrument;

use crate::deadline::Deadline;
use crate::peers::Failure;
use crate::scan::Answered;
use crate::worker::{Wanted, Worker};

impl Worker {
    /// What a querier of this process wants.
    pub(crate) async fn ask_here(
        &self,
        wanted: Wanted,
        (source, deadline): (Source, &Deadline),
    ) -> Result<Answered, Failure> {
        let (worker, until) = (self.clone(), deadline.clone());
        let sum = async move {
            let wanted = Arc::new(wanted);
            worker.sum(&wanted, (source, until)).await
        };
        self.apart(sum, deadline).await
    }

    /// Scans in a task of their own, as they are for others: who waits for them may wait for
    /// something else first, and what scans hold must not wait with them.
    pub(crate) async fn apart(
        &self,
        scans: impl Future<Output = Result<Answered, Status>> + Send + 'static,
        deadline: &Deadline,
    ) -> Result<Answered, Failure> {
        let mut task = JoinSet::new();
        task.spawn(scans.in_current_span());
        let Some(done) = deadline.cut(task.join_next()).await else {
            return Err(Failure::late(self.address()));
        };
        let failure = |code, text: &str| Failure {
            code,
            address: self.address().to_owned(),
            text: text.to_owned(),
        };
        match done.expect("it has one task") {
            Ok(sum) => sum.map_err(|status| Failure::of(self.address(), &status)),
            Err(error) if error.is_panic() => Err(failure(Code::Internal, "the scan panicked")),
            Err(_) => Err(failure(Code::Unavailable, "the process stops")),
        }
    }
}
