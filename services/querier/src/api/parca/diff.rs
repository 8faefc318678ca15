//! Two sides of a comparison on one scale.

use cairn_trie::{Group, GroupValue, Merger, Partial};

/// Marks the samples of the base in a download, as `pprof -diff_base` does: it takes percentages of
/// their sum.
const BASE_LABEL: (&str, &str) = ("pprof::base", "true");

/// How differences are made. The values of both sides stay what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Diff {
    /// Nothing is compared.
    None,
    Between {
        base: Ratio,
        value: Ratio,
    },
}

/// A factor that does not round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    to: i64,
    from: i64,
}

impl Diff {
    /// Scales the smaller side up to the larger, unless absolute values are to be compared: then a
    /// difference in traffic or in the length of the range does not hide a difference in kind.
    pub(super) fn between(base: i64, value: i64, absolute: bool) -> Self {
        let (mut of_base, mut of_value) = (Ratio::ONE, Ratio::ONE);
        if !absolute && base > 0 && value > 0 {
            if base < value {
                (of_base.to, of_base.from) = (value, base);
            } else {
                (of_value.to, of_value.from) = (base, value);
            }
        }
        Self::Between {
            base: of_base,
            value: of_value,
        }
    }

    /// How much more there is than in the base.
    pub(super) fn of(&self, value: i64, base: i64) -> i64 {
        match self {
            Self::None => 0,
            Self::Between {
                base: of_base,
                value: of_value,
            } => of_value.of(value).wrapping_sub(of_base.of(base)),
        }
    }

    /// Both sides as one profile that sums up to the difference.
    pub(super) fn merged(&self, mut base: Partial, mut value: Partial) -> Partial {
        let Self::Between {
            base: of_base,
            value: of_value,
        } = self
        else {
            return value;
        };
        for Group(pairs) in &mut base.groups {
            let (name, text) = BASE_LABEL;
            pairs.push((name.into(), GroupValue::Str(text.into())));
            pairs.sort();
        }
        // The first group is always the empty one.
        base.groups.insert(0, Group::default());
        for sum in &mut base.values {
            sum.group += 1;
            sum.value = of_base.of(sum.value).wrapping_neg();
        }
        for sum in &mut value.values {
            sum.value = of_value.of(sum.value);
        }
        let mut merger = Merger::default();
        merger.add(base);
        merger.add(value);
        merger.finish()
    }
}

impl Ratio {
    const ONE: Self = Self { to: 1, from: 1 };

    /// Rounded to the nearest, away from zero if there are two.
    fn of(self, value: i64) -> i64 {
        let (to, from) = (i128::from(self.to), i128::from(self.from));
        let product = i128::from(value) * to;
        let half = from / 2 * product.signum();
        let scaled = (product + half) / from;
        i64::try_from(scaled.clamp(i64::MIN.into(), i64::MAX.into())).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_smaller_side_is_scaled_up_unless_absolute() {
        let diff = |base, value, absolute| {
            let diff = Diff::between(base, value, absolute);
            (diff.of(value, base), diff.of(value, 0), diff.of(0, base))
        };
        assert_eq!(diff(5, 20, false), (0, 20, -20));
        assert_eq!(diff(20, 5, false), (0, 20, -20));
        assert_eq!(diff(5, 20, true), (15, 20, -5));
        assert_eq!(diff(0, 20, false), (20, 20, 0));
        assert_eq!(Diff::None.of(7, 3), 0);
        // Parts of a node and the node itself round apart by less than one each.
        let third = Diff::between(3, 10, false);
        assert_eq!((third.of(0, 1), third.of(0, 2)), (-3, -7));
        let large = Diff::between(i64::MAX - 1, i64::MAX, false);
        assert_eq!(large.of(i64::MAX, i64::MAX - 1), 0);
    }

    #[test]
    fn a_merged_profile_sums_up_to_the_difference_and_marks_the_base() {
        let (base, mut value) = (testing::ungrouped(), testing::ungrouped());
        value.values.iter_mut().for_each(|value| value.value *= 2);
        let merged = Diff::between(base.total(), value.total(), true).merged(base.clone(), value);
        assert_eq!(merged.total(), base.total());
        let marked = |value: &&cairn_trie::Value| value.group != 0;
        let of_base = merged.values.iter().filter(marked);
        assert_eq!(of_base.map(|value| value.value).sum::<i64>(), -base.total());
        let label = &merged.groups[1].0[0];
        assert_eq!(&*label.0, "pprof::base");
    }
}
