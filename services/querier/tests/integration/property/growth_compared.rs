//! What counters have grown by in the first half of the range, and in the second.

use cairn_engine::GroupBy;
use cairn_wire::querier::v1::{
    DiffRequest, DiffResponse, ProfileFormat, SelectMergeStacktracesRequest,
};

use super::case::Asked;
use super::growth::{Grown, steps};
use super::parca::Parca;
use super::pyroscope::{NANOS_PER_MILLI, Pyroscope};
use super::stacks::stacks;
use super::{Place, parca_diff, read};
use crate::model::Row;

pub(crate) async fn check(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    futures::join!(
        Box::pin(of_parca(place, asked, rows)),
        Box::pin(of_pyroscope(place, asked, rows)),
    );
}

fn grown<'a>(rows: &[&'a Row]) -> Grown<'a> {
    let steps = steps(rows);
    Grown::of(&steps.iter().collect::<Vec<_>>(), &GroupBy::Nothing)
}

/// Rows that have what stacks grew by.
fn as_rows(grown: &Grown<'_>) -> Vec<Row> {
    let row = |(stack, _, value): &(_, _, i64)| {
        let stack: &super::stacks::Stack<'_> = stack;
        let mut row = stack.row.clone();
        if let Some((_, own)) = &mut row.sample {
            *own = *value;
        }
        row
    };
    grown.stacks.iter().map(row).collect()
}

async fn of_parca(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let range = asked.range;
    let middle = range.start + (range.end - range.start) / 2;
    let (before, after): (Vec<&Row>, Vec<&Row>) =
        rows.iter().copied().partition(|row| row.time <= middle);
    let (before, after) = (grown(&before), grown(&after));
    let place = &place.shrinking(before.has_shrunk || after.has_shrunk);
    let parca = Parca::connect(place, asked, &[]).await;
    let (before, after) = (as_rows(&before), as_rows(&after));
    let sides = [&before, &after].map(|rows| stacks(&rows.iter().collect::<Vec<_>>()));
    parca_diff::of_stacks(&parca, (&sides[0], &sides[1]), middle).await;
}

async fn of_pyroscope(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let (start, end) = asked.millis();
    let middle = start + (end - start) / 2;
    let is_before = |row: &&Row| row.time < (middle + 1) * NANOS_PER_MILLI;
    let (before, after): (Vec<&Row>, Vec<&Row>) = rows.iter().copied().partition(is_before);
    let (before, after) = (grown(&before), grown(&after));
    let place = &place.shrinking(before.has_shrunk || after.has_shrunk);
    let pyroscope = Pyroscope::of(place, asked, rows);
    let whole = pyroscope.request(ProfileFormat::Unspecified);
    let request = DiffRequest {
        left: Some(SelectMergeStacktracesRequest {
            end: middle,
            ..whole.clone()
        }),
        right: Some(SelectMergeStacktracesRequest {
            start: middle + 1,
            ..whole
        }),
    };
    let found: DiffResponse = pyroscope.client.ask("Diff", request).await;
    let found = found.flamegraph.unwrap();
    let said = pyroscope.said("Diff of growth");
    for (grown, ticks, at) in [(before, found.left_ticks, 0), (after, found.right_ticks, 3)] {
        assert_eq!(ticks, grown.total(), "{said}");
        let found = read::levels(&found.names, &found.levels, (7, at));
        assert_eq!(found, grown.paths(), "{said}");
    }
}
