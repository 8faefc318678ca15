//! Asks the symbolizer for the names that a merged answer lacks.
//!
//! Never fails: what gets no name keeps its address, and the answer says so.

use std::time::Duration;

use cairn_engine::{Frame, Names, Wanted};
use cairn_model::{Addressing, BuildId, Code};
use cairn_trie::Partial;
use cairn_wire::cairn::symbols::v1::symbol_service_client::SymbolServiceClient;
use cairn_wire::cairn::symbols::v1::{self as wire, SymbolizeRequest, SymbolizeResponse};
use futures::StreamExt;

use crate::error::Warning;
use crate::explain::Step;
use crate::peers::Failure;
use crate::querier::Session;

/// Addresses of one request: about half a megabyte, answered in well under a second.
const BATCH: usize = 10_000;
/// Requests at a time.
const CONCURRENT: usize = 8;

struct Batch {
    build_id: BuildId,
    addressing: Addressing,
    addresses: Vec<u64>,
}

/// The same values under the names that are known.
pub(crate) async fn symbolize(session: &Session, partial: Partial) -> (Partial, Vec<Warning>) {
    let cx = session.querier.cx();
    let (partial, wanted) = session
        .compute(move || {
            let wanted = cairn_engine::unnamed(&partial);
            (partial, wanted)
        })
        .await;
    if wanted.is_empty() {
        return (partial, Vec::new());
    }
    let limit = session.querier.config().limits.symbolize_timeout;
    // Names are worth waiting for, but not the whole answer.
    let limit = limit.min(session.deadline.left() / 2);
    let clock = cx.clock();
    let start = clock.instant();
    let (names, failure) = ask_all(session, wanted, limit).await;
    let error = failure.as_ref().map(Failure::to_string);
    let step = Step {
        source: "symbolizer",
        address: session.querier.symbolizer().to_owned(),
        error: error.unwrap_or_default(),
        ..Step::default()
    };
    session.explain.add(step.took(clock.instant() - start));
    let partial = session
        .compute(move || cairn_engine::name(partial, &names))
        .await;
    let warning = failure.map(|failure| {
        let text = format!("some frames have no name, from {failure}");
        Warning::new("", failure.code, text)
    });
    (partial, warning.into_iter().collect())
}

/// What is known when time is up, and one of the reasons why that is not all.
async fn ask_all(
    session: &Session,
    wanted: Vec<Wanted>,
    limit: Duration,
) -> (Names, Option<Failure>) {
    let mut names = Names::default();
    let mut failure = None;
    let mut answers = futures::stream::iter(wanted.into_iter().flat_map(batches))
        .map(|batch| ask(session, batch, limit))
        .buffer_unordered(CONCURRENT);
    let timeout = session.querier.cx().clock().clone();
    let timeout = timeout.sleep(limit);
    tokio::pin!(timeout);
    loop {
        tokio::select! {
            biased;
            answer = answers.next() => match answer {
                Some(Ok((batch, answer))) => insert(&mut names, &batch, &answer),
                Some(Err(failed)) => failure = Some(failed),
                None => return (names, failure),
            },
            () = &mut timeout => {
                let late = Failure {
                    code: Code::Timeout,
                    address: session.querier.symbolizer().to_owned(),
                    text: format!("not all names came within {limit:?}"),
                };
                return (names, Some(late));
            }
        }
    }
}

fn batches(wanted: Wanted) -> impl Iterator<Item = Batch> {
    let Wanted {
        build_id,
        addressing,
        addresses,
    } = wanted;
    let count = addresses.len().div_ceil(BATCH);
    (0..count).map(move |at| Batch {
        build_id: build_id.clone(),
        addressing,
        addresses: addresses[at * BATCH..addresses.len().min((at + 1) * BATCH)].to_vec(),
    })
}

async fn ask(
    session: &Session,
    batch: Batch,
    limit: Duration,
) -> Result<(Batch, SymbolizeResponse), Failure> {
    let querier = &session.querier;
    let address = querier.symbolizer();
    let channel = querier.cx().channel(address)?;
    querier
        .metrics()
        .addresses_asked
        .inc_by(batch.addresses.len() as u64);
    let mut request = tonic::Request::new(SymbolizeRequest {
        tenant: session.tenant.to_string(),
        build_id: batch.build_id.to_string(),
        addressing: match batch.addressing {
            Addressing::FileOffset => wire::Addressing::FileOffset,
            Addressing::Virtual => wire::Addressing::Virtual,
        }
        .into(),
        addresses: batch.addresses.clone(),
    });
    request.set_timeout(limit);
    let answer = SymbolServiceClient::new(channel)
        .max_decoding_message_size(querier.config().limits.message_bytes_max)
        .symbolize(request)
        .await;
    match answer {
        Ok(answer) => Ok((batch, answer.into_inner())),
        Err(status) => Err(Failure::of(address, &status)),
    }
}

fn insert(names: &mut Names, batch: &Batch, answer: &SymbolizeResponse) {
    let key = (&batch.build_id, batch.addressing);
    for (address, symbols) in batch.addresses.iter().zip(&answer.symbols) {
        let frames: Vec<Frame<'_>> = symbols.frames.iter().map(frame).collect();
        names.insert(key, *address, &frames);
    }
}

fn frame(frame: &wire::Frame) -> Frame<'_> {
    let wire::Frame {
        function,
        system_name,
        file,
        start_line,
        line,
        column,
        inlined: _,
    } = frame;
    Frame {
        name: function,
        system_name,
        file,
        start_line: *start_line,
        line: *line,
        column: *column,
    }
}
