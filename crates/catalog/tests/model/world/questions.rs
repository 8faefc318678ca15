//! What is true, and whether it may be.

use cairn_catalog::{Command, JobId, Work};

use super::{Row, World, id, number, tenant};

impl World {
    pub(super) fn is_open(&self, incarnation: u64) -> bool {
        let open = self.catalog.snapshot(&tenant()).writers;
        open.iter().any(|writer| writer.incarnation == incarnation)
    }

    /// How far the log of a sealed incarnation is in blocks.
    pub(super) fn sealed(&self, incarnation: u64) -> Option<u64> {
        let sealed = self.catalog.sealed();
        let found = sealed
            .iter()
            .find(|writer| writer.incarnation == incarnation);
        found.map(|writer| writer.flushed_lsn)
    }

    pub(super) fn work_of(&self, job: JobId) -> Option<Work> {
        self.catalog
            .jobs()
            .find(|found| found.id == job)
            .map(|job| job.work)
    }

    pub(super) fn is_known(&self, block: u64) -> bool {
        let live = self.catalog.snapshot(&tenant()).blocks;
        let dead = self.catalog.expired(i64::MAX);
        let dead = dead.iter().map(|tombstone| tombstone.block.id);
        live.iter()
            .map(|block| block.id)
            .chain(dead)
            .any(|known| known == id(block))
    }

    /// Every row that is in a live block, or in a log where somebody will look for it; as often as
    /// it is there.
    pub(super) fn kept(&self) -> Vec<Row> {
        let live = self.catalog.snapshot(&tenant());
        let blocks = live.blocks.iter();
        let blocks = blocks.filter_map(|block| self.store.blocks.get(&number(block.id)));
        let sealed = self.catalog.sealed();
        let logs = live.writers.iter().chain(&sealed);
        let logs = logs.flat_map(|w| self.store.rows_after(w.incarnation, w.flushed_lsn));
        let mut kept: Vec<Row> = blocks.flatten().copied().chain(logs).collect();
        kept.sort_unstable();
        kept
    }

    /// Acknowledged, and nowhere to be found.
    pub(crate) fn lost(&self) -> Vec<Row> {
        let kept = self.kept();
        let lost = self.acked.iter().filter(|row| !kept.contains(row));
        lost.copied().collect()
    }

    pub(crate) fn doubled(&self) -> Vec<Row> {
        let kept = self.kept();
        let twice = kept.windows(2).filter(|pair| pair[0] == pair[1]);
        twice.map(|pair| pair[0]).collect()
    }

    pub(crate) fn is_recovered(&self) -> bool {
        let mut recoveries = self.commands.iter().filter_map(|command| match command {
            Command::Recover { blocks, .. } => blocks.first(),
            _ => None,
        });
        recoveries.any(|block| self.is_known(number(block.id)))
    }

    pub(super) fn violation(&self) -> Option<String> {
        let (lost, doubled) = (self.lost(), self.doubled());
        if !lost.is_empty() {
            return Some(format!("lost {lost:?}"));
        }
        if !doubled.is_empty() {
            return Some(format!("twice {doubled:?}"));
        }
        self.is_query_wrong
            .then(|| "a query was answered wrongly".to_owned())
    }
}
