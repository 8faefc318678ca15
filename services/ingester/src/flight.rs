//! Answers for the tail: a ticket that names this writer and a log position.
//!
//! Owns whose tail is asked for; the protocol and what matches are the engine's.

use std::sync::Arc;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use cairn_block::Lsn;
use cairn_chassis::Context;
use cairn_engine::exchange::{self, Asked, Cost, Partial};
use cairn_engine::repeats::{Ask, SourceId};
use cairn_engine::{Merge, Query, Scanned, Source as ScanSource, scan_head};
use cairn_model::{Code, WriterId};
use cairn_wire::cairn::query::v1::Tail as WireTail;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use futures::FutureExt;
use tonic::Status;

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
    /// As a gRPC service.
    pub(crate) fn serve(self) -> FlightServiceServer<impl FlightService> {
        exchange::tail(Arc::new(move |asked, _| {
            let flight = self.clone();
            async move { flight.answer(asked).await }.boxed()
        }))
    }

    async fn answer(&self, asked: Asked) -> Result<Partial, Status> {
        let Asked {
            tenant,
            query,
            source,
            repeats,
        } = asked;
        let Source::Tail(tail) = source else {
            let text = "an ingester holds no blocks: ask for its tail";
            return Err(cairn_wire::status(Code::Invalid, text));
        };
        let after = self.position(&tail).map_err(|error| status(&error))?;
        let heads = self.tail.after(&tenant, after);
        let heads = heads.map_err(|error| status(&error))?;
        let id = SourceId::log(&self.writer, self.incarnation);
        let job = self.cx.job(&tenant);
        let scanned = job.compute(move || {
            let scanned = scan(&heads, after, &query, (id, &repeats))?;
            Ok(Partial::new(&scanned, Cost::default(), Vec::new()))
        });
        let scanned = scanned.await.map_err(|error: cairn_engine::WrongAnswer| {
            cairn_wire::status(error.code(), &format!("merge parts of the tail: {error}"))
        })?;
        self.metrics.tail_scans.inc();
        Ok(scanned)
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
    (id, ask): (SourceId, &Ask),
) -> Result<Scanned, cairn_engine::WrongAnswer> {
    let mut merge = Merge::new(&query.question);
    for head in heads {
        // The lock is held for one head's scan: the writer waits that long, at most.
        merge.add(scan_head(
            &head.read(),
            after,
            query,
            ScanSource { id, ask },
        ))?;
    }
    Ok(merge.finish())
}
