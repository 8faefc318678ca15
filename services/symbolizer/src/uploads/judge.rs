//! Whether a file is what its upload says. Pure.

use cairn_model::{BuildId, FileKind};
use cairn_symbols::Identity;

use crate::error::Error;
use crate::record::Upload;
use crate::records::{Place, unusable};
use crate::sources;

/// The other build ids of a file, or why it is of no use under this one.
pub(crate) fn judge(place: &Place, upload: &Upload, bytes: &[u8]) -> Result<Vec<BuildId>, String> {
    let mut also = match place.kind {
        FileKind::Executable | FileKind::Debuginfo => {
            let identity = identity(bytes)?;
            // The doors of agents have no word for it.
            if identity.kind == FileKind::Package {
                let text = "this is a package of split debug information: upload it with `cairn \
                            debuginfo upload --build-id`, and the build id of its program";
                return Err(text.to_owned());
            }
            let claimed = Some(&place.build_id);
            // Of what was left out of the file, its hash can't be told any more.
            if !(upload.is_hash && identity.hash.is_none()) {
                named(claimed, &identity).map_err(|error| error.to_string())?;
            }
            identity.build_ids().cloned().collect()
        }
        // Its build id is the client's word: whether it fits is seen where units are looked for.
        FileKind::Package => match identity(bytes)?.kind {
            FileKind::Package => Vec::new(),
            _ => return Err("the file is no package of split debug information (.dwp)".to_owned()),
        },
        FileKind::Sources => match sources::is_archive(bytes) {
            true => Vec::new(),
            false => return Err("sources are a tar archive, plain or with zstd".to_owned()),
        },
        FileKind::SourceMap => match debug_id(bytes)? {
            Some(own) if own != place.build_id => {
                let claimed = &place.build_id;
                return Err(format!(
                    "the source map says that its debug id is {own}, not {claimed}"
                ));
            }
            _ => Vec::new(),
        },
    };
    // What the client says comes last: who states it in the file is preferred.
    also.extend(upload.also.iter().cloned());
    let mut seen = vec![place.build_id.clone()];
    also.retain(|build_id| {
        let is_new = !seen.contains(build_id);
        seen.push(build_id.clone());
        is_new && unusable(build_id).is_none()
    });
    Ok(also)
}

/// What an ELF file says it is.
pub(crate) fn identity(elf: &[u8]) -> Result<Identity, String> {
    Identity::read(elf).map_err(|error| error.to_string())
}

/// The debug id that a source map states.
pub(crate) fn debug_id(bytes: &[u8]) -> Result<Option<BuildId>, String> {
    if !cairn_symbols::is_source_map(bytes) {
        let text = "a source map is JSON, alone or in one file with the code that it is of";
        return Err(text.to_owned());
    }
    let id = cairn_symbols::debug_id(bytes).map_err(|error| error.to_string())?;
    Ok(id.and_then(|id| BuildId::parse(&id).ok()))
}

/// The build id to store a file under. One that the client claims is taken unless the file carries
/// another.
pub(crate) fn named(claimed: Option<&BuildId>, identity: &Identity) -> Result<BuildId, Error> {
    let own = identity.build_ids().find(|id| id.is_distinct());
    let mut stated = [&identity.gnu, &identity.go].into_iter().flatten();
    let is_stated = stated.any(BuildId::is_distinct);
    match (claimed, own) {
        (None, Some(own)) => Ok(own.clone()),
        (None, None) => Err(Error::Invalid(
            "the file carries no build id: say which build it is of".into(),
        )),
        (Some(claimed), Some(own)) if is_stated && identity.build_ids().all(|id| id != claimed) => {
            Err(Error::Invalid(format!(
                "the file says that its build id is {own}, not {claimed}"
            )))
        }
        (Some(claimed), _) => Ok(claimed.clone()),
    }
}
