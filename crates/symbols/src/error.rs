//! Why a file became no symbol file, or a symbol file did not open.

use cairn_model::Code;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("the file is not an ELF file: {0}")]
    NotElf(String),
    #[error(
        "the file is a part of split debug information (.dwo), which names nothing without the rest: \
         make a package (.dwp) of all parts, and upload it with the build id of the program"
    )]
    SplitPart,
    #[error("the program has no units that were split off")]
    NotSplit,
    #[error("none of the program's units is in the package: it is of another build")]
    OtherPackage,
    #[error(
        "where the code of an arm64 kernel module lies is decided when it is loaded, since it has \
         tables of calls (.plt) before its code"
    )]
    MovingCode,
    #[error("the file is not a source map: {0}")]
    NotSourceMap(String),
    #[error("the source map can't be read: {0}")]
    SourceMap(&'static str),
    #[error("the file has {bytes} bytes, more than the {max} that are allowed")]
    TooLarge { bytes: u64, max: u64 },
    #[error("the file has more than {max} {what}")]
    TooMany { what: &'static str, max: u64 },
    #[error("the debug information can't be read: {0}")]
    Unreadable(String),
    #[error("the code spans more than 4 GiB of addresses")]
    TooWide,
    #[error("the symbol file is of version {found}, not {want}")]
    Version { found: u32, want: u32 },
    #[error("the symbol file is damaged: {0}")]
    Damaged(&'static str),
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::NotElf(_)
            | Self::SplitPart
            | Self::NotSplit
            | Self::OtherPackage
            | Self::MovingCode
            | Self::NotSourceMap(_)
            | Self::SourceMap(_)
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::Unreadable(_)
            | Self::TooWide => Code::Invalid,
            Self::Version { .. } | Self::Damaged(_) => Code::Corrupt,
        }
    }
}
