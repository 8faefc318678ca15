//! Ranges of addresses that lie over each other, and which one shows.

use std::collections::BinaryHeap;
use std::ops::Range;

/// Addresses that mean the same. Lists of them are in order and don't overlap, unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) id: u32,
}

/// Which of many ranges shows where: the last in the list that holds an address.
/// A piece's id is the range's position.
pub(crate) fn flatten(ranges: &[Range<u64>]) -> Vec<Piece> {
    let mut order: Vec<u32> = (0..ranges.len() as u32).collect();
    order.sort_by_key(|&id| ranges[id as usize].start);
    let mut waiting = order.into_iter().peekable();
    let mut open: BinaryHeap<u32> = BinaryHeap::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    loop {
        while let Some(id) = waiting.next_if(|&id| ranges[id as usize].start <= at) {
            open.push(id);
        }
        while open.peek().is_some_and(|&id| ranges[id as usize].end <= at) {
            open.pop();
        }
        let next = waiting.peek().map(|&id| ranges[id as usize].start);
        let Some(&id) = open.peek() else {
            match next {
                Some(start) => at = start,
                None => return pieces,
            }
            continue;
        };
        let end = ranges[id as usize].end;
        let until = next.map_or(end, |start| start.min(end));
        push(&mut pieces, at..until, id);
        at = until;
    }
}

/// Adds a range behind all others, joined to the last one if it means the same.
pub(crate) fn push(pieces: &mut Vec<Piece>, range: Range<u64>, id: u32) {
    match pieces.last_mut() {
        _ if range.start >= range.end => {}
        Some(last) if last.end == range.start && last.id == id => last.end = range.end,
        _ => pieces.push(Piece {
            start: range.start,
            end: range.end,
            id,
        }),
    }
}

/// Puts pieces in order; where several hold an address, the first of the list shows.
pub(crate) fn settle(mut pieces: Vec<Piece>) -> Vec<Piece> {
    // Nearly always none of them overlap.
    let is_apart = |pair: &[Piece]| pair[0].end <= pair[1].start;
    if !pieces.windows(2).all(is_apart) {
        pieces = first_of(&pieces);
    }
    pieces
}

fn first_of(pieces: &[Piece]) -> Vec<Piece> {
    let ranges: Vec<Range<u64>> = pieces.iter().rev().map(|p| p.start..p.end).collect();
    let mut settled = Vec::new();
    for piece in flatten(&ranges) {
        let id = pieces[pieces.len() - 1 - piece.id as usize].id;
        push(&mut settled, piece.start..piece.end, id);
    }
    settled
}

/// Fills the gaps of a list with what another has there.
pub(crate) fn over(top: Vec<Piece>, below: &[Piece]) -> Vec<Piece> {
    if below.is_empty() {
        return top;
    }
    let mut pieces = Vec::with_capacity(top.len() + below.len());
    let mut below = below.iter().copied().peekable();
    let mut at = 0;
    let gap_end = |piece: Option<&Piece>| piece.map_or(u64::MAX, |piece| piece.start);
    for position in 0..=top.len() {
        let piece = top.get(position);
        let gap = at..gap_end(piece);
        while let Some(low) = below.peek().copied() {
            if low.start >= gap.end {
                break;
            }
            push(
                &mut pieces,
                low.start.max(gap.start)..low.end.min(gap.end),
                low.id,
            );
            if low.end > gap.end {
                break;
            }
            below.next();
        }
        if let Some(piece) = piece {
            push(&mut pieces, piece.start..piece.end, piece.id);
            at = piece.end;
        }
    }
    pieces
}

/// The pieces that have addresses in a range, cut to it.
pub(crate) fn within(pieces: &[Piece], range: Range<u64>) -> impl Iterator<Item = Piece> + '_ {
    let first = pieces.partition_point(|piece| piece.end <= range.start);
    let rest = pieces[first..].iter();
    rest.take_while(move |piece| piece.start < range.end)
        .map(move |piece| Piece {
            start: piece.start.max(range.start),
            end: piece.end.min(range.end),
            id: piece.id,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(pieces: &[Piece], address: u64) -> Option<u32> {
        let mut holding = pieces
            .iter()
            .filter(|piece| (piece.start..piece.end).contains(&address));
        let found = holding.next().map(|piece| piece.id);
        assert_eq!(holding.next(), None, "pieces overlap");
        found
    }

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        let range = (0..40u64, 0..12u64).prop_map(|(start, len)| start..start + len);
        proptest::collection::vec(range, 0..12)
    }

    proptest! {
        #[test]
        fn the_last_range_that_holds_an_address_shows(ranges in ranges()) {
            let pieces = flatten(&ranges);
            prop_assert!(pieces.is_sorted_by_key(|piece| piece.start));
            for address in 0..60 {
                let want = ranges.iter().rposition(|range| range.contains(&address));
                prop_assert_eq!(at(&pieces, address), want.map(|id| id as u32));
            }
        }

        #[test]
        fn what_lies_below_shows_in_gaps(top in ranges(), below in ranges()) {
            let (top, below) = (flatten(&top), flatten(&below));
            let both = over(top.clone(), &below);
            prop_assert!(both.is_sorted_by_key(|piece| piece.start));
            for address in 0..60 {
                let want = at(&top, address).or(at(&below, address));
                prop_assert_eq!(at(&both, address), want);
                let around = address.saturating_sub(3)..address + 1;
                let near: Vec<Piece> = within(&both, around).collect();
                prop_assert_eq!(at(&near, address), want);
            }
        }

        #[test]
        fn the_first_piece_that_holds_an_address_shows(ranges in ranges()) {
            let piece = |(id, range): (usize, &Range<u64>)| {
                Piece { start: range.start, end: range.end, id: id as u32 }
            };
            let pieces: Vec<Piece> = ranges.iter().enumerate().map(piece).collect();
            let settled = settle(pieces);
            for address in 0..60 {
                let want = ranges.iter().position(|range| range.contains(&address));
                prop_assert_eq!(at(&settled, address), want.map(|id| id as u32));
            }
        }
    }
}
