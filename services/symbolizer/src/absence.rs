//! Why a build has no symbol file, and what to say where there are several reasons. Pure.

use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Absence {
    #[error("no file of this build id was uploaded")]
    NoFile,
    #[error("no source map of this debug id was uploaded")]
    NoMap,
    #[error("the uploaded file was refused: {0}")]
    Refused(Arc<str>),
    #[error("the uploaded file has no units that were split off")]
    NotSplit,
    #[error("no file of this build id was uploaded, and no debuginfod server has one")]
    Nowhere,
    #[error(
        "no file of this build id was uploaded, and what a debuginfod server has is of no use: {0}"
    )]
    Bad(Arc<str>),
    #[error(
        "no file of this build id was uploaded, and debuginfod servers could not be asked: {0}"
    )]
    Unasked(Arc<str>),
    #[error(
        "no file of this build id was uploaded, and what was fetched from debuginfod servers takes \
         all the room that upstream.kept_bytes_max gives it"
    )]
    NoRoom,
    #[error("the file of this build id is still being fetched or read: ask again")]
    Unfinished,
    #[error("the file of this build id can't be read at present: ask again")]
    Unread,
}

impl Absence {
    /// Whether a later question may have another answer though nobody uploads anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoFile
            | Self::NoMap
            | Self::Refused(_)
            | Self::NotSplit
            | Self::Nowhere
            | Self::Bad(_) => false,
            Self::Unasked(_) | Self::NoRoom | Self::Unfinished | Self::Unread => true,
        }
    }

    /// How much it helps to hear of this rather than of something else: the less, the more. First
    /// what is about to be known, then what an upload mends for sure, then what others must mend,
    /// and at last that there is nothing.
    fn rank(&self) -> u8 {
        match self {
            Self::Unfinished => 0,
            Self::Unread => 1,
            Self::Refused(_) => 2,
            Self::Bad(_) => 3,
            Self::Unasked(_) => 4,
            Self::NoRoom => 5,
            Self::Nowhere => 6,
            Self::NotSplit => 7,
            Self::NoMap => 8,
            Self::NoFile => 9,
        }
    }
}

/// What to say where several sources have nothing, each for its reason: the one that helps most, and
/// whether any may pass. What may is told, too, so that nobody waits without knowing for what.
pub(crate) fn foremost<'a>(all: impl Iterator<Item = &'a Absence> + Clone) -> (String, bool) {
    let first = all.clone().min_by_key(|absence| absence.rank());
    let first = first.unwrap_or(&Absence::NoFile);
    let passing = all.filter(|absence| absence.is_passing());
    match passing.min_by_key(|absence| absence.rank()) {
        Some(passing) if !first.is_passing() => (format!("{first}; and {passing}"), true),
        passing => (first.to_string(), passing.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_reasons_the_one_that_helps_most_is_told() {
        let refused = || Absence::Refused("damaged".into());
        let bad = || Absence::Bad("of another build".into());
        let unasked = || Absence::Unasked("it answers 500".into());
        let all = [
            // In this order, whatever comes first and whatever is known besides.
            Absence::Unfinished,
            Absence::Unread,
            refused(),
            bad(),
            unasked(),
            Absence::NoRoom,
            Absence::Nowhere,
            Absence::NotSplit,
            Absence::NoMap,
            Absence::NoFile,
        ];
        for (at, first) in all.iter().enumerate() {
            for later in &all[at..] {
                for both in [[first, later], [later, first]] {
                    let (told, is_passing) = foremost(both.into_iter());
                    let is_both = later.is_passing() && !first.is_passing();
                    let also = if is_both {
                        format!("; and {later}")
                    } else {
                        String::new()
                    };
                    assert_eq!(told, format!("{first}{also}"), "{both:?}");
                    let passes = first.is_passing() || later.is_passing();
                    assert_eq!(is_passing, passes, "{both:?}");
                }
            }
        }
        let (_, is_passing) = foremost([refused(), Absence::NoFile].iter());
        assert!(!is_passing);
        assert_eq!(foremost([].iter()), (Absence::NoFile.to_string(), false));
    }
}
