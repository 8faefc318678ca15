//! `UsageService`: what became of what tenants sent, over all ingesters.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_model::{Code, TenantId};
use cairn_wire::cairn::ingest::v1 as wire;
use futures::future::join_all;
use tonic::{Request, Response, Status};
use wire::usage_service_client::UsageServiceClient;
use wire::usage_service_server::{UsageService, UsageServiceServer};

use crate::ingester::Ingester;
use crate::metering::{Count, Fate, Item};

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Usage(Ingester);

pub(super) fn server(ingester: Ingester) -> UsageServiceServer<Usage> {
    UsageServiceServer::new(Usage(ingester))
}

/// How long another ingester may take.
const PATIENCE: Duration = Duration::from_secs(2);

#[tonic::async_trait]
impl UsageService for Usage {
    async fn usage(
        &self,
        request: Request<wire::UsageRequest>,
    ) -> Result<Response<wire::UsageResponse>, Status> {
        let wire::UsageRequest { tenant, is_local } = request.into_inner();
        let wanted = (!tenant.is_empty()).then(|| TenantId::parse(&tenant));
        let wanted = wanted.transpose();
        let wanted =
            wanted.map_err(|error| cairn_wire::status(Code::Invalid, &error.to_string()))?;
        let mut answers = vec![self.own(wanted.as_ref())];
        if let Some(router) = self.0.router().filter(|_| !is_local) {
            let others = router.others().into_iter();
            let ask = others.map(|(name, channel)| self.ask(name, channel, tenant.clone()));
            answers.extend(join_all(ask).await);
        }
        Ok(Response::new(sum(answers)))
    }
}

impl Usage {
    fn own(&self, tenant: Option<&TenantId>) -> wire::UsageResponse {
        let metering = self.0.metering();
        let source = wire::UsageSource {
            ingester: self.0.config().writer.clone(),
            since_unix_ns: metering.since(),
            error: String::new(),
        };
        wire::UsageResponse {
            sources: vec![source],
            rows: metering.list(tenant).into_iter().map(row).collect(),
        }
    }

    async fn ask(
        &self,
        ingester: String,
        channel: Result<tonic::transport::Channel, String>,
        tenant: String,
    ) -> wire::UsageResponse {
        let request = wire::UsageRequest {
            tenant,
            is_local: true,
        };
        let clock = self.0.cx().clock();
        let answer = async {
            let mut client = UsageServiceClient::new(channel?);
            let answer = client.usage(request).await;
            answer
                .map(Response::into_inner)
                .map_err(|status| status.message().to_owned())
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = clock.sleep(PATIENCE) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        answer.unwrap_or_else(|error| wire::UsageResponse {
            sources: vec![wire::UsageSource {
                ingester,
                since_unix_ns: 0,
                error,
            }],
            rows: Vec::new(),
        })
    }
}

fn row((item, count): (Item, Count)) -> wire::UsageRow {
    let Item {
        tenant,
        fate,
        door,
        reason,
    } = item;
    wire::UsageRow {
        tenant: tenant.to_string(),
        fate: wire::Fate::from(fate).into(),
        door: door.name().to_owned(),
        reason: reason.to_owned(),
        count: count.count,
        bytes: count.bytes,
        samples: count.samples,
    }
}

impl From<Fate> for wire::Fate {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Stored => Self::Stored,
            Fate::Repeated => Self::Repeated,
            Fate::Altered => Self::Altered,
            Fate::Refused => Self::Refused,
            Fate::Failed => Self::Failed,
            Fate::Postponed => Self::Postponed,
        }
    }
}

/// Rows about the same become one.
fn sum(answers: Vec<wire::UsageResponse>) -> wire::UsageResponse {
    let mut sources = Vec::with_capacity(answers.len());
    let mut rows: BTreeMap<_, wire::UsageRow> = BTreeMap::new();
    for answer in answers {
        sources.extend(answer.sources);
        for row in answer.rows {
            let key = (
                row.tenant.clone(),
                row.fate,
                row.door.clone(),
                row.reason.clone(),
            );
            match rows.get_mut(&key) {
                Some(sum) => {
                    sum.count = sum.count.saturating_add(row.count);
                    sum.bytes = sum.bytes.saturating_add(row.bytes);
                    sum.samples = sum.samples.saturating_add(row.samples);
                }
                None => {
                    rows.insert(key, row);
                }
            }
        }
    }
    let rows = rows.into_values().collect();
    wire::UsageResponse { sources, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ingester: &str, tenant: &str, count: u64) -> wire::UsageResponse {
        let source = wire::UsageSource {
            ingester: ingester.to_owned(),
            ..Default::default()
        };
        let row = wire::UsageRow {
            tenant: tenant.to_owned(),
            fate: wire::Fate::Refused.into(),
            count,
            bytes: count,
            ..Default::default()
        };
        wire::UsageResponse {
            sources: vec![source],
            rows: vec![row],
        }
    }

    #[test]
    fn rows_about_the_same_become_one() {
        let all = sum(vec![
            answer("x", "b", 1),
            answer("y", "a", 2),
            answer("z", "b", u64::MAX),
        ]);
        assert_eq!(all.sources.len(), 3);
        let rows = all.rows.iter().map(|row| (row.tenant.as_str(), row.count));
        assert_eq!(rows.collect::<Vec<_>>(), [("a", 2), ("b", u64::MAX)]);
    }
}
