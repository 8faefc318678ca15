//! Records in the store. Each change is a new object with the next number, created only if nobody
//! else has created it: of several replicas that decide at once one wins, and the others read what
//! it wrote and decide anew. Nothing is ever replaced.

use bytes::Bytes;
use cairn_model::{BuildId, ContentHash, FileKind, TenantId, UploadId};
use cairn_store::{DebuginfoName, DebuginfoObject, Key, Store};

use crate::error::Error;
use crate::record::Record;

/// How often a change is decided anew before others have to be waited for.
const ATTEMPTS: u32 = 16;
/// Bytes of one record: far more than any of ours has.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// The longest name of a build in the store: that of a file in a folder has 255 bytes.
const NAME_BYTES_MAX: usize = 240;

/// Why no file can be kept under this build id, if none can.
pub(crate) fn unusable(build_id: &BuildId) -> Option<String> {
    if !build_id.is_distinct() {
        return Some(format!(
            "{build_id} is no build id: binaries of many builds have it"
        ));
    }
    let length = build_id.key_segment().len();
    (length > NAME_BYTES_MAX).then(|| {
        format!(
            "the build id is too long: as the name of a folder it would have {length} bytes, more \
             than {NAME_BYTES_MAX}"
        )
    })
}

/// Which kind of file of which build.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) tenant: TenantId,
    pub(crate) build_id: BuildId,
    pub(crate) kind: FileKind,
}

/// What a decision leads to.
pub(crate) enum Change<T> {
    /// Nothing is to be written.
    Keep(T),
    Write(Box<Record>, T),
}

/// What the folder of one build holds.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    objects: Vec<DebuginfoObject>,
}

#[derive(Clone)]
pub(crate) struct Records {
    store: Store,
}

impl Place {
    pub(crate) fn key<'a>(&'a self, name: &'a DebuginfoName) -> Key<'a> {
        Key::Debuginfo {
            tenant: &self.tenant,
            build_id: &self.build_id,
            name,
        }
    }

    /// Where a client puts the bytes of an upload itself.
    pub(crate) fn incoming(&self, upload: UploadId) -> DebuginfoName {
        DebuginfoName::Incoming {
            kind: self.kind,
            upload,
        }
    }

    pub(crate) fn file(&self, upload: UploadId, content: Option<ContentHash>) -> DebuginfoName {
        DebuginfoName::File {
            kind: self.kind,
            upload,
            content,
        }
    }
}

impl Folder {
    /// The number of the newest record; 0 if there is none.
    fn newest(&self, kind: FileKind) -> u32 {
        let numbers = self.objects.iter().filter_map(|object| match object.name {
            DebuginfoName::State { kind: of, number } if of == kind => Some(number),
            _ => None,
        });
        numbers.max().unwrap_or(0)
    }

    /// The builds that have this build id too, by what their files say.
    fn also(&self, kind: FileKind) -> impl Iterator<Item = &BuildId> {
        self.objects
            .iter()
            .filter_map(move |object| match &object.name {
                DebuginfoName::Also {
                    kind: of,
                    of: other,
                } if *of == kind => Some(other),
                _ => None,
            })
    }
}

impl Folder {
    /// Whether anything is known of a file of this kind.
    pub(crate) fn has(&self, kind: FileKind) -> bool {
        self.newest(kind) > 0
    }

    /// The same, whatever kind of file says so.
    pub(crate) fn also_any(&self) -> impl Iterator<Item = &BuildId> {
        FileKind::ALL.into_iter().flat_map(|kind| self.also(kind))
    }
}

impl Records {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) async fn folder(
        &self,
        tenant: &TenantId,
        build_id: &BuildId,
    ) -> Result<Folder, Error> {
        if unusable(build_id).is_some() {
            return Ok(Folder::default());
        }
        let objects = self.store.list_debuginfo(tenant, Some(build_id)).await?;
        Ok(Folder { objects })
    }

    /// The newest record and its number.
    pub(crate) async fn read(&self, place: &Place) -> Result<(u32, Option<Record>), Error> {
        for _ in 0..ATTEMPTS {
            let folder = self.folder(&place.tenant, &place.build_id).await?;
            let number = folder.newest(place.kind);
            if number == 0 {
                return Ok((0, None));
            }
            // One that is gone was followed by another, which is the newest now.
            if let Some(record) = self.get(place, number).await? {
                return Ok((number, Some(record)));
            }
        }
        Err(Error::Contended(place.build_id.to_string()))
    }

    /// The newest record, where a list of objects says which number it had lately; 0 for none.
    pub(crate) async fn newest(&self, place: &Place, number: u32) -> Result<Option<Record>, Error> {
        if number == 0 {
            return Ok(None);
        }
        match self.get(place, number).await? {
            Some(record) => Ok(Some(record)),
            None => Ok(self.read(place).await?.1),
        }
    }

    /// The record with this number, unless it was deleted since another followed it.
    async fn get(&self, place: &Place, number: u32) -> Result<Option<Record>, Error> {
        let name = DebuginfoName::State {
            kind: place.kind,
            number,
        };
        let key = place.key(&name);
        let bytes = match self.store.get(key).await {
            Ok(bytes) => bytes,
            Err(cairn_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if bytes.len() as u64 > RECORD_BYTES_MAX {
            return Err(Error::Record(key.to_string(), None));
        }
        let record = serde_json::from_slice(&bytes);
        let record = record.map_err(|error| Error::Record(key.to_string(), Some(error)))?;
        Ok(Some(record))
    }

    /// Decides on the newest record until the decision is written, or is to write nothing.
    pub(crate) async fn change<T>(
        &self,
        place: &Place,
        mut decide: impl FnMut(Option<&Record>) -> Result<Change<T>, Error>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS {
            let (number, record) = self.read(place).await?;
            let (next, outcome) = match decide(record.as_ref())? {
                Change::Keep(outcome) => return Ok(outcome),
                Change::Write(next, outcome) => (next, outcome),
            };
            let name = DebuginfoName::State {
                kind: place.kind,
                number: number + 1,
            };
            let bytes = serde_json::to_vec(&next).expect("a record is plain data");
            // Two that write the very same agree. An announced upload has an id of its own.
            match self.store.create_once(place.key(&name), bytes.into()).await {
                Ok(()) => return Ok(outcome),
                Err(cairn_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended(place.build_id.to_string()))
    }

    /// Where the file of a build is and its record: under this build id, or under one that the file
    /// has besides. Files that are readable come before those that were refused or are on their way.
    pub(crate) async fn find(
        &self,
        folder: &Folder,
        place: &Place,
    ) -> Result<(Place, Option<Record>), Error> {
        let own = self.newest(place, folder.newest(place.kind)).await?;
        if own.as_ref().is_some_and(|own| own.readable().is_some()) {
            return Ok((place.clone(), own));
        }
        for other in folder.also(place.kind) {
            let other = Place {
                build_id: other.clone(),
                ..place.clone()
            };
            let (_, record) = self.read(&other).await?;
            if record
                .as_ref()
                .is_some_and(|other| other.readable().is_some())
            {
                return Ok((other, record));
            }
        }
        Ok((place.clone(), own))
    }

    /// Notes that the file at this place has another build id.
    pub(crate) async fn also(&self, place: &Place, other: &BuildId) -> Result<(), Error> {
        let name = DebuginfoName::Also {
            kind: place.kind,
            of: place.build_id.clone(),
        };
        let key = Key::Debuginfo {
            tenant: &place.tenant,
            build_id: other,
            name: &name,
        };
        self.note(key).await
    }

    /// Notes that the build of this file was needed on this day.
    pub(crate) async fn note_use(&self, place: &Place, day: u32) -> Result<(), Error> {
        let name = DebuginfoName::Used { day };
        self.note(place.key(&name)).await
    }

    async fn note(&self, key: Key<'_>) -> Result<(), Error> {
        match self.store.create(key, Bytes::new()).await {
            Ok(()) | Err(cairn_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Upload;

    /// Each announces an upload if there is none.
    async fn begin(records: Records, place: Place, id: u128) -> Option<u128> {
        let upload = Upload {
            id: UploadId(id),
            started_unix_ms: 0,
            bytes: 1,
            hash: String::new(),
            also: Vec::new(),
            is_hash: false,
            is_signed: false,
            came: None,
        };
        let decide = |record: Option<&Record>| {
            Ok(match record.and_then(|record| record.upload.as_ref()) {
                Some(_) => Change::Keep(None),
                None => {
                    let next = Record::begin(record, upload.clone());
                    Change::Write(Box::new(next), Some(id))
                }
            })
        };
        records.change(&place, decide).await.expect("decided")
    }

    #[tokio::test]
    async fn of_many_that_decide_at_once_one_wins_and_the_others_see_it() {
        let records = Records::new(Store::memory());
        let place = |build_id: &str| Place {
            tenant: TenantId::anonymous(),
            build_id: BuildId::parse(build_id).expect("valid"),
            kind: FileKind::Debuginfo,
        };
        for build_id in ["ab", "go/x"] {
            let all = (1..=50).map(|id| begin(records.clone(), place(build_id), id));
            let outcomes = futures::future::join_all(all).await;
            let winners: Vec<u128> = outcomes.into_iter().flatten().collect();
            assert_eq!(winners.len(), 1);
            let (number, record) = records.read(&place(build_id)).await.expect("read");
            let upload = record.and_then(|record| record.upload).expect("an upload");
            assert_eq!((number, upload.id.0), (1, winners[0]));
        }
        let (number, record) = records.read(&place("cd")).await.expect("read");
        assert_eq!((number, record), (0, None));
    }

    /// As when another replica sweeps between a list of objects and a look at what it names.
    #[tokio::test]
    async fn a_record_that_was_followed_and_swept_since_is_no_absence() {
        let records = Records::new(Store::memory());
        let place = Place {
            tenant: TenantId::anonymous(),
            build_id: BuildId::parse("ab").expect("valid"),
            kind: FileKind::Debuginfo,
        };
        begin(records.clone(), place.clone(), 1).await.expect("new");
        let folder = records.folder(&place.tenant, &place.build_id).await;
        let folder = folder.expect("listed");
        let give_up = |record: Option<&Record>| {
            let next = record.and_then(|record| record.give_up(UploadId(1)));
            Ok(Change::Write(Box::new(next.expect("under way")), ()))
        };
        records.change(&place, give_up).await.expect("given up");
        begin(records.clone(), place.clone(), 2).await.expect("new");
        for number in [1, 2] {
            let name = DebuginfoName::State {
                kind: place.kind,
                number,
            };
            let deleted = records.store.delete(place.key(&name)).await;
            deleted.expect("deleted");
        }
        let (_, found) = records.find(&folder, &place).await.expect("read");
        let upload = found.and_then(|record| record.upload);
        assert_eq!(upload.map(|upload| upload.id.0), Some(2));
    }
}
