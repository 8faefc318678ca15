//! Histories drawn by chance.

use super::World;
use crate::Bounds;

/// What random histories came across.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) violation: Option<String>,
    pub(crate) recovered: usize,
    pub(crate) compacted: usize,
    pub(crate) queried: usize,
    pub(crate) fenced: usize,
}

/// Draws histories of so many steps, until one violates something.
pub(crate) fn wander(bounds: Bounds, histories: u64, steps: usize) -> Seen {
    let mut seen = Seen::default();
    for seed in 0..histories {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut world = World::new(bounds);
        let mut actions = Vec::new();
        for step in 0..steps {
            actions.clear();
            world.actions(bounds, &mut actions);
            if actions.is_empty() {
                break;
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let action = actions.swap_remove((random >> 11) as usize % actions.len());
            let shown = format!("{action:?}");
            world.step(bounds, action);
            if let Some(violation) = world.violation() {
                seen.violation = Some(format!(
                    "{violation} after step {step} of history {seed}, {shown}"
                ));
                return seen;
            }
        }
        seen.recovered += usize::from(world.is_recovered());
        seen.compacted += usize::from(world.is_compacted);
        seen.queried += usize::from(world.is_query_full);
        seen.fenced += usize::from(world.is_fenced);
    }
    seen
}
