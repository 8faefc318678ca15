//! Taking files in: announced, received within bounds, checked, kept. Every door leads here.
//!
//! An upload writes in this order, so that after a crash between any two writes it can be repeated
//! or begun anew, and nobody ever reads half a file:
//!
//! 1. the record that it is announced; a crash after it leaves an upload that is stale some time
//!    later;
//! 2. its bytes, under its own name, which nobody reads yet; what comes twice is the same or
//!    refused;
//! 3. the other build ids that the file states: they lead to a record without a file until
//! 4. the record that the file is there (or refused, and then its bytes are deleted);
//! 5. its symbol file, which whoever misses it makes from the bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_chassis::Context;
use cairn_model::{BuildId, FileKind, TenantId, UploadId};
use cairn_store::DebuginfoName;
use futures::Stream;
use tempfile::TempPath;
use tokio::sync::{Semaphore, SemaphorePermit};

mod inventory;
mod judge;
mod quota;
mod receive;
mod sweep;

pub(crate) use inventory::Entry;
pub(crate) use judge::{identity, named};
pub(crate) use receive::{Claim, Received};

use crate::cache::Slot;
use crate::config::{SignedUrls, UploadConfig};
use crate::error::Error;
use crate::files::Files;
use crate::metrics::{Metrics, Outcome, UploadLabel};
use crate::record::{Ask, End, Halt, Reason, Record, Refusal, Stored, Upload};
use crate::records::{Change, Place};
use crate::upstream::Upstream;

/// Files that are in memory at a time while they are stored or checked.
const HELD_MAX: usize = 2;
/// How long an upload waits for others to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest name of a build in the store: that of a file in a folder has 255 bytes.
const NAME_BYTES_MAX: usize = 240;

pub(crate) struct Uploads {
    files: Arc<Files>,
    upstream: Arc<Upstream>,
    config: UploadConfig,
    receiving: Semaphore,
    held: Semaphore,
    quotas: quota::Quotas,
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
            quotas: quota::Quotas::default(),
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
    ) -> Result<(Reason, Option<Record>), Error> {
        check(place)?;
        let records = self.files.records();
        let folder = records.folder(&place.tenant, &place.build_id).await?;
        let (_, record) = records.find(&folder, place).await?;
        let mut reason = Record::wants(record.as_ref(), false, &self.ask(hash, force));
        if reason == Reason::New && !force && self.is_upstream(place).await {
            reason = Reason::Upstream;
        }
        Ok((reason, record))
    }

    /// Announces an upload that is wanted.
    pub(crate) async fn begin(&self, place: &Place, announced: Announced) -> Result<Begun, Error> {
        let (hash, force) = (announced.hash.as_str(), announced.force);
        let (reason, _) = self.wants(place, hash, force).await?;
        unless_unwanted(reason)?;
        self.check_size(announced.bytes)?;
        self.check_quota(&place.tenant, announced.bytes).await?;
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
        };
        let decide = |record: Option<&Record>| {
            let reason = Record::wants(record, false, &self.ask(hash, force));
            unless_unwanted(reason)?;
            let next = Record::begin(record, upload.clone());
            Ok(Change::Write(Box::new(next), ()))
        };
        self.files.records().change(place, decide).await?;
        self.count_kept(&place.tenant, announced.bytes);
        Ok(Begun { id, url })
    }

    /// Where a client may put an upload, if the settings and the store let it. The URL is valid for
    /// as long as the upload is not stale.
    async fn url(&self, place: &Place, upload: UploadId) -> Result<Option<String>, Error> {
        if self.config.signed_urls == SignedUrls::Off {
            return Ok(None);
        }
        let name = incoming(place, upload);
        let store = self.files.records().store();
        let lifetime = self.config.stale_after;
        Ok(store.signed_put(place.key(&name), lifetime).await?)
    }

    pub(crate) fn check_size(&self, bytes: u64) -> Result<(), Error> {
        let max = self.config.bytes_max.as_u64();
        match bytes > max {
            true => Err(Error::Invalid(format!(
                "upload size {bytes} exceeds maximum allowed size {max}"
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
        self.keep(place, upload.id, &received.path).await?;
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
        path: &TempPath,
    ) -> Result<(), Error> {
        let _turn = self.turn(&self.held).await?;
        let bytes = Bytes::from(tokio::fs::read(path).await?);
        let (store, name) = (self.files.records().store(), place.file(upload));
        // A client that lost the answer sends the file again.
        match store.create_once(place.key(&name), bytes).await {
            Err(cairn_store::Error::AlreadyExists { .. }) => {
                let text = "another file came with this upload before";
                Err(Error::Invalid(text.to_owned()))
            }
            outcome => Ok(outcome?),
        }
    }

    /// Ends an upload whose bytes are there: from now on readers get the file, unless it is of no
    /// use. Waits for its symbol file as long as `patience` says.
    pub(crate) async fn end(
        &self,
        place: &Place,
        id: &str,
        patience: Duration,
    ) -> Result<Stored, Error> {
        let result = self.end_of(place, id, patience).await;
        let outcome = match &result {
            Ok(_) => Outcome::Stored,
            Err(error) if error.code() == cairn_model::Code::Invalid => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        self.count(outcome, result.as_ref().map_or(0, |stored| stored.bytes));
        result
    }

    fn count(&self, outcome: Outcome, bytes: u64) {
        let label = UploadLabel { outcome };
        self.metrics.uploads.get_or_create(&label).inc();
        self.metrics.stored_bytes.inc_by(bytes);
    }

    async fn end_of(&self, place: &Place, id: &str, patience: Duration) -> Result<Stored, Error> {
        check(place)?;
        let (_, record) = self.files.records().read(place).await?;
        let stored = match Record::ending(record.as_ref(), id).map_err(not_ending)? {
            End::Before(stored) => stored,
            End::Now(upload) => self.check_and_end(place, id, upload).await?,
        };
        if let Some(refusal) = stored.refusal {
            return Err(Error::Refused(refusal.reason));
        }
        if place.kind != FileKind::SourceMap {
            self.convert(place, stored.upload, patience).await?;
        }
        Ok(stored)
    }

    async fn check_and_end(
        &self,
        place: &Place,
        id: &str,
        upload: Upload,
    ) -> Result<Stored, Error> {
        let (records, name) = (self.files.records(), place.file(upload.id));
        let (bytes, also) = self.verdict(place, &upload).await?;
        let (also, refusal) = match also {
            Ok(also) => (also, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        for other in &also {
            records.also(place, other).await?;
        }
        let stored = Stored {
            upload: upload.id,
            finished_unix_ms: self.now_unix_ms(),
            bytes,
            hash: upload.hash,
            is_fetched: false,
            refusal: refusal.map(|reason| Refusal {
                reason,
                by_version: cairn_symbols::VERSION,
            }),
        };
        let decide = |record: Option<&Record>| {
            if let Some(next) = record.and_then(|record| record.end(stored.clone())) {
                return Ok(Change::Write(Box::new(next), stored.clone()));
            }
            match Record::ending(record, id).map_err(not_ending)? {
                End::Before(stored) => Ok(Change::Keep(stored)),
                // It can't be: it would have ended now.
                End::Now(_) => Err(Error::Contended(place.build_id.to_string())),
            }
        };
        let stored = records.change(place, decide).await?;
        if stored.refusal.is_some() {
            records.store().delete(place.key(&name)).await?;
        }
        for build_id in also.iter().chain([&place.build_id]) {
            self.files.forget(&place.tenant, build_id);
        }
        Ok(stored)
    }

    /// How many bytes came with an upload, and the other build ids of the file or why it is of no
    /// use.
    async fn verdict(
        &self,
        place: &Place,
        upload: &Upload,
    ) -> Result<(u64, Result<Vec<BuildId>, String>), Error> {
        let _turn = self.turn(&self.held).await?;
        let store = self.files.records().store();
        if upload.is_signed {
            self.take_incoming(place, upload).await?;
        }
        let name = place.file(upload.id);
        let bytes = match self.stored_bytes(place, &name, upload).await {
            Ok(bytes) => bytes,
            Err(Error::Mismatch(text)) => {
                self.give_up(place, upload.id).await?;
                store.delete(place.key(&name)).await?;
                return Err(Error::Invalid(text));
            }
            Err(error) => return Err(error),
        };
        let size = bytes.len() as u64;
        let (place, upload) = (place.clone(), upload.clone());
        let judged = move || judge::judge(&place, &upload, &bytes);
        Ok((size, self.cx.compute(judged).await))
    }

    /// Keeps what a client has put itself, under a name that it can't put to.
    async fn take_incoming(&self, place: &Place, upload: &Upload) -> Result<(), Error> {
        let store = self.files.records().store();
        let (incoming, name) = (incoming(place, upload.id), place.file(upload.id));
        let bytes = match self.stored_bytes(place, &incoming, upload).await {
            Ok(bytes) => bytes,
            // It was taken before, or sent here all the same; or there is nothing at all.
            Err(Error::NotNow(_)) => return Ok(()),
            Err(Error::Mismatch(text)) => {
                self.give_up(place, upload.id).await?;
                store.delete(place.key(&incoming)).await?;
                return Err(Error::Invalid(text));
            }
            Err(error) => return Err(error),
        };
        match store.create_once(place.key(&name), bytes).await {
            // Something else was taken before: that holds.
            Ok(()) | Err(cairn_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(store.delete(place.key(&incoming)).await?)
    }

    /// The bytes of an upload, if they are what was announced.
    async fn stored_bytes(
        &self,
        place: &Place,
        name: &DebuginfoName,
        upload: &Upload,
    ) -> Result<Bytes, Error> {
        let store = self.files.records().store();
        let size = match store.size(place.key(name)).await {
            Ok(size) => size,
            Err(cairn_store::Error::NotFound { .. }) => {
                return Err(Error::NotNow("no file came with this upload"));
            }
            Err(error) => return Err(error.into()),
        };
        let claim = Claim {
            bytes: upload.bytes,
            hash: upload.hash.clone(),
        };
        claim.check_size(size, self.config.bytes_max.as_u64())?;
        let bytes = store.get(place.key(name)).await?;
        let hashed = bytes.clone();
        let check = move || claim.check(&hashed).map(|()| hashed);
        self.cx.compute(check).await
    }

    async fn give_up(&self, place: &Place, id: UploadId) -> Result<(), Error> {
        let decide = |record: Option<&Record>| {
            Ok(match record.and_then(|record| record.give_up(id)) {
                Some(next) => Change::Write(Box::new(next), ()),
                None => Change::Keep(()),
            })
        };
        self.count(Outcome::Refused, 0);
        self.files.records().change(place, decide).await
    }

    /// Has the symbol file made, which goes on when nobody waits any more.
    async fn convert(
        &self,
        place: &Place,
        upload: UploadId,
        patience: Duration,
    ) -> Result<(), Error> {
        let (place, files) = (place.clone(), Arc::clone(&self.files));
        let (done, waits) = tokio::sync::oneshot::channel();
        self.cx.spawn("convert", async move {
            let is_elf = place.kind.is_elf();
            let slot = Slot { place, upload };
            let made = match is_elf {
                true => files.file(slot).await.map(|made| made.map(|_| ())),
                false => files.texts(&slot).await.map(|made| made.map(|_| ())),
            };
            if let Err(Err(error)) = done.send(made) {
                let error = anyhow::Error::new(error);
                tracing::warn!(error = format!("{error:#}"), "a file is not converted yet");
            }
        });
        let made = tokio::select! {
            made = waits => made,
            () = self.sleep(patience) => return Ok(()),
        };
        match made {
            Ok(Ok(Err(crate::cache::Absence::Refused(reason)))) => {
                Err(Error::Refused(reason.to_string()))
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(()),
        }
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

fn incoming(place: &Place, upload: UploadId) -> DebuginfoName {
    DebuginfoName::Incoming {
        kind: place.kind,
        upload,
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
    let length = place.build_id.key_segment().len();
    match length > NAME_BYTES_MAX {
        true => Err(Error::Invalid(format!(
            "the build id is too long: as the name of a folder it would have {length} bytes, more \
             than {NAME_BYTES_MAX}"
        ))),
        false => Ok(()),
    }
}

fn unless_unwanted(reason: Reason) -> Result<(), Error> {
    match reason {
        Reason::RefusedSame => Err(Error::Unwanted(reason)),
        reason if !reason.is_wanted() => Err(Error::Unasked(reason)),
        _ => Ok(()),
    }
}

fn not_ending(halt: Halt) -> Error {
    match halt {
        Halt::Unknown => Error::Missing("no debuginfo metadata found for build id".to_owned()),
        Halt::NotBegun => {
            Error::Missing("no debuginfo upload metadata found for build id".to_owned())
        }
        Halt::OtherUpload => Error::Invalid("upload id mismatch".to_owned()),
    }
}
