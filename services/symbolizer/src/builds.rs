//! What names a build, wherever it comes from: uploaded, or else fetched from a debuginfod server.
//!
//! Each build is loaded once at a time for all who wait, and to its end if they go away: who asks
//! again later finds it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_chassis::Context;
use cairn_model::{BuildId, TenantId};
use cairn_symbols::{Identity, Link};
use tempfile::TempPath;
use tokio::sync::Semaphore;

use crate::absence::{Absence, foremost};
use crate::error::Error;
use crate::files::{Build, Code, Files};
use crate::flights::Flights;
use crate::records::Place;
use crate::scratch;
use crate::upstream::{Artifact, Fetched, Upstream};
use crate::worker::Product;

/// Files from upstream that are kept at a time, of each a part in memory.
const FETCHES_MAX: usize = 2;

#[derive(Clone)]
pub(crate) struct Builds {
    files: Arc<Files>,
    upstream: Arc<Upstream>,
    /// By build, what it is of, and how often it changed: whoever asks after a change joins none from
    /// before.
    flights: Arc<Flights<(TenantId, BuildId, Code, u64), Build>>,
    fetches: Arc<Semaphore>,
    cx: Context,
}

impl Builds {
    pub(crate) fn new(files: Arc<Files>, upstream: Arc<Upstream>, cx: Context) -> Self {
        Self {
            files,
            upstream,
            flights: Arc::default(),
            fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
            cx,
        }
    }

    /// What names this build for this tenant, as far as it is there in time.
    pub(crate) async fn get(
        &self,
        tenant: &TenantId,
        build_id: &BuildId,
        code: Code,
        wait: Duration,
    ) -> Build {
        let changes = self.files.changes(tenant, build_id);
        let key = (tenant.clone(), build_id.clone(), code, changes);
        let (this, about) = (self.clone(), key.clone());
        let work = || async move { this.load(&about.0, &about.1, about.2).await };
        let loaded = self.flights.join(&self.cx, key, work);
        let clock = self.cx.clock();
        tokio::select! {
            biased;
            loaded = loaded => loaded.unwrap_or_else(|| Build::none(Absence::Unfinished)),
            () = clock.sleep(wait) => Build::none(Absence::Unfinished),
        }
    }

    async fn load(&self, tenant: &TenantId, build_id: &BuildId, code: Code) -> Build {
        let mut build = self.stored(tenant, build_id, code).await;
        // No debuginfod server has source maps.
        let is_theirs = code == Code::Machine && self.upstream.knows(build_id);
        if !build.is_wanted() || !is_theirs {
            return build;
        }
        match self.files.has_room(tenant).await {
            Ok(true) => {}
            Ok(false) => {
                build.upstream.push(Absence::NoRoom);
                return build;
            }
            Err(error) => {
                let chain = error.chain();
                tracing::warn!(%tenant, chain, "what was fetched can't be counted");
                let text = "what was fetched can't be counted at present";
                build.upstream.push(Absence::Unasked(text.into()));
                return build;
            }
        }
        let mut upstream = Vec::new();
        for artifact in [Artifact::Debuginfo, Artifact::Executable] {
            match self.fetch(tenant, build_id, artifact).await {
                Ok(true) => {
                    build = self.stored(tenant, build_id, code).await;
                    // Where code lies in the executable, a debug file may not say.
                    let places = |file: &Arc<cairn_symbols::SymbolFile>| file.has_segments();
                    if build.debuginfo.as_ref().is_ok_and(places) || build.executable.is_ok() {
                        break;
                    }
                }
                Ok(false) => upstream.push(Absence::Nowhere),
                Err(why) => upstream.push(why),
            }
        }
        Build { upstream, ..build }
    }

    /// The file that others of a package share debug information with, if this one does and the
    /// servers have that. What could not be asked must be asked before anything is kept.
    async fn shared(&self, elf: &Path) -> Result<Option<TempPath>, Error> {
        let elf = elf.to_owned();
        let read = move || scratch::map(&elf).map(|elf| Link::to_shared(&elf));
        let Some(link) = self.cx.compute(read).await? else {
            return Ok(None);
        };
        let build_id = BuildId::parse(&link.build_id).ok();
        let Some(build_id) = build_id.filter(|id| self.upstream.knows(id)) else {
            return Ok(None);
        };
        let path = self.files.converter().scratch_file()?;
        let fetched = self.upstream.fetch(&build_id, Artifact::Debuginfo, &path);
        match fetched.await {
            Ok(Fetched::File { .. }) => {}
            Ok(Fetched::Absent) | Err(Error::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let alt = path.to_owned();
        let check = move || scratch::map(&alt).map(|alt| link.leads_to(&alt));
        let is_it = self.cx.compute(check).await?;
        if !is_it {
            let text = "it is no file of this build";
            self.upstream.is_bad(&build_id, Artifact::Debuginfo, text);
        }
        Ok(is_it.then_some(path))
    }

    async fn stored(&self, tenant: &TenantId, build_id: &BuildId, code: Code) -> Build {
        match self.files.build(tenant, build_id, code).await {
            Ok(build) => build,
            Err(error) => {
                let chain = error.chain();
                tracing::warn!(%tenant, %build_id, chain, "a symbol file can't be read");
                Build::none(Absence::Unread)
            }
        }
    }

    /// Whether a file came from upstream and is stored now. Why not, unless there simply is none.
    async fn fetch(
        &self,
        tenant: &TenantId,
        build_id: &BuildId,
        artifact: Artifact,
    ) -> Result<bool, Absence> {
        let fetched = async {
            let path = self.files.converter().scratch_file()?;
            let fetched = self.upstream.fetch(build_id, artifact, &path).await?;
            let Fetched::File { server } = fetched else {
                return Ok(false);
            };
            let _turn = self.fetches.acquire().await.expect("it is never closed");
            // Others were kept while this one waited.
            if !self.files.has_room(tenant).await? {
                return Err(Error::NoRoom);
            }
            let kept = match self.keep(tenant, build_id, &path).await {
                // It is tried again when that is forgotten.
                Err(Error::Late(time)) => Err(Error::Refused(format!(
                    "reading it was not done in {time:?}"
                ))),
                kept => kept,
            };
            match kept {
                Err(Error::Refused(reason)) => {
                    tracing::warn!(%build_id, server, reason, "a fetched file is of no use");
                    self.upstream.is_bad(build_id, artifact, &reason);
                    Err(Error::Refused(reason))
                }
                other => other.map(|()| true),
            }
        };
        fetched.await.map_err(|error: Error| match error {
            Error::Refused(reason) => Absence::Bad(reason.into()),
            Error::NoRoom => Absence::NoRoom,
            Error::Upstream(trouble) => Absence::Unasked(trouble.to_string().into()),
            error => {
                let chain = error.chain();
                tracing::warn!(%tenant, %build_id, chain, "a fetched file can't be kept");
                Absence::Unasked("what they have can't be kept at present".into())
            }
        })
    }

    /// Stores a fetched file as if the tenant had uploaded it. [`Error::Refused`] is about the file.
    async fn keep(&self, tenant: &TenantId, build_id: &BuildId, path: &Path) -> Result<(), Error> {
        let identity = {
            let path = path.to_owned();
            let read = move || scratch::map(&path).map(|elf| Identity::read(&elf));
            self.cx.compute(read).await?
        };
        let identity = identity.map_err(|error| Error::Refused(error.to_string()))?;
        if identity.build_ids().all(|id| id != build_id) {
            let text = "it is a file of another build".to_owned();
            return Err(Error::Refused(text));
        }
        let (converter, clock) = (self.files.converter(), self.cx.clock());
        let bytes = tokio::fs::metadata(path).await?.len();
        // Both are kept: who reads it again needs both.
        if let Some(alt) = self.shared(path).await? {
            converter.append((path, &mut vec![bytes]), &alt).await?;
        }
        let symbols = converter
            .convert((path, &[bytes]), Product::Symbols, &clock)
            .await?;
        let place = Place {
            tenant: tenant.clone(),
            build_id: build_id.clone(),
            kind: identity.kind,
        };
        let file = (path, bytes);
        self.files.keep_fetched(&place, file, &symbols).await
    }
}

impl Build {
    fn none(absence: Absence) -> Self {
        Self {
            debuginfo: Err(absence),
            executable: Err(Absence::NoFile),
            upstream: Vec::new(),
        }
    }

    /// Why there is no file, and whether that may pass.
    pub(crate) fn why(&self) -> (String, bool) {
        let own = [&self.debuginfo, &self.executable].into_iter();
        let own = own.filter_map(|answer| answer.as_ref().err());
        foremost(own.chain(&self.upstream))
    }

    /// Whether others may have what the tenant did not upload.
    fn is_wanted(&self) -> bool {
        let lacks = |answer: &crate::cache::Answer| {
            matches!(answer, Err(Absence::NoFile | Absence::Refused(_)))
        };
        lacks(&self.debuginfo) && lacks(&self.executable)
    }
}
