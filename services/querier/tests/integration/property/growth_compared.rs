//! What counters have grown by in the first half of the range, and in the second.

use cairn_engine::GroupBy;

use super::case::Asked;
use super::growth::{Grown, steps};
use super::parca::Parca;
use super::pyroscope::Pyroscope;
use super::stacks::stacks;
use super::{Place, parca_diff};
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
    let (before, after) = Pyroscope::halves(asked, rows);
    let (before, after) = (grown(&before), grown(&after));
    let place = &place.shrinking(before.has_shrunk || after.has_shrunk);
    let pyroscope = Pyroscope::of(place, asked, rows);
    let said = pyroscope.said("Diff of growth");
    for (grown, (ticks, found)) in [before, after].into_iter().zip(pyroscope.compared().await) {
        assert_eq!(ticks, grown.total(), "{said}");
        assert_eq!(found, grown.paths(), "{said}");
    }
}
