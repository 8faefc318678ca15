//! Stacks that two-way writes brought lately: what is known need not be sent again.
//!
//! Owns how much memory tenants have for that together. A tenant that had none lately loses its
//! stacks first; they are then asked for again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytesize::ByteSize;
use cairn_model::TenantId;
use cairn_parca::Known;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// The stacks of one tenant.
#[derive(Debug)]
pub(crate) struct Shared {
    known: Mutex<Known>,
    /// What they took when they were used last: whoever adds up the memory of all must not wait for
    /// those that are in use.
    bytes: AtomicUsize,
}

impl Shared {
    /// Takes as long as others use them.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Known) -> R) -> R {
        let mut known = self.known.lock();
        let result = work(&mut known);
        self.bytes.store(known.bytes(), Ordering::Relaxed);
        result
    }
}

/// The stacks of all tenants.
#[derive(Debug)]
pub(crate) struct KnownStacks {
    bytes_max: usize,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    /// Grows with every use.
    uses: u64,
    /// With the last use of each.
    known: HashMap<TenantId, (u64, Arc<Shared>)>,
}

impl KnownStacks {
    /// They take no more memory than that together, but for what a write brings in this moment.
    pub(crate) fn new(bytes_max: ByteSize) -> Self {
        Self {
            bytes_max: usize::try_from(bytes_max.as_u64()).unwrap_or(usize::MAX),
            tenants: Mutex::default(),
        }
    }

    /// Those of a tenant, which has half of the memory at most.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<Shared> {
        let mut tenants = self.tenants.lock();
        tenants.uses += 1;
        let now = tenants.uses;
        let new = || {
            Arc::new(Shared {
                known: Mutex::new(Known::new(self.bytes_max / 2)),
                bytes: AtomicUsize::new(0),
            })
        };
        let entry = tenants.known.entry(tenant.clone());
        let (used, known) = entry.or_insert_with(|| (now, new()));
        *used = now;
        Arc::clone(known)
    }

    /// Forgets the stacks of those tenants that sent nothing for the longest time, until there is
    /// no more than there may be. It is called after something was added.
    pub(crate) fn shrink(&self) {
        let tenants = &mut *self.tenants.lock();
        let bytes = |known: &Shared| known.bytes.load(Ordering::Relaxed);
        let known = &mut tenants.known;
        let mut all: usize = known.values().map(|(_, known)| bytes(known)).sum();
        while all > self.bytes_max {
            let oldest = known.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(tenant, _)| tenant.clone()) else {
                return;
            };
            if let Some((_, gone)) = known.remove(&oldest) {
                all = all.saturating_sub(bytes(&gone));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::Limits;
    use cairn_parca::write::{self, Frame, Sample};

    use super::*;

    /// How many of a hundred stacks are asked for, which then come.
    fn asked(known: &KnownStacks, tenant: &str) -> usize {
        let tenant = TenantId::parse(tenant).expect("valid");
        let limits = Limits::default();
        let ids = (0..100_u8).map(|number| [number; 16]);
        let rows: Vec<Sample> = ids
            .map(|stack_id| Sample {
                stack_id,
                ..Sample::default()
            })
            .collect();
        let samples = write::v1_samples(&rows);
        let samples = cairn_parca::samples(&samples, &limits).expect("sound");
        let shared = known.of(&tenant);
        let asked = shared.with(|known| known.ask(samples, &limits));
        let frames = asked.unknown().iter().map(|id| {
            let frame = Frame {
                address: u64::from(id[0]),
                ..Frame::default()
            };
            (*id, Arc::from([frame]))
        });
        let sent = write::v1_stacks(&frames.collect::<Vec<_>>());
        let sent = cairn_parca::stacks(&sent, &limits).expect("sound");
        shared.with(|known| known.add(&asked, &sent));
        known.shrink();
        asked.unknown().len()
    }

    #[test]
    fn tenants_know_their_own_stacks_and_the_silent_forget_first() {
        let known = KnownStacks::new(ByteSize::mib(1));
        assert_eq!([asked(&known, "a"), asked(&known, "a")], [100, 0]);
        assert_eq!([asked(&known, "b"), asked(&known, "b")], [100, 0]);

        let tenant = known.of(&TenantId::parse("a").expect("valid"));
        let one = tenant.with(|known| known.bytes()) as u64;
        let known = KnownStacks::new(ByteSize::b(one * 5 / 2));
        let asked = ["a", "b", "a", "c", "a", "b"].map(|tenant| asked(&known, tenant));
        assert_eq!(
            asked,
            [100, 100, 0, 100, 0, 100],
            "b was silent for longest"
        );
    }
}
