//! What lies in the folder of one build of a binary.

use std::fmt;

use cairn_model::{BuildId, ContentHash, FileKind, TenantId, UploadId};
use object_store::path::Path;

use super::{DEBUGINFO, Key};

/// One object in the folder `debuginfo/{tenant}/{build id}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DebuginfoName {
    /// `{kind}/state.{number}`: how far uploads of this kind got. The one with the highest number
    /// holds; each is created by whoever read the one before. Numbers have ten digits.
    State { kind: FileKind, number: u32 },
    /// `{kind}/{upload}.file.{content}`: what came with an upload, byte for byte. Files that nobody
    /// uploaded have no content in their name.
    File {
        kind: FileKind,
        upload: UploadId,
        content: Option<ContentHash>,
    },
    /// `{kind}/{upload}.incoming`: what a client puts there itself, by a signed URL. It may change as
    /// long as the URL is valid, so it is never read as the file.
    Incoming { kind: FileKind, upload: UploadId },
    /// `{kind}/{upload}.fetched`: nobody uploaded the file of this name, but a debuginfod server had
    /// it. Empty.
    Fetched { kind: FileKind, upload: UploadId },
    /// `{kind}/{upload}.symbols.{version}`: what conversion made of it. The version is that of the
    /// symbol file format: a new one never reads an old file.
    Symbols {
        kind: FileKind,
        upload: UploadId,
        version: u32,
    },
    /// `{kind}/{upload}.joined.{version}.{program}`: what conversion made of a package together with
    /// the program of this upload.
    Joined {
        kind: FileKind,
        upload: UploadId,
        version: u32,
        program: UploadId,
    },
    /// `{kind}/{upload}.texts.{version}`: the source files of an archive, each to be read alone.
    Texts {
        kind: FileKind,
        upload: UploadId,
        version: u32,
    },
    /// `{kind}/also.{build id}`: the file of this other build id has this build id too. Empty.
    Also { kind: FileKind, of: BuildId },
    /// `used.{day}`: on this day, counted from 1970, names of this build were asked for. Empty. Days
    /// have six digits.
    Used { day: u32 },
}

impl DebuginfoName {
    /// The kind of file that this is about; `Used` is about the whole build.
    pub fn kind(&self) -> Option<FileKind> {
        match self {
            Self::State { kind, .. }
            | Self::File { kind, .. }
            | Self::Incoming { kind, .. }
            | Self::Fetched { kind, .. }
            | Self::Symbols { kind, .. }
            | Self::Joined { kind, .. }
            | Self::Texts { kind, .. }
            | Self::Also { kind, .. } => Some(*kind),
            Self::Used { .. } => None,
        }
    }
}

impl fmt::Display for DebuginfoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind() {
            write!(f, "{}/", kind.as_str())?;
        }
        match self {
            Self::State { number, .. } => write!(f, "state.{number:010}"),
            Self::File {
                upload,
                content: None,
                ..
            } => write!(f, "{upload}.file"),
            Self::File {
                upload,
                content: Some(content),
                ..
            } => write!(f, "{upload}.file.{content}"),
            Self::Incoming { upload, .. } => write!(f, "{upload}.incoming"),
            Self::Fetched { upload, .. } => write!(f, "{upload}.fetched"),
            Self::Symbols {
                upload, version, ..
            } => write!(f, "{upload}.symbols.{version}"),
            Self::Joined {
                upload,
                version,
                program,
                ..
            } => write!(f, "{upload}.joined.{version}.{program}"),
            Self::Texts {
                upload, version, ..
            } => write!(f, "{upload}.texts.{version}"),
            Self::Also { of, .. } => write!(f, "also.{}", of.key_segment()),
            Self::Used { day } => write!(f, "used.{day:06}"),
        }
    }
}

/// The name that is written so, unless it is foreign.
fn name_of(text: &str) -> Option<DebuginfoName> {
    // Listing must name only objects that reading by key finds again.
    read(text).filter(|name| name.to_string() == text)
}

fn read(text: &str) -> Option<DebuginfoName> {
    let Some((kind, name)) = text.split_once('/') else {
        let day = text.strip_prefix("used.")?.parse().ok()?;
        return Some(DebuginfoName::Used { day });
    };
    let kind = FileKind::of_str(kind)?;
    let (first, rest) = name.split_once('.')?;
    match first {
        "state" => {
            let number = rest.parse().ok()?;
            return Some(DebuginfoName::State { kind, number });
        }
        "also" => {
            let of = build_id_of_segment(rest)?;
            return Some(DebuginfoName::Also { kind, of });
        }
        _ => {}
    }
    let upload = first.parse().ok()?;
    if let Some(content) = rest.strip_prefix("file.") {
        return Some(DebuginfoName::File {
            kind,
            upload,
            content: Some(content.parse().ok()?),
        });
    }
    let (what, rest) = rest.split_once('.').unwrap_or((rest, "0"));
    let (version, program) = rest.split_once('.').unwrap_or((rest, ""));
    let version = version.parse().ok()?;
    match what {
        "file" => Some(DebuginfoName::File {
            kind,
            upload,
            content: None,
        }),
        "incoming" => Some(DebuginfoName::Incoming { kind, upload }),
        "fetched" => Some(DebuginfoName::Fetched { kind, upload }),
        "symbols" => Some(DebuginfoName::Symbols {
            kind,
            upload,
            version,
        }),
        "joined" => Some(DebuginfoName::Joined {
            kind,
            upload,
            version,
            program: program.parse().ok()?,
        }),
        "texts" => Some(DebuginfoName::Texts {
            kind,
            upload,
            version,
        }),
        _ => None,
    }
}

/// The folder that holds one folder of uploaded files per tenant.
pub(crate) fn debuginfo_folder() -> Path {
    Path::from(DEBUGINFO)
}

/// The folder of one tenant's uploaded files.
pub(crate) fn tenant_debuginfo_folder(tenant: &TenantId) -> Path {
    Path::from(format!("{DEBUGINFO}/{tenant}"))
}

/// The folder of one build's files.
pub(crate) fn build_folder(tenant: &TenantId, build_id: &BuildId) -> Path {
    Path::from(format!("{DEBUGINFO}/{tenant}/{}", build_id.key_segment()))
}

/// The object that a listed path names, unless it is something foreign.
pub(crate) fn debuginfo_of_path(
    tenant: &TenantId,
    path: &Path,
) -> Option<(BuildId, DebuginfoName)> {
    let mut parts = path.as_ref().splitn(4, '/').skip(2);
    let build_id = build_id_of_segment(parts.next()?)?;
    let name = name_of(parts.next()?)?;
    let key = Key::Debuginfo {
        tenant,
        build_id: &build_id,
        name: &name,
    };
    let is_ours = key.path() == *path;
    is_ours.then_some((build_id, name))
}

/// Undoes [`BuildId::key_segment`].
fn build_id_of_segment(segment: &str) -> Option<BuildId> {
    let mut bytes = segment.bytes();
    let mut text = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'_' => {
                let hex = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    BuildId::parse(std::str::from_utf8(&text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: FileKind = FileKind::Debuginfo;

    #[test]
    fn names_are_spelled_as_documented_and_read_back() {
        let tenant = TenantId::parse("team-a.b_c").expect("valid");
        let build_id = BuildId::parse("go/a-B_1").expect("valid");
        let upload = UploadId(0xabc);
        let id = "00000000000000000000000000000abc";
        let names = [
            (
                DebuginfoName::Joined {
                    kind: FileKind::Package,
                    upload,
                    version: 3,
                    program: UploadId(0xdef),
                },
                format!("package/{id}.joined.3.00000000000000000000000000000def"),
            ),
            (
                DebuginfoName::State {
                    kind: KIND,
                    number: 7,
                },
                "debuginfo/state.0000000007".to_owned(),
            ),
            (
                DebuginfoName::Incoming { kind: KIND, upload },
                format!("debuginfo/{id}.incoming"),
            ),
            (
                DebuginfoName::Fetched { kind: KIND, upload },
                format!("debuginfo/{id}.fetched"),
            ),
            (
                DebuginfoName::Symbols {
                    kind: FileKind::Executable,
                    upload,
                    version: 3,
                },
                format!("executable/{id}.symbols.3"),
            ),
            (
                DebuginfoName::Texts {
                    kind: FileKind::Sources,
                    upload,
                    version: 1,
                },
                format!("sources/{id}.texts.1"),
            ),
            (
                DebuginfoName::Also {
                    kind: KIND,
                    of: build_id.clone(),
                },
                "debuginfo/also.go_2fa_2dB_5f1".to_owned(),
            ),
            (
                DebuginfoName::Used { day: 20_783 },
                "used.020783".to_owned(),
            ),
        ];
        for (name, spelled) in names {
            check_spelling(&tenant, &build_id, name, &spelled);
        }
    }

    #[test]
    fn names_of_bytes_say_which_they_are_where_that_is_known() {
        let tenant = TenantId::parse("team-a.b_c").expect("valid");
        let build_id = BuildId::parse("go/a-B_1").expect("valid");
        let spelled = "sources/00000000000000000000000000000abc.file".to_owned();
        let hash = "ab".repeat(32);
        for (content, spelled) in [
            (None, spelled.clone()),
            (Some(ContentHash([0xab; 32])), format!("{spelled}.{hash}")),
        ] {
            let name = DebuginfoName::File {
                kind: FileKind::Sources,
                upload: UploadId(0xabc),
                content,
            };
            check_spelling(&tenant, &build_id, name, &spelled);
        }
    }

    fn check_spelling(tenant: &TenantId, build_id: &BuildId, name: DebuginfoName, spelled: &str) {
        let key = Key::Debuginfo {
            tenant,
            build_id,
            name: &name,
        };
        let spelled = format!("debuginfo/team-a.b_c/go_2fa_2dB_5f1/{spelled}");
        assert_eq!(key.to_string(), spelled);
        assert_eq!(key.path().as_ref(), spelled);
        assert_eq!(key.tenant(), Some(tenant));
        let found = debuginfo_of_path(tenant, &key.path());
        assert_eq!(found, Some((build_id.clone(), name)));
    }

    #[test]
    fn foreign_paths_are_no_names() {
        let tenant = TenantId::anonymous();
        for foreign in [
            "debuginfo/anonymous/ab/debuginfo/file",
            "debuginfo/anonymous/ab/debuginfo/state.7",
            "debuginfo/anonymous/ab/debuginfo/state.+000000007",
            "debuginfo/anonymous/ab/debuginfo/state.9999999999",
            "debuginfo/anonymous/ab/debuginfo/abc.file",
            "debuginfo/anonymous/ab/debuginfo/00000000000000000000000000000abc.file.0",
            "debuginfo/anonymous/ab/debuginfo/00000000000000000000000000000abc.file.",
            "debuginfo/anonymous/ab/debuginfo/00000000000000000000000000000abc.symbols",
            "debuginfo/anonymous/ab/debuginfo/00000000000000000000000000000abc.symbols.3.1",
            "debuginfo/anonymous/ab/debuginfo/00000000000000000000000000000abc.joined.3",
            "debuginfo/anonymous/ab/debuginfo/00000000000000000000000000000abc.other",
            "debuginfo/anonymous/ab/other/state.0000000001",
            "debuginfo/anonymous/ab/debuginfo/deep/state.0000000001",
            "debuginfo/anonymous/ab/debuginfo/also.AB",
            "debuginfo/anonymous/AB/debuginfo/state.0000000001",
            "debuginfo/anonymous/a_zz/debuginfo/state.0000000001",
            "debuginfo/anonymous/a_/debuginfo/state.0000000001",
            "debuginfo/anonymous/ab/used.1",
            "debuginfo/anonymous/state.0000000001",
            "debuginfo/other/ab/debuginfo/state.0000000001",
        ] {
            let found = debuginfo_of_path(&tenant, &Path::from(foreign));
            assert_eq!(found, None, "{foreign}");
        }
    }
}
