//! Packages of units that were split off a program. A package has no code and says of no build that
//! it is its own, so it becomes a symbol file together with its program, whichever came first.

use cairn_model::{BuildId, FileKind};

use super::{Build, Files, Known, bound, readable};
use crate::absence::Absence;
use crate::cache::{Answer, Slot};
use crate::error::Error;
use crate::records::{Folder, Place};

impl Files {
    /// Where the package of a build is, if it is known under another name of its program.
    pub(crate) async fn place_of_package(
        &self,
        folder: &Folder,
        asked: &Place,
    ) -> Result<Option<Place>, Error> {
        let mut programs = Vec::new();
        for kind in [FileKind::Debuginfo, FileKind::Executable] {
            let place = Place {
                kind,
                ..asked.clone()
            };
            let (place, record) = self.records.find(folder, &place).await?;
            programs.extend(readable(place, record));
        }
        let package = self.package_of(&asked.build_id, programs.iter()).await?;
        Ok(package.map(|package| package.place))
    }

    /// The package of programs that have other names than the one that was asked for, as it is known
    /// under theirs.
    pub(super) async fn package_of<'a>(
        &self,
        asked: &BuildId,
        programs: impl Iterator<Item = &'a Slot>,
    ) -> Result<Option<Slot>, Error> {
        let mut seen = vec![asked];
        for program in programs {
            if seen.contains(&&program.place.build_id) {
                continue;
            }
            seen.push(&program.place.build_id);
            let place = Place {
                kind: FileKind::Package,
                ..program.place.clone()
            };
            let folder = self.records.folder(&place.tenant, &place.build_id).await?;
            let (place, record) = self.records.find(&folder, &place).await?;
            if let Ok(package) = readable(place, record) {
                return Ok(Some(package));
            }
        }
        Ok(None)
    }

    /// Puts what a package and its program say together in the place of what the program says alone.
    /// If that fails, the program's own names are an answer still. Of errors later questions try
    /// again; what does not fit is said in the log.
    pub(super) async fn join(&self, known: &Known, build: &mut Build) {
        let Ok(package) = &known.package else {
            return;
        };
        let programs = [
            (&known.debuginfo, &mut build.debuginfo),
            (&known.executable, &mut build.executable),
        ];
        for (program, answer) in programs {
            let Ok(program) = program else { continue };
            match self.joined(package, program).await {
                // The other file may be the one that fits.
                Ok(Err(_)) => {}
                Ok(joined) => {
                    *answer = joined;
                    return;
                }
                Err(error) => {
                    let (error, build_id) = (error.chain(), &package.place.build_id);
                    tracing::warn!(error, %build_id, "a package is not joined with its program yet");
                    return;
                }
            }
        }
    }

    /// Whether a package that is being taken in is of use for what there is of its build. It may be
    /// if there is nothing.
    pub(crate) async fn check_package(&self, package: &Slot) -> Result<Result<(), Absence>, Error> {
        let place = &package.place;
        // Another replica may have taken the program that is meant.
        self.forget(&place.tenant, &place.build_id);
        let known = self.known(&place.tenant, &place.build_id).await?;
        let mut checked = Ok(());
        for program in [&known.debuginfo, &known.executable].into_iter().flatten() {
            match self.joined(package, program).await? {
                Err(Absence::NotSplit) => {}
                Err(absence) => checked = Err(absence),
                Ok(_) => return Ok(Ok(())),
            }
        }
        Ok(checked)
    }

    async fn joined(&self, package: &Slot, program: &Slot) -> Result<Answer, Error> {
        if self.unsplit.lock().contains_key(program) {
            return Ok(Err(Absence::NotSplit));
        }
        let joined = self.file(package.with(program)).await?;
        if matches!(joined, Err(Absence::NotSplit)) {
            let mut unsplit = self.unsplit.lock();
            bound(&mut unsplit);
            unsplit.insert(program.clone(), ());
        }
        Ok(joined)
    }
}
