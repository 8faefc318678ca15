//! Threads for which the system has a core only when nothing else wants it.

use std::cell::Cell;
use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

/// How long a thread is kept for the next work. They are the last to end when a program does.
const KEPT: Duration = Duration::from_secs(1);

/// Of all that runs in this program: the system knows no parts of it. A runtime of its own, since
/// threads that work in the background begin has their policy, and without a right there is no way
/// back. What waits there is driven by threads that have it not. None if there are no such threads.
static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let build = || {
        let probe = std::thread::Builder::new().spawn(step_back)?;
        probe.join().map_err(|_| io::ErrorKind::Other)??;
        let mut builder = Builder::new_multi_thread();
        builder.thread_name("background").thread_keep_alive(KEPT);
        builder.enable_all().build()
    };
    build()
        .inspect_err(|error| tracing::warn!(%error, "long queries run like short ones"))
        .ok()
});

pub(super) fn threads() -> Option<&'static Handle> {
    THREADS.as_ref().map(Runtime::handle)
}

/// Makes the thread that this is called on one in the background, from now on.
pub(super) fn enter() {
    thread_local!(static IS_BACK: Cell<bool> = const { Cell::new(false) });
    if !IS_BACK.replace(true) {
        // It was possible for another thread.
        let _ = step_back();
    }
}

/// Nobody needs a right for this.
#[cfg(target_os = "linux")]
fn step_back() -> io::Result<()> {
    let nothing = libc::sched_param { sched_priority: 0 };
    #[expect(
        unsafe_code,
        reason = "a call of the system that no library at hand wraps"
    )]
    // SAFETY: the parameter outlives the call, which is about this thread only.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const nothing) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
