//! A catalog in other processes. One try of each call; trying again is the client's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use cairn_model::{Code, TenantId, TimeRange};
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::transport::Channel;
use tonic::{Response, Status as GrpcStatus};

use super::Attempt;
use crate::convert::{attempt_of, tenant};
use crate::{Command, Error, InvalidMessage, Job, Shards, Snapshot, Status, Tombstone, encoding};

/// Gives the connection to an address, the same one every time; made when first used.
pub type Connect = Arc<dyn Fn(&str) -> Result<Channel, String> + Send + Sync>;

/// Bytes of one answer: about half a million blocks.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long one node may take to carry out a command before the next is told.
const TRY_TIME_MAX: Duration = Duration::from_secs(5);

/// How long one node may take to answer a question before the next is asked. A node that stands
/// still must not hold queries up; an answer that takes long because it is large gets twice the
/// time after every failure, so often at most.
const ASK_TIME_MIN: Duration = Duration::from_secs(1);
const ASK_TIME_DOUBLINGS: u32 = 5;

/// What a client of a catalog in other processes needs.
#[derive(Clone)]
pub struct RemoteParts {
    /// Nodes of the catalog, in order of preference. One suffices; others help when it is away.
    pub addresses: Vec<String>,
    pub connect: Connect,
    /// Of the pauses between tries.
    pub seed: u64,
}

pub(super) struct Remote {
    parts: RemoteParts,
    /// Who answered last.
    current: AtomicUsize,
    /// Questions in a row that were not answered in time.
    failures: AtomicU32,
}

impl fmt::Debug for RemoteParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteParts").field(&self.addresses).finish()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

type Service = CatalogServiceClient<Channel>;

impl Remote {
    pub(super) fn new(parts: RemoteParts) -> Self {
        Self {
            parts,
            current: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
        }
    }

    pub(super) async fn attempt(&self, command: &Command) -> Attempt {
        let command = encoding::encode(command).into();
        let request = wire::ApplyRequest { command };
        let at = self.current.load(Ordering::Relaxed);
        let service = match self.service(at) {
            Ok(service) => service,
            Err(error) => return Attempt::NotDone(error.to_string()),
        };
        let answer = async { service.clone().apply(request).await };
        let outcome = match tokio::time::timeout(TRY_TIME_MAX, answer).await {
            Err(_) => Attempt::Unknown("it did not answer in time".to_owned()),
            Ok(Err(status)) if never_sent(&status) => Attempt::NotDone(text(&status)),
            Ok(Err(status)) => Attempt::Unknown(text(&status)),
            Ok(Ok(answer)) => attempt_of(answer.into_inner()),
        };
        if matches!(outcome, Attempt::NotDone(_) | Attempt::Unknown(_)) {
            self.turn_from(at);
        }
        outcome
    }

    pub(super) async fn snapshot(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Snapshot, Error> {
        let request = wire::SnapshotRequest {
            tenant: tenant.to_string(),
            time_start: Some(range.start),
            time_end: Some(range.end),
        };
        let ask = |mut service: Service| async move { service.snapshot(request).await };
        self.ask(ask).await?.try_into()
    }

    pub(super) async fn expired(&self, before_unix_ms: i64) -> Result<Vec<Tombstone>, Error> {
        let request = wire::ExpiredRequest { before_unix_ms };
        let ask = |mut service: Service| async move { service.expired(request).await };
        let wire::ExpiredResponse { tombstones } = self.ask(ask).await?;
        let tombstones: Result<_, InvalidMessage> =
            tombstones.into_iter().map(Tombstone::try_from).collect();
        Ok(tombstones?)
    }

    pub(super) async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        let request = wire::TenantsRequest {};
        let ask = |mut service: Service| async move { service.tenants(request).await };
        let wire::TenantsResponse { tenants } = self.ask(ask).await?;
        let tenants: Result<_, InvalidMessage> = tenants.iter().map(|name| tenant(name)).collect();
        Ok(tenants?)
    }

    pub(super) async fn jobs(&self) -> Result<Vec<Job>, Error> {
        let request = wire::JobsRequest {};
        let ask = |mut service: Service| async move { service.jobs(request).await };
        let wire::JobsResponse { jobs } = self.ask(ask).await?;
        jobs.into_iter().map(Job::try_from).collect()
    }

    pub(super) async fn shards(&self) -> Result<Arc<Shards>, Error> {
        let request = wire::ShardsRequest {};
        let ask = |mut service: Service| async move { service.shards(request).await };
        Ok(Arc::new(self.ask(ask).await?.try_into()?))
    }

    pub(super) async fn status(&self) -> Result<Status, Error> {
        let request = wire::StatusRequest {};
        let ask = |mut service: Service| async move { service.status(request).await };
        Ok(self.ask(ask).await?.into())
    }

    async fn ask<T, F>(&self, ask: impl FnOnce(Service) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, GrpcStatus>>,
    {
        let at = self.current.load(Ordering::Relaxed);
        let service = self.service(at)?;
        let failures = self.failures.load(Ordering::Relaxed);
        let time = ASK_TIME_MIN * 2u32.pow(failures.min(ASK_TIME_DOUBLINGS));
        let error = match tokio::time::timeout(time, ask(service)).await {
            Ok(Ok(answer)) => {
                self.failures.store(0, Ordering::Relaxed);
                return Ok(answer.into_inner());
            }
            Ok(Err(status)) => Error::Remote {
                code: cairn_wire::code_of(&status),
                message: text(&status),
            },
            Err(_) => {
                // Those who asked together count as one.
                self.failures.store(failures + 1, Ordering::Relaxed);
                Error::Unavailable("it did not answer in time".to_owned())
            }
        };
        if matches!(error.code(), Code::Unavailable | Code::Timeout) {
            self.turn_from(at);
        }
        Err(error)
    }

    fn service(&self, at: usize) -> Result<Service, Error> {
        let addresses = &self.parts.addresses;
        let Some(address) = addresses.get(at % addresses.len().max(1)) else {
            let text = "the client of a catalog has no addresses".to_owned();
            return Err(Error::Config(text));
        };
        let connected = (self.parts.connect)(address);
        let channel = connected.map_err(|error| {
            self.turn_from(at);
            Error::Unavailable(format!("{address}: {error}"))
        })?;
        let service = CatalogServiceClient::new(channel);
        Ok(service.max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// The next call goes to the next node, unless another call has turned away already.
    fn turn_from(&self, at: usize) {
        let next = at.wrapping_add(1);
        let (set, load) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.current.compare_exchange(at, next, set, load);
    }
}

/// Whether a call failed before anything was sent.
pub(crate) fn never_sent(status: &GrpcStatus) -> bool {
    let source = std::error::Error::source(status);
    let mut causes = std::iter::successors(source, |error| error.source());
    causes.any(|error| error.is::<tonic::ConnectError>())
}

pub(crate) fn text(status: &GrpcStatus) -> String {
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    let source = std::error::Error::source(status);
    let causes = std::iter::successors(source, |error| error.source());
    match causes.last() {
        Some(cause) => format!("{message}: {cause}"),
        None => message.to_owned(),
    }
}
