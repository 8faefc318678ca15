//! What is stored, and what a query would have to read.

use std::collections::BTreeSet;

use cairn_catalog::Snapshot;
use cairn_engine::{Query, Question};
use cairn_model::TimeRange;
use cairn_wire::querier::v1::{AnalyzeQueryRequest, AnalyzeQueryResponse, QueryImpact, QueryScope};
use cairn_wire::types::v1::{GetProfileStatsRequest, GetProfileStatsResponse};

use super::labels::{label_sets, sets_of};
use super::rows::{NANOS_PER_MILLI, queries, range};
use crate::error::Error;
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

/// The figures that the catalog has, and how many label sets of profiles match: indexes are read,
/// rows only if the query selects by labels of single samples. How the bytes of a block are divided
/// nobody knows without opening it.
pub(super) async fn analyze_query(
    session: Session,
    request: AnalyzeQueryRequest,
) -> Result<Reply<AnalyzeQueryResponse>, Error> {
    let AnalyzeQueryRequest { start, end, query } = request;
    let range = range(start, end)?;
    let snapshot = session.snapshot(range).await?;
    let workers = session.querier.config().workers.len().max(1);
    let mut value = analyzed(&snapshot, range, workers as u64);
    let mut warnings = Vec::new();
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

fn analyzed(snapshot: &Snapshot, range: TimeRange, workers: u64) -> AnalyzeQueryResponse {
    let blocks = snapshot.blocks.iter();
    let blocks =
        blocks.filter(|block| block.range.start <= range.end && block.range.end >= range.start);
    let mut stored = QueryScope {
        component_type: "blocks".to_owned(),
        component_count: workers,
        ..QueryScope::default()
    };
    let mut bytes = 0u64;
    for block in blocks {
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
