//! What one request has waited for in vain: its later questions go without.
//!
//! Many requests are several questions. If each waited anew for a block that does not come, no time
//! would be left for an answer; and all questions of one request should be about the same blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::Code;
use parking_lot::Mutex;

use crate::error::Warning;
use crate::plan::Plan;

/// Blocks that could not be read in time, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late(Arc<Mutex<BTreeMap<String, Warning>>>);

impl Late {
    /// Takes the blocks out of a plan, and says that they are missing.
    pub(crate) fn set_aside(&self, plan: &mut Plan) -> Vec<Warning> {
        let known = self.0.lock();
        let mut missing = Vec::new();
        if known.is_empty() {
            return missing;
        }
        for blocks in plan.blocks.values_mut() {
            blocks.retain(|block| match known.get(&block.id.to_string()) {
                None => true,
                Some(warning) => {
                    missing.push(warning.clone());
                    false
                }
            });
        }
        plan.blocks.retain(|_, blocks| !blocks.is_empty());
        missing
    }

    /// Remembers the blocks that were waited for.
    pub(crate) fn note(&self, warnings: &[Warning]) {
        let is_late = |warning: &&Warning| warning.names_a_block() && warning.is(Code::Timeout);
        let late = warnings.iter().filter(is_late);
        let late = late.map(|warning| (warning.block.clone(), warning.clone()));
        self.0.lock().extend(late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_catalog::BlockMeta;
    use cairn_model::{BlockId, TenantId, TimeRange};

    fn block(number: u64) -> BlockMeta {
        BlockMeta {
            id: BlockId::new(number, 1),
            tenant: TenantId::anonymous(),
            level: 0,
            range: TimeRange::ALL,
            bytes: 1,
            rows: 1,
            profiles: 1,
            created_unix_ms: 1,
        }
    }

    #[test]
    fn blocks_that_were_late_are_not_asked_for_again() {
        let late = Late::default();
        let whole = Plan {
            blocks: [
                ("a".to_owned(), vec![block(1), block(2)]),
                ("b".to_owned(), vec![block(3)]),
            ]
            .into(),
            ..Plan::default()
        };
        let mut plan = whole.clone();
        assert_eq!(late.set_aside(&mut plan), []);
        assert_eq!(plan, whole);
        let warning = |number, code| Warning::new(BlockId::new(number, 1), code, "why");
        let damaged = warning(2, Code::Corrupt);
        let slow = [warning(1, Code::Timeout), warning(3, Code::Timeout)];
        late.note(&[slow[0].clone(), damaged, slow[1].clone()]);
        late.note(&[Warning::new("", Code::Timeout, "a log")]);
        assert_eq!(late.set_aside(&mut plan), slow);
        assert_eq!(plan.blocks, [("a".to_owned(), vec![block(2)])].into());
    }
}
