//! The shard map as a message: owners are numbers, since most shards share few of them.

use std::collections::BTreeMap;

use cairn_model::WriterId;
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::shards_response;

use super::{invalid, log_kind, wire_log};
use crate::{Error, Owner, Place, SHARDS, Shards};

impl TryFrom<wire::ShardsResponse> for Shards {
    type Error = Error;

    fn try_from(response: wire::ShardsResponse) -> Result<Self, Self::Error> {
        let wire::ShardsResponse {
            epoch,
            places,
            owners,
            since,
            sealed,
        } = response;
        let shards = usize::from(SHARDS);
        if owners.len() != shards || since.len() != shards {
            return Err(invalid("shards")(&format!("there are {SHARDS}")).into());
        }
        let mut names = Vec::with_capacity(places.len());
        let mut writers = BTreeMap::new();
        for place in places {
            let shards_response::Place {
                writer,
                open,
                address,
                zone,
                incarnation,
                log,
            } = place;
            let writer = WriterId::parse(&writer)?;
            names.push(writer.clone());
            if open {
                let place = Place {
                    incarnation,
                    log: log_kind(log)?,
                    address,
                    zone,
                };
                writers.insert(writer, place);
            }
        }
        let owner = |(number, epoch): (u32, u64)| match number.checked_sub(1) {
            None => Ok(None),
            Some(at) => match names.get(at as usize) {
                Some(writer) => Ok(Some(Owner {
                    writer: writer.clone(),
                    epoch,
                })),
                None => Err(invalid("owner")(&"it is not among the places")),
            },
        };
        let owners: Result<_, _> = owners.into_iter().zip(since).map(owner).collect();
        Ok(Self {
            epoch,
            owners: owners?,
            writers,
            sealed: sealed.into_iter().map(gone).collect::<Result<_, _>>()?,
        })
    }
}

fn gone(sealed: shards_response::Sealed) -> Result<(WriterId, u64), Error> {
    let shards_response::Sealed {
        writer,
        incarnation,
    } = sealed;
    Ok((WriterId::parse(&writer)?, incarnation))
}

impl From<&Shards> for wire::ShardsResponse {
    fn from(shards: &Shards) -> Self {
        let owners = shards.owners.iter().flatten().map(|owner| &owner.writer);
        let names = owners.chain(shards.writers.keys());
        let mut numbers: BTreeMap<&WriterId, u32> = names.map(|name| (name, 0)).collect();
        numbers
            .values_mut()
            .zip(1..)
            .for_each(|(number, at)| *number = at);
        let place = |writer: &&WriterId| {
            let place = shards.writers.get(*writer);
            shards_response::Place {
                writer: writer.to_string(),
                open: place.is_some(),
                address: place.map_or(String::new(), |place| place.address.clone()),
                zone: place.map_or(String::new(), |place| place.zone.clone()),
                incarnation: place.map_or(0, |place| place.incarnation),
                log: place.map_or(0, |place| wire_log(place.log).into()),
            }
        };
        let number = |owner: &Option<Owner>| owner.as_ref().map_or(0, |o| numbers[&o.writer]);
        let sealed = |(writer, incarnation): &(WriterId, u64)| shards_response::Sealed {
            writer: writer.to_string(),
            incarnation: *incarnation,
        };
        let since = |owner: &Option<Owner>| owner.as_ref().map_or(0, |owner| owner.epoch);
        Self {
            epoch: shards.epoch,
            places: numbers.keys().map(place).collect(),
            owners: shards.owners.iter().map(number).collect(),
            since: shards.owners.iter().map(since).collect(),
            sealed: shards.sealed.iter().map(sealed).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;

    fn writer(name: &str) -> WriterId {
        WriterId::parse(name).expect("valid")
    }

    fn shards() -> Shards {
        let owner = |shard: u16| Owner {
            writer: writer(["a", "gone", "c"][usize::from(shard) % 3]),
            epoch: u64::from(shard) / 100,
        };
        let place = |address: &str| Place {
            incarnation: 3,
            log: Log::OnePerIncarnation,
            address: address.to_owned(),
            zone: "z".to_owned(),
        };
        Shards {
            epoch: 50,
            owners: (0..SHARDS)
                .map(|shard| (shard != 7).then(|| owner(shard)))
                .collect(),
            writers: [("a", "x"), ("b", "y"), ("c", "z")]
                .map(|(name, address)| (writer(name), place(address)))
                .into(),
            sealed: vec![(writer("gone"), 2)],
        }
    }

    #[test]
    fn maps_survive_the_wire_and_bad_ones_are_refused() {
        let message = wire::ShardsResponse::from(&shards());
        assert_eq!(Shards::try_from(message.clone()).expect("well"), shards());
        let mut short = message.clone();
        short.owners.pop();
        let mut stray = message;
        stray.owners[9] = 5;
        for bad in [short, stray] {
            assert!(Shards::try_from(bad).is_err());
        }
    }
}
