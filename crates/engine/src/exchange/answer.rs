//! The asking side: Flight messages put together to an answer. Whether something is missing from it
//! says the trailer, which is the asker's to read.

use std::panic::AssertUnwindSafe;

use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use futures::{FutureExt, Stream, TryStreamExt};

use crate::codec::{DecodeError, DecodeLimits, Decoder};
use crate::query::Scanned;

/// Why messages are no answer.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAnswer {
    #[error(transparent)]
    Flight(#[from] FlightError),
    #[error(transparent)]
    Codec(#[from] DecodeError),
    #[error("a message is malformed")]
    Malformed,
}

/// Reads messages that hold data, to the end.
pub async fn read(
    messages: impl Stream<Item = Result<FlightData, FlightError>> + Send + 'static,
    limits: DecodeLimits,
) -> Result<Scanned, InvalidAnswer> {
    let mut flight = FlightDataDecoder::new(messages);
    let mut decoder = Decoder::new(limits);
    loop {
        // The Arrow library panics on some malformed messages.
        let next = AssertUnwindSafe(flight.try_next()).catch_unwind().await;
        match next.map_err(|_| InvalidAnswer::Malformed)?? {
            None => return Ok(decoder.finish()?),
            Some(data) => {
                if let DecodedPayload::RecordBatch(batch) = data.payload {
                    decoder.add(&batch)?;
                }
            }
        }
    }
}
