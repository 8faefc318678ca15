//! An object store that fails as servers and networks do, by seed: for tests and simulation.
//!
//! One [`Server`] holds the objects; each process has a [`FaultyStore`] of its own to it, whose
//! link can be cut. Objects live in memory. Enforces create-only puts at every moment, as a store
//! that Cairn accepts does. Has no copies: Cairn uses none.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

/// How a store waits: so that simulations own time.
pub type Sleep = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the store takes for the time, in milliseconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How often requests fail, of a thousand, and how long they take. By default none fails.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Answered with "slow down" before anything happened.
    pub refused: u16,
    /// Writes that happen although their answer is an error.
    pub lost_replies: u16,
    /// Never answered: an error after [`Faults::patience`]. A write may have happened before, may
    /// never happen, or may arrive when its sender has long given up.
    pub hanging: u16,
    /// How long a request takes, anything in between.
    pub latency: Range<Duration>,
    /// After which time clients give up on a request without an answer.
    pub patience: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            refused: 0,
            lost_replies: 0,
            hanging: 0,
            latency: Duration::ZERO..Duration::ZERO,
            patience: Duration::from_secs(10),
        }
    }
}

/// How a process reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Link {
    Up = 0,
    /// Connections are refused: an error at once.
    Refused = 1,
    /// Packets vanish in both directions: an error after [`Faults::patience`].
    Silent = 2,
}

/// The objects, and how requests to them fail. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    objects: InMemory,
    sleep: Sleep,
    now: Now,
    state: Mutex<State>,
}

struct State {
    random: u64,
    faults: Faults,
    /// Writes on their way whose senders have given up.
    late: Vec<(Path, PutPayload, PutOptions)>,
    stored_unix_ms: HashMap<Path, i64>,
    /// Parts of the paths of objects that nobody gets to read.
    held: Vec<String>,
    /// Bytes of the largest request or answer.
    largest: u64,
}

/// What becomes of one request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Refused,
    LostReply,
    /// No answer; the write happens first.
    Hangs,
    /// No answer; the write does not happen.
    Vanishes,
    /// No answer; the write happens later.
    Late,
}

// === impl Server ===

impl Server {
    pub fn new(seed: u64, sleep: Sleep, now: Now) -> Self {
        Self(Arc::new(Shared {
            objects: InMemory::new(),
            sleep,
            now,
            state: Mutex::new(State {
                random: seed,
                faults: Faults::default(),
                late: Vec::new(),
                stored_unix_ms: HashMap::new(),
                held: Vec::new(),
                largest: 0,
            }),
        }))
    }

    /// From now on reads of objects whose path has this part are not answered.
    pub fn hold(&self, part: &str) {
        self.state().held.push(part.to_owned());
    }

    /// How many bytes a client had to hold for one request at most, sent or received.
    pub fn largest_request(&self) -> u64 {
        self.state().largest
    }

    fn note_size(&self, bytes: u64) {
        let mut state = self.state();
        state.largest = state.largest.max(bytes);
    }

    fn is_held(&self, path: &Path) -> bool {
        let state = self.state();
        state.held.iter().any(|part| path.as_ref().contains(part))
    }

    /// From the next request on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Another process' way to the objects.
    pub fn connect(&self) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            server: self.clone(),
            link: Arc::new(AtomicU8::new(Link::Up as u8)),
        })
    }

    /// Lets the writes arrive whose senders have given up.
    pub async fn deliver_late(&self) {
        let late = std::mem::take(&mut self.state().late);
        for (path, payload, options) in late {
            // Nobody waits for the outcome any more.
            let _ = self.put(&path, payload, options).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let done = self.0.objects.put_opts(path, payload, options).await?;
        let now = (self.0.now)();
        self.state().stored_unix_ms.insert(path.clone(), now);
        Ok(done)
    }

    /// Takes the time that a request takes and says what becomes of it.
    async fn fate(&self, is_write: bool) -> Fate {
        let (latency, has_late) = {
            let mut state = self.state();
            let has_late = !state.late.is_empty() && state.below(2) == 0;
            (state.latency(), has_late)
        };
        if has_late {
            self.deliver_late().await;
        }
        if !latency.is_zero() {
            (self.0.sleep)(latency).await;
        }
        self.state().fate(is_write)
    }

    async fn time_out(&self) -> Error {
        let patience = self.state().faults.patience;
        (self.0.sleep)(patience).await;
        failure("no answer in time")
    }

    /// An object's description with the time at which the simulation stored it.
    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(ms) = self.state().stored_unix_ms.get(&meta.location) {
            let since_1970 = Duration::from_millis(ms.unsigned_abs());
            meta.last_modified = (SystemTime::UNIX_EPOCH + since_1970).into();
        }
        meta
    }
}

impl State {
    /// A number below `bound`, by SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn latency(&mut self) -> Duration {
        let Range { start, end } = self.faults.latency;
        let spread = end.saturating_sub(start).as_micros();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX - 1);
        start + Duration::from_micros(self.below(spread + 1))
    }

    fn fate(&mut self, is_write: bool) -> Fate {
        let roll = self.below(1000);
        let refused = u64::from(self.faults.refused);
        let hanging = refused + u64::from(self.faults.hanging);
        let lost = hanging + u64::from(self.faults.lost_replies);
        if roll < refused {
            Fate::Refused
        } else if roll < hanging {
            match self.below(3) {
                _ if !is_write => Fate::Vanishes,
                0 => Fate::Hangs,
                1 => Fate::Vanishes,
                _ => Fate::Late,
            }
        } else if roll < lost && is_write {
            Fate::LostReply
        } else {
            Fate::Answered
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Server")
            .field("objects", &state.stored_unix_ms.len())
            .field("faults", &state.faults)
            .finish_non_exhaustive()
    }
}

// === impl FaultyStore ===

/// One process' way to a [`Server`].
#[derive(Debug)]
pub struct FaultyStore {
    server: Server,
    link: Arc<AtomicU8>,
}

/// An object that comes in parts.
#[derive(Debug)]
struct Parts {
    store: FaultyStore,
    path: Path,
    parts: Vec<Bytes>,
}

impl FaultyStore {
    /// From now on; also answers to requests that are on their way are affected.
    pub fn set_link(&self, link: Link) {
        self.link.store(link as u8, Ordering::SeqCst);
    }

    fn link(&self) -> Link {
        match self.link.load(Ordering::SeqCst) {
            0 => Link::Up,
            1 => Link::Refused,
            _ => Link::Silent,
        }
    }

    /// The same way, for what outlives a borrow.
    fn share(&self) -> Self {
        Self {
            server: self.server.clone(),
            link: Arc::clone(&self.link),
        }
    }

    /// Fails unless packets get through.
    async fn pass(&self) -> Result<()> {
        match self.link() {
            Link::Up => Ok(()),
            Link::Refused => Err(failure("connection refused")),
            Link::Silent => Err(self.server.time_out().await),
        }
    }

    /// One request that changes nothing: fails here, or may be carried out.
    async fn read(&self) -> Result<()> {
        self.pass().await?;
        match self.server.fate(false).await {
            Fate::Answered => self.pass().await,
            Fate::Refused => Err(failure("slow down")),
            _ => Err(self.server.time_out().await),
        }
    }

    /// One request that changes something: `change` makes the change, `postpone` puts it off.
    async fn write<T>(
        &self,
        change: impl Future<Output = Result<T>> + Send,
        postpone: impl FnOnce(&mut State) + Send,
    ) -> Result<T> {
        self.pass().await?;
        let fate = self.server.fate(true).await;
        match fate {
            Fate::Refused => return Err(failure("slow down")),
            Fate::Late => postpone(&mut self.server.state()),
            Fate::Vanishes => {}
            Fate::Answered | Fate::LostReply | Fate::Hangs => {
                let done = change.await;
                if fate == Fate::LostReply {
                    return Err(failure("connection reset"));
                }
                if fate == Fate::Answered {
                    self.pass().await?;
                    return done;
                }
            }
        }
        Err(self.server.time_out().await)
    }
}

fn failure(reason: &'static str) -> Error {
    Error::Generic {
        store: "faulty",
        source: reason.into(),
    }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "faulty".to_owned(),
    }
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let store = self.store.share();
        store.server.note_size(part.content_length() as u64);
        self.parts.extend(part);
        async move { store.read().await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload: PutPayload = self.parts.drain(..).collect();
        let (store, options) = (&self.store, PutOptions::default());
        let late = (self.path.clone(), payload.clone(), options.clone());
        let put = store.server.put(&self.path, payload, options);
        store.write(put, |state| state.late.push(late)).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.read().await
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.server.note_size(payload.content_length() as u64);
        let late = (path.clone(), payload.clone(), options.clone());
        let put = self.server.put(path, payload, options);
        self.write(put, |state| state.late.push(late)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.read().await?;
        Ok(Box::new(Parts {
            store: self.share(),
            path: path.clone(),
            parts: Vec::new(),
        }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.read().await?;
        if self.server.is_held(path) {
            return Err(self.server.time_out().await);
        }
        let is_head = options.head;
        let mut found = self.server.0.objects.get_opts(path, options).await?;
        found.meta = self.server.dated(found.meta);
        if !is_head {
            self.server.note_size(found.range.end - found.range.start);
        }
        Ok(found)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let handle = self.share();
        paths
            .and_then(move |path| {
                let handle = handle.share();
                async move {
                    let delete = handle.server.0.objects.delete(&path);
                    handle.write(delete, |_| {}).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (handle, prefix) = (self.share(), prefix.cloned());
        let found = async move {
            handle.read().await?;
            let found = handle.server.0.objects.list(prefix.as_ref());
            Ok::<_, Error>(found.map_ok(move |meta| handle.server.dated(meta)))
        };
        stream::once(found).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read().await?;
        let found = self.server.0.objects.list_with_delimiter(prefix).await?;
        let objects = found.objects.into_iter();
        Ok(ListResult {
            objects: objects.map(|meta| self.server.dated(meta)).collect(),
            ..found
        })
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(unsupported("copy"))
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[cfg(test)]
mod tests;
