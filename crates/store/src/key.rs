//! Where every object lives.

use std::fmt;

use cairn_model::{BlockId, BuildId, ShareId, TenantId, WriterId};
use object_store::path::Path;

mod debuginfo;

pub use debuginfo::DebuginfoName;
pub(crate) use debuginfo::{
    build_folder, debuginfo_folder, debuginfo_of_path, tenant_debuginfo_folder,
};

/// The name of one object. Every part is a checked type, so no part can leave its folder. What is
/// kept for one tenant lies under its name. A segment of a log is the one kind of object that holds
/// what several tenants sent: each entry in it names its tenant, and whoever reads one checks that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key<'a> {
    /// `blocks/{tenant}/{id}.cairn`: an immutable block of profiles.
    Block { tenant: &'a TenantId, id: BlockId },
    /// `debuginfo/{tenant}/{build id}/{name}`: what is known of one build of a binary.
    Debuginfo {
        tenant: &'a TenantId,
        build_id: &'a BuildId,
        name: &'a DebuginfoName,
    },
    /// `shares/{tenant}/{id}`: a profile that somebody made a link to. Its id says when it expires.
    Share { tenant: &'a TenantId, id: ShareId },
    /// `log/{writer}/{incarnation}/{first}`: the entries of a write-ahead log from number `first`
    /// on that became durable together. Both numbers have twenty digits, so that the order of names
    /// is the order of entries.
    LogSegment {
        writer: &'a WriterId,
        incarnation: u64,
        first: u64,
    },
    /// `probe/{nonce}/{number}`: what a process creates when it starts, to see that the store lets
    /// it, and deletes again. What a crash leaves behind is harmless.
    Probe { nonce: u128, number: u32 },
}

const BLOCKS: &str = "blocks";
const DEBUGINFO: &str = "debuginfo";
const LOG: &str = "log";
const SHARES: &str = "shares";
const PROBE: &str = "probe";
const BLOCK_SUFFIX: &str = ".cairn";

impl<'a> Key<'a> {
    /// Whose object this is. None for a segment of a log, whose entries name their tenants.
    pub fn tenant(&self) -> Option<&'a TenantId> {
        match self {
            Self::Block { tenant, .. }
            | Self::Debuginfo { tenant, .. }
            | Self::Share { tenant, .. } => Some(tenant),
            Self::LogSegment { .. } | Self::Probe { .. } => None,
        }
    }

    pub(crate) fn path(&self) -> Path {
        // Every part is letters, digits and `-_.`, none of which a path encodes.
        Path::from(self.to_string())
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block { tenant, id } => write!(f, "{BLOCKS}/{tenant}/{id}{BLOCK_SUFFIX}"),
            Self::Debuginfo {
                tenant,
                build_id,
                name,
            } => {
                let build_id = build_id.key_segment();
                write!(f, "{DEBUGINFO}/{tenant}/{build_id}/{name}")
            }
            Self::Share { tenant, id } => write!(f, "{SHARES}/{tenant}/{id}"),
            Self::LogSegment {
                writer,
                incarnation,
                first,
            } => write!(f, "{LOG}/{writer}/{incarnation:020}/{first:020}"),
            Self::Probe { nonce, number } => write!(f, "{PROBE}/{nonce:032x}/{number}"),
        }
    }
}

/// The folder that holds one folder of blocks per tenant.
pub(crate) fn blocks_folder() -> Path {
    Path::from(BLOCKS)
}

/// The folder of one tenant's blocks.
pub(crate) fn tenant_blocks_folder(tenant: &TenantId) -> Path {
    Path::from(format!("{BLOCKS}/{tenant}"))
}

/// The tenant whose folder of blocks this is, unless something foreign lies there.
pub(crate) fn tenant_of_folder(folder: &Path) -> Option<TenantId> {
    TenantId::parse(folder.filename()?).ok()
}

/// The block that a listed path names, unless something foreign lies there.
pub(crate) fn block_of_path(tenant: &TenantId, path: &Path) -> Option<BlockId> {
    let id = path.filename()?.strip_suffix(BLOCK_SUFFIX)?.parse().ok()?;
    // Listing must name only objects that reading by key finds again.
    (Key::Block { tenant, id }.path() == *path).then_some(id)
}

/// The folder that holds one folder of shared profiles per tenant.
pub(crate) fn shares_folder() -> Path {
    Path::from(SHARES)
}

/// The shared profile that a listed path names, unless something foreign lies there.
pub(crate) fn share_of_path(path: &Path) -> Option<(TenantId, ShareId)> {
    let mut parts = path.parts().skip(1);
    let tenant = TenantId::parse(parts.next()?.as_ref()).ok()?;
    let id = parts.next()?.as_ref().parse().ok()?;
    let key = Key::Share {
        tenant: &tenant,
        id,
    };
    (key.path() == *path).then_some((tenant, id))
}

/// The folder that holds one folder per writer.
pub(crate) fn logs_folder() -> Path {
    Path::from(LOG)
}

/// The folder of one log.
pub(crate) fn log_folder(writer: &WriterId, incarnation: u64) -> Path {
    Path::from(format!("{LOG}/{writer}/{incarnation:020}"))
}

/// The writer whose folder of logs this is, unless something foreign lies there.
pub(crate) fn writer_of_folder(folder: &Path) -> Option<WriterId> {
    WriterId::parse(folder.filename()?).ok()
}

/// The incarnation whose log lies in this folder, unless it is something foreign.
pub(crate) fn incarnation_of_folder(writer: &WriterId, folder: &Path) -> Option<u64> {
    let incarnation = folder.filename()?.parse().ok()?;
    (log_folder(writer, incarnation) == *folder).then_some(incarnation)
}

/// The number of the first entry in the segment that a listed path names, unless it is something
/// foreign.
pub(crate) fn first_of_path(writer: &WriterId, incarnation: u64, path: &Path) -> Option<u64> {
    let first = path.filename()?.parse().ok()?;
    let key = Key::LogSegment {
        writer,
        incarnation,
        first,
    };
    (key.path() == *path).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelled_as_documented() {
        let tenant = TenantId::parse("team-a.b_c").expect("valid");
        let id: BlockId = "01J00000000000000000000000".parse().expect("valid");
        let key = Key::Block {
            tenant: &tenant,
            id,
        };
        let spelled = "blocks/team-a.b_c/01J00000000000000000000000.cairn";
        assert_eq!(key.to_string(), spelled);
        assert_eq!(key.path().as_ref(), spelled);
        assert_eq!(key.tenant(), Some(&tenant));
    }

    #[test]
    fn log_segments_sort_by_their_numbers_and_belong_to_no_tenant() {
        let writer = WriterId::parse("ingester-0").expect("valid");
        let segment = |incarnation, first| Key::LogSegment {
            writer: &writer,
            incarnation,
            first,
        };
        let spelled = "log/ingester-0/00000000000000000007/00000000000000000010";
        assert_eq!(segment(7, 10).to_string(), spelled);
        assert_eq!(segment(7, 10).tenant(), None);
        let mut paths =
            [(u64::MAX, 1), (7, u64::MAX), (7, 10), (7, 9)].map(|(i, f)| segment(i, f).path());
        paths.sort();
        assert_eq!(paths[0], segment(7, 9).path());
        assert_eq!(paths[3], segment(u64::MAX, 1).path());
    }

    #[test]
    fn log_paths_read_back_and_foreign_ones_do_not() {
        let writer = WriterId::parse("w").expect("valid");
        let key = Key::LogSegment {
            writer: &writer,
            incarnation: 2,
            first: u64::MAX,
        };
        assert_eq!(first_of_path(&writer, 2, &key.path()), Some(u64::MAX));
        for foreign in [
            "log/w/00000000000000000002/1",
            "log/w/00000000000000000002/+0000000000000000001",
            "log/w/00000000000000000002/99999999999999999999",
            "log/w/00000000000000000003/00000000000000000001",
            "log/v/00000000000000000002/00000000000000000001",
            "log/w/00000000000000000002/deep/00000000000000000001",
        ] {
            assert_eq!(first_of_path(&writer, 2, &Path::from(foreign)), None);
        }
        let folder = Path::from("log/w/00000000000000000002");
        assert_eq!(incarnation_of_folder(&writer, &folder), Some(2));
        for foreign in ["log/w/2", "log/v/00000000000000000002", "log/w/x"] {
            let found = incarnation_of_folder(&writer, &Path::from(foreign));
            assert_eq!(found, None, "{foreign}");
        }
    }

    #[test]
    fn block_paths_read_back_and_foreign_ones_do_not() {
        let tenant = TenantId::anonymous();
        let id: BlockId = "01J00000000000000000000000".parse().expect("valid");
        let path = Key::Block {
            tenant: &tenant,
            id,
        }
        .path();
        assert_eq!(block_of_path(&tenant, &path), Some(id));
        for foreign in [
            "blocks/anonymous/notes.txt",
            "blocks/anonymous/x.cairn",
            "blocks/anonymous/01j00000000000000000000000.cairn",
            "blocks/anonymous/deep/01J00000000000000000000000.cairn",
            "blocks/other/01J00000000000000000000000.cairn",
        ] {
            assert_eq!(block_of_path(&tenant, &Path::from(foreign)), None);
        }
    }

    #[test]
    fn share_paths_read_back_and_foreign_ones_do_not() {
        let tenant = TenantId::parse("team-a").expect("valid");
        let id = "6a2f1c00-0123456789abcdef0123456789abcdef";
        let id: ShareId = id.parse().expect("valid");
        let key = Key::Share {
            tenant: &tenant,
            id,
        };
        let spelled = "shares/team-a/6a2f1c00-0123456789abcdef0123456789abcdef";
        assert_eq!(key.to_string(), spelled);
        assert_eq!(key.tenant(), Some(&tenant));
        assert_eq!(share_of_path(&key.path()), Some((tenant, id)));
        for foreign in [
            "shares/team-a/notes.txt",
            "shares/6a2f1c00-0123456789abcdef0123456789abcdef",
            "shares/team-a/deep/6a2f1c00-0123456789abcdef0123456789abcdef",
            "shares/team-a/6a2f1c00-0123456789abcdef0123456789abcdef/deep",
            "blocks/team-a/6a2f1c00-0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(share_of_path(&Path::from(foreign)), None, "{foreign}");
        }
    }
}
