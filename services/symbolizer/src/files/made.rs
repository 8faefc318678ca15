//! Symbol files and texts that a worker makes: of what is stored, read back to the scratch disk, or
//! of what was fetched.

use std::path::Path;
use std::sync::Arc;

use cairn_model::{FileKind, UploadId};
use cairn_store::DebuginfoName;
use cairn_symbols::SymbolFile;
use futures::TryStreamExt as _;
use tempfile::TempPath;

use super::{Files, bound};
use crate::absence::Absence;
use crate::cache::{Answer, Slot};
use crate::error::Error;
use crate::metrics::Source;
use crate::record::{Record, Stored};
use crate::records::{Change, Place};
use crate::scratch;
use crate::worker::Product;

/// How often a file is read that takes a worker too long before it is to blame, not the machine.
const TRIES_MAX: u32 = 3;

impl Files {
    /// The symbol file of an upload, made of its stored bytes and kept; of a package with those of
    /// its program.
    pub(super) async fn made(&self, slot: &Slot) -> Result<(Answer, Source), Error> {
        let _turn = self.turn_to_convert().await;
        let Some((file, lengths)) = self.both(slot).await? else {
            // It was deleted or refused since the record was read.
            self.forget(&slot.place.tenant, &slot.place.build_id);
            return Ok((Err(Absence::NoFile), Source::Nowhere));
        };
        let symbols = match self
            .converted(slot, (&file, &lengths), Product::Symbols)
            .await?
        {
            Ok(symbols) => symbols,
            Err(absence) => return Ok((Err(absence), Source::Conversion)),
        };
        let file = self.open(&symbols).await?;
        self.keep_made(slot, &slot.symbols(), &symbols).await?;
        Ok((Ok(file), Source::Conversion))
    }

    /// The bytes of an upload, behind those of its program and what that shares with others if it
    /// has one, and the lengths of all but the last.
    async fn both(&self, slot: &Slot) -> Result<Option<(TempPath, Vec<u64>)>, Error> {
        let Some(program) = &slot.program else {
            let stored = self.stored(slot).await?;
            return Ok(stored.map(|(file, bytes)| (file, vec![bytes])));
        };
        let (Some((file, bytes)), Some((package, _))) =
            (self.stored(program).await?, self.stored(slot).await?)
        else {
            return Ok(None);
        };
        let mut lengths = vec![bytes];
        let parts = (&*file, &mut lengths);
        self.converter.append(parts, &package).await?;
        Ok(Some((file, lengths)))
    }

    /// The bytes of an upload on the scratch disk, and how many are the file itself: what it shares
    /// with others may follow. None if they are gone.
    pub(crate) async fn stored(&self, slot: &Slot) -> Result<Option<(TempPath, u64)>, Error> {
        let (store, name) = (self.records.store(), slot.file());
        let key = slot.place.key(&name);
        let bytes = match store.size(key).await {
            Ok(bytes) => bytes,
            Err(cairn_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let path = self.converter.scratch_file()?;
        let parts = std::pin::pin!(store.parts(key, bytes).map_err(Error::from));
        match scratch::write(parts, &path, |_| Ok(())).await {
            Ok(()) => {
                let own = self.own_bytes(slot).await?;
                Ok(Some((path, own.unwrap_or(bytes).min(bytes))))
            }
            Err(Error::Store(cairn_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores what a worker made, of which others may have made the same.
    pub(crate) async fn keep_made(
        &self,
        slot: &Slot,
        name: &DebuginfoName,
        made: &Path,
    ) -> Result<(), Error> {
        let key = slot.place.key(name);
        let stored = self.records.store().create_from(key, made).await;
        match stored.map_err(Error::from) {
            Err(Error::Store(cairn_store::Error::AlreadyExists { .. })) => Ok(()),
            outcome => outcome,
        }
    }

    /// What a worker makes of an upload. One of no use is known as such from then on, unless it is of
    /// use for something else.
    pub(crate) async fn converted(
        &self,
        slot: &Slot,
        file: (&Path, &[u64]),
        product: Product,
    ) -> Result<Result<TempPath, Absence>, Error> {
        let (converter, clock) = (&self.converter, self.cx.clock());
        let reason = match converter.convert(file, product, &clock).await {
            Ok(made) => {
                self.late.lock().remove(slot);
                return Ok(Ok(made));
            }
            Err(Error::Refused(reason)) => reason,
            Err(Error::Late(time)) if self.tried(slot) >= TRIES_MAX => {
                format!("reading it was not done in {time:?}, {TRIES_MAX} times in a row")
            }
            Err(error) => return Err(error),
        };
        match (slot.place.kind, product) {
            // A source map whose texts are of no use still names frames.
            (FileKind::SourceMap, Product::Texts) => self.note_unmade(slot, &reason),
            // The program is none of the package's.
            (FileKind::Package, _) if reason == cairn_symbols::Error::NotSplit.to_string() => {
                return Ok(Err(Absence::NotSplit));
            }
            // Another program may fit, and the package was taken in: it stays.
            (FileKind::Package, _) => {
                let (tenant, build_id) = (&slot.place.tenant, &slot.place.build_id);
                tracing::warn!(
                    %tenant, %build_id, reason,
                    "a package can't be read with this program, which names its addresses alone"
                );
                self.note_unmade(slot, &reason);
            }
            _ => self.refuse(slot, &reason).await?,
        }
        Ok(Err(Absence::Refused(reason.into())))
    }

    /// Why nothing can be made of a file that stays though it is of no use for this.
    pub(crate) fn unmade(&self, slot: &Slot) -> Option<Absence> {
        let unmade = self.unmade.lock();
        let reason = unmade.get(slot)?;
        Some(Absence::Refused(Arc::clone(reason)))
    }

    fn note_unmade(&self, slot: &Slot, reason: &str) {
        let mut unmade = self.unmade.lock();
        bound(&mut unmade);
        unmade.insert(slot.clone(), reason.into());
    }

    /// How often reading this file took too long, with this time.
    fn tried(&self, slot: &Slot) -> u32 {
        let mut late = self.late.lock();
        bound(&mut late);
        let times = late.entry(slot.clone()).or_default();
        *times += 1;
        *times
    }

    /// How many bytes of what is stored are the file itself, if the record says it.
    async fn own_bytes(&self, slot: &Slot) -> Result<Option<u64>, Error> {
        let (_, record) = self.records.read(&slot.place).await?;
        let file = record.and_then(|record| record.file);
        Ok(file.and_then(|file| (file.upload == slot.upload).then_some(file.bytes)))
    }

    /// Keeps what a debuginfod server gave as if the tenant had uploaded it, unless somebody did.
    /// The file itself has so many bytes. The record comes last here too.
    pub(crate) async fn keep_fetched(
        &self,
        place: &Place,
        (file, bytes): (&Path, u64),
        symbols: &Path,
    ) -> Result<(), Error> {
        self.open(symbols).await?;
        let slot = Slot::new(place.clone(), UploadId(self.cx.random().u128()), None);
        let stored = Stored {
            upload: slot.upload,
            content: slot.content,
            finished_unix_ms: self.cx.clock().now() / 1_000_000,
            bytes,
            hash: String::new(),
            is_fetched: true,
            refusal: None,
        };
        let store = self.records.store();
        let marker = DebuginfoName::Fetched {
            kind: place.kind,
            upload: slot.upload,
        };
        store
            .create_once(place.key(&marker), bytes::Bytes::new())
            .await?;
        let all = tokio::fs::metadata(file).await?.len();
        self.count_fetched(&place.tenant, all);
        store.create_from(place.key(&slot.file()), file).await?;
        store
            .create_from(place.key(&slot.symbols()), symbols)
            .await?;
        let decide = |record: Option<&Record>| {
            Ok(match Record::fetched(record, stored.clone()) {
                Some(next) => Change::Write(Box::new(next), ()),
                None => Change::Keep(()),
            })
        };
        self.records.change(place, decide).await?;
        self.forget(&place.tenant, &place.build_id);
        Ok(())
    }

    /// Opens what a worker wrote, which is mapped from then on.
    async fn open(&self, made: &Path) -> Result<Arc<SymbolFile>, Error> {
        let made = made.to_owned();
        let open = move || {
            let file = SymbolFile::open(scratch::map(&made)?).map_err(not_ours)?;
            file.verify().map_err(not_ours)?;
            Ok(Arc::new(file))
        };
        self.cx.compute(open).await
    }
}

/// A worker wrote something that does not open: the program that ran is not this one.
fn not_ours(error: cairn_symbols::Error) -> Error {
    Error::Convert(anyhow::Error::new(error).context("open what a worker wrote"))
}
