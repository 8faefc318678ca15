//! Two sides of a comparison on one scale.

use cairn_trie::Partial;

/// Scales the smaller side up to the larger, unless absolute values are to be compared: then a
/// difference in traffic or in the length of the range does not hide a difference in kind.
pub(super) fn scale(mut base: Partial, mut compare: Partial, absolute: bool) -> (Partial, Partial) {
    let (a, b) = (base.total(), compare.total());
    if absolute || a <= 0 || b <= 0 {
        return (base, compare);
    }
    if a < b {
        multiply(&mut base, b as f64 / a as f64);
    } else {
        multiply(&mut compare, a as f64 / b as f64);
    }
    (base, compare)
}

fn multiply(partial: &mut Partial, by: f64) {
    for value in &mut partial.values {
        // Casting saturates.
        value.value = (value.value as f64 * by).round() as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_trie::Value;

    fn partial(values: &[i64]) -> Partial {
        let value = |value: &i64| Value {
            node: 0,
            group: 0,
            value: *value,
        };
        Partial {
            values: values.iter().map(value).collect(),
            ..Partial::default()
        }
    }

    #[test]
    fn the_smaller_side_grows_unless_absolute() {
        let totals = |a: &[i64], b: &[i64], absolute| {
            let (a, b) = scale(partial(a), partial(b), absolute);
            (a.total(), b.total())
        };
        assert_eq!(totals(&[1, 4], &[20], false), (20, 20));
        assert_eq!(totals(&[20], &[1, 4], false), (20, 20));
        assert_eq!(totals(&[1, 4], &[20], true), (5, 20));
        assert_eq!(totals(&[], &[20], false), (0, 20));
    }
}
