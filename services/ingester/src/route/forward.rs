//! A push on its way to the owners of its parts, all at once, and what they say together.
//!
//! pprof is not decoded for this: labels tell where profiles go.

use std::time::{Duration, Instant};

use cairn_model::Code;
use cairn_wal::Encoding;
use cairn_wire::cairn::ingest::v1::forward_service_client::ForwardServiceClient;
use futures::FutureExt;
use futures::future::join_all;
use tonic::Status;

use super::gate::Shut;
use super::split::Part;
use super::view::{Peer, View};
use super::{MAP_PATIENCE, PENDING_PATIENCE, Router, wire};
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::{Outcome, Push};

/// How often a part that finds no owner is given another way.
const TRIES: usize = 4;
/// Before going to the same owner again, which knows only an older map.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of one part.
enum Delivered {
    Done(Outcome),
    /// Nothing of it is stored; a map of this epoch or a newer one may know where it belongs.
    Moved(Part, u64),
}

/// One push's way.
struct Journey<'a> {
    router: &'a Router,
    ingester: &'a Ingester,
    /// The end of what it waits for other ingesters.
    until: Instant,
}

impl Router {
    /// Returns when everything that can be stored is, here or elsewhere. On an error some parts may
    /// be stored: sent again, they count once.
    pub(crate) async fn push(&self, ingester: &Ingester, push: Push) -> Result<Outcome, Error> {
        let journey = Journey {
            router: self,
            ingester,
            until: self.0.clock.instant() + self.0.config.deadline,
        };
        let mut view = journey.map(0).await?;
        let mut left = Part::whole(push, &view, &self.0.rates);
        let mut all = Outcome::default();
        for _ in 0..TRIES {
            let parts = left.by_owner(&view).into_iter();
            let deliver = |(owner, part): (Option<Peer>, Part)| {
                journey.deliver(owner, part, view.epoch()).boxed()
            };
            let Round {
                outcome,
                moved,
                failed,
            } = Round::of(join_all(parts.map(deliver)).await);
            all.add(outcome);
            if let Some(error) = failed {
                return Err(error);
            }
            let Some((part, epoch)) = moved else {
                return Ok(all);
            };
            if epoch <= view.epoch() {
                self.0.clock.sleep(PAUSE).await;
            }
            view = journey.map(epoch).await?;
            left = part;
        }
        Err(Error::Moving)
    }
}

/// What all parts together came to.
#[derive(Default)]
struct Round {
    outcome: Outcome,
    moved: Option<(Part, u64)>,
    failed: Option<Error>,
}

impl Round {
    fn of(parts: Vec<Result<Delivered, Error>>) -> Self {
        let mut round = Self::default();
        for part in parts {
            match (part, &mut round.moved, &mut round.failed) {
                (Ok(Delivered::Done(outcome)), ..) => round.outcome.add(outcome),
                (Ok(Delivered::Moved(part, epoch)), Some((others, newest)), _) => {
                    others.join(part);
                    *newest = epoch.max(*newest);
                }
                (Ok(Delivered::Moved(part, epoch)), moved, _) => *moved = Some((part, epoch)),
                (Err(error), _, Some(first)) if gravity(&error) <= gravity(first) => {}
                (Err(error), _, failed) => *failed = Some(error),
            }
        }
        round
    }
}

/// Which error of several is told: one that makes senders try again, the one with the longest
/// pause first.
fn gravity(error: &Error) -> u8 {
    match error.code() {
        Code::Unavailable | Code::Timeout => 2,
        Code::Exhausted => 1,
        Code::Invalid
        | Code::Unauthenticated
        | Code::Forbidden
        | Code::NotFound
        | Code::Conflict
        | Code::Corrupt
        | Code::Internal => 0,
    }
}

impl Journey<'_> {
    fn left(&self) -> Duration {
        let now = self.router.0.clock.instant();
        self.until.saturating_duration_since(now)
    }

    /// A map of at least this epoch.
    async fn map(&self, epoch: u64) -> Result<std::sync::Arc<View>, Error> {
        let maps = &self.router.0.maps;
        match maps.latest() {
            Some(view) if view.epoch() >= epoch => Ok(view),
            _ => {
                let view = maps.reach(epoch, MAP_PATIENCE.min(self.left())).await;
                view.ok_or(Error::Moving)
            }
        }
    }

    /// Does what may take a while with the profiles of a part, unless they are as they were sent.
    async fn worked<R: Send + 'static>(
        &self,
        mut part: Part,
        work: impl FnOnce(&Part) -> R + Send + 'static,
    ) -> (R, Part) {
        if part.push.encoding() == Encoding::Pprof {
            return (work(&part), part);
        }
        let work = move || {
            part.own_tables();
            (work(&part), part)
        };
        self.ingester.cx().compute(work).await
    }

    async fn deliver(
        &self,
        owner: Option<Peer>,
        part: Part,
        epoch: u64,
    ) -> Result<Delivered, Error> {
        let Some(owner) = owner else {
            return Ok(Delivered::Moved(part, epoch + 1));
        };
        match owner.id == self.router.0.own {
            true => self.keep(part).await,
            false => self.send(&owner, part, epoch).await,
        }
    }

    async fn keep(&self, part: Part) -> Result<Delivered, Error> {
        let super::Inner { gate, clock, .. } = &*self.router.0;
        let patience = PENDING_PATIENCE.min(self.left());
        let _taking = match gate.enter(&part.shards, clock, patience).await {
            Ok(taking) => taking,
            Err(Shut::Pending) => return Err(Error::Pending),
            Err(Shut::Foreign { epoch }) => return Ok(Delivered::Moved(part, epoch)),
        };
        let ((), part) = self.worked(part, |_| ()).await;
        let (push, places) = part.into_push();
        let outcome = self.ingester.store(push).await?;
        Ok(Delivered::Done(Part::placed(&places, outcome)))
    }

    async fn send(&self, owner: &Peer, part: Part, epoch: u64) -> Result<Delivered, Error> {
        let super::Inner {
            clock,
            peers,
            maps,
            metrics,
            config,
            ..
        } = &*self.router.0;
        let bytes = part.push.bytes();
        let _permit = self.ingester.admission().forward(bytes).await?;
        let channel = (peers.connect)(&owner.address).map_err(|error| {
            tracing::warn!(writer = %owner.id, address = owner.address, error, "not an address");
            Error::Unreachable
        })?;
        metrics.forwarded_requests.inc();
        metrics.forwarded_bytes.inc_by(bytes as u64);
        let start = clock.instant();
        let mut client = ForwardServiceClient::new(channel);
        let pack = move |part: &Part| wire::request(part, epoch);
        let (request, part) = self.worked(part, pack).await;
        let answer = tokio::select! {
            answer = client.store(request) => answer,
            () = clock.sleep(self.left()) => return Err(Error::OwnerLate(config.deadline)),
        };
        let took = clock.instant().duration_since(start);
        metrics.forward_seconds.observe(took.as_secs_f64());
        let answer = answer.map_err(|status| {
            let error = failed(&status);
            if matches!(error, Error::Unreachable) {
                // It may be gone for good: a newer map may know already.
                maps.hurry();
                let (writer, address) = (&owner.id, &owner.address);
                tracing::warn!(%writer, address, %status, "an ingester can't be reached");
            }
            error
        })?;
        Ok(match wire::outcome(answer.into_inner(), &part)? {
            Ok(outcome) => Delivered::Done(outcome),
            Err(epoch) => Delivered::Moved(part, epoch),
        })
    }
}

/// What the owner said, or that it said nothing.
fn failed(status: &Status) -> Error {
    // What comes from the other side has no source; what happens on the way has.
    let is_ours = std::error::Error::source(status).is_some();
    match status.code() {
        // One that is of an older version, was cut off, or waited in vain for our own bytes.
        tonic::Code::Unimplemented
        | tonic::Code::Cancelled
        | tonic::Code::Unknown
        | tonic::Code::DeadlineExceeded => Error::Unreachable,
        _ if is_ours => Error::Unreachable,
        _ => Error::Owner {
            code: cairn_wire::code_of(status),
            text: status.message().to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::Door;

    fn part(shard: u16) -> Part {
        let push = Push {
            tenant: cairn_model::TenantId::anonymous(),
            door: Door::Push,
            sender: Default::default(),
            received: 0,
            from: None,
            until: None,
            normalized: false,
            series: vec![crate::push::Series::default()],
            tables: Vec::new(),
        };
        Part::new(push, vec![shard])
    }

    #[test]
    fn owners_are_quoted_and_silence_is_unavailable() {
        let busy = Error::Busy { max: 7 };
        let told = failed(&cairn_wire::status(busy.code(), &busy.to_string()));
        assert_eq!(told.code(), Code::Exhausted);
        assert_eq!(told.to_string(), busy.to_string());
        let full = Error::MemoryFull { max: 7 };
        let told = failed(&cairn_wire::status(full.code(), &full.to_string()));
        assert_eq!(told.to_string(), full.to_string());
        let cut = std::io::Error::other("cut off");
        for silent in [
            Status::from_error(Box::new(cut)),
            cairn_wire::unimplemented("an older version"),
            cairn_wire::status(Code::Timeout, "slow"),
        ] {
            assert_eq!(failed(&silent).code(), Code::Unavailable, "{silent}");
        }
    }

    #[test]
    fn errors_that_senders_repeat_come_first_and_parts_that_moved_stay_together() {
        let round = Round::of(vec![
            Ok(Delivered::Moved(part(1), 3)),
            Err(Error::Malformed("bad".to_owned())),
            Ok(Delivered::Moved(part(2), 5)),
            Err(Error::Busy { max: 1 }),
            Ok(Delivered::Done(Outcome::default())),
            Err(Error::Unreachable),
            Err(Error::Moving),
            Ok(Delivered::Moved(part(3), 4)),
        ]);
        assert!(matches!(round.failed, Some(Error::Unreachable)));
        let (moved, epoch) = round.moved.expect("three");
        assert_eq!((moved.shards.as_slice(), epoch), (&[1, 2, 3][..], 5));
    }
}
