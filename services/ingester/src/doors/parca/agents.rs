//! Who sends: Parca's `AgentsService`, a list with more in it over HTTP, and what agents and the
//! page ask besides.

use axum::Json;
use axum::extract::State;
use cairn_wire::parca::profilestore::v1alpha1 as wire;
use cairn_wire::parca::{scrape, telemetry};
use scrape::v1alpha1::scrape_service_server::{ScrapeService, ScrapeServiceServer};
use telemetry::v1alpha1::telemetry_service_server::{TelemetryService, TelemetryServiceServer};
use tonic::{Request, Response, Status};
use wire::agents_service_server::{AgentsService, AgentsServiceServer};

use super::super::caller::Caller;
use crate::ingester::Ingester;

/// These services.
#[derive(Clone, Debug)]
pub(crate) struct Asides(Ingester);

pub(crate) fn agents(ingester: Ingester) -> AgentsServiceServer<Asides> {
    AgentsServiceServer::new(Asides(ingester))
}

pub(crate) fn scrape(ingester: Ingester) -> ScrapeServiceServer<Asides> {
    ScrapeServiceServer::new(Asides(ingester))
}

pub(crate) fn telemetry(ingester: Ingester) -> TelemetryServiceServer<Asides> {
    TelemetryServiceServer::new(Asides(ingester))
}

#[tonic::async_trait]
impl AgentsService for Asides {
    async fn agents(
        &self,
        _: Request<wire::AgentsRequest>,
    ) -> Result<Response<wire::AgentsResponse>, Status> {
        let now = self.0.cx().clock().now();
        let agents = self.0.agents().list(now).into_iter();
        let agents = agents.map(|(id, agent)| wire::Agent {
            id: id.text(),
            last_error: match agent.is_failing {
                true => agent.error,
                false => String::new(),
            },
            last_push: Some(cairn_wire::timestamp(agent.at)),
            last_push_duration: Some(cairn_wire::duration(
                i64::try_from(agent.took.as_nanos()).unwrap_or(i64::MAX),
            )),
        });
        let agents = agents.collect();
        Ok(Response::new(wire::AgentsResponse { agents }))
    }
}

/// One agent of the list; times in milliseconds since the epoch.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    id: String,
    door: &'static str,
    software: String,
    last_push_unix_ms: i64,
    last_push_duration_ms: u128,
    lag_ms: Option<u128>,
    pushes: u64,
    failures: u64,
    last_error: String,
}

/// `GET /api/v1/agents`: who pushed within the last minutes.
pub(crate) async fn list(State(ingester): State<Ingester>) -> Json<serde_json::Value> {
    let now = ingester.cx().clock().now();
    let listed = ingester.agents().list(now).into_iter();
    let listed = listed.map(|(id, agent)| Listed {
        id: id.text(),
        door: id.door.name(),
        software: id.software,
        last_push_unix_ms: agent.at / 1_000_000,
        last_push_duration_ms: agent.took.as_millis(),
        lag_ms: agent.lag.map(|lag| lag.as_millis()),
        pushes: agent.pushes,
        failures: agent.failures,
        last_error: agent.error,
    });
    let listed: Vec<Listed> = listed.collect();
    Json(serde_json::json!({ "agents": listed }))
}

#[tonic::async_trait]
impl ScrapeService for Asides {
    /// Nothing is scraped.
    async fn targets(
        &self,
        _: Request<scrape::v1alpha1::TargetsRequest>,
    ) -> Result<Response<scrape::v1alpha1::TargetsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

/// Characters of a report that the log keeps.
const REPORT_CHARS_MAX: usize = 4_000;
/// Characters of one fact.
const FACT_CHARS_MAX: usize = 256;
/// Facts of a report that the log keeps.
const FACTS_MAX: usize = 32;

#[tonic::async_trait]
impl TelemetryService for Asides {
    async fn report_panic(
        &self,
        request: Request<telemetry::v1alpha1::ReportPanicRequest>,
    ) -> Result<Response<telemetry::v1alpha1::ReportPanicResponse>, Status> {
        let caller = Caller::of_grpc(&request);
        let report = request.into_inner();
        // What a program writes last is said at the end.
        let chars = report.stderr.chars().count();
        let stderr = report.stderr.chars();
        let stderr: String = stderr
            .skip(chars.saturating_sub(REPORT_CHARS_MAX))
            .collect();
        let cut = |text: &String| text.chars().take(FACT_CHARS_MAX).collect::<String>();
        let facts = report.metadata.iter();
        let mut facts: Vec<(String, String)> = facts
            .take(FACTS_MAX)
            .map(|(name, value)| (cut(name), cut(value)))
            .collect();
        facts.sort();
        tracing::warn!(
            tenant = %caller.tenant, peer = ?caller.sender.peer, software = caller.sender.software,
            ?facts, stderr, "an agent panicked"
        );
        Ok(Response::new(Default::default()))
    }
}
