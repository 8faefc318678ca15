//! The tail over Arrow Flight: `DoGet` with a ticket that names this writer and a log position.
//!
//! Owns decoding of tickets and encoding of answers; what matches is the engine's business.

use std::sync::Arc;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use cairn_block::Lsn;
use cairn_catalog::WriterId;
use cairn_chassis::Context;
use cairn_engine::{GroupBy, Merge, Query, Question, Scanned, codec, scan_head};
use cairn_model::{Code, Selector, TenantId, TimeRange};
use cairn_wire::cairn::query::v1::scan_ticket::{Question as WireQuestion, Source};
use cairn_wire::cairn::query::v1::{
    Keep, LabelNames, LabelValues, ProfileTypes, ScanTicket, ScanTrailer, Series, Tail as WireTail,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use crate::error::Error;
use crate::metrics::Metrics;
use crate::tail::{SharedHead, Tail};

/// Answers for the tail of one incarnation of a writer.
#[derive(Clone, Debug)]
pub(crate) struct TailFlight {
    pub(crate) cx: Context,
    pub(crate) tail: Arc<Tail>,
    pub(crate) writer: WriterId,
    pub(crate) incarnation: u64,
    pub(crate) metrics: Metrics,
}

impl TailFlight {
    async fn answer(&self, ticket: Ticket) -> Result<Vec<FlightData>, Status> {
        let invalid = |text: String| cairn_wire::status(Code::Invalid, &text);
        let ticket = ScanTicket::decode(ticket.ticket);
        let ticket = ticket.map_err(|error| invalid(format!("not a scan ticket: {error}")))?;
        let (tenant, query, tail) = read(ticket).map_err(invalid)?;
        let after = self.position(&tail).map_err(|error| status(&error))?;
        let heads = self.tail.after(&tenant, after);
        let heads = heads.map_err(|error| status(&error))?;
        let scanned = self.cx.compute(move || scan(&heads, after, &query)).await;
        let scanned = scanned.map_err(|error| {
            cairn_wire::status(error.code(), &format!("merge parts of the tail: {error}"))
        })?;
        self.metrics.tail_scans.inc();
        let trailer = FlightData {
            app_metadata: metadata(&trailer(&scanned)).into(),
            ..FlightData::default()
        };
        let batches = self.cx.compute(move || codec::encode(&scanned)).await;
        let messages = FlightDataEncoderBuilder::new()
            .with_schema(codec::schema())
            .build(futures::stream::iter(batches.into_iter().map(Ok)));
        let messages: Result<Vec<_>, FlightError> = messages.try_collect().await;
        let mut messages =
            messages.map_err(|error| cairn_wire::status(Code::Internal, &error.to_string()))?;
        messages.push(trailer);
        Ok(messages)
    }

    fn position(&self, tail: &WireTail) -> Result<Lsn, Error> {
        let mut positions = tail.positions.iter();
        let own = positions.find(|position| {
            position.writer == self.writer.as_str() && position.incarnation == self.incarnation
        });
        let other = || {
            let asked = tail
                .positions
                .iter()
                .map(|p| format!("{}/{}", p.writer, p.incarnation));
            Error::OtherWriter(
                asked
                    .take(POSITIONS_SHOWN_MAX)
                    .collect::<Vec<_>>()
                    .join(", "),
            )
        };
        Ok(own.ok_or_else(other)?.after_lsn)
    }
}

/// Positions of a ticket that an error repeats.
const POSITIONS_SHOWN_MAX: usize = 3;

fn status(error: &Error) -> Status {
    cairn_wire::status(error.code(), &error.to_string())
}

fn scan(
    heads: &[SharedHead],
    after: Lsn,
    query: &Query,
) -> Result<Scanned, cairn_engine::WrongAnswer> {
    let mut merge = Merge::new(&query.question);
    for head in heads {
        // The lock is held for one head's scan: the writer waits that long, at most.
        merge.add(scan_head(&head.read(), after, query))?;
    }
    Ok(merge.finish())
}

fn trailer(scanned: &Scanned) -> ScanTrailer {
    let stats = &scanned.stats;
    ScanTrailer {
        rows: stats.rows,
        profiles: stats.profiles,
        blocks: stats.blocks,
        bytes: 0,
        warnings: Vec::new(),
        duration_ns: 0,
        period: stats.period,
        time_min: stats.range.map(|range| range.start),
        time_max: stats.range.map(|range| range.end),
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

fn read(ticket: ScanTicket) -> Result<(TenantId, Query, WireTail), String> {
    let ScanTicket {
        tenant,
        selector,
        time_start,
        time_end,
        source,
        question,
    } = ticket;
    let tenant = TenantId::parse(&tenant).map_err(|error| error.to_string())?;
    let selector = Selector::parse(&selector).map_err(|error| error.to_string())?;
    let Some(Source::Tail(tail)) = source else {
        return Err("an ingester holds no blocks: ask for its tail".to_owned());
    };
    let question = question.ok_or("the ticket asks no question")?;
    let query = Query {
        profile_type: selector.profile_type,
        matchers: selector.matchers,
        range: TimeRange {
            start: time_start,
            end: time_end,
        },
        question: read_question(question),
    };
    Ok((tenant, query, tail))
}

fn read_question(question: WireQuestion) -> Question {
    match question {
        WireQuestion::Stacks(stacks) => Question::Stacks(match stacks.keep() {
            Keep::Nothing => GroupBy::Nothing,
            Keep::SampleLabels => GroupBy::SampleLabels,
            Keep::Labels => GroupBy::Labels(stacks.labels),
        }),
        WireQuestion::Series(Series {
            step_ns,
            sum_by,
            by_all_labels,
        }) => Question::Series {
            step: step_ns.max(0),
            sum_by: (!by_all_labels).then_some(sum_by),
        },
        WireQuestion::LabelNames(LabelNames {}) => Question::LabelNames,
        WireQuestion::LabelValues(LabelValues { name }) => Question::LabelValues(name),
        WireQuestion::ProfileTypes(ProfileTypes {}) => Question::ProfileTypes,
    }
}

const ONLY_DO_GET: &str = "tails are read with DoGet and a ScanTicket";

#[tonic::async_trait]
impl FlightService for TailFlight {
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
        let messages = self.answer(request.into_inner()).await?;
        let stream = futures::stream::iter(messages.into_iter().map(Ok));
        Ok(Response::new(stream.boxed()))
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
