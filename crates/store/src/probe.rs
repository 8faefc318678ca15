//! Proves at start that the store enforces create-only puts. Judges only what it saw: a store that
//! can't be reached is an error of its own.

use bytes::Bytes;
use futures::future::{join_all, try_join_all};

use crate::{Error, Key, Store};

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Any server may be at the other end: enough that a check followed by a put, not in one step,
    /// is found out.
    Network,
    /// A file system: whether it makes names atomically.
    Folder,
}

impl Effort {
    /// For how many objects creators race, and how many for each.
    fn races(self) -> (u32, u32) {
        match self {
            // Many objects rather than many creators of each: there are stores that take seconds to
            // order creators of one object.
            Self::Network => (8, 3),
            Self::Folder => (1, 4),
        }
    }
}

/// Larger bodies take longer to arrive, and leave more time between a check and a put.
const BODY_BYTES: usize = 16 << 10;

/// How often a race is held whose outcome says nothing, such as when requests failed.
const ROUNDS: u32 = 3;

/// One race's outcome.
enum Race {
    Enforced,
    Broken(String),
    /// Nobody won, because of failures.
    Open(Option<Error>),
}

/// Creates objects in every way that must not work, and deletes them.
pub(crate) async fn run(
    store: &Store,
    place: &str,
    nonce: u128,
    effort: Effort,
) -> Result<(), Error> {
    let probe = Probe {
        store,
        place,
        nonce,
        effort,
    };
    let outcome = probe.run().await;
    probe.delete(0).await;
    outcome
}

struct Probe<'a> {
    store: &'a Store,
    place: &'a str,
    nonce: u128,
    effort: Effort,
}

impl Probe<'_> {
    async fn run(&self) -> Result<(), Error> {
        self.one_after_the_other().await?;
        let (keys, creators) = self.effort.races();
        self.connect(keys * creators).await?;
        let mut last = None;
        for round in 0..ROUNDS {
            let races = (1..=keys).map(async |key| {
                let number = round * keys + key;
                let outcome = self.race(number, creators).await;
                self.delete(number).await;
                outcome
            });
            let mut is_enforced = true;
            for race in join_all(races).await {
                match race {
                    Race::Enforced => {}
                    Race::Broken(seen) => return Err(self.broken(seen)),
                    Race::Open(error) => {
                        is_enforced = false;
                        last = error.or(last);
                    }
                }
            }
            if is_enforced {
                return Ok(());
            }
        }
        let why = last.map_or_else(|| "of many creators none succeeds".into(), Into::into);
        Err(self.failed(why))
    }

    /// The second creator of an object must be told so, and must not replace it.
    async fn one_after_the_other(&self) -> Result<(), Error> {
        let key = self.key(0);
        let (first, second) = (self.body(0), self.body(1));
        match self.store.create_once(key, first.clone()).await {
            Ok(()) => {}
            Err(Error::NotFound { .. }) => {
                return Err(self.failed("there is no such bucket".into()));
            }
            Err(error) => return Err(self.failed(error.into())),
        }
        match self.store.create(key, second).await {
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(self.failed(error.into())),
            Ok(()) => return Err(self.broken("it let an object be created twice".to_owned())),
        }
        let kept = self.store.get(key).await;
        if kept.map_err(|error| self.failed(error.into()))? != first {
            let seen = "it refused to create an object twice, and replaced it all the same";
            return Err(self.broken(seen.to_owned()));
        }
        Ok(())
    }

    /// Opens as many connections as racers need, so that racers start together.
    async fn connect(&self, racers: u32) -> Result<(), Error> {
        if self.effort == Effort::Folder {
            return Ok(());
        }
        let reads = (0..racers).map(|_| self.store.size(self.key(0)));
        let read = try_join_all(reads).await;
        read.map_err(|error| self.failed(error.into()))?;
        Ok(())
    }

    /// Of creators that race for one object exactly one must be told that it won, and its bytes
    /// must be what is stored.
    async fn race(&self, number: u32, creators: u32) -> Race {
        let key = self.key(number);
        let racers = (0..creators).map(|creator| self.store.create(key, self.body(creator)));
        let mut winners = Vec::new();
        let mut failure = None;
        for (creator, outcome) in (0..creators).zip(join_all(racers).await) {
            match outcome {
                Ok(()) => winners.push(creator),
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => failure = Some(error),
            }
        }
        match winners[..] {
            [] => Race::Open(failure),
            [winner] => match self.store.get(key).await {
                Ok(kept) if kept == self.body(winner) => Race::Enforced,
                Ok(_) => {
                    let seen = "of creators that raced one was told that it won, but another's \
                                bytes are stored";
                    Race::Broken(seen.to_owned())
                }
                Err(error) => Race::Open(Some(error)),
            },
            _ => Race::Broken(format!(
                "{} of {creators} creators that raced for one object were told that they won",
                winners.len()
            )),
        }
    }

    async fn delete(&self, number: u32) {
        // A left object is harmless; whether the store deletes is not what is asked here.
        let _ = self.store.delete(self.key(number)).await;
    }

    fn key(&self, number: u32) -> Key<'static> {
        Key::Probe {
            nonce: self.nonce,
            number,
        }
    }

    /// What one creator stores: its own and this probe's.
    fn body(&self, creator: u32) -> Bytes {
        let mut body = vec![0; BODY_BYTES];
        body[..16].copy_from_slice(&self.nonce.to_le_bytes());
        body[16..20].copy_from_slice(&creator.to_le_bytes());
        body.into()
    }

    fn broken(&self, seen: String) -> Error {
        Error::NotEnforced {
            place: self.place.to_owned(),
            seen,
        }
    }

    fn failed(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Open {
            place: self.place.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
