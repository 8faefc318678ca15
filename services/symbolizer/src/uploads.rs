//! Taking files in: announced, received within bounds, checked, kept. Every door leads here.
//!
//! An upload writes in this order, so that after a crash between any two writes it can be repeated
//! or begun anew, and nobody ever reads half a file:
//!
//! 1. the record that it is announced; a crash after it leaves an upload that is stale some time
//!    later;
//! 2. its bytes, under its own name and their hash, so that what comes twice is the same object or
//!    another, and then the record which of them came first;
//! 3. the other build ids that the file states: they lead to a record without a file until
//! 4. the record that the file is there (or refused, and then its bytes are deleted);
//! 5. its symbol file, which whoever misses it makes from the bytes.
//!
//! Where a file replaces another that is of use, the symbol file comes before the record, which
//! says nothing of the new file if it is of none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_chassis::Context;
use cairn_model::{BuildId, FileKind, TenantId, UploadId};
use futures::Stream;
use tokio::sync::{Semaphore, SemaphorePermit};

mod end;
mod inventory;
mod judge;
mod quota;
mod receive;
mod sweep;
#[cfg(test)]
mod tests;

pub(crate) use inventory::Entry;
pub(crate) use judge::{debug_id, identity, named};
use quota::Kept;
pub(crate) use receive::{Claim, Received};

use crate::believed::Believed;
use crate::config::{SignedUrls, UploadConfig};
use crate::error::Error;
use crate::files::Files;
use crate::metrics::Metrics;
use crate::record::{Ask, Came, Halt, Reason, Record, Upload};
use crate::records::{Change, Place, unusable};
use crate::upstream::Upstream;

/// Files that are stored or checked at a time, of each a part in memory.
const HELD_MAX: usize = 2;
/// Where an operator allows larger files.
const MAX_SETTING: &str = "symbolizer.upload.bytes_max";
/// How long an upload waits for others to end.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Uploads {
    files: Arc<Files>,
    upstream: Arc<Upstream>,
    config: UploadConfig,
    receiving: Semaphore,
    held: Semaphore,
    /// What each tenant keeps.
    kept: Believed<Kept>,
    metrics: Metrics,
    cx: Context,
}

/// What a client says of the file that it is about to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announced {
    /// 0 if the protocol does not say.
    pub(crate) bytes: u64,
    /// Empty if the protocol does not say.
    pub(crate) hash: String,
    pub(crate) force: bool,
    /// Other build ids of the same build.
    pub(crate) also: Vec<BuildId>,
    /// The build id may be a linker's, which is the only kind that debuginfod servers know.
    pub(crate) is_gnu: bool,
    /// The build id is the hash of another form of the file.
    pub(crate) is_hash: bool,
    /// The client can put the file where a URL leads.
    pub(crate) takes_url: bool,
}

/// An upload that may come.
pub(crate) struct Begun {
    pub(crate) id: UploadId,
    /// Where the client is to put it; none if it is to send it here.
    pub(crate) url: Option<String>,
}

impl Uploads {
    pub(crate) fn new(
        (files, upstream): (Arc<Files>, Arc<Upstream>),
        config: UploadConfig,
        metrics: Metrics,
        cx: Context,
    ) -> Self {
        Self {
            files,
            upstream,
            receiving: Semaphore::new(config.concurrent_max.max(1)),
            held: Semaphore::new(HELD_MAX),
            kept: Believed::default(),
            config,
            metrics,
            cx,
        }
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Runs what takes long on a core of its own.
    pub(crate) async fn compute<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        self.cx.compute(work).await
    }

    pub(crate) fn config(&self) -> &UploadConfig {
        &self.config
    }

    pub(crate) fn now_unix_ms(&self) -> i64 {
        self.cx.clock().now() / 1_000_000
    }

    /// Whether a file is wanted, whatever its build is called.
    pub(crate) async fn wants(
        &self,
        place: &Place,
        hash: &str,
        force: bool,
    ) -> Result<(Reason, Place, Option<Record>), Error> {
        check(place)?;
        let records = self.files.records();
        let folder = records.folder(&place.tenant, &place.build_id).await?;
        let (mut found, mut record) = records.find(&folder, place).await?;
        let is_there = record
            .as_ref()
            .is_some_and(|record| record.readable().is_some());
        if place.kind == FileKind::Package
            && !is_there
            && let Some(package) = self.files.place_of_package(&folder, place).await?
        {
            (_, record) = records.read(&package).await?;
            found = package;
        }
        let reason = Record::wants(record.as_ref(), false, &self.ask(hash, force));
        // Who hears that it is there does not send it again: it must stay.
        if matches!(reason, Reason::There | Reason::UpstreamInUse) {
            self.files.note_use(&found).await;
        }
        Ok((reason, found, record))
    }

    /// The same for agents, who need not send what a debuginfod server has, however much they insist.
    pub(crate) async fn wants_of_agents(
        &self,
        place: &Place,
        announced: &Announced,
    ) -> Result<Reason, Error> {
        let (hash, force) = (&announced.hash, announced.force);
        let (reason, _, record) = self.wants(place, hash, force).await?;
        let file = record.as_ref().and_then(Record::readable);
        match reason {
            Reason::New if announced.is_gnu && self.is_upstream(place).await => {
                Ok(Reason::Upstream)
            }
            Reason::ThereForced if file.is_some_and(|file| file.is_fetched) => {
                Ok(Reason::UpstreamInUse)
            }
            reason => Ok(reason),
        }
    }

    /// Announces an upload that is wanted.
    pub(crate) async fn begin(&self, place: &Place, announced: Announced) -> Result<Begun, Error> {
        let (hash, force) = (announced.hash.as_str(), announced.force);
        let (reason, ..) = self.wants(place, hash, force).await?;
        unless_unwanted(reason)?;
        self.check_size(announced.bytes)?;
        let more = Kept {
            files: 1,
            bytes: announced.bytes,
        };
        self.check_quota(&place.tenant, more).await?;
        let id = UploadId(self.cx.random().u128());
        let url = match announced.takes_url {
            true => self.url(place, id).await?,
            false => None,
        };
        let upload = Upload {
            id,
            started_unix_ms: self.now_unix_ms(),
            bytes: announced.bytes,
            hash: announced.hash.clone(),
            also: announced.also.clone(),
            is_hash: announced.is_hash,
            is_signed: url.is_some(),
            came: None,
        };
        let decide = |record: Option<&Record>| {
            let reason = Record::wants(record, false, &self.ask(hash, force));
            unless_unwanted(reason)?;
            let next = Record::begin(record, upload.clone());
            Ok(Change::Write(Box::new(next), ()))
        };
        self.files.records().change(place, decide).await?;
        self.count_kept(&place.tenant, more);
        Ok(Begun { id, url })
    }

    /// Where a client may put an upload, if the settings and the store let it. The URL is valid for
    /// as long as the upload is not stale.
    async fn url(&self, place: &Place, upload: UploadId) -> Result<Option<String>, Error> {
        if self.config.signed_urls == SignedUrls::Off {
            return Ok(None);
        }
        let name = place.incoming(upload);
        let store = self.files.records().store();
        let lifetime = self.config.stale_after;
        Ok(store.signed_put(place.key(&name), lifetime).await?)
    }

    pub(crate) fn check_size(&self, bytes: u64) -> Result<(), Error> {
        let max = self.config.bytes_max.as_u64();
        match bytes > max {
            true => Err(Error::Invalid(format!(
                "upload size {bytes} exceeds maximum allowed size {max}, which {MAX_SETTING} says"
            ))),
            false => Ok(()),
        }
    }

    /// Takes the bytes of an announced upload, and gives their number.
    pub(crate) async fn receive<S>(&self, place: &Place, id: &str, parts: S) -> Result<u64, Error>
    where
        S: Stream<Item = Result<Bytes, Error>> + Unpin,
    {
        check(place)?;
        let (_, record) = self.files.records().read(place).await?;
        let upload = match Record::receiving(record.as_ref(), id) {
            Ok(upload) if upload.is_signed => return Err(Error::OnlySigned),
            Ok(upload) => upload,
            Err(Halt::OtherUpload) => {
                return Err(Error::Invalid(
                    "the upload ID does not match the one returned by the InitiateUpload call"
                        .to_owned(),
                ));
            }
            Err(Halt::Unknown | Halt::NotBegun) => {
                return Err(Error::NotNow(
                    "metadata not found, this indicates that the upload was not previously \
                     initiated",
                ));
            }
        };
        let claim = Claim {
            bytes: upload.bytes,
            hash: upload.hash.clone(),
        };
        let received = match self.take(parts, claim).await {
            Ok(received) => received,
            Err(Error::Mismatch(text)) => {
                self.give_up(place, upload.id).await?;
                return Err(Error::Invalid(text));
            }
            Err(error) => return Err(error),
        };
        let unannounced = received.bytes.saturating_sub(upload.bytes);
        if unannounced > 0 {
            self.check_room(&place.tenant, unannounced).await?;
        }
        self.keep(place, upload.id, &received).await?;
        let more = Kept {
            files: 0,
            bytes: unannounced,
        };
        self.count_kept(&place.tenant, more);
        Ok(received.bytes)
    }

    /// Receives a file of no upload yet.
    pub(crate) async fn take<S>(&self, parts: S, claim: Claim) -> Result<Received, Error>
    where
        S: Stream<Item = Result<Bytes, Error>> + Unpin,
    {
        let _turn = self.turn(&self.receiving).await?;
        let path = self.files.converter().scratch_file()?;
        let max = self.config.bytes_max.as_u64();
        let receiving = receive::receive(parts, path, claim, max);
        tokio::select! {
            received = receiving => received,
            () = self.sleep(self.config.time_max) => Err(Error::Slow(self.config.time_max)),
        }
    }

    /// A turn to look through a whole file.
    pub(crate) async fn turn_to_look(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.turn(&self.held).await
    }

    async fn turn<'a>(&self, turns: &'a Semaphore) -> Result<SemaphorePermit<'a>, Error> {
        tokio::select! {
            turn = turns.acquire() => Ok(turn.expect("it is never closed")),
            () = self.sleep(PATIENCE) => Err(Error::Busy),
        }
    }

    async fn sleep(&self, time: Duration) {
        self.cx.clock().sleep(time).await;
    }

    /// Stores what came under the name of its upload.
    pub(crate) async fn keep(
        &self,
        place: &Place,
        upload: UploadId,
        received: &Received,
    ) -> Result<(), Error> {
        let _turn = self.turn(&self.held).await?;
        self.put(place, upload, received).await
    }

    /// A large file comes into the store in parts, and replaces what is there. So its name says which
    /// bytes they are: a client that lost the answer sends them again, and one that was cut off may
    /// send others.
    async fn put(&self, place: &Place, upload: UploadId, received: &Received) -> Result<(), Error> {
        let content = received.content;
        let decide = |record: Option<&Record>| match Record::came(record, upload, content) {
            Came::First(next) => Ok(Change::Write(next, ())),
            Came::Again => Ok(Change::Keep(())),
            Came::Other => {
                let text = "another file came with this upload before";
                Err(Error::Invalid(text.to_owned()))
            }
            Came::Late => Err(Error::NotNow("the upload ended before its file was stored")),
        };
        let records = self.files.records();
        // What is not taken is not stored either.
        let (_, record) = records.read(place).await?;
        decide(record.as_ref())?;
        let name = place.file(upload, Some(content));
        let stored = records
            .store()
            .create_from(place.key(&name), &received.path);
        stored.await?;
        records.change(place, decide).await
    }

    fn ask<'a>(&self, hash: &'a str, force: bool) -> Ask<'a> {
        Ask {
            hash,
            force,
            now_unix_ms: self.now_unix_ms(),
            stale_after: self.config.stale_after,
        }
    }

    /// Whether a debuginfod server has it. If none can be asked, an upload is welcome.
    async fn is_upstream(&self, place: &Place) -> bool {
        if !place.kind.is_elf() {
            return false;
        }
        match self.upstream.exists(&place.build_id).await {
            Ok(is_there) => is_there,
            Err(error) => {
                tracing::debug!(error = error.chain(), "a debuginfod server is not asked");
                false
            }
        }
    }
}

/// The tenant that a request names; nobody in particular is `anonymous`.
pub(crate) fn tenant_of(name: &str) -> Result<TenantId, Error> {
    match name {
        "" => Ok(TenantId::anonymous()),
        name => Ok(TenantId::parse(name)?),
    }
}

fn check(place: &Place) -> Result<(), Error> {
    match unusable(&place.build_id) {
        Some(text) => Err(Error::Invalid(text)),
        None => Ok(()),
    }
}

fn unless_unwanted(reason: Reason) -> Result<(), Error> {
    match reason {
        Reason::RefusedSame => Err(Error::Unwanted(reason)),
        reason if !reason.is_wanted() => Err(Error::Unasked(reason)),
        _ => Ok(()),
    }
}
