//! How far uploads of one file got, and what may happen next. Pure: who keeps records, and what a
//! race between replicas does, is in `records`.

use std::time::Duration;

use cairn_model::{BuildId, ContentHash, UploadId};
use serde::{Deserialize, Serialize};

mod reason;
#[cfg(test)]
mod tests;

pub(crate) use reason::Reason;

/// What is known of one kind of file of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// An upload that began and has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<Upload>,
    /// What the last upload that ended has left. It stays while a next one is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<Stored>,
    /// When a file was deleted, if none came since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_unix_ms: Option<i64>,
}

/// An upload as it was announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upload {
    pub(crate) id: UploadId,
    pub(crate) started_unix_ms: i64,
    /// How long it will be; 0 if the protocol does not say.
    pub(crate) bytes: u64,
    /// What the client says of the content; empty if the protocol does not say.
    pub(crate) hash: String,
    /// Other names of the build, by the client's word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<BuildId>,
    /// Whether the client says that the build id is the hash of another form of this file, which
    /// nothing in this one can tell.
    #[serde(default)]
    pub(crate) is_hash: bool,
    /// Whether the client has a URL to which it puts the bytes itself.
    #[serde(default)]
    pub(crate) is_signed: bool,
    /// The bytes that came first and are stored whole; no others belong to it from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) came: Option<ContentHash>,
}

/// A file that came whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// Its bytes lie under this name
    pub(crate) upload: UploadId,
    /// and this one; none if nobody uploaded them, or to an earlier build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<ContentHash>,
    pub(crate) finished_unix_ms: i64,
    pub(crate) bytes: u64,
    pub(crate) hash: String,
    /// Whether nobody uploaded it, but a debuginfod server had it.
    #[serde(default)]
    pub(crate) is_fetched: bool,
    /// Why it is of no use, in which case its bytes are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// Which symbol file format the reader wrote that gave up; a later one may get further.
    pub(crate) by_version: u32,
}

/// What a client asks that would upload a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// Empty if it did not say.
    pub(crate) hash: &'a str,
    pub(crate) force: bool,
    pub(crate) now_unix_ms: i64,
    /// After this an upload that has not ended is given up.
    pub(crate) stale_after: Duration,
}

/// Why an upload does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Nothing is known of the file at all.
    Unknown,
    /// No upload was announced.
    NotBegun,
    /// Another upload was.
    OtherUpload,
}

/// What it leads to that the bytes of an upload came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    First(Box<Record>),
    /// The same came before.
    Again,
    /// Something else came before.
    Other,
    /// The upload is not under way any more.
    Late,
}

/// What the end of an upload leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It had ended before, so.
    Before(Stored),
    Now(Upload),
}

impl Record {
    /// Whether a file is wanted, and why. `None` is a file of which nothing is known here; then it
    /// counts whether a debuginfod server has it.
    pub(crate) fn wants(this: Option<&Self>, is_upstream: bool, ask: &Ask<'_>) -> Reason {
        let empty = Self::default();
        let record = this.unwrap_or(&empty);
        let upload = record.upload.as_ref();
        let is_stale = |upload: &Upload| {
            let age = ask.now_unix_ms.saturating_sub(upload.started_unix_ms);
            u128::try_from(age).is_ok_and(|age| age > ask.stale_after.as_millis())
        };
        match (upload, &record.file) {
            (Some(_), _) if ask.force => Reason::UploadingForced,
            (Some(upload), _) if !is_stale(upload) => Reason::Uploading,
            // What was to be replaced is there still.
            (_, Some(file)) => file.wants_other(ask),
            (Some(_), None) => Reason::Stale,
            (None, None) if record.deleted_unix_ms.is_some() => Reason::Deleted,
            (None, None) if is_upstream => Reason::Upstream,
            (None, None) => Reason::New,
        }
    }

    /// The record after an upload was announced that is wanted.
    pub(crate) fn begin(this: Option<&Self>, upload: Upload) -> Self {
        let before = this.cloned().unwrap_or_default();
        Self {
            upload: Some(upload),
            ..before
        }
    }

    /// The upload with this id, if it may bring its bytes now.
    pub(crate) fn receiving(this: Option<&Self>, id: &str) -> Result<Upload, Halt> {
        let upload = this.and_then(|record| record.upload.as_ref());
        let upload = upload.ok_or(Halt::NotBegun)?;
        match upload.id.to_string() == id {
            true => Ok(upload.clone()),
            false => Err(Halt::OtherUpload),
        }
    }

    /// What it leads to that these bytes are stored whole for an upload. Of all that come, it has
    /// those that were first.
    pub(crate) fn came(this: Option<&Self>, id: UploadId, content: ContentHash) -> Came {
        let Some(record) = this else {
            return Came::Late;
        };
        match &record.upload {
            Some(upload) if upload.id == id => match upload.came {
                None => Came::First(Box::new(Self {
                    upload: Some(Upload {
                        came: Some(content),
                        ..upload.clone()
                    }),
                    ..record.clone()
                })),
                Some(same) if same == content => Came::Again,
                Some(_) => Came::Other,
            },
            _ => Came::Late,
        }
    }

    /// What it leads to that the upload with this id is said to be complete.
    pub(crate) fn ending(this: Option<&Self>, id: &str) -> Result<End, Halt> {
        let record = this.ok_or(Halt::Unknown)?;
        match (&record.upload, &record.file) {
            (Some(upload), _) if upload.id.to_string() == id => Ok(End::Now(upload.clone())),
            (_, Some(file)) if file.upload.to_string() == id => Ok(End::Before(file.clone())),
            (None, None) => Err(Halt::NotBegun),
            _ => Err(Halt::OtherUpload),
        }
    }

    /// The record after this upload has left this file; none if it is not under way any more. One
    /// that is of no use does not replace one that is.
    pub(crate) fn end(&self, file: Stored) -> Option<Self> {
        let is_ours = |upload: &Upload| upload.id == file.upload;
        self.upload.as_ref().filter(|upload| is_ours(upload))?;
        let keeps = file.refusal.is_some() && self.readable().is_some();
        Some(Self {
            upload: None,
            file: match keeps {
                true => self.file.clone(),
                false => Some(file),
            },
            deleted_unix_ms: None,
        })
    }

    /// The record after the file of this upload was deleted, for nobody used it; none if there is
    /// another by now, or one is on its way.
    pub(crate) fn delete_unused(&self, id: UploadId, now_unix_ms: i64) -> Option<Self> {
        let file = self.readable().filter(|file| file.upload == id)?;
        match (&self.upload, file.is_fetched) {
            (Some(_), _) => None,
            // It is there for whoever needs it again: nobody has to upload it for that.
            (None, true) => Some(Self::default()),
            (None, false) => self.delete(now_unix_ms),
        }
    }

    /// The record after this upload brought something else than was announced; none if it is not
    /// under way any more.
    pub(crate) fn give_up(&self, id: UploadId) -> Option<Self> {
        self.upload.as_ref().filter(|upload| upload.id == id)?;
        Some(Self {
            upload: None,
            ..self.clone()
        })
    }

    /// The record after the file of this upload turned out to be of no use; none if it is not the
    /// file any more, or that is known.
    pub(crate) fn refuse(&self, id: UploadId, refusal: Refusal) -> Option<Self> {
        let file = self.file.as_ref().filter(|file| file.upload == id)?;
        let is_known = file.refusal.as_ref().is_some_and(|known| *known == refusal);
        (!is_known).then(|| Self {
            file: Some(Stored {
                refusal: Some(refusal),
                ..file.clone()
            }),
            ..self.clone()
        })
    }

    /// The record after a debuginfod server gave this file; none if there is one already.
    pub(crate) fn fetched(this: Option<&Self>, file: Stored) -> Option<Self> {
        let before = this.cloned().unwrap_or_default();
        let is_there = before.readable().is_some();
        (!is_there).then_some(Self {
            file: Some(file),
            deleted_unix_ms: None,
            ..before
        })
    }

    /// The record after everything was deleted; none if nothing is there.
    pub(crate) fn delete(&self, now_unix_ms: i64) -> Option<Self> {
        let is_there = self.upload.is_some() || self.file.is_some();
        is_there.then(|| Self {
            deleted_unix_ms: Some(now_unix_ms),
            ..Self::default()
        })
    }

    /// The file that readers get.
    pub(crate) fn readable(&self) -> Option<&Stored> {
        self.file.as_ref().filter(|file| file.refusal.is_none())
    }

    /// Whether other build ids may lead to this.
    pub(crate) fn has_names(&self) -> bool {
        self.upload.is_some() || self.readable().is_some()
    }

    /// Whether what was made of this upload belongs to somebody.
    pub(crate) fn needs(&self, id: UploadId) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.id == id)
            || self.readable().is_some_and(|file| file.upload == id)
    }

    /// Whether these bytes of this upload belong to somebody, or may yet.
    pub(crate) fn needs_bytes(&self, id: UploadId, content: Option<ContentHash>) -> bool {
        let comes = self.upload.as_ref().filter(|upload| upload.id == id);
        let is_there = self.readable().filter(|file| file.upload == id);
        comes.is_some_and(|upload| upload.came.is_none() || upload.came == content)
            || is_there.is_some_and(|file| file.content == content)
    }
}

impl Stored {
    fn wants_other(&self, ask: &Ask<'_>) -> Reason {
        match &self.refusal {
            None if ask.force => Reason::ThereForced,
            None if self.is_fetched => Reason::UpstreamInUse,
            Some(_) if self.is_fetched => Reason::UpstreamRefused,
            None => Reason::There,
            Some(_) if ask.hash.is_empty() => Reason::Refused,
            Some(refusal) if ask.hash == self.hash => {
                match refusal.by_version < cairn_symbols::VERSION {
                    true => Reason::RefusedOther,
                    false => Reason::RefusedSame,
                }
            }
            Some(_) => Reason::RefusedOther,
        }
    }
}
