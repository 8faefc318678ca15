//! The memory that scans of one query have together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all scans of one query take, and may take.
#[derive(Debug)]
pub(crate) struct Memory {
    taken: AtomicUsize,
    bytes_max: usize,
    /// Scans that go on at a time.
    scans: usize,
}

/// What one scan takes. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Part {
    of: Arc<Memory>,
    taken: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(bytes_max: usize, scans: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            bytes_max,
            scans: scans.max(1),
        })
    }

    /// For one more scan.
    pub(crate) fn part(self: &Arc<Self>) -> Part {
        Part {
            of: Arc::clone(self),
            taken: AtomicUsize::new(0),
        }
    }
}

impl Part {
    /// What every scan may take, whatever the others do.
    pub(crate) fn share(&self) -> usize {
        self.of.bytes_max / self.of.scans
    }

    /// Notes what the scan takes now; says whether it is up to it to take less.
    pub(crate) fn is_over(&self, bytes: usize) -> bool {
        let before = self.taken.swap(bytes, Ordering::Relaxed);
        let more = bytes.wrapping_sub(before);
        let all = self.of.taken.fetch_add(more, Ordering::Relaxed);
        all.wrapping_add(more) > self.of.bytes_max && bytes > self.share()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.is_over(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_more_than_its_share_takes_less_once_all_take_too_much() {
        let memory = Memory::new(100, 4);
        let (large, small) = (memory.part(), memory.part());
        assert!(!large.is_over(90), "it is the only one");
        assert!(!small.is_over(20), "it has less than its share");
        assert!(large.is_over(91));
        assert!(!large.is_over(10));
        assert!(!small.is_over(90));
        drop(large);
        assert!(!small.is_over(100));
        assert!(small.is_over(101));
        drop(small);
        assert!(!memory.part().is_over(100), "all came back");
    }
}
