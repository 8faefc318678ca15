//! What is stored, and what a query would have to read.

use std::collections::BTreeSet;

use cairn_block::{First, Sizes};
use cairn_catalog::{BlockMeta, Snapshot};
use cairn_engine::{Query, Question};
use cairn_model::{BlockId, Code, TimeRange};
use cairn_wire::querier::v1::{AnalyzeQueryRequest, AnalyzeQueryResponse, QueryImpact, QueryScope};
use cairn_wire::types::v1::{GetProfileStatsRequest, GetProfileStatsResponse};
use futures::StreamExt;

use super::labels::{label_sets, sets_of};
use super::rows::{NANOS_PER_MILLI, queries, range};
use crate::error::{Error, Warning, chain};
use crate::querier::{Reply, Session};

/// Reads no block: the catalog knows their times, and before and after those only tails are left
/// to ask.
pub(super) async fn get_profile_stats(
    session: Session,
    _: GetProfileStatsRequest,
) -> Result<Reply<GetProfileStatsResponse>, Error> {
    let snapshot = session.snapshot(TimeRange::ALL).await?;
    let stored = snapshot.blocks.iter().map(|block| block.range);
    let stored = stored.reduce(|all, range| TimeRange {
        start: all.start.min(range.start),
        end: all.end.max(range.end),
    });
    let around = match stored {
        None => vec![TimeRange::ALL],
        Some(stored) => vec![
            TimeRange {
                end: stored.start.saturating_sub(1),
                ..TimeRange::ALL
            },
            TimeRange {
                start: stored.end.saturating_add(1),
                ..TimeRange::ALL
            },
        ],
    };
    let mut all = stored;
    let mut warnings = Vec::new();
    for range in around {
        let found = session.ask(&types(range)).await?;
        warnings.extend(found.warnings);
        if let Some(found) = found.value.stats.range {
            let known = all.unwrap_or(found);
            all = Some(TimeRange {
                start: known.start.min(found.start),
                end: known.end.max(found.end),
            });
        }
    }
    let value = GetProfileStatsResponse {
        data_ingested: all.is_some(),
        oldest_profile_time: all.map_or(0, |all| all.start.div_euclid(NANOS_PER_MILLI)),
        newest_profile_time: all.map_or(0, |all| all.end.div_euclid(NANOS_PER_MILLI)),
    };
    Ok(Reply { value, warnings })
}

fn types(range: TimeRange) -> Query {
    Query {
        profile_type: None,
        matchers: Vec::new(),
        range,
        weights: None,
        question: Question::ProfileTypes,
    }
}

/// Blocks that are opened to see how their bytes are divided.
const OPENED_MAX: usize = 1_000;
/// Of these at a time, each in a turn of its tenant's among scans.
const OPENED_AT_A_TIME: usize = 8;

/// The figures that the catalog has, how the bytes of its blocks are divided, and how many label
/// sets of profiles match: indexes are read, rows only if the query selects by labels of single
/// samples.
pub(super) async fn analyze_query(
    session: Session,
    request: AnalyzeQueryRequest,
) -> Result<Reply<AnalyzeQueryResponse>, Error> {
    let AnalyzeQueryRequest { start, end, query } = request;
    let range = range(start, end)?;
    let snapshot = session.snapshot(range).await?;
    let workers = session.querier.config().workers.len().max(1);
    let mut value = analyzed(&snapshot, range, workers as u64);
    let (sizes, mut warnings) = divided(&session, within(&snapshot, range)).await;
    if let Some(stored) = value.query_scopes.first_mut() {
        stored.index_bytes = sizes.index;
        stored.profile_bytes = sizes.rows;
        stored.symbol_bytes = sizes.symbols;
    }
    let mut sets = BTreeSet::new();
    for query in queries(&session, &[query], range, &label_sets(None)).await? {
        let found = sets_of(&session, &query).await?;
        warnings.extend(found.warnings);
        sets.extend(found.value);
    }
    if let Some(impact) = &mut value.query_impact {
        impact.total_queried_series = sets.len() as u64;
    }
    Ok(Reply { value, warnings })
}

fn within(snapshot: &Snapshot, range: TimeRange) -> impl Iterator<Item = &BlockMeta> {
    let blocks = snapshot.blocks.iter();
    blocks.filter(move |of| of.range.start <= range.end && of.range.end >= range.start)
}

/// How the bytes of blocks are divided. Reads the end of each, where it says so.
async fn divided<'a>(
    session: &Session,
    blocks: impl Iterator<Item = &'a BlockMeta>,
) -> (Sizes, Vec<Warning>) {
    let mut blocks: Vec<(BlockId, u64)> = blocks.map(|block| (block.id, block.bytes)).collect();
    let mut warnings = Vec::new();
    if blocks.len() > OPENED_MAX {
        let rest = blocks.split_off(OPENED_MAX).len();
        let text = format!("how the bytes of {rest} more blocks are divided is not told");
        warnings.push(Warning::new("", Code::Exhausted, text));
    }
    let mut missing: BTreeSet<BlockId> = blocks.iter().map(|(id, _)| *id).collect();
    let (worker, tenant) = (session.querier.worker(), session.tenant());
    let opened = blocks.into_iter().map(|(id, bytes)| async move {
        // Only its end is read: the least that a scan counts as.
        let _turn = worker.slots.acquire(tenant, 0).await;
        let opened = worker
            .blocks
            .open(tenant, id, (bytes > 0).then_some(bytes), First::Contents)
            .await;
        let opened = match opened {
            Ok((block, _)) => Ok(block),
            Err(error) => Err(Warning::new(id, error.code(), chain(&error))),
        };
        (id, opened)
    });
    let mut opened = futures::stream::iter(opened).buffer_unordered(OPENED_AT_A_TIME);
    let mut sum = Sizes::default();
    // So that there is time for the questions that follow.
    let clock = session.querier.cx().clock();
    let late = clock.sleep(session.deadline.tenths(5));
    tokio::pin!(late);
    loop {
        let (id, opened) = tokio::select! {
            biased;
            next = opened.next() => match next {
                Some(next) => next,
                None => break,
            },
            () = &mut late => break,
        };
        missing.remove(&id);
        match opened {
            Ok(block) => {
                let Sizes {
                    index,
                    rows,
                    symbols,
                } = cairn_block::sizes(&block);
                sum.index = sum.index.saturating_add(index);
                sum.rows = sum.rows.saturating_add(rows);
                sum.symbols = sum.symbols.saturating_add(symbols);
            }
            Err(warning) => warnings.push(warning),
        }
    }
    let late = |id| Warning::new(id, Code::Timeout, "it could not be read in time");
    warnings.extend(missing.into_iter().map(late));
    (sum, warnings)
}

fn analyzed(snapshot: &Snapshot, range: TimeRange, workers: u64) -> AnalyzeQueryResponse {
    let mut stored = QueryScope {
        component_type: "blocks".to_owned(),
        component_count: workers,
        ..QueryScope::default()
    };
    let mut bytes = 0u64;
    for block in within(snapshot, range) {
        stored.block_count += 1;
        stored.profile_count = stored.profile_count.saturating_add(block.profiles);
        stored.sample_count = stored.sample_count.saturating_add(block.rows);
        bytes = bytes.saturating_add(block.bytes);
    }
    let tails = QueryScope {
        component_type: "tails".to_owned(),
        component_count: (snapshot.writers.len() + snapshot.sealed.len()) as u64,
        ..QueryScope::default()
    };
    AnalyzeQueryResponse {
        query_scopes: vec![stored, tails],
        query_impact: Some(QueryImpact {
            total_bytes_in_time_range: bytes,
            ..QueryImpact::default()
        }),
    }
}
