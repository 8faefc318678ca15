//! What an answer says of itself beside what it tells, whatever the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_engine::Flame;
use parking_lot::Mutex;

/// Of one request so far. Cheap to clone; clones share what is noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    max_error: AtomicU64,
    folded: AtomicU64,
    remarks: Mutex<Vec<String>>,
}

impl Notes {
    /// The flame graph that is shown is not all of it.
    pub(crate) fn trimmed(&self, flame: &Flame) {
        self.error(flame.max_error);
    }

    /// No call that is not shown has more than this under one parent.
    pub(crate) fn error(&self, max: u64) {
        self.0.max_error.fetch_max(max, Ordering::Relaxed);
    }

    /// No call that was summed up before there was a graph had more than this.
    pub(crate) fn folded(&self, max: u64) {
        self.0.folded.fetch_max(max, Ordering::Relaxed);
    }

    /// `0` if nothing was trimmed. A call may have lost a part to either.
    pub(crate) fn max_error(&self) -> u64 {
        let trimmed = self.0.max_error.load(Ordering::Relaxed);
        trimmed.saturating_add(self.0.folded.load(Ordering::Relaxed))
    }

    /// The answer is whole, and yet may not be what was meant.
    pub(crate) fn remark(&self, remark: String) {
        let mut remarks = self.0.remarks.lock();
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }

    pub(crate) fn remarks(&self) -> Vec<String> {
        self.0.remarks.lock().clone()
    }
}
