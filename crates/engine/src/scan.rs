//! Answers a query from one source.
//!
//! Owns which rows match and what they add up to; reading them is the block's business. Sums wrap
//! around on overflow, everywhere: adding is then exact in any order, and a wrong total can't come
//! from a wrong order of merging.

mod decode;
mod groups;
mod matching;
mod names;
mod postings;
mod run;
mod series;
mod stacks;
mod sum;

pub use self::decode::{Alone, Budget, Work};
pub(crate) use self::matching::text;

use std::sync::Arc;

use cairn_block::{
    Block, Error, First, Head, Index, Links, Lsn, PackedStacks, Part, ProfileRow, RowRange,
    SampleColumns, Stacks,
};
use cairn_model::TimeRange;
use futures::StreamExt;

use self::matching::{Plan, RowLabels, Selected};
use self::run::Run;
use self::stacks::Sums;
use self::sum::Sum;
use crate::merge::Merge;
use crate::query::{Answer, Query, Question, Scanned, Stats};
use crate::repeats::{Ask, SourceId, Teller, Told};

/// Parts of a block that are fetched at a time: enough that waiting for the store overlaps.
const FETCHES: usize = 8;

/// Which source is scanned, and what it is asked about repeats.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub id: SourceId,
    pub ask: &'a Ask,
}

impl Source<'_> {
    /// One that is scanned by itself.
    pub const ALONE: Self = {
        static NOTHING: Ask = Ask::NOTHING;
        Self {
            id: SourceId(0),
            ask: &NOTHING,
        }
    };
}

/// Answers from the rows of a tail that came after `after`.
pub fn scan_head(head: &Head, after: Lsn, query: &Query, source: Source<'_>) -> Scanned {
    let tables = Tables {
        index: head.index(),
        links: head.links(),
    };
    let mut scan = Scan::new(tables, after, query, source, head.trie().len());
    if !scan.ranges().is_empty() {
        scan.rows(0, head.samples());
    }
    scan.finish(|sums| sums.partial(head.symbols(), head.trie(), None))
}

/// Answers from a block. Reads no more of it than the query needs.
pub async fn scan_block(
    block: &Block,
    query: &Query,
    source: Source<'_>,
    budget: &dyn Budget,
) -> Result<Scanned, Error> {
    let traces = matching::traces(query);
    if !may_have(block, &traces).await? {
        return Ok(without_rows(query, source));
    }
    // A block with the trace that is asked for has most likely rows of it that match.
    let is_needed = query.matchers.is_empty() || !traces.is_empty();
    let wants_stacks = matches!(query.question, Question::Stacks(_));
    let (index, links, ahead) = futures::try_join!(
        block.index(),
        read_links(block, query),
        read_ahead(block, wants_stacks, is_needed),
    )?;
    let tables = Tables {
        index: &index,
        links: &links,
    };
    let mut scan = Scan::new(tables, 0, query, source, 0);
    let parts = match scan.ranges() {
        ranges if ranges.is_empty() => Vec::new(),
        ranges => block.parts(&ranges).await?,
    };
    let columns = scan.plan.columns(&query.question, &scan.labels);
    let rows = parts.iter().map(Part::len).sum();
    let fetched = futures::stream::iter(parts)
        .map(|part| block.fetch(part, columns))
        .buffered(FETCHES);
    let mut fetched = std::pin::pin!(fetched.peekable());
    // The first rows come beside the stacks that they are about.
    let wants_stacks = wants_stacks && !scan.plan.selected.is_empty();
    let (stacks, _) = futures::join!(
        read_stacks(block, wants_stacks, ahead),
        fetched.as_mut().peek(),
    );
    let stacks = stacks?;
    let count = stacks.as_ref().map_or(0, |stacks| stacks.nodes.len());
    scan.stacks(count);
    let checked = stacks.is_some().then_some(count);
    // All else needs the rows of a profile one after another.
    let helpers = match scan.sum {
        Sum::Stacks(_) => decode::helpers(rows, budget),
        _ => 0,
    };
    scan.budget = budget;
    let partial = |sums: Sums<'_>| match &stacks {
        Some(stacks) => sums.partial(&stacks.symbols, &stacks.trie, Some(&stacks.nodes)),
        None => Default::default(),
    };
    decode::visit(fetched, (budget, helpers), &mut |first, columns| {
        scan.checked_rows(first, columns, checked)?;
        scan.spill_stacks(partial);
        Ok(())
    })
    .await?;
    let mut scanned = scan.finish(partial);
    scanned.stats.blocks = 1;
    Ok(scanned)
}

/// What the first read of a block should bring: one without the trace that is asked for has nothing
/// else to tell.
pub fn first_read(query: &Query) -> First {
    match matching::traces(query).is_empty() {
        true => First::Index,
        false => First::Contents,
    }
}

/// Whether rows of a block may name one trace of every list.
async fn may_have(block: &Block, traces: &[Vec<String>]) -> Result<bool, Error> {
    for any_of in traces {
        let mut may_have = false;
        for trace in any_of {
            may_have = may_have || block.may_have_trace(trace).await?;
        }
        if !may_have {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The answer from a block of which nothing matches.
fn without_rows(query: &Query, source: Source<'_>) -> Scanned {
    let (index, links) = (Index::default(), Links::default());
    let tables = Tables {
        index: &index,
        links: &links,
    };
    let mut scanned = Scan::new(tables, 0, query, source, 0).finish(|_| Default::default());
    scanned.stats.blocks = 1;
    scanned
}

/// Links, if the query is about them; it neither asks for them nor reads them of rows otherwise.
async fn read_links(block: &Block, query: &Query) -> Result<Arc<Links>, Error> {
    match matching::is_about_links(query) {
        true => block.links().await,
        false => Ok(Arc::default()),
    }
}

/// Stacks that are read while the index is.
async fn read_ahead(
    block: &Block,
    are_wanted: bool,
    are_needed: bool,
) -> Result<Option<PackedStacks>, Error> {
    match are_wanted {
        true => block.stacks_ahead(are_needed).await,
        false => Ok(None),
    }
}

/// What sums per stack need besides the index and rows.
async fn read_stacks(
    block: &Block,
    are_needed: bool,
    ahead: Option<PackedStacks>,
) -> Result<Option<Arc<Stacks>>, Error> {
    match are_needed {
        true => block.stacks_after(ahead).await.map(Some),
        false => Ok(None),
    }
}

/// What rows refer to.
#[derive(Clone, Copy, Debug)]
struct Tables<'a> {
    index: &'a Index,
    links: &'a Links,
}

/// One source, half answered.
struct Scan<'a> {
    tables: Tables<'a>,
    labels: RowLabels<'a>,
    plan: Plan,
    teller: Teller<'a>,
    /// Per selected profile: whether one of its rows matched.
    hits: Vec<bool>,
    question: &'a Question,
    sum: Sum<'a>,
    budget: &'a dyn Budget,
    /// What was taken out of sums that took too much memory.
    spilled: Option<Merge>,
    rows: u64,
}

impl<'a> Scan<'a> {
    /// `stacks` is how many stacks the source knows; only sums per stack need it.
    fn new(
        tables: Tables<'a>,
        after: Lsn,
        query: &'a Query,
        source: Source<'a>,
        stacks: usize,
    ) -> Self {
        let labels = RowLabels::of(tables);
        let mut teller = Teller::new(source.id, tables.index, source.ask);
        let weight = |row: &ProfileRow| match &query.weights {
            _ if teller.is_without(row) => 0,
            None => 1,
            Some(weights) => weights.of(teller.series(row), row.time),
        };
        let plan = Plan::new(tables, after, query, &labels, weight);
        let mut sum = Sum::new(&query.question, tables, plan.everything);
        if let Sum::Stacks(Sums::Plain(sums)) = &mut sum {
            sums.resize(stacks, 0);
        }
        let hits = plan
            .selected
            .iter()
            .map(|s| plan.filter(*s).is_none())
            .collect();
        Self {
            tables,
            labels,
            plan,
            teller,
            hits,
            question: &query.question,
            sum,
            budget: &Alone,
            spilled: None,
            rows: 0,
        }
    }

    /// How many stacks the source has, where that is known only after planning.
    fn stacks(&mut self, count: usize) {
        if let Sum::Stacks(Sums::Plain(sums)) = &mut self.sum {
            sums.resize(count, 0);
        }
    }

    /// The rows that must be read.
    fn ranges(&mut self) -> Vec<RowRange> {
        let mut ranges = Vec::new();
        for selected in &self.plan.selected {
            let row = &self.tables.index.profiles[selected.profile as usize];
            let filtered = self.plan.filter(*selected).is_some();
            let needed = match &mut self.sum {
                Sum::Stacks(_) => true,
                Sum::Series(series) => filtered || series.needs_rows(row, &self.labels),
                Sum::Names(names) => filtered || names.needs_rows(row, &self.labels),
                Sum::Types => filtered,
            };
            if needed && row.rows.len > 0 {
                ranges.push(row.rows);
            }
        }
        ranges
    }

    /// Like [`Scan::rows`], of columns that came from outside.
    fn checked_rows(
        &mut self,
        first: u64,
        columns: &SampleColumns,
        stacks: Option<usize>,
    ) -> Result<(), Error> {
        let len = columns.len();
        let lengths = columns.values.len() == len
            && [&columns.attrs, &columns.links, &columns.times]
                .iter()
                .all(|column| column.is_empty() || column.len() == len);
        let below = |column: &[u32], count: usize| {
            column
                .iter()
                .copied()
                .max()
                .is_none_or(|max| (max as usize) < count)
        };
        let valid = lengths
            && stacks.is_none_or(|count| below(&columns.stacks, count))
            && below(&columns.attrs, self.tables.index.attr_sets.len())
            && below(&columns.links, self.tables.links.list.len());
        if !valid {
            return Err(Error::Corrupt {
                section: "samples",
                reason: "a row refers to what is not there".to_owned(),
            });
        }
        self.rows(first, columns);
        Ok(())
    }

    /// Adds the selected ones of the rows from number `first` on.
    fn rows(&mut self, first: u64, columns: &SampleColumns) {
        let end = first + columns.len() as u64;
        let profiles = &self.tables.index.profiles;
        let range = |s: &Selected| profiles[s.profile as usize].rows;
        let from = self.plan.selected.partition_point(|s| {
            let rows = range(s);
            rows.start.saturating_add(u64::from(rows.len)) <= first
        });
        for at in from..self.plan.selected.len() {
            let selected = self.plan.selected[at];
            let rows = range(&selected);
            let (start, stop) = (
                rows.start.max(first),
                (rows.start.saturating_add(u64::from(rows.len))).min(end),
            );
            if rows.start >= end {
                break;
            }
            if start >= stop {
                continue;
            }
            if rows.start == start {
                self.spill_series();
            }
            let run = Run::of(columns, (start - first) as usize..(stop - first) as usize);
            self.rows += stop - start;
            let filter = self.plan.filter(selected);
            let row = &weighted(&profiles[selected.profile as usize], selected.weight);
            self.hits[at] |= match &mut self.sum {
                Sum::Stacks(sums) => sums.add(row, run, filter, &self.labels),
                Sum::Series(series) => series.add(row, run, filter, &self.labels),
                Sum::Names(names) => names.add(row, run, filter, &self.labels),
                Sum::Types => run.each(filter, |_| {}),
            };
        }
    }

    /// Takes sums per stack out if they are too large; [`Scan::rows`] does that with series.
    fn spill_stacks(&mut self, partial: impl FnOnce(Sums<'a>) -> cairn_trie::Partial) {
        if matches!(&self.sum, Sum::Stacks(sums) if self.budget.is_over(sums.bytes()))
            && let Sum::Stacks(sums) = self.fresh()
        {
            self.spill(Answer::Stacks(partial(sums)));
        }
    }

    fn spill_series(&mut self) {
        if matches!(&self.sum, Sum::Series(series) if self.budget.is_over(series.bytes()))
            && let Sum::Series(series) = self.fresh()
        {
            self.spill(Answer::Series(series.finish()));
        }
    }

    /// The sum so far; it begins anew.
    fn fresh(&mut self) -> Sum<'a> {
        let new = Sum::new(self.question, self.tables, self.plan.everything);
        std::mem::replace(&mut self.sum, new)
    }

    fn spill(&mut self, answer: Answer) {
        let spilled = self
            .spilled
            .get_or_insert_with(|| Merge::within(self.question, self.budget.bytes_max()));
        let scanned = Scanned {
            answer,
            stats: Stats::default(),
            told: Told::default(),
        };
        spilled
            .add(scanned)
            .expect("an answer to the same question");
    }

    fn finish(self, partial: impl FnOnce(Sums<'a>) -> cairn_trie::Partial) -> Scanned {
        let mut stats = Stats {
            rows: self.rows,
            ..Stats::default()
        };
        let mut hits: Vec<&'a ProfileRow> = Vec::new();
        let (mut sum, mut teller) = (self.sum, self.teller);
        for (selected, hit) in self.plan.selected.iter().zip(self.hits) {
            let row = &self.tables.index.profiles[selected.profile as usize];
            let filter = self.plan.filter(*selected);
            let empty = row.rows.len == 0 && filter.is_some_and(|filter| filter.matches(0, 0));
            if !hit && !empty {
                continue;
            }
            stats.add(&stats_of(row));
            hits.push(row);
            teller.note(row);
            if let Sum::Series(series) = &mut sum
                && (filter.is_none() || empty)
            {
                series.add_total(&weighted(row, selected.weight), &self.labels);
            }
        }
        let answer = match sum {
            Sum::Stacks(sums) => Answer::Stacks(partial(sums)),
            Sum::Series(series) => Answer::Series(series.finish()),
            Sum::Names(names) => Answer::Names(names.finish(&hits)),
            Sum::Types => {
                let types = hits.iter().map(|row| row.profile_type as usize);
                Answer::ProfileTypes(
                    types
                        .map(|at| self.tables.index.types[at].clone())
                        .collect(),
                )
            }
        };
        let scanned = Scanned {
            answer,
            stats,
            told: teller.finish(),
        };
        match self.spilled {
            None => scanned,
            Some(mut spilled) => {
                spilled
                    .add(scanned)
                    .expect("an answer to the same question");
                spilled.finish()
            }
        }
    }
}

/// The same profile, counted so many times.
fn weighted(row: &ProfileRow, weight: i64) -> ProfileRow {
    ProfileRow {
        scale: row.scale.wrapping_mul(weight),
        total: row.total.wrapping_mul(weight),
        ..*row
    }
}

fn stats_of(row: &ProfileRow) -> Stats {
    Stats {
        profiles: 1,
        rows: 0,
        blocks: 0,
        duration: row.duration,
        period: row.period,
        range: Some(TimeRange {
            start: row.time,
            end: row.time,
        }),
        folded: 0,
        is_cut: false,
    }
}
