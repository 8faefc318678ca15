//! Whether a file is wanted, in the words that Parca's agents know. They compare one of them.

/// One answer for each state that a file may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nothing is known of it.
    New,
    /// A debuginfod server has it.
    Upstream,
    /// What a debuginfod server had is in use.
    UpstreamInUse,
    /// What a debuginfod server had is of no use.
    UpstreamRefused,
    /// Somebody uploads it.
    Uploading,
    /// Somebody uploads it, and is to be left behind.
    UploadingForced,
    /// Somebody began to upload it long ago.
    Stale,
    There,
    /// It is there, and is to be replaced.
    ThereForced,
    /// What is there is of no use, and the client did not say what it has.
    Refused,
    /// What is there is of no use, and the client has the same.
    RefusedSame,
    /// What is there is of no use, and the client has something else.
    RefusedOther,
    /// It was there and was deleted.
    Deleted,
}

impl Reason {
    pub(crate) fn is_wanted(self) -> bool {
        match self {
            Self::New
            | Self::UpstreamRefused
            | Self::UploadingForced
            | Self::Stale
            | Self::ThereForced
            | Self::Refused
            | Self::RefusedOther
            | Self::Deleted => true,
            Self::Upstream
            | Self::UpstreamInUse
            | Self::Uploading
            | Self::There
            | Self::RefusedSame => false,
        }
    }

    /// The text that goes over the wire, letter for letter.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::New => {
                "First time we see this Build ID, and it does not exist in debuginfod, therefore \
                 please upload!"
            }
            Self::Upstream => "Debuginfo exists in debuginfod, therefore no upload is necessary.",
            Self::UpstreamInUse => {
                "Debuginfo is available from debuginfod already and not marked as invalid, \
                 therefore no new upload is needed."
            }
            Self::UpstreamRefused => {
                "Debuginfo is available from debuginfod already but is marked as invalid, \
                 therefore a new upload is needed."
            }
            Self::Uploading => {
                "A previous upload is still in-progress and not stale yet (only stale uploads can \
                 be retried)."
            }
            Self::UploadingForced => {
                "A previous upload is in-progress, but accepting restart because it's requested to \
                 be forced."
            }
            Self::Stale => {
                "A previous upload was started but not finished and is now stale, so it can be \
                 retried."
            }
            Self::There => {
                "Debuginfo already exists and is not marked as invalid, therefore no new upload is \
                 needed."
            }
            Self::ThereForced => {
                "Debuginfo already exists and is not marked as invalid, therefore wouldn't have \
                 accepted a new upload, but accepting it because it's requested to be forced."
            }
            Self::Refused => {
                "Debuginfo already exists but is marked as invalid, therefore a new upload is \
                 needed. Hash the debuginfo and initiate the upload."
            }
            Self::RefusedSame => {
                "Debuginfo already exists and is marked as invalid, but the proposed hash is the \
                 same as the one already available, therefore the upload is not accepted as it \
                 would result in the same invalid debuginfos."
            }
            Self::RefusedOther => {
                "Debuginfo already exists but is marked as invalid, therefore a new upload will be \
                 accepted."
            }
            Self::Deleted => {
                "Debuginfo was previously uploaded but has been purged/cleaned up, therefore a new \
                 upload is needed."
            }
        }
    }
}
