//! The end of an upload: what came is checked, and readers get it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_model::{BuildId, Code, ContentHash, FileKind, UploadId};
use cairn_store::DebuginfoName;
use futures::TryStreamExt as _;

use super::{Claim, Received, Uploads, check, judge, receive};
use crate::absence::Absence;
use crate::cache::Slot;
use crate::error::Error;
use crate::metrics::{Outcome, UploadLabel};
use crate::record::{End, Halt, Record, Refusal, Stored, Upload};
use crate::records::{Change, Place};
use crate::scratch;

const NOTHING_CAME: &str = "no file came with this upload";

/// What came of reading a file for the first time.
enum Made {
    Good,
    Refused(String),
    /// Not known yet.
    Unknown,
}

impl Uploads {
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
            Err(error) if error.code() == Code::Invalid => Outcome::Refused,
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
        let ending = Record::ending(record.as_ref(), id).map_err(not_ending)?;
        let stored = match ending {
            End::Before(stored) => stored,
            End::Now(upload) => {
                let replaces = record.is_some_and(|record| record.readable().is_some());
                self.check_and_end(place, upload, replaces).await?
            }
        };
        if let Some(refusal) = stored.refusal {
            return Err(Error::Refused(refusal.reason));
        }
        // It was tried before it was taken in. Another program may have come since, and it stays.
        if place.kind == FileKind::Package {
            return Ok(stored);
        }
        let slot = Slot::new(place.clone(), stored.upload, stored.content);
        match self.convert(&slot, patience).await? {
            Made::Refused(reason) => Err(Error::Refused(reason)),
            Made::Good | Made::Unknown => Ok(stored),
        }
    }

    async fn check_and_end(
        &self,
        place: &Place,
        upload: Upload,
        replaces: bool,
    ) -> Result<Stored, Error> {
        let records = self.files.records();
        let came = match upload.is_signed {
            true => self.take_incoming(place, &upload).await?,
            false => upload.came,
        };
        let content = came.ok_or(Error::NotNow(NOTHING_CAME))?;
        let slot = Slot::new(place.clone(), upload.id, Some(content));
        let (bytes, mut also) = self.verdict(&slot, &upload).await?;
        // A file that is of use is not lost to one that may be of none, and a package stays once it
        // was taken in.
        let is_package = place.kind == FileKind::Package;
        if (replaces || is_package) && also.is_ok() {
            match self.convert(&slot, Duration::MAX).await? {
                Made::Good => {}
                Made::Refused(reason) => also = Err(reason),
                Made::Unknown => return Err(Error::Unproven),
            }
        }
        let (mut also, refusal) = match also {
            Ok(also) => (also, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        if refusal.is_none() {
            also.extend(self.also_of_program(place).await?);
        }
        for other in &also {
            records.also(place, other).await?;
            self.also_of_package(place, other).await?;
        }
        let stored = Stored {
            upload: upload.id,
            content: slot.content,
            finished_unix_ms: self.now_unix_ms(),
            bytes,
            hash: upload.hash,
            is_fetched: false,
            refusal: refusal.map(|reason| Refusal {
                reason,
                by_version: cairn_symbols::VERSION,
            }),
        };
        let id = upload.id.to_string();
        let decide = |record: Option<&Record>| {
            if let Some(next) = record.and_then(|record| record.end(stored.clone())) {
                return Ok(Change::Write(Box::new(next), stored.clone()));
            }
            match Record::ending(record, &id).map_err(not_ending)? {
                End::Before(stored) => Ok(Change::Keep(stored)),
                // It can't be: it would have ended now.
                End::Now(_) => Err(Error::Contended(place.build_id.to_string())),
            }
        };
        let stored = records.change(place, decide).await?;
        if stored.refusal.is_some() {
            records.store().delete(place.key(&slot.file())).await?;
        }
        for build_id in also.iter().chain([&place.build_id]) {
            self.files.changed(&place.tenant, build_id);
        }
        Ok(stored)
    }

    /// The build ids under which there are programs that have the one of this package, too. A program
    /// that comes meanwhile sees the package, which was announced before.
    async fn also_of_program(&self, package: &Place) -> Result<Vec<BuildId>, Error> {
        if package.kind != FileKind::Package {
            return Ok(Vec::new());
        }
        let records = self.files.records();
        let folder = records.folder(&package.tenant, &package.build_id).await?;
        let also: BTreeSet<&BuildId> = folder.also_any().collect();
        Ok(also.into_iter().cloned().collect())
    }

    /// Notes that the package under another name of this program is its own.
    async fn also_of_package(&self, program: &Place, other: &BuildId) -> Result<(), Error> {
        if !program.kind.is_elf() {
            return Ok(());
        }
        let records = self.files.records();
        let folder = records.folder(&program.tenant, other).await?;
        if !folder.has(FileKind::Package) {
            return Ok(());
        }
        let package = Place {
            tenant: program.tenant.clone(),
            build_id: other.clone(),
            kind: FileKind::Package,
        };
        records.also(&package, &program.build_id).await
    }

    /// How many bytes came with an upload, and the other build ids of the file or why it is of no
    /// use.
    async fn verdict(
        &self,
        slot: &Slot,
        upload: &Upload,
    ) -> Result<(u64, Result<Vec<BuildId>, String>), Error> {
        let _turn = self.turn(&self.held).await?;
        let (place, name) = (&slot.place, slot.file());
        let stored = match self.stored(place, &name, upload).await {
            Ok(stored) => stored,
            Err(Error::Mismatch(text)) => {
                self.give_up(place, upload.id).await?;
                let store = self.files.records().store();
                store.delete(place.key(&name)).await?;
                return Err(Error::Invalid(text));
            }
            Err(error) => return Err(error),
        };
        let (place, upload) = (place.clone(), upload.clone());
        let judged = move || {
            let file = scratch::map(&stored.path)?;
            Ok((stored.bytes, judge::judge(&place, &upload, &file)))
        };
        self.cx.compute(judged).await
    }

    /// Keeps what a client has put itself, under a name that it can't put to, and tells which bytes
    /// they are; none if there are none.
    async fn take_incoming(
        &self,
        place: &Place,
        upload: &Upload,
    ) -> Result<Option<ContentHash>, Error> {
        let _turn = self.turn(&self.held).await?;
        let store = self.files.records().store();
        let incoming = place.incoming(upload.id);
        // Something was taken before: that holds.
        if upload.came.is_some() {
            store.delete(place.key(&incoming)).await?;
            return Ok(upload.came);
        }
        let received = match self.stored(place, &incoming, upload).await {
            Ok(received) => received,
            Err(Error::NotNow(_)) => return Ok(None),
            Err(Error::Mismatch(text)) => {
                self.give_up(place, upload.id).await?;
                store.delete(place.key(&incoming)).await?;
                return Err(Error::Invalid(text));
            }
            Err(error) => return Err(error),
        };
        self.put(place, upload.id, &received).await?;
        store.delete(place.key(&incoming)).await?;
        Ok(Some(received.content))
    }

    /// The bytes of an upload on the scratch disk, if they are what was announced.
    async fn stored(
        &self,
        place: &Place,
        name: &DebuginfoName,
        upload: &Upload,
    ) -> Result<Received, Error> {
        let store = self.files.records().store();
        let size = match store.size(place.key(name)).await {
            Ok(size) => size,
            Err(cairn_store::Error::NotFound { .. }) => {
                return Err(Error::NotNow(NOTHING_CAME));
            }
            Err(error) => return Err(error.into()),
        };
        let claim = Claim {
            bytes: upload.bytes,
            hash: upload.hash.clone(),
        };
        let max = self.config.bytes_max.as_u64();
        claim.check_size(size, max)?;
        let path = self.files.converter().scratch_file()?;
        // Not more than was looked at: whoever has a URL may put something else meanwhile.
        let parts = store.parts(place.key(name), size).map_err(Error::from);
        receive::receive(std::pin::pin!(parts), path, claim, max).await
    }

    pub(super) async fn give_up(&self, place: &Place, id: UploadId) -> Result<(), Error> {
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
    async fn convert(&self, slot: &Slot, patience: Duration) -> Result<Made, Error> {
        let (slot, files) = (slot.clone(), Arc::clone(&self.files));
        let (done, waits) = tokio::sync::oneshot::channel();
        self.cx.spawn("convert", async move {
            let made = match slot.place.kind {
                FileKind::Package => files.check_package(&slot).await,
                FileKind::Sources => files.texts(&slot).await.map(|made| made.map(|_| ())),
                FileKind::Executable | FileKind::Debuginfo | FileKind::SourceMap => {
                    files.file(slot).await.map(|made| made.map(|_| ()))
                }
            };
            if let Err(Err(error)) = done.send(made) {
                let error = anyhow::Error::new(error);
                tracing::warn!(error = format!("{error:#}"), "a file is not converted yet");
            }
        });
        let made = tokio::select! {
            made = waits => made,
            () = self.sleep(patience) => return Ok(Made::Unknown),
        };
        match made {
            Ok(Ok(Ok(()))) => Ok(Made::Good),
            Ok(Ok(Err(Absence::Refused(reason)))) => Ok(Made::Refused(reason.to_string())),
            Ok(Ok(Err(_))) | Err(_) => Ok(Made::Unknown),
            Ok(Err(error)) => Err(error),
        }
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
