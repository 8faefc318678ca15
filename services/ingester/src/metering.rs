//! What became of what each tenant sent, since this process started.
//!
//! Kept in memory; the metrics show the same, for whoever keeps their history.

use std::collections::BTreeMap;

use cairn_model::{Code, TenantId};
use parking_lot::Mutex;

use crate::error::{Error, Refusal};
use crate::metrics::{DoorLabel, Label, Metrics};
use crate::push::{Altered, Door, Origin};
use crate::writer::Stored;

/// Counts by tenant. Bounded by tenants, doors and reasons, all of which are ours.
#[derive(Debug)]
pub(crate) struct Metering {
    /// Nanoseconds since the epoch.
    since: i64,
    metrics: Metrics,
    counts: Mutex<BTreeMap<Item, Count>>,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item {
    pub(crate) tenant: TenantId,
    pub(crate) fate: Fate,
    pub(crate) door: Door,
    /// Empty if nothing went wrong.
    pub(crate) reason: &'static str,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// A profile that is durable and readable.
    Stored,
    /// A profile that was stored before.
    Repeated,
    /// A part of a stored profile that was changed or left out.
    Altered,
    /// A profile that can never be stored.
    Refused,
    /// A request that can never be stored.
    Failed,
    /// A request that was told to come again.
    Postponed,
}

/// How much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) count: u64,
    /// As sent, or as the log keeps what has no bytes of its own.
    pub(crate) bytes: u64,
    pub(crate) samples: u64,
}

impl Count {
    fn of(count: u64, bytes: u64) -> Self {
        Self {
            count,
            bytes,
            samples: 0,
        }
    }
}

impl Metering {
    pub(crate) fn new(metrics: Metrics, since: i64) -> Self {
        Self {
            since,
            metrics,
            counts: Mutex::default(),
        }
    }

    pub(crate) fn since(&self) -> i64 {
        self.since
    }

    pub(crate) fn stored(&self, origin: Origin<'_>, stored: &Stored) {
        let label = DoorLabel { door: origin.1 };
        let count = Count {
            count: stored.profiles as u64,
            bytes: stored.bytes as u64,
            samples: stored.samples as u64,
        };
        let profiles = &self.metrics.stored_profiles;
        profiles.get_or_create(&label).inc_by(count.count);
        let samples = &self.metrics.stored_samples;
        samples.get_or_create(&label).inc_by(count.samples);
        self.add(origin, Fate::Stored, ("", count));
        let repeats = Count::of(stored.repeats as u64, 0);
        self.add(origin, Fate::Repeated, ("", repeats));
    }

    /// What was changed or left out of profiles that are stored.
    pub(crate) fn altered(&self, origin: Origin<'_>, altered: &[Altered]) {
        for (reason, count) in altered.iter().filter(|(_, count)| *count > 0) {
            let parts = &self.metrics.altered_parts;
            let parts = parts.get_or_create(&Label::new(origin, reason)).clone();
            parts.inc_by(*count);
            self.add(origin, Fate::Altered, (reason, Count::of(*count, 0)));
        }
    }

    /// Profiles that were refused, here and for good.
    pub(crate) fn refused(&self, origin: Origin<'_>, refused: &[Refusal]) {
        for Refusal { kind, bytes, .. } in refused {
            let profiles = &self.metrics.refused_profiles;
            profiles.get_or_create(&Label::new(origin, kind)).inc();
            self.discarded(origin, (kind, *bytes));
            self.add(origin, Fate::Refused, (kind, Count::of(1, *bytes)));
        }
    }

    /// A request of so many bytes that is answered with this error.
    pub(crate) fn failed(&self, origin: Origin<'_>, bytes: u64, error: &Error) {
        let reason = error.kind();
        let requests = &self.metrics.failed_requests;
        requests.get_or_create(&Label::new(origin, reason)).inc();
        let fate = match (error, error.code()) {
            // Its profiles are counted one by one.
            (Error::Refused(_), _) => return,
            // The ingester that passed it on counts it for the tenant.
            _ if origin.1 == Door::Forward => return,
            (_, Code::Exhausted | Code::Unavailable | Code::Timeout) => Fate::Postponed,
            _ => Fate::Failed,
        };
        if fate == Fate::Failed {
            self.discarded(origin, (reason, bytes));
        }
        self.add(origin, fate, (reason, Count::of(1, bytes)));
    }

    fn discarded(&self, origin: Origin<'_>, (reason, bytes): (&'static str, u64)) {
        let discarded = &self.metrics.discarded_bytes;
        let discarded = discarded.get_or_create(&Label::new(origin, reason)).clone();
        discarded.inc_by(bytes);
    }

    fn add(&self, origin: Origin<'_>, fate: Fate, (reason, more): (&'static str, Count)) {
        if more == Count::default() {
            return;
        }
        let (tenant, door) = origin;
        let item = Item {
            tenant: tenant.clone(),
            fate,
            door,
            reason,
        };
        let mut counts = self.counts.lock();
        let Count {
            count,
            bytes,
            samples,
        } = counts.entry(item).or_default();
        *count = count.saturating_add(more.count);
        *bytes = bytes.saturating_add(more.bytes);
        *samples = samples.saturating_add(more.samples);
    }

    /// In order; of one tenant, or of all.
    pub(crate) fn list(&self, tenant: Option<&TenantId>) -> Vec<(Item, Count)> {
        let counts = self.counts.lock();
        let wanted = counts
            .iter()
            .filter(|(item, _)| tenant.is_none_or(|tenant| item.tenant == *tenant));
        wanted.map(|(item, count)| (item.clone(), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::error::{Place, Refusals};

    fn metering() -> Metering {
        Metering::new(Metrics::register(&mut Registry::default()), 7)
    }

    fn refused(kind: &'static str, bytes: u64) -> Refusal {
        Refusal {
            place: Place::Named(String::new()),
            reason: String::new(),
            kind,
            bytes,
        }
    }

    #[test]
    fn what_happened_to_the_same_tenant_for_the_same_reason_is_one_row() {
        let metering = metering();
        let tenants = ["a", "b"].map(|name| TenantId::parse(name).expect("valid"));
        let [a, b] = tenants.each_ref().map(|tenant| (tenant, Door::Otlp));
        metering.refused(b, &[refused("time", 100)]);
        metering.refused(a, &[refused("time", 100), refused("time", 20)]);
        metering.refused(a, &[refused("labels", 3)]);
        let item = |tenant: &TenantId, reason| Item {
            tenant: tenant.clone(),
            fate: Fate::Refused,
            door: Door::Otlp,
            reason,
        };
        let all = [
            (item(a.0, "labels"), Count::of(1, 3)),
            (item(a.0, "time"), Count::of(2, 120)),
            (item(b.0, "time"), Count::of(1, 100)),
        ];
        assert_eq!(metering.list(None), all);
        assert_eq!(metering.list(Some(b.0)), all[2..]);
        let label = Label::new(a, "time");
        let discarded = metering.metrics.discarded_bytes.get_or_create(&label).get();
        assert_eq!(discarded, 120);
    }

    #[test]
    fn a_request_is_counted_once_by_what_its_sender_is_told() {
        let metering = metering();
        let tenant = TenantId::anonymous();
        let origin = (&tenant, Door::Ingest);
        metering.failed(origin, 10, &Error::Malformed(String::new()));
        metering.failed(origin, 20, &Error::Busy { max: 1 });
        metering.failed(origin, 40, &Error::Refused(Refusals::default()));
        metering.failed((&tenant, Door::Forward), 80, &Error::Stopping);
        metering.altered(origin, &[("truncated_stacks", 2), ("labels", 0)]);
        let stored = Stored {
            profiles: 2,
            samples: 9,
            repeats: 1,
            bytes: 300,
        };
        metering.stored(origin, &stored);
        let rows = metering.list(None).into_iter();
        let rows = rows.map(|(item, count)| (item.fate, item.reason, count.count, count.bytes));
        let expected = [
            (Fate::Stored, "", 2, 300),
            (Fate::Repeated, "", 1, 0),
            (Fate::Altered, "truncated_stacks", 2, 0),
            (Fate::Failed, "malformed", 1, 10),
            (Fate::Postponed, "busy", 1, 20),
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }
}
