//! The asking side of a scan: one ticket to one peer, its answer put together and checked.

use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, Ticket};
use bytes::Bytes;
use cairn_chassis::{Context, Job};
use cairn_engine::Scanned;
use cairn_engine::codec::DecodeLimits;
use cairn_engine::exchange::{self, Cost, InvalidAnswer};
use cairn_model::Code;
use cairn_wire::cairn::query::v1::{ScanTicket, ScanTrailer, ScanWarning};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::transport::Channel;

use crate::config::Limits;
use crate::deadline::Deadline;
use crate::error::Warning;
use crate::peers::Failure;

/// What somebody answered, what that took, and what is missing from it.
pub(crate) type Answered = (Scanned, Cost, Vec<Warning>);

/// Whoever may be asked.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    cx: Context,
    message_bytes_max: usize,
    answer_bytes_max: usize,
}

/// One peer and how to talk to it.
#[derive(Debug)]
struct Peer {
    address: String,
    channel: Channel,
    path: &'static str,
    message_bytes_max: usize,
    answer_bytes_max: usize,
}

impl Peers {
    pub(crate) fn new(cx: &Context, limits: &Limits) -> Self {
        Self {
            cx: cx.clone(),
            message_bytes_max: limits.message_bytes_max,
            answer_bytes_max: limits.answer_bytes_max,
        }
    }

    /// The answer to one ticket, and what is missing from it. A process that stands still does not
    /// even notice that its time is up.
    pub(crate) async fn ask(
        &self,
        job: &Job,
        address: &str,
        (path, ticket): (&'static str, &ScanTicket),
        deadline: &Deadline,
    ) -> Result<Answered, Failure> {
        let peer = Peer {
            address: address.to_owned(),
            channel: self.cx.channel(address)?,
            path,
            message_bytes_max: self.message_bytes_max,
            answer_bytes_max: self.answer_bytes_max,
        };
        let answered = deadline.cut(peer.scan(job, ticket, deadline));
        let answered = answered.await;
        answered.unwrap_or_else(|| Err(Failure::late(address)))
    }
}

impl Peer {
    async fn scan(
        &self,
        job: &Job,
        ticket: &ScanTicket,
        deadline: &Deadline,
    ) -> Result<Answered, Failure> {
        let messages = self
            .do_get(ticket, deadline)
            .await
            .map_err(|status| Failure::of(&self.address, &status))?;
        let (messages, trailer) = self.whole(messages).await?;
        let limits = DecodeLimits {
            bytes_max: self.answer_bytes_max,
        };
        let messages = futures::stream::iter(messages.into_iter().map(Ok));
        let read = job.compute_async(exchange::read(messages, limits));
        let mut scanned = read.await.map_err(|error| self.failed(error))?;
        let trailer =
            trailer.ok_or_else(|| self.failure(Code::Unavailable, "the answer was cut off"))?;
        let trailer = ScanTrailer::decode(trailer)
            .map_err(|error| self.failure(Code::Internal, format!("the trailer: {error}")))?;
        scanned.told = exchange::told(&trailer)
            .map_err(|error| self.failure(Code::Internal, format!("the trailer: {error}")))?;
        let cost = Cost {
            bytes: trailer.bytes,
            kept_blocks: trailer.kept_blocks,
        };
        Ok((scanned, cost, warnings(trailer)))
    }

    /// All messages that hold data, and the trailer, which may stand alone. Nothing is decoded before
    /// the last has come: whoever is slow holds up no thread.
    async fn whole(
        &self,
        mut messages: tonic::Streaming<FlightData>,
    ) -> Result<(Vec<FlightData>, Option<Bytes>), Failure> {
        let (mut all, mut bytes, mut trailer) = (Vec::new(), 0, None);
        let failed = |status| Failure::of(&self.address, &status);
        while let Some(data) = messages.message().await.map_err(failed)? {
            if !data.app_metadata.is_empty() {
                trailer = Some(data.app_metadata.clone());
            }
            bytes += data.data_header.len() + data.data_body.len();
            if bytes > self.answer_bytes_max {
                let text = format!(
                    "its answer has more than answer_bytes_max={} bytes",
                    self.answer_bytes_max
                );
                return Err(self.failure(Code::Exhausted, text));
            }
            if !data.data_header.is_empty() {
                all.push(data);
            }
        }
        Ok((all, trailer))
    }

    async fn do_get(
        &self,
        ticket: &ScanTicket,
        deadline: &Deadline,
    ) -> Result<tonic::Streaming<FlightData>, tonic::Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max);
        grpc.ready()
            .await
            .map_err(|error| cairn_wire::status(Code::Unavailable, &crate::error::chain(&error)))?;
        let mut request = tonic::Request::new(Ticket {
            ticket: ticket.encode_to_vec().into(),
        });
        request.set_timeout(deadline.left());
        let codec = tonic_prost::ProstCodec::<Ticket, FlightData>::default();
        let path = PathAndQuery::from_static(self.path);
        let response = grpc.server_streaming(request, path, codec).await?;
        Ok(response.into_inner())
    }

    fn failed(&self, error: InvalidAnswer) -> Failure {
        match error {
            InvalidAnswer::Flight(FlightError::Tonic(status)) => {
                Failure::of(&self.address, &status)
            }
            InvalidAnswer::Codec(error) => self.failure(error.code(), error),
            error @ (InvalidAnswer::Flight(_) | InvalidAnswer::Malformed) => {
                self.failure(Code::Internal, error)
            }
        }
    }

    fn failure(&self, code: Code, text: impl ToString) -> Failure {
        Failure {
            code,
            address: self.address.clone(),
            text: text.to_string(),
        }
    }
}

fn warnings(trailer: ScanTrailer) -> Vec<Warning> {
    let warning = |ScanWarning { block, code, text }| Warning { block, code, text };
    trailer.warnings.into_iter().map(warning).collect()
}
