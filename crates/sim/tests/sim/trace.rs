//! What happened in a run, as one number: two runs with the same number went alike. Prints it too,
//! if asked.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

thread_local! {
    static DIGEST: RefCell<DefaultHasher> = RefCell::new(DefaultHasher::new());
    static EVENTS: Cell<u64> = const { Cell::new(0) };
    static LEFT_OUT: Cell<u64> = const { Cell::new(0) };
    static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static LOUDNESS: Cell<Loudness> = const { Cell::new(Loudness::Silent) };
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loudness {
    Silent,
    /// What people care for.
    Normal,
    /// All that makes the number, every message on the network included: to find where two runs
    /// part.
    Everything,
}

/// Listens to everything that this thread does from here on.
pub(crate) fn start(loudness: Loudness) -> tracing::subscriber::DefaultGuard {
    LOUDNESS.set(loudness);
    let subscriber = tracing_subscriber::registry().with(Listener.with_filter(Interesting));
    tracing::subscriber::set_default(subscriber)
}

/// What time it is, for what happens between two steps.
pub(crate) fn at(elapsed: Duration) {
    CLOCK.set(elapsed);
}

/// How long the simulation has gone on, where a host's clock is there to ask: without one, as while
/// hosts are started between two steps, turmoil would add real time, which is never the same.
pub(crate) fn elapsed() -> Option<Duration> {
    let host = tokio::runtime::Handle::try_current();
    host.ok().and_then(|_| turmoil::sim_elapsed())
}

/// Something that the simulation itself did or saw.
pub(crate) fn note(text: &str) {
    record("sim", text, true);
}

/// A number for everything so far, and how many events it stands for.
pub(crate) fn digest() -> (u64, u64) {
    (DIGEST.with_borrow(|digest| digest.finish()), EVENTS.get())
}

/// How many profiles that were stored twice merges have left out so far.
pub(crate) fn left_out() -> u64 {
    LEFT_OUT.get()
}

fn record(who: &str, text: &str, shown: bool) {
    let elapsed = elapsed().unwrap_or(CLOCK.get()).as_millis();
    DIGEST.with_borrow_mut(|digest| (elapsed, who, text).hash(digest));
    EVENTS.set(EVENTS.get() + 1);
    let is_wanted = match LOUDNESS.get() {
        Loudness::Silent => false,
        Loudness::Normal => shown,
        Loudness::Everything => true,
    };
    if is_wanted {
        let (seconds, millis) = (elapsed / 1000, elapsed % 1000);
        // Whoever reads it may have gone.
        let _ = writeln!(std::io::stdout(), "{seconds:>3}.{millis:03} {who}: {text}");
    }
}

struct Interesting;

impl<S> Filter<S> for Interesting {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        let ours = metadata.target().starts_with("cairn");
        metadata.is_span() && metadata.target() == "turmoil::sim"
            || ours && *metadata.level() <= Level::DEBUG
            || metadata.target() == "turmoil"
    }
}

struct Listener;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        let shown = *metadata.level() <= Level::INFO && metadata.target() != "turmoil";
        record(metadata.target(), &text.0, shown);
    }
}

/// The fields in words. The bytes of messages are left out: they hold dates.
struct Text(String);

impl Visit for Text {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "left_out" {
            LEFT_OUT.set(LEFT_OUT.get() + value);
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() != "protocol" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{}={value:?} ", field.name());
        }
    }
}
