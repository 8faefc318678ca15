//! Which queries are answered at a time, by what they are about to cost; tenants take turns.
//!
//! What a query costs is told by the catalog alone, before anything is read.

use cairn_chassis::{Turn, Turns};
use cairn_model::{TenantId, TimeRange};

use crate::config::Limits;
use crate::error::Error;
use crate::plan::Plan;

/// Room for queries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    turns: Turns,
    waiting_max: usize,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            turns: Turns::new(limits.admitted_bytes_max.max(1)),
            waiting_max: limits.waiting_queries_max,
        }
    }

    /// Waits for a turn, unless too many of the tenant's queries do so.
    pub(crate) async fn enter(&self, tenant: &TenantId, bytes: u64) -> Result<Turn, Error> {
        if self.turns.waiting(Some(tenant)) >= self.waiting_max {
            return Err(Error::Busy(self.waiting_max));
        }
        // Room that is free is what keeps two queries from waiting for each other.
        let bytes = bytes.max(1);
        Ok(self.turns.wait(Some(tenant), bytes, bytes).await)
    }
}

/// Bytes of the plan's blocks, of each as much as the range has of its time.
pub(crate) fn cost(plan: &Plan, range: TimeRange) -> u64 {
    let blocks = plan.blocks.values().flatten();
    let of = |bytes: u64, time: &TimeRange| {
        let span = |range: TimeRange| i128::from(range.end) - i128::from(range.start) + 1;
        let shared = TimeRange {
            start: time.start.max(range.start),
            end: time.end.min(range.end),
        };
        let (part, all) = (span(shared).max(0), span(*time).max(1));
        // At most all of them.
        (i128::from(bytes) * part / all) as u64
    };
    let costs = blocks.map(|block| of(block.bytes, &block.range));
    costs.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use cairn_catalog::BlockMeta;
    use cairn_model::BlockId;
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_query_costs_what_the_range_has_of_the_blocks() {
        let block = |start, end| BlockMeta {
            id: BlockId::new(1, 1),
            tenant: TenantId::anonymous(),
            level: 0,
            range: TimeRange { start, end },
            bytes: 1_000,
            rows: 1,
            profiles: 1,
            created_unix_ms: 1,
        };
        let blocks = vec![
            block(0, 99),
            block(100, 199),
            block(300, 300),
            block(0, i64::MAX),
        ];
        let plan = Plan {
            blocks: [("a".to_owned(), blocks)].into(),
            ..Plan::default()
        };
        let of = |start, end| cost(&plan, TimeRange { start, end });
        assert_eq!(of(50, 149), 500 + 500);
        assert_eq!(of(0, 400), 3_000);
        assert_eq!(of(400, 500), 0);
        assert_eq!(cost(&plan, TimeRange::ALL), 4_000);
    }

    #[tokio::test]
    async fn large_queries_go_alone_and_too_many_are_refused() {
        let limits = Limits {
            admitted_bytes_max: 100,
            waiting_queries_max: 2,
            ..Limits::default()
        };
        let admission = Admission::new(&limits);
        let (a, b) = (TenantId::anonymous(), TenantId::parse("b").expect("valid"));
        let small = [admission.enter(&a, 40).await, admission.enter(&a, 40).await];
        let mut large = Box::pin(admission.enter(&a, u64::MAX));
        let mut next = Box::pin(admission.enter(&a, 40));
        assert!((&mut large).now_or_never().is_none());
        assert!((&mut next).now_or_never().is_none());
        let refused = admission.enter(&a, 0).now_or_never().expect("at once");
        assert!(matches!(refused, Err(Error::Busy(2))));
        let mut other = Box::pin(admission.enter(&b, 0));
        assert!(
            (&mut other).now_or_never().is_some(),
            "somebody else may, and there is room"
        );
        drop((small, other));
        let large = large.now_or_never().expect("all the room");
        assert!((&mut next).now_or_never().is_none());
        drop(large);
        assert!(next.now_or_never().is_some());
    }
}
