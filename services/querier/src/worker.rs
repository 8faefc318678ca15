//! The answering side of a scan: the blocks of a ticket, merged into one answer.
//!
//! A block that can't be read is a warning in the trailer, never the end of the scan. Which blocks
//! there are is the business of whoever wrote the ticket.

use std::sync::Arc;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use cairn_chassis::Context;
use cairn_engine::{Merge, Query, Scanned, codec, scan_block};
use cairn_model::{BlockId, Code, TenantId};
use cairn_wire::cairn::catalog::v1::BlockMeta;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use cairn_wire::cairn::query::v1::{ScanTicket, ScanTrailer, ScanWarning};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use crate::blocks::Blocks;
use crate::error::{Warning, chain};
use crate::metrics::Metrics;
use crate::ticket;

/// Scans blocks for queriers, this process included.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) block_scans_max: usize,
    pub(crate) cx: Context,
    pub(crate) metrics: Metrics,
}

impl Worker {
    /// As a gRPC service under the name that queriers call.
    pub(crate) fn serve(self, message_bytes_max: usize) -> renamed::BlockFlight {
        let server = FlightServiceServer::new(self)
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max);
        renamed::BlockFlight(server)
    }

    async fn scan(
        &self,
        tenant: &TenantId,
        query: &Arc<Query>,
        blocks: Vec<BlockMeta>,
    ) -> Result<(Scanned, Vec<Warning>), Status> {
        let mut merge = Merge::new(&query.question);
        let mut warnings = Vec::new();
        let mut scans = futures::stream::iter(blocks)
            .map(|block| self.scan_one(tenant, query, block))
            .buffer_unordered(self.block_scans_max.max(1));
        while let Some(scanned) = scans.next().await {
            match scanned {
                Ok(scanned) => {
                    self.metrics.blocks_scanned.inc();
                    self.metrics.rows_scanned.inc_by(scanned.stats.rows);
                    merge = self.add(merge, scanned).await?;
                }
                Err(warning) => {
                    self.metrics.blocks_failed.inc();
                    tracing::warn!(%tenant, %warning, "a block is missing from an answer");
                    warnings.push(warning);
                }
            }
        }
        Ok((self.cx.compute(move || merge.finish()).await, warnings))
    }

    async fn add(&self, mut merge: Merge, scanned: Scanned) -> Result<Merge, Status> {
        let added = self.cx.compute(move || {
            merge.add(scanned)?;
            Ok::<_, cairn_engine::WrongAnswer>(merge)
        });
        added
            .await
            .map_err(|error| cairn_wire::status(error.code(), &error.to_string()))
    }

    async fn scan_one(
        &self,
        tenant: &TenantId,
        query: &Arc<Query>,
        meta: BlockMeta,
    ) -> Result<Scanned, Warning> {
        let name = meta.id;
        let id: BlockId = name
            .parse()
            .map_err(|_| Warning::new(&name, Code::Invalid, "not the name of a block"))?;
        let failed = |error: cairn_block::Error| Warning::new(&name, error.code(), chain(&error));
        let size = (meta.bytes > 0).then_some(meta.bytes);
        let block = self.blocks.open(tenant, id, size).await.map_err(failed)?;
        let query = Arc::clone(query);
        let runtime = tokio::runtime::Handle::current();
        // Decoding dominates, so the whole scan counts as computing; its reads overlap each other.
        let scan = move || runtime.block_on(scan_block(&block, &query));
        self.cx.compute(scan).await.map_err(|error| {
            self.blocks.forget(tenant, id);
            failed(error)
        })
    }
}

fn trailer(scanned: &Scanned, warnings: Vec<Warning>) -> ScanTrailer {
    let stats = &scanned.stats;
    let warning = |Warning { block, code, text }| ScanWarning { block, code, text };
    ScanTrailer {
        rows: stats.rows,
        profiles: stats.profiles,
        blocks: stats.blocks,
        bytes: 0,
        warnings: warnings.into_iter().map(warning).collect(),
        // Durations travel with the answer, per step.
        duration_ns: 0,
        period: stats.period,
        time_min: stats.range.map(|range| range.start),
        time_max: stats.range.map(|range| range.end),
    }
}

/// The answer as Flight messages; the trailer comes last, in a message of its own.
fn stream(
    scanned: &Scanned,
    trailer: &ScanTrailer,
) -> BoxStream<'static, Result<FlightData, Status>> {
    let batches = codec::encode(scanned);
    let last = FlightData {
        app_metadata: trailer.encode_to_vec().into(),
        ..FlightData::default()
    };
    FlightDataEncoderBuilder::new()
        .with_schema(codec::schema())
        .build(futures::stream::iter(batches.into_iter().map(Ok)))
        .map_err(|error: FlightError| cairn_wire::status(Code::Internal, &chain(&error)))
        .chain(futures::stream::once(async move { Ok(last) }))
        .boxed()
}

const ONLY_DO_GET: &str = "blocks are read with DoGet and a ScanTicket";

#[tonic::async_trait]
impl FlightService for Worker {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let invalid = |text: &str| cairn_wire::status(Code::Invalid, text);
        let ticket = ScanTicket::decode(request.into_inner().ticket)
            .map_err(|error| invalid(&format!("not a scan ticket: {error}")))?;
        let (tenant, query, source) =
            ticket::decode(ticket).map_err(|error| invalid(&error.to_string()))?;
        let Source::Blocks(blocks) = source else {
            return Err(invalid("a querier holds no tail"));
        };
        let query = Arc::new(query);
        let (scanned, warnings) = self.scan(&tenant, &query, blocks.blocks).await?;
        let answer = self.cx.compute(move || {
            let trailer = trailer(&scanned, warnings);
            stream(&scanned, &trailer)
        });
        Ok(Response::new(answer.await))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn do_put(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn do_action(
        &self,
        _: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(cairn_wire::unimplemented(ONLY_DO_GET))
    }
}

/// A Flight service under another name, so that it fits behind one port with an ingester's.
pub(crate) mod renamed {
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use arrow_flight::flight_service_server::FlightServiceServer;
    use http::uri::PathAndQuery;
    use http::{Request, Response, Uri};
    use tonic::body::Body;
    use tonic::server::NamedService;
    use tower::Service;

    use super::Worker;

    #[derive(Clone, Debug)]
    pub(crate) struct BlockFlight(pub(super) FlightServiceServer<Worker>);

    impl NamedService for BlockFlight {
        const NAME: &'static str = "cairn.query.v1.BlockFlight";
    }

    impl Service<Request<Body>> for BlockFlight {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = <FlightServiceServer<Worker> as Service<Request<Body>>>::Future;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, mut request: Request<Body>) -> Self::Future {
            if request.uri().path() == crate::scan::BLOCK_SCAN {
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.path_and_query = Some(PathAndQuery::from_static(crate::scan::TAIL_SCAN));
                *request.uri_mut() =
                    Uri::from_parts(parts).expect("only the path of a valid URI has changed");
            }
            self.0.call(request)
        }
    }
}
