//! One node of the catalog: the state, what makes it last, and the services in front of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use cairn_model::TenantId;
use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::client::Attempt;
use crate::{Client, Command, Error, Server, Shards, Snapshot, State, Status};

/// Tells the time, in milliseconds since the Unix epoch.
pub type UnixMillis = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A running node.
#[derive(Debug)]
pub struct Node {
    local: Local,
}

/// The node as its own process sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Local(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    now: UnixMillis,
    shards: Mutex<Arc<Shards>>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

impl Node {
    /// The only node of a catalog, in a folder of its own, that nobody else reaches.
    pub async fn alone(folder: &Path, now: UnixMillis) -> Result<Self, Error> {
        let folder = folder.to_owned();
        let opened = tokio::task::spawn_blocking(move || Catalog::open(&folder)).await;
        let catalog = opened.map_err(|error| Error::Unavailable(error.to_string()))??;
        Ok(Self {
            local: Local(Arc::new(Inner {
                catalog,
                now,
                shards: Mutex::default(),
            })),
        })
    }

    pub fn client(&self) -> Client {
        Client::local(self.local.clone(), 0)
    }

    /// Answers other services.
    pub fn catalog_service(&self) -> crate::CatalogService {
        Server::new(self.local.clone()).into_service()
    }

    pub fn status(&self) -> Status {
        self.local.status()
    }

    /// Ends the node; everything it answered is durable before.
    pub async fn shutdown(self) -> Result<(), Error> {
        Ok(())
    }
}

impl Local {
    pub(crate) async fn attempt(&self, command: &Command) -> Attempt {
        let command = command.clone().dated((self.0.now)());
        match self.0.catalog.apply(command).await {
            Ok(reply) => Attempt::Done(reply),
            Err(Error::Refused(refused)) => Attempt::Refused(refused),
            Err(Error::Unavailable(reason)) => Attempt::NotDone(reason),
            Err(error) => Attempt::Unknown(error.to_string()),
        }
    }

    /// Returns once everything that was answered before the call shows in the state here.
    pub(crate) async fn up_to_date(&self) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn read<R>(&self, ask: impl FnOnce(&State) -> R) -> R {
        self.0.catalog.read(ask)
    }

    pub(crate) fn snapshot(&self, tenant: &TenantId) -> Snapshot {
        self.read(|state| state.snapshot(tenant))
    }

    pub(crate) fn shards(&self) -> Arc<Shards> {
        let mut known = self.0.shards.lock();
        self.read(|state| {
            if !known.is_of(state) {
                *known = Arc::new(Shards::of(state));
            }
        });
        Arc::clone(&known)
    }

    pub(crate) fn status(&self) -> Status {
        Status::default()
    }
}
