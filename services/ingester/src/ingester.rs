//! What every door calls: admit, decode, store.
//!
//! Owns the order of these steps; each is somebody else's work.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_chassis::Context;
use cairn_model::{Limits, TenantId};
use cairn_store::Key;
use cairn_wal::{Lease, Row};

use crate::admission::Admission;
use crate::agents::{self, Agents};
use crate::config::Config;
use crate::error::Error;
use crate::flush::Flusher;
use crate::limits::TenantLimits;
use crate::metering::Metering;
use crate::metrics::{DoorLabel, Metrics};
use crate::prepare::{Prepared, Rules, prepare};
use crate::push::{Altered, Outcome, Push};
use crate::route::Router;
use crate::stacks::KnownStacks;
use crate::tail::{Tail, Usage};
use crate::writer::{Stored, Writer};

/// How long the object store may take for something small.
const STORE_ANSWER_MAX: Duration = Duration::from_millis(700);

/// The service behind all doors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ingester(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cx: Context,
    config: Config,
    rules: Rules,
    limits: TenantLimits,
    admission: Admission,
    tail: Arc<Tail>,
    writer: Writer,
    flusher: Arc<Flusher>,
    /// None: there are no others.
    router: Option<Router>,
    metrics: Metrics,
    agents: Agents,
    stacks: KnownStacks,
    metering: Metering,
}

/// How many times its bytes the profiles of a request may take, and what they always may.
const SHARING_MAX: usize = 32;
const SHARED_BYTES_MIN: usize = 16 << 20;

impl Ingester {
    pub(crate) fn new(
        cx: Context,
        config: Config,
        limits: TenantLimits,
        flusher: Arc<Flusher>,
        router: Option<Router>,
    ) -> Self {
        Self(Arc::new(Inner {
            rules: Rules::new(&config),
            limits,
            admission: Admission::new(&config.admission, cx.clock()),
            tail: Arc::clone(&flusher.tail),
            writer: flusher.writer.clone(),
            metrics: flusher.metrics.clone(),
            agents: Agents::default(),
            stacks: KnownStacks::new(config.known_stacks_bytes_max),
            metering: Metering::new(flusher.metrics.clone(), cx.clock().now()),
            flusher,
            router,
            cx,
            config,
        }))
    }

    pub(crate) fn cx(&self) -> &Context {
        &self.0.cx
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn agents(&self) -> &Agents {
        &self.0.agents
    }

    /// What two-way writes need not send again.
    pub(crate) fn stacks(&self) -> &KnownStacks {
        &self.0.stacks
    }

    pub(crate) fn metering(&self) -> &Metering {
        &self.0.metering
    }

    pub(crate) fn limits(&self) -> &TenantLimits {
        &self.0.limits
    }

    /// Limits for a request of another format than pprof. Its profiles share tables, so few bytes
    /// can stand for many: but not for any number of times as many.
    pub(crate) fn limits_for(&self, tenant: &TenantId, bytes: usize) -> Limits {
        let limits = *self.limits().of(tenant);
        let bytes_max = bytes.saturating_mul(SHARING_MAX).max(SHARED_BYTES_MIN);
        Limits {
            profile_bytes_max: limits.profile_bytes_max.min(bytes_max),
            ..limits
        }
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// The way to other ingesters, if there may be any.
    pub(crate) fn router(&self) -> Option<&Router> {
        self.0.router.as_ref()
    }

    /// Returns when every profile that can be stored is durable and readable, here or at its owner.
    /// If one can't, that is the error, after the others are stored.
    pub(crate) async fn push(&self, push: Push) -> Result<(), Error> {
        self.take(push).await?.into_result()
    }

    /// The same for what a decoder changed or left out things of.
    pub(crate) async fn push_altered(&self, push: Push, altered: &[Altered]) -> Result<(), Error> {
        let (tenant, door) = (push.tenant.clone(), push.door);
        let outcome = self.take(push).await?;
        self.0.metering.altered((&tenant, door), altered);
        outcome.into_result()
    }

    /// The same for protocols that can tell what was refused of a push.
    pub(crate) async fn take(&self, push: Push) -> Result<Outcome, Error> {
        let clock = self.0.cx.clock();
        let (received, start) = (push.received, clock.instant());
        let id = agents::Id::of(&push);
        let taken = self.take_unseen(push).await;
        let error = match &taken {
            Ok(outcome) => outcome.refusals().map(|refusals| refusals.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let newest = taken.as_ref().ok().and_then(|outcome| outcome.newest);
        let lag = newest.map(|newest| received.saturating_sub(newest).max(0));
        let seen = agents::Seen {
            at: received,
            took: clock.instant().duration_since(start),
            lag: lag.map(|lag| Duration::from_nanos(lag.unsigned_abs())),
            error: error.unwrap_or_default(),
        };
        self.0.agents.note(id, seen);
        taken
    }

    async fn take_unseen(&self, push: Push) -> Result<Outcome, Error> {
        let label = DoorLabel { door: push.door };
        let received = &self.0.metrics.received_bytes;
        received.get_or_create(&label).inc_by(push.bytes() as u64);
        let outcome = match &self.0.router {
            None => self.store(push).await?,
            Some(router) => match router.alone() {
                Some(_taking) => self.store(push).await?,
                None => Box::pin(router.push(self, push)).await?,
            },
        };
        Ok(outcome)
    }

    /// Stores a push, or a part of one, of which this ingester is the owner.
    pub(crate) async fn store(&self, push: Push) -> Result<Outcome, Error> {
        let (tenant, door) = (push.tenant.clone(), push.door);
        let origin = (&tenant, door);
        self.room().await?;
        let permit = self.0.admission.decoding(push.memory()).await?;
        let rules = Rules {
            limits: *self.limits().of(&tenant),
            ..self.0.rules.clone()
        };
        let prepared = self.0.cx.compute(move || prepare(push, &rules)).await;
        let Prepared {
            ready,
            refused,
            altered,
        } = prepared;
        let ends = ready.items.iter().map(|item| {
            let Row { time, profile, .. } = &item.row;
            time.saturating_add(profile.duration)
        });
        let newest = ends.max();
        let stored = match ready.items.is_empty() {
            true => Stored::default(),
            false => self.0.writer.store(ready, permit).await?,
        };
        let metering = &self.0.metering;
        metering.stored(origin, &stored);
        metering.altered(origin, &altered);
        metering.refused(origin, &refused);
        Ok(Outcome {
            stored,
            refused,
            more: 0,
            newest,
        })
    }

    /// Hashes of what was stored within the window of repeats.
    pub(crate) async fn stored_lately(&self) -> Result<Vec<u128>, Error> {
        self.0.writer.stored_lately().await
    }

    /// Whether the object store takes objects from here at this moment.
    pub(crate) async fn reaches_store(&self) -> bool {
        let (clock, flusher) = (self.0.cx.clock(), &self.0.flusher);
        let waited = |lease: &Lease| lease.waited(clock.instant());
        if flusher.lease.as_ref().map(waited) > Some(STORE_ANSWER_MAX) {
            return false;
        }
        let nonce = self.0.cx.random().u128();
        let probe = Key::Probe { nonce, number: 0 };
        let store = &flusher.blocks.store;
        let put = async {
            let put = store.create(probe, Bytes::from_static(b"reached")).await;
            // What stays if this fails is a few bytes.
            let _ = store.delete(probe).await;
            put.is_ok()
        };
        tokio::select! {
            is_taken = put => is_taken,
            () = clock.sleep(STORE_ANSWER_MAX) => false,
        }
    }

    /// Waits a while for rows to get into blocks, then refuses.
    async fn room(&self) -> Result<(), Error> {
        let clock = self.0.cx.clock();
        let patience = clock.sleep(self.0.config.admission.wait_max);
        tokio::pin!(patience);
        loop {
            let committed = self.0.tail.next_commit();
            if self.make_room() {
                return Ok(());
            }
            tokio::select! {
                () = committed => {}
                () = &mut patience => {
                    let max = self.0.config.tail.memory_bytes_max.as_u64();
                    return Err(Error::MemoryFull { max });
                }
            }
        }
    }

    /// Flushes early and drops rows that are in blocks; says whether there is room.
    fn make_room(&self) -> bool {
        let limits = &self.0.config.tail;
        let max = limits.memory_bytes_max.as_u64();
        let Usage { unflushed, flushed } = self.0.tail.usage();
        if unflushed as u64 >= limits.head_bytes_max.as_u64() {
            self.0.flusher.wake();
        }
        if (unflushed + flushed) as u64 >= max {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.0.tail.drop_flushed(i64::MIN, max);
        }
        (unflushed as u64) < max
    }
}
