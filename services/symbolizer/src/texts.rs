//! The text of a source file, out of an archive or a source map that somebody uploaded.

use bytes::Bytes;
use cairn_model::{BuildId, FileKind, TenantId};
use cairn_store::DebuginfoName;

use crate::absence::Absence;
use crate::cache::Slot;
use crate::error::Error;
use crate::files::Files;
use crate::records::Place;
use crate::sources::{self, END_BYTES, Text};
use crate::worker::Product;

/// A source file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) text: String,
    /// Its name in the archive.
    pub(crate) name: String,
}

impl Files {
    /// The text of a file of this build, by whatever name of the build, as symbols name the file.
    pub(crate) async fn source(
        &self,
        tenant: &TenantId,
        build_id: &BuildId,
        file: &str,
    ) -> Result<Found, Error> {
        let folder = self.records().folder(tenant, build_id).await?;
        let place = |build_id: &BuildId, kind| Place {
            tenant: tenant.clone(),
            build_id: build_id.clone(),
            kind,
        };
        // An archive says of no build that it is its own, but the build's other files do. Source
        // maps carry sources, too.
        let mut slot = None;
        let builds = std::iter::once(build_id).chain(folder.also_any());
        let kinds = [FileKind::Sources, FileKind::SourceMap];
        for (build_id, kind) in builds.flat_map(|id| kinds.map(|kind| (id, kind))) {
            let place = place(build_id, kind);
            let (_, record) = self.records().read(&place).await?;
            let file = record.as_ref().and_then(|record| record.readable());
            slot = file.map(|file| Slot::new(place, file.upload, file.content));
            if slot.is_some() {
                break;
            }
        }
        let missing = |text: String| Err(Error::Missing(text));
        let Some(slot) = slot else {
            return missing(format!("no sources of build {build_id} were uploaded"));
        };
        self.note_use(&slot.place).await;
        let size = match self.texts(&slot).await? {
            Ok(size) => size,
            Err(absence) => return missing(absence.to_string()),
        };
        let table = self.table(&slot, size).await?;
        let asked = file.to_owned();
        let text = self.compute(move || sources::find(&table, &asked).cloned());
        let Some(text) = text.await else {
            return missing(format!(
                "the sources of build {build_id} have no file {file:?}"
            ));
        };
        let end = text.offset.saturating_add(text.packed);
        let packed = self.part(&slot, text.offset..end).await?;
        let name = text.name.clone();
        let text = self
            .compute(move || sources::read_text(&text, &packed))
            .await;
        let text = text.map_err(|error| damaged(&slot, error))?;
        Ok(Found { text, name })
    }

    /// The size of the file of texts of an archive, which is made if it is missing.
    pub(crate) async fn texts(&self, slot: &Slot) -> Result<Result<u64, Absence>, Error> {
        let (store, name) = (self.records().store(), slot.texts());
        let key = slot.place.key(&name);
        match store.size(key).await {
            Ok(size) => return Ok(Ok(size)),
            Err(cairn_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let _turn = self.turn(slot).await;
        if let Some(absence) = self.unmade(slot) {
            return Ok(Err(absence));
        }
        let _turn_to_convert = self.turn_to_convert().await;
        let Some((archive, bytes)) = self.stored(slot).await? else {
            return Ok(Err(Absence::NoFile));
        };
        match self
            .converted(slot, (&archive, &[bytes]), Product::Texts)
            .await?
        {
            Ok(made) => {
                let size = tokio::fs::metadata(&made).await?.len();
                self.keep_made(slot, &name, &made).await?;
                Ok(Ok(size))
            }
            Err(absence) => Ok(Err(absence)),
        }
    }

    async fn table(&self, slot: &Slot, size: u64) -> Result<Vec<Text>, Error> {
        let end = self
            .part(slot, size.saturating_sub(END_BYTES)..size)
            .await?;
        let range = sources::table_range(&end, size).map_err(|error| damaged(slot, error))?;
        let packed = self.part(slot, range).await?;
        let table = self.compute(move || sources::read_table(&packed)).await;
        table.map_err(|error| damaged(slot, error))
    }

    async fn part(&self, slot: &Slot, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        let name = slot.texts();
        let part = self
            .records()
            .store()
            .get_range(slot.place.key(&name), range);
        Ok(part.await?)
    }
}

impl Slot {
    fn texts(&self) -> DebuginfoName {
        DebuginfoName::Texts {
            kind: self.place.kind,
            upload: self.upload,
            version: sources::VERSION,
        }
    }
}

fn damaged(slot: &Slot, error: sources::Error) -> Error {
    let key = slot.place.key(&slot.texts()).to_string();
    Error::Texts(key, Box::new(error))
}
