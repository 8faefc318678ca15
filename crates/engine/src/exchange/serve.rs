//! The answering side: a Flight service over one function. All calls but `DoGet` are refused.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use cairn_model::Code;
use cairn_wire::cairn::query::v1::{ScanTicket, ScanTrailer, ScanWarning};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::uri::PathAndQuery;
use http::{Uri, request};
use prost::Message;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::ticket::{self, Asked, InvalidTicket};
use super::told;
use super::{BLOCK_SCAN, TAIL_SCAN};
use crate::{Scanned, codec};

/// Answers one ticket, within the time that whoever asks has, if they say so.
pub type Scan =
    dyn Fn(Asked, Option<Duration>) -> BoxFuture<'static, Result<Partial, Status>> + Send + Sync;

/// What reading took, besides time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// From the object store.
    pub bytes: u64,
    /// Blocks of which the answer was kept from before.
    pub kept_blocks: u64,
}

impl Cost {
    pub fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.kept_blocks += other.kept_blocks;
    }
}

/// One answer, encoded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Partial {
    batches: Vec<RecordBatch>,
    trailer: ScanTrailer,
}

impl Partial {
    /// Encodes, which takes a while for large answers.
    pub fn new(scanned: &Scanned, cost: Cost, warnings: Vec<ScanWarning>) -> Self {
        let stats = &scanned.stats;
        let mut trailer = ScanTrailer {
            rows: stats.rows,
            profiles: stats.profiles,
            blocks: stats.blocks,
            bytes: cost.bytes,
            warnings,
            // Durations travel with the answer, per step.
            duration_ns: 0,
            period: stats.period,
            time_min: stats.range.map(|range| range.start),
            time_max: stats.range.map(|range| range.end),
            stretches: Vec::new(),
            deliveries: Vec::new(),
            told_in_part: false,
            last_lsn: 0,
            kept_blocks: cost.kept_blocks,
        };
        told::tell(&scanned.told, &mut trailer);
        Self {
            batches: codec::encode(scanned),
            trailer,
        }
    }

    /// The same once more, which takes no reading.
    pub fn again(mut self) -> Self {
        self.trailer.bytes = 0;
        self.trailer.kept_blocks = self.trailer.blocks;
        self
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let batches = self.batches.iter().map(RecordBatch::get_array_memory_size);
        batches.sum::<usize>() + self.trailer.encoded_len()
    }

    /// As Flight messages; the trailer comes last, in a message of its own.
    fn into_messages(self) -> BoxStream<'static, Result<FlightData, Status>> {
        let last = FlightData {
            app_metadata: metadata(&self.trailer).into(),
            ..FlightData::default()
        };
        let failed = |error: FlightError| cairn_wire::status(Code::Internal, &error.to_string());
        FlightDataEncoderBuilder::new()
            .with_schema(codec::schema())
            .build(futures::stream::iter(self.batches.into_iter().map(Ok)))
            .map_err(failed)
            .chain(futures::stream::once(async move { Ok(last) }))
            .boxed()
    }
}

/// Never empty, so that the last message can be told from one that lost its metadata: an answer
/// without rows spells a zero out.
fn metadata(trailer: &ScanTrailer) -> Vec<u8> {
    const ZERO_ROWS: [u8; 2] = [1 << 3, 0];
    let encoded = trailer.encode_to_vec();
    match encoded.is_empty() {
        true => ZERO_ROWS.to_vec(),
        false => encoded,
    }
}

/// Bytes of a ticket for a tail, and of one message of its answer.
const TAIL_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A service that answers for a tail, under Flight's own name.
pub fn tail(scan: Arc<Scan>) -> FlightServiceServer<Server> {
    FlightServiceServer::new(Server { scan })
        .max_decoding_message_size(TAIL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(TAIL_MESSAGE_BYTES_MAX)
}

/// A service that answers for blocks, under a name of its own.
pub fn blocks(scan: Arc<Scan>, message_bytes_max: usize) -> BlockFlight {
    let server = FlightServiceServer::new(Server { scan })
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(message_bytes_max);
    BlockFlight(server)
}

/// See [`blocks`].
#[derive(Clone, Debug)]
pub struct BlockFlight(FlightServiceServer<Server>);

#[derive(Clone)]
pub struct Server {
    scan: Arc<Scan>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl NamedService for BlockFlight {
    const NAME: &'static str = "cairn.query.v1.BlockFlight";
}

impl Service<request::Request<Body>> for BlockFlight {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <FlightServiceServer<Server> as Service<request::Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: request::Request<Body>) -> Self::Future {
        if request.uri().path() == BLOCK_SCAN {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.path_and_query = Some(PathAndQuery::from_static(TAIL_SCAN));
            *request.uri_mut() =
                Uri::from_parts(parts).expect("only the path of a valid URI has changed");
        }
        self.0.call(request)
    }
}

fn only_do_get<T>() -> Result<T, Status> {
    let text = "partial answers are read with DoGet and a ScanTicket";
    Err(cairn_wire::unimplemented(text))
}

#[tonic::async_trait]
impl FlightService for Server {
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
        let refused = |error: InvalidTicket| cairn_wire::status(error.code(), &error.to_string());
        let left = cairn_wire::grpc_timeout(request.metadata().as_ref());
        let ticket = ScanTicket::decode(request.into_inner().ticket)
            .map_err(|error| refused(InvalidTicket(error.to_string())))?;
        let asked = ticket::decode(ticket).map_err(refused)?;
        let partial = (self.scan)(asked, left).await?;
        Ok(Response::new(partial.into_messages()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        only_do_get()
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        only_do_get()
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        only_do_get()
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        only_do_get()
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        only_do_get()
    }

    async fn do_put(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        only_do_get()
    }

    async fn do_action(
        &self,
        _: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        only_do_get()
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        only_do_get()
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        only_do_get()
    }
}
