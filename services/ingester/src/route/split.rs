//! A push in parts, one per owner. Pure.

use std::collections::BTreeMap;

use cairn_model::{WriterId, own_tables};
use parking_lot::Mutex;

use super::hash::Hash;
use super::rates::Rates;
use super::subset::{Subset, service};
use super::view::{Peer, View};
use crate::error::Place;
use crate::push::{Outcome, Push, Raw, Series};

/// Some series of a push.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) push: Push,
    /// The shard of each series.
    pub(crate) shards: Vec<u16>,
    /// Which series of the request each one is.
    places: Vec<usize>,
    /// Whether other parts may need some of the tables.
    is_split: bool,
}

impl Part {
    pub(crate) fn new(push: Push, shards: Vec<u16>) -> Self {
        Self {
            places: (0..push.series.len()).collect(),
            push,
            shards,
            is_split: false,
        }
    }

    /// All of a push, each series with the shard that it belongs to. Counts its bytes.
    pub(super) fn whole(push: Push, view: &View, rates: &Mutex<Rates>) -> Self {
        let now = push.received;
        // Senders spread over all ingesters.
        let ingesters = view.writers().len().max(1) as u64;
        let tenant = Hash::of(push.tenant.as_str().as_bytes());
        let key = |series: &Series| tenant.and(service(&series.labels).as_bytes()).finish();
        let bytes = |series: &Series| (series.bytes() as u64).saturating_mul(ingesters);
        let keys: Vec<u64> = push.series.iter().map(key).collect();
        let (size, sizes) = {
            let mut rates = rates.lock();
            let all = push.series.iter().map(bytes).fold(0, u64::saturating_add);
            let size = rates.tenant(tenant.finish(), all, now);
            for (key, series) in keys.iter().zip(&push.series) {
                rates.service(*key, bytes(series), now);
            }
            // Afterwards, so that all series of a service get the same.
            let size_of = |key: &u64| rates.service(*key, 0, now);
            let sizes: Vec<u16> = keys.iter().map(size_of).collect();
            (size, sizes)
        };
        let subset = Subset::new(view, &push.tenant, size);
        let shard = |(series, size): (&Series, u16)| subset.shard(&series.labels, size);
        let shards = push.series.iter().zip(sizes).map(shard).collect();
        Self::new(push, shards)
    }

    /// The same by owner; who has none comes without.
    pub(super) fn by_owner(self, view: &View) -> Vec<(Option<Peer>, Self)> {
        let Self {
            mut push,
            shards,
            places,
            is_split: _,
        } = self;
        let all = std::mem::take(&mut push.series);
        let mut parts: BTreeMap<Option<&WriterId>, (Option<&Peer>, Self)> = BTreeMap::new();
        for ((series, shard), place) in all.into_iter().zip(shards).zip(places) {
            let owner = view.owner(shard);
            let part = parts.entry(owner.map(|peer| &peer.id));
            let (_, part) = part.or_insert_with(|| (owner, Self::new(push.clone(), Vec::new())));
            part.push.series.push(series);
            part.shards.push(shard);
            part.places.push(place);
        }
        let is_split = parts.len() > 1;
        let parts = parts.into_values().map(|(owner, part)| {
            let part = Self { is_split, ..part };
            (owner.cloned(), part)
        });
        parts.collect()
    }

    /// Leaves out what only other parts need of the tables of decoded profiles.
    pub(super) fn own_tables(&mut self) {
        if !std::mem::take(&mut self.is_split) {
            return;
        }
        let series = self.push.series.iter_mut();
        let raws = series.flat_map(|series| &mut series.profiles);
        own_tables(raws.filter_map(|raw| match raw {
            Raw::Decoded { profile, .. } => Some(profile),
            Raw::Pprof { .. } | Raw::Packed { .. } => None,
        }));
    }

    /// Takes in another part of the same push.
    pub(super) fn join(&mut self, other: Self) {
        self.push.series.extend(other.push.series);
        self.shards.extend(other.shards);
        self.places.extend(other.places);
    }

    /// Turns places in this part into places in the request.
    pub(super) fn placed(places: &[usize], mut outcome: Outcome) -> Outcome {
        for refusal in &mut outcome.refused {
            if let Place::Profile { series, .. } = &mut refusal.place {
                *series = places.get(*series).copied().unwrap_or(*series);
            }
        }
        outcome
    }

    pub(super) fn into_push(self) -> (Push, Vec<usize>) {
        (self.push, self.places)
    }

    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use cairn_catalog::Log;
    use cairn_model::TenantId;

    use super::super::view::Shards;
    use super::*;
    use crate::error::Refusal;
    use crate::push::Door;

    fn id(name: &str) -> WriterId {
        WriterId::parse(name).expect("valid")
    }

    /// Shard 0 is a's, 1 b's, 2 nobody's.
    fn view() -> View {
        let peer = |name| Peer {
            id: id(name),
            incarnation: 1,
            log: Log::OnePerIncarnation,
            address: String::new(),
            zone: String::new(),
        };
        View::new(Shards {
            epoch: 1,
            owners: vec![(0, id("a")), (1, id("b")), (2, id("gone"))],
            writers: vec![peer("a"), peer("b")],
            sealed: Vec::new(),
        })
    }

    fn push(services: usize) -> Push {
        let series = |service: usize| Series {
            labels: vec![("service_name".to_owned(), format!("{service}"))],
            ..Series::default()
        };
        Push {
            tenant: TenantId::anonymous(),
            door: Door::WriteRaw,
            sender: Default::default(),
            received: 0,
            from: None,
            until: None,
            normalized: false,
            series: (0..services).map(series).collect(),
            tables: Vec::new(),
        }
    }

    fn refused(series: usize) -> Outcome {
        let place = Place::Profile {
            series,
            sample: Some(0),
            name: None,
        };
        Outcome {
            refused: vec![Refusal {
                place,
                reason: String::new(),
                kind: "time",
                bytes: 0,
            }],
            ..Outcome::default()
        }
    }

    #[test]
    fn parts_know_their_places_and_joined_ones_too() {
        let part = Part::new(push(6), vec![0, 1, 2, 0, 1, 2]);
        let mut parts = part.by_owner(&view());
        let owners = parts
            .iter()
            .map(|(owner, _)| owner.as_ref().map(|peer| peer.id.as_str()));
        assert_eq!(owners.collect::<Vec<_>>(), [None, Some("a"), Some("b")]);
        let (_, b) = parts.pop().expect("three");
        let (_, mut a) = parts.pop().expect("two");
        assert_eq!(
            (a.shards.as_slice(), a.places()),
            (&[0, 0][..], &[0, 3][..])
        );
        assert_eq!(a.push.series[1].labels[0].1, "3");
        let placed = Part::placed(b.places(), refused(1));
        assert_eq!(placed.refused[0].place.position(), Some((4, Some(0))));
        a.join(b);
        assert_eq!(a.places(), [0, 3, 1, 4]);
        let again: Vec<_> = a
            .by_owner(&view())
            .into_iter()
            .map(|(_, part)| part)
            .collect();
        assert_eq!(again[1].places(), [1, 4]);
    }

    #[test]
    fn every_series_gets_a_shard_and_rates_let_services_grow() {
        let view = view();
        let rates = Mutex::new(Rates::new(1_000));
        let part = Part::whole(push(3), &view, &rates);
        assert_eq!((part.shards.len(), part.places()), (3, &[0, 1, 2][..]));
        assert_eq!(Part::whole(push(3), &view, &rates).shards, part.shards);
        // Many pods of one service, and much of them.
        let mut busy = push(64);
        for (pod, series) in busy.series.iter_mut().enumerate() {
            series.labels[0].1 = "0".to_owned();
            series.labels.push(("pod".to_owned(), pod.to_string()));
            series.profiles = vec![Raw::pprof(vec![0; 100_000].into())];
        }
        let shards = Part::whole(busy, &view, &rates).shards;
        let distinct: std::collections::BTreeSet<u16> = shards.into_iter().collect();
        assert!(distinct.len() > 8, "{distinct:?}");
    }
}
