//! Random filters of stacks and frames, and what they must leave.

use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::{
    filter, frame_filter, number_condition, stack_filter, string_condition,
};
use proptest::prelude::*;

use super::stacks::{Call, Place, Stack};

#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Stacks(Vec<Condition>),
    Frames(Vec<Condition>),
    Function { name: &'static str, exclude: bool },
    Binaries(Vec<&'static str>),
}

/// At most one per field.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Text {
        field: Field,
        how: How,
        not: bool,
        text: &'static str,
    },
    Address {
        not: bool,
        number: u64,
    },
    Line {
        not: bool,
        number: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field {
    Function,
    SystemName,
    Binary,
    File,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Equal,
    Contains,
    StartsWith,
}

pub(crate) fn filters() -> impl Strategy<Value = Vec<Filter>> {
    let name = prop::sample::select(vec!["f", "F", "G", "sys", "read", "absent", ""]);
    let function = (name, any::<bool>());
    let binaries = prop::sample::subsequence(vec!["app", "LIB", "[JIT]", "absent"], 0..3);
    let filter = prop_oneof![
        3 => conditions().prop_map(Filter::Stacks),
        3 => conditions().prop_map(Filter::Frames),
        1 => function.prop_map(|(name, exclude)| Filter::Function { name, exclude }),
        1 => binaries.prop_map(Filter::Binaries),
    ];
    prop::collection::vec(filter, 0..3)
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let field = prop::sample::select(vec![
        Field::Function,
        Field::SystemName,
        Field::Binary,
        Field::File,
    ]);
    let how = prop::sample::select(vec![How::Equal, How::Contains, How::StartsWith]);
    let text = prop::sample::select(vec![
        "f", "F", "_g", "sys", "read", "app", "li", "[jit", "perf-", "a.c", "src/", "", "absent",
    ]);
    let text =
        (field, how, any::<bool>(), text).prop_map(|(field, how, not, text)| Condition::Text {
            field,
            how,
            not,
            text,
        });
    let address = prop::sample::select(vec![0u64, 0x10, 0x40, 7]);
    let address =
        (any::<bool>(), address).prop_map(|(not, number)| Condition::Address { not, number });
    let line = prop::sample::select(vec![0u64, 1, 3, 4, 9]);
    let line = (any::<bool>(), line).prop_map(|(not, number)| Condition::Line { not, number });
    let condition = prop_oneof![4 => text, 1 => address, 1 => line];
    prop::collection::vec(condition, 0..3).prop_map(|mut all| {
        let mut seen = Vec::new();
        all.retain(|condition: &Condition| {
            let is_new = !seen.contains(&condition.field());
            seen.push(condition.field());
            is_new
        });
        all
    })
}

// === What must be left ===

/// One call, or a place that has none.
#[derive(Clone, Copy)]
struct Frame<'a>(&'a Place, Option<&'a Call>);

fn frames(place: &Place) -> Vec<Frame<'_>> {
    match place.calls.as_slice() {
        [] => vec![Frame(place, None)],
        calls => calls.iter().map(|call| Frame(place, Some(call))).collect(),
    }
}

pub(crate) fn left<'a>(filters: &[Filter], stacks: &[Stack<'a>]) -> Vec<Stack<'a>> {
    let mut out = stacks.to_vec();
    for filter in filters {
        match filter {
            Filter::Stacks(conditions) => {
                out.retain(|stack| stack_passes(conditions, &stack.places));
            }
            Filter::Function { name, exclude } => {
                let condition = Condition::Text {
                    field: Field::Function,
                    how: How::Contains,
                    not: *exclude,
                    text: name,
                };
                out.retain(|stack| stack_passes(std::slice::from_ref(&condition), &stack.places));
            }
            Filter::Frames(_) | Filter::Binaries(_) => {}
        }
    }
    // Stacks are judged as they were sent, whatever frames go.
    for filter in filters {
        let passes = |frame: Frame<'_>| match filter {
            Filter::Frames(conditions) => conditions.iter().all(|of| of.passes(frame)),
            Filter::Binaries(names) => {
                let binary = frame.0.shown_binary();
                !binary.is_empty() && names.iter().any(|name| name.eq_ignore_ascii_case(binary))
            }
            Filter::Stacks(_) | Filter::Function { .. } => true,
        };
        for stack in &mut out {
            stack.places.retain_mut(|place| {
                let whole = place.clone();
                let kept: Vec<Frame<'_>> =
                    frames(&whole).into_iter().filter(|f| passes(*f)).collect();
                place.calls = kept.iter().filter_map(|f| f.1.cloned()).collect();
                !kept.is_empty()
            });
        }
    }
    out
}

/// One frame is all that is wanted, none is anything that is not.
fn stack_passes(conditions: &[Condition], places: &[Place]) -> bool {
    let wanted: Vec<&Condition> = conditions.iter().filter(|of| !of.not()).collect();
    let unwanted: Vec<&Condition> = conditions.iter().filter(|of| of.not()).collect();
    let all: Vec<Frame<'_>> = places.iter().flat_map(frames).collect();
    let has_wanted = all
        .iter()
        .any(|frame| wanted.iter().all(|of| of.passes(*frame)));
    let has_unwanted = all
        .iter()
        .any(|frame| unwanted.iter().any(|of| !of.passes(*frame)));
    (wanted.is_empty() || has_wanted) && !has_unwanted
}

impl Condition {
    fn not(&self) -> bool {
        match self {
            Self::Text { not, .. } | Self::Address { not, .. } | Self::Line { not, .. } => *not,
        }
    }

    fn field(&self) -> String {
        match self {
            Self::Text { field, .. } => format!("{field:?}"),
            Self::Address { .. } => "address".to_owned(),
            Self::Line { .. } => "line".to_owned(),
        }
    }

    fn passes(&self, Frame(place, call): Frame<'_>) -> bool {
        let holds = match self {
            Self::Text {
                field, how, text, ..
            } => {
                let found = match field {
                    Field::Function => call.map(|call| call.shown().to_owned()),
                    Field::SystemName => call.map(|call| call.system_name.clone()),
                    Field::File => call.map(|call| call.file().to_owned()),
                    Field::Binary => {
                        Some(place.shown_binary().to_owned()).filter(|binary| !binary.is_empty())
                    }
                };
                let text = text.to_lowercase();
                found.is_some_and(|found| match how {
                    How::Equal => found.to_lowercase() == text,
                    How::Contains => found.to_lowercase().contains(&text),
                    How::StartsWith => found.to_lowercase().starts_with(&text),
                })
            }
            Self::Address { number, .. } => place.address == *number,
            Self::Line { number, .. } => call.is_some_and(|call| call.line == *number as i64),
        };
        holds != self.not()
    }
}

// === As requests spell them ===

impl Filter {
    pub(crate) fn wire(&self) -> wire::Filter {
        use filter::Filter as Of;
        use frame_filter::Filter as OfFrames;
        use stack_filter::Filter as OfStacks;
        let of_stacks = |filter| {
            Of::StackFilter(wire::StackFilter {
                filter: Some(filter),
            })
        };
        let of_frames = |filter| {
            Of::FrameFilter(wire::FrameFilter {
                filter: Some(filter),
            })
        };
        let filter = match self {
            Self::Stacks(conditions) => of_stacks(OfStacks::Criteria(criteria(conditions))),
            Self::Frames(conditions) => of_frames(OfFrames::Criteria(criteria(conditions))),
            Self::Function { name, exclude } => of_stacks(OfStacks::FunctionNameStackFilter(
                wire::FunctionNameStackFilter {
                    function_to_filter: (*name).to_owned(),
                    exclude: *exclude,
                },
            )),
            Self::Binaries(names) => {
                let include_binaries = names.iter().map(|name| (*name).to_owned()).collect();
                of_frames(OfFrames::BinaryFrameFilter(wire::BinaryFrameFilter {
                    include_binaries,
                }))
            }
        };
        wire::Filter {
            filter: Some(filter),
        }
    }
}

fn criteria(conditions: &[Condition]) -> wire::FilterCriteria {
    use number_condition::Condition as Number;
    use string_condition::Condition as Text;
    let mut out = wire::FilterCriteria::default();
    for condition in conditions {
        let number = |not, number| {
            let condition = match not {
                false => Number::Equal(number),
                true => Number::NotEqual(number),
            };
            Some(wire::NumberCondition {
                condition: Some(condition),
            })
        };
        match condition {
            Condition::Address { not, number: of } => out.address = number(*not, *of),
            Condition::Line { not, number: of } => out.line_number = number(*not, *of),
            Condition::Text {
                field,
                how,
                not,
                text,
            } => {
                let text = (*text).to_owned();
                let condition = match (how, not) {
                    (How::Equal, false) => Text::Equal(text),
                    (How::Equal, true) => Text::NotEqual(text),
                    (How::Contains, false) => Text::Contains(text),
                    (How::Contains, true) => Text::NotContains(text),
                    (How::StartsWith, false) => Text::StartsWith(text),
                    (How::StartsWith, true) => Text::NotStartsWith(text),
                };
                let condition = Some(wire::StringCondition {
                    condition: Some(condition),
                });
                match field {
                    Field::Function => out.function_name = condition,
                    Field::SystemName => out.system_name = condition,
                    Field::Binary => out.binary = condition,
                    Field::File => out.filename = condition,
                }
            }
        }
    }
    out
}
