//! Reports that are made once, as long as the stacks that they are about stay the same.

use std::any::Any;
use std::sync::Arc;

use cairn_trie::Partial;

use crate::answers::{Key, Made};
use crate::error::Error;
use crate::notes::Notes;
use crate::querier::Session;

/// What may be kept.
pub(crate) trait Report: Clone + Send + Sync + Any {
    /// About how much memory it takes.
    fn bytes(&self) -> usize;
}

impl Report for String {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// A report, and how large a call may be that it does not show.
#[derive(Clone)]
struct Kept<T> {
    report: T,
    max_error: u64,
}

impl Session {
    /// What `make` makes of the stacks, or made of equal ones when `name` was asked for before. The
    /// name tells everything else that the report depends on.
    pub(crate) async fn report<T: Report>(
        &self,
        name: String,
        of: Vec<Partial>,
        make: impl FnOnce(&[Partial], &Notes) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answers, key) = (
            self.querier.answers().clone(),
            Key::of_report(self.tenant(), &name),
        );
        let work = move || {
            if let Some(made) = answers.made(&key).filter(|made| *made.of == of)
                && let Some(kept) = made.report.downcast_ref::<Kept<T>>()
            {
                return Ok(kept.clone());
            }
            let notes = Notes::default();
            let report = make(&of, &notes)?;
            let kept = Kept {
                report,
                max_error: notes.max_error(),
            };
            let stacks: usize = of.iter().map(cairn_engine::partial_bytes).sum();
            let made = Made {
                bytes: stacks + kept.report.bytes(),
                of: Arc::new(of),
                report: Arc::new(kept.clone()),
            };
            answers.keep_made(key, made);
            Ok::<_, Error>(kept)
        };
        let Kept { report, max_error } = self.compute(work).await?;
        self.notes.error(max_error);
        Ok(report)
    }
}
