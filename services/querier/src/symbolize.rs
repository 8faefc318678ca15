//! Asks the symbolizer for the names that a merged answer lacks.
//!
//! Never fails: what gets no name keeps its address, and the answer says so.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use cairn_engine::{Frame, Names, Wanted};
use cairn_model::{Addressing, Ask, BuildId, Code};
use cairn_symbols::demangle;
use cairn_trie::Partial;
use cairn_wire::cairn::symbols::v1::symbol_service_client::SymbolServiceClient;
use cairn_wire::cairn::symbols::v1::{self as wire, SymbolizeRequest, SymbolizeResponse};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::error::Warning;
use crate::explain::{Step, Unnamed};
use crate::peers::Failure;
use crate::querier::Session;

/// Addresses of one request: about half a megabyte, answered in well under a second.
const BATCH: usize = 10_000;
/// Requests at a time.
const CONCURRENT: usize = 8;
/// Reasons that an explanation holds.
const REASONS_MAX: usize = 50;

/// Names as they come in, and why others don't.
#[derive(Default)]
struct Found {
    names: Names,
    unnamed: HashMap<(BuildId, String), u64>,
    /// How many may get a name later, and one of the reasons why they have none yet.
    passing: (u64, String),
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
        return (shown(session, partial).await, Vec::new());
    }
    let limit = session.querier.config().limits.symbolize_timeout;
    // Names are worth waiting for, but not the whole answer.
    let limit = limit.min(session.deadline.left() / 2);
    let clock = cx.clock();
    let start = clock.instant();
    let (found, failure) = ask_all(session, wanted, limit).await;
    let error = failure.as_ref().map(Failure::to_string);
    let Found {
        names,
        unnamed,
        passing,
    } = found;
    let step = Step {
        source: "symbolizer",
        address: session.querier.symbolizer().to_owned(),
        error: error.unwrap_or_default(),
        unnamed: most(unnamed),
        ..Step::default()
    };
    session.explain.add(step.took(clock.instant() - start));
    let partial = session
        .compute(move || cairn_engine::name(partial, &names))
        .await;
    let partial = shown(session, partial).await;
    let failure = failure.map(|failure| {
        let text = format!("some frames have no name, from {failure}");
        Warning::new("", failure.code, text)
    });
    let passing = (passing.0 > 0).then(|| {
        let (count, reason) = passing;
        let text = format!("{count} addresses have no name yet, such as: {reason}");
        Warning::new("", Code::Unavailable, text)
    });
    (partial, failure.into_iter().chain(passing).collect())
}

/// The same with functions named as the request wants it, if it says so.
async fn shown(session: &Session, partial: Partial) -> Partial {
    match session.names {
        None => partial,
        Some(names) => {
            let rename = move || cairn_engine::rename(partial, |name| demangle(name, names));
            session.compute(rename).await
        }
    }
}

/// What is known when time is up, and one of the reasons why that is not all.
async fn ask_all(
    session: &Session,
    wanted: Vec<Wanted>,
    limit: Duration,
) -> (Found, Option<Failure>) {
    let mut found = Found::default();
    let mut failure = None;
    let mut waiting = VecDeque::from(batches(wanted));
    let mut asked = FuturesUnordered::new();
    let timeout = session.querier.cx().clock().clone();
    let timeout = timeout.sleep(limit);
    tokio::pin!(timeout);
    loop {
        while asked.len() < CONCURRENT
            && let Some(batch) = waiting.pop_front()
        {
            asked.push(ask(session, batch, limit));
        }
        tokio::select! {
            biased;
            answer = asked.next() => match answer {
                Some(Ok((batch, answer))) => match found.insert(&batch, &answer) {
                    Some(left) if count(&left) < count(&batch) => waiting.extend(batches(left)),
                    Some(_) => {
                        let text = "an answer has room for nothing".to_owned();
                        failure = Some(failed(session, Code::Internal, text));
                    }
                    None => {
                        let text = "an answer names what it lacks".to_owned();
                        failure = Some(failed(session, Code::Internal, text));
                    }
                },
                Some(Err(error)) => failure = Some(error),
                None => return (found, failure),
            },
            () = &mut timeout => {
                let text = format!("not all names came within {limit:?}");
                return (found, Some(failed(session, Code::Timeout, text)));
            }
        }
    }
}

fn count(wanted: &[Wanted]) -> usize {
    wanted.iter().map(|wanted| wanted.addresses.len()).sum()
}

fn failed(session: &Session, code: Code, text: String) -> Failure {
    Failure {
        code,
        address: session.querier.symbolizer().to_owned(),
        text,
    }
}

/// What is asked in one request each: several binaries, or a part of one.
fn batches(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut batches: Vec<Vec<Wanted>> = Vec::new();
    let mut room = 0;
    for wanted in wanted {
        let Wanted {
            build_id,
            ask,
            addresses,
        } = wanted;
        let mut rest = &addresses[..];
        while !rest.is_empty() {
            if room == 0 {
                batches.push(Vec::new());
                room = BATCH;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            rest = later;
            room -= now.len();
            let last = batches.last_mut().expect("one was begun");
            last.push(Wanted {
                build_id: build_id.clone(),
                ask,
                addresses: now.to_vec(),
            });
        }
    }
    batches
}

async fn ask(
    session: &Session,
    batch: Vec<Wanted>,
    limit: Duration,
) -> Result<(Vec<Wanted>, SymbolizeResponse), Failure> {
    let querier = &session.querier;
    let address = querier.symbolizer();
    let channel = querier.cx().channel(address)?;
    querier
        .metrics()
        .addresses_asked
        .inc_by(count(&batch) as u64);
    let binaries = batch.iter().map(|wanted| wire::Binary {
        build_id: wanted.build_id.to_string(),
        addressing: match wanted.ask {
            Ask::Addresses(Addressing::FileOffset) => wire::Addressing::FileOffset,
            Ask::Addresses(Addressing::Virtual) => wire::Addressing::Virtual,
            Ask::Positions => wire::Addressing::Position,
        }
        .into(),
        addresses: wanted.addresses.clone(),
    });
    let bytes_max = querier.config().limits.message_bytes_max;
    let mut request = tonic::Request::new(SymbolizeRequest {
        tenant: session.tenant().to_string(),
        binaries: binaries.collect(),
        bytes_max: bytes_max as u64,
    });
    request.set_timeout(limit);
    let answer = SymbolServiceClient::new(channel)
        .max_decoding_message_size(bytes_max)
        .symbolize(request)
        .await;
    match answer {
        Ok(answer) => Ok((batch, answer.into_inner())),
        Err(status) => Err(Failure::of(address, &status)),
    }
}

impl Found {
    /// What the answer had no room for. None if it names what is not in it.
    fn insert(&mut self, batch: &[Wanted], answer: &SymbolizeResponse) -> Option<Vec<Wanted>> {
        let mut left = Vec::new();
        let frames = |symbols: &wire::Symbols| {
            let frames = symbols.frames.iter();
            frames.map(|sent| frame(answer, sent)).collect()
        };
        let symbols: Option<Vec<Vec<Frame<'_>>>> = answer.symbols.iter().map(frames).collect();
        let symbols = symbols?;
        for (wanted, binary) in batch.iter().zip(&answer.binaries) {
            let key = (&wanted.build_id, wanted.ask);
            let mut unnamed: HashMap<&str, u64> = HashMap::new();
            let mut later = Vec::new();
            for (address, &at) in wanted.addresses.iter().zip(&binary.symbols) {
                let frames = symbols.get(at as usize)?;
                if frames.is_empty() {
                    let symbols = &answer.symbols[at as usize];
                    if symbols.left {
                        later.push(*address);
                        continue;
                    }
                    *unnamed.entry(&symbols.reason).or_default() += 1;
                    if symbols.passing {
                        self.passing.0 += 1;
                        self.passing.1.clone_from(&symbols.reason);
                    }
                }
                self.names.insert(key, *address, frames);
            }
            for (reason, count) in unnamed {
                let key = (wanted.build_id.clone(), reason.to_owned());
                *self.unnamed.entry(key).or_default() += count;
            }
            if !later.is_empty() {
                left.push(Wanted {
                    build_id: wanted.build_id.clone(),
                    ask: wanted.ask,
                    addresses: later,
                });
            }
        }
        Some(left)
    }
}

fn frame<'a>(answer: &'a SymbolizeResponse, frame: &wire::Frame) -> Option<Frame<'a>> {
    let wire::Frame {
        function,
        line,
        column,
        inlined: _,
    } = *frame;
    let function = answer.functions.get(function as usize)?;
    let text = |at: u32| answer.strings.get(at as usize).map(String::as_str);
    Some(Frame {
        name: text(function.name)?,
        system_name: text(function.system_name)?,
        file: text(function.file)?,
        start_line: function.start_line,
        line,
        column,
    })
}

fn most(unnamed: HashMap<(BuildId, String), u64>) -> Vec<Unnamed> {
    let unnamed = unnamed.into_iter();
    let unnamed = unnamed.map(|((build_id, reason), addresses)| Unnamed {
        build_id: build_id.to_string(),
        addresses,
        reason,
    });
    let mut unnamed: Vec<Unnamed> = unnamed.collect();
    unnamed.sort_by(|a, b| {
        let order = |of: &Unnamed| Reverse(of.addresses);
        let rest = || (&a.build_id, &a.reason).cmp(&(&b.build_id, &b.reason));
        order(a).cmp(&order(b)).then_with(rest)
    });
    unnamed.truncate(REASONS_MAX);
    unnamed
}
