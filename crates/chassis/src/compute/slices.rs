//! A future that goes on, on another thread, only while it has a core, and gives that back wherever
//! it waits. Holds no thread meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::background;
use super::cores::{Account, Core, Kind};
use super::ended;

/// What a slice is told from outside.
#[derive(Debug, Default)]
struct Told {
    /// Keeps that somebody was woken until they look.
    woken: Notify,
    /// Nobody waits for the work any more.
    is_given_up: AtomicBool,
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.notify_one();
    }
}

/// Whoever waits for work.
struct Waiter(Arc<Told>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.is_given_up.store(true, Ordering::Relaxed);
    }
}

/// What came of a slice, and a core that is to be given back by whoever may go on.
type Slice<F> = (Result<<F as Future>::Output, F>, Option<Core>);

pub(super) async fn run<F>(account: Arc<Account>, kind: Kind, mut work: F) -> F::Output
where
    F: Future<Output: Send + 'static> + Send + Unpin + 'static,
{
    let waiter = Waiter(Arc::default());
    loop {
        let core = account.core(kind).await;
        let told = Arc::clone(&waiter.0);
        // The core moves in, so that giving up on the answer does not let more in while a slice
        // still burns it.
        let threads = core.threads().clone();
        let slice = threads.spawn_blocking(move || slice(work, core, &told));
        match AbortOnDropHandle::new(slice).await {
            Ok((Ok(output), _)) => return output,
            Ok((Err(rest), _)) => work = rest,
            Err(error) => return ended(error).await,
        }
        waiter.0.woken.notified().await;
    }
}

/// Until it is done or waits, nobody wants it, or others are to have the core.
fn slice<F: Future + Unpin>(mut work: F, mut core: Core, told: &Arc<Told>) -> Slice<F> {
    let waker = Waker::from(Arc::clone(told));
    let mut cx = Context::from_waker(&waker);
    if core.is_behind() {
        background::enter();
        return match core.spend(|| work.poll_unpin(&mut cx)) {
            Poll::Ready(output) => (Ok(output), Some(core)),
            Poll::Pending => (Err(work), Some(core)),
        };
    }
    loop {
        let polled = core.spend(|| work.poll_unpin(&mut cx));
        if let Poll::Ready(output) = polled {
            return (Ok(output), None);
        }
        let is_woken = told.woken.notified().now_or_never().is_some();
        if !is_woken || told.is_given_up.load(Ordering::Relaxed) {
            return (Err(work), None);
        }
        let Some(next) = core.again() else {
            told.woken.notify_one();
            return (Err(work), None);
        };
        core = next;
    }
}
