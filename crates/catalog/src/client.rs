//! A catalog in another process, seen through the catalog's own types.

use std::time::Duration;

use cairn_model::{BlockId, TenantId};
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::convert::tenant;
use crate::{BlockMeta, Error, InvalidMessage, Snapshot, Tombstone};

/// Bytes of one answer: about half a million blocks.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Calls the catalog. Cheap to clone. Retries are the caller's.
#[derive(Clone, Debug)]
pub struct Client {
    remote: CatalogServiceClient<Channel>,
    timeout: Option<Duration>,
}

impl Client {
    pub fn new(channel: Channel) -> Self {
        let remote = CatalogServiceClient::new(channel);
        Self {
            remote: remote.max_decoding_message_size(ANSWER_BYTES_MAX),
            timeout: None,
        }
    }

    /// The same with a limit to how long a call may take.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }

    /// What a query has to read. Take this first and the tails second.
    pub async fn snapshot(&self, tenant: &TenantId) -> Result<Snapshot, Error> {
        let tenant = tenant.to_string();
        let request = wire::SnapshotRequest { tenant };
        let answer = self
            .remote
            .clone()
            .snapshot(self.request(request))
            .await
            .map_err(remote)?;
        answer.into_inner().try_into()
    }

    /// Swaps blocks; without outputs, deletes them. A conflict means that an input is gone: plan anew.
    pub async fn replace(
        &self,
        tenant: &TenantId,
        inputs: &[BlockId],
        outputs: Vec<BlockMeta>,
    ) -> Result<(), Error> {
        let request = wire::ReplaceRequest {
            tenant: tenant.to_string(),
            inputs: inputs.iter().map(ToString::to_string).collect(),
            outputs: outputs.into_iter().map(Into::into).collect(),
        };
        let answer = self
            .remote
            .clone()
            .replace(self.request(request))
            .await
            .map_err(remote)?;
        let wire::ReplaceResponse {} = answer.into_inner();
        Ok(())
    }

    /// Tombstones that are at least as old as this, oldest first.
    pub async fn expired(&self, before_unix_ms: i64) -> Result<Vec<Tombstone>, Error> {
        let request = wire::ExpiredRequest { before_unix_ms };
        let answer = self
            .remote
            .clone()
            .expired(self.request(request))
            .await
            .map_err(remote)?;
        let wire::ExpiredResponse { tombstones } = answer.into_inner();
        let tombstones: Result<_, InvalidMessage> =
            tombstones.into_iter().map(Tombstone::try_from).collect();
        Ok(tombstones?)
    }

    /// Drops tombstones whose objects are deleted.
    pub async fn forget(&self, tenant: &TenantId, blocks: &[BlockId]) -> Result<(), Error> {
        let request = wire::ForgetRequest {
            tenant: tenant.to_string(),
            blocks: blocks.iter().map(ToString::to_string).collect(),
        };
        let answer = self
            .remote
            .clone()
            .forget(self.request(request))
            .await
            .map_err(remote)?;
        let wire::ForgetResponse {} = answer.into_inner();
        Ok(())
    }

    /// Everyone who has a block or a tombstone.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        let request = wire::TenantsRequest {};
        let answer = self
            .remote
            .clone()
            .tenants(self.request(request))
            .await
            .map_err(remote)?;
        let wire::TenantsResponse { tenants } = answer.into_inner();
        let tenants: Result<_, InvalidMessage> = tenants.iter().map(|name| tenant(name)).collect();
        Ok(tenants?)
    }
}

fn remote(status: Status) -> Error {
    Error::Remote {
        code: cairn_wire::code_of(&status),
        message: status.message().to_owned(),
    }
}
