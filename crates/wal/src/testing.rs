//! One thread and a clock that moves when nobody can do anything: for tests of logs.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use cairn_model::WriterId;
use cairn_testkit::generator::Rng;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Outside, Payload};

/// Time and chance of one test. Clones share them.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    now: Duration,
    rng: Rng,
    /// By when they end, and by when they began.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    slept: u64,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            state: Mutex::new(State {
                now: Duration::ZERO,
                rng: Rng::new(seed),
                sleepers: BTreeMap::new(),
                slept: 0,
            }),
        }))
    }

    /// Since the start of the world.
    pub(crate) fn now(&self) -> Duration {
        self.0.state.lock().now
    }

    pub(crate) fn instant(&self) -> Instant {
        self.0.start + self.now()
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.0.state.lock().rng.below(bound)
    }

    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Whoever sleeps keeps no world alive that nobody runs any more.
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        async move {
            let Some(inner) = inner.upgrade() else { return };
            let over = {
                let mut state = inner.state.lock();
                let (wake, over) = oneshot::channel();
                state.slept += 1;
                let key = (state.now + duration, state.slept);
                state.sleepers.insert(key, wake);
                over
            };
            drop(inner);
            let _ = over.await;
        }
        .boxed()
    }

    pub(crate) fn outside(&self) -> Outside {
        let [instant, sleep, random] = [(); 3].map(|()| self.clone());
        Outside {
            instant: Arc::new(move || instant.instant()),
            sleep: Arc::new(move |duration| sleep.sleep(duration)),
            random: Arc::new(move || {
                let mut state = random.0.state.lock();
                (u128::from(state.rng.next()) << 64) | u128::from(state.rng.next())
            }),
        }
    }

    /// Runs a future to its end. Whenever it waits for nothing but time, time passes.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(value) = polled {
                return value;
            }
            if !woken.0.swap(false, Ordering::SeqCst) {
                self.advance();
            }
        }
    }

    fn advance(&self) {
        let mut state = self.0.state.lock();
        let ((at, _), wake) = state.sleepers.pop_first().expect("somebody waits for time");
        state.now = state.now.max(at);
        // The sleeper may be gone.
        let _ = wake.send(());
    }
}

pub(crate) fn writer() -> WriterId {
    WriterId::parse("ingester-0").expect("valid")
}

/// A payload that is told by its number.
pub(crate) fn payload(id: u64) -> Payload {
    Payload {
        bytes: id.to_le_bytes().repeat(1 + (id % 5) as usize),
        hashes: vec![u128::from(id) + 1; (id % 3) as usize],
    }
}

pub(crate) fn id_of(payload: &[u8]) -> u64 {
    let id = payload.first_chunk().expect("every payload has a number");
    u64::from_le_bytes(*id)
}
