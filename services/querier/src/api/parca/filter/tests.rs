use super::*;
use crate::testing;

fn text(condition: string_condition::Condition) -> Option<StringCondition> {
    Some(StringCondition {
        condition: Some(condition),
    })
}

fn stack(criteria: FilterCriteria) -> wire::Filter {
    wire::Filter {
        filter: Some(filter::Filter::StackFilter(wire::StackFilter {
            filter: Some(stack_filter::Filter::Criteria(criteria)),
        })),
    }
}

fn frame(criteria: FilterCriteria) -> wire::Filter {
    wire::Filter {
        filter: Some(filter::Filter::FrameFilter(wire::FrameFilter {
            filter: Some(frame_filter::Filter::Criteria(criteria)),
        })),
    }
}

/// Folded text of what stays, and the value of what does not.
fn applied(filters: Vec<wire::Filter>) -> (String, i64) {
    applied_to(testing::ungrouped(), filters)
}

fn applied_to(whole: Partial, filters: Vec<wire::Filter>) -> (String, i64) {
    let filters = Filters::read(filters).expect("valid");
    let before = whole.total();
    let partial = filters.apply(whole);
    let filtered = before - partial.total();
    let flame = cairn_engine::Flame::build(&partial, cairn_engine::KeyBy::default());
    let mut lines: Vec<String> = cairn_engine::folded(&flame)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    (lines.join("\n"), filtered)
}

#[test]
fn stacks_stay_if_any_frame_matches() {
    use string_condition::Condition;
    let named = |condition| FilterCriteria {
        function_name: text(condition),
        ..FilterCriteria::default()
    };
    let (kept, filtered) = applied(vec![stack(named(Condition::Equal("HASH".to_owned())))]);
    assert_eq!(kept, "main;walk;walk;hash 30");
    assert_eq!(filtered, 135);
    let (kept, filtered) = applied(vec![stack(named(Condition::StartsWith("wal".to_owned())))]);
    assert_eq!((kept.lines().count(), filtered), (3, 5));
    let binary = FilterCriteria {
        binary: text(Condition::Equal("lib.so".to_owned())),
        ..FilterCriteria::default()
    };
    let (kept, filtered) = applied(vec![stack(binary)]);
    assert_eq!((kept.as_str(), filtered), ("main;lib.so+0x40 5", 160));
}

#[test]
fn functions_without_a_name_are_found_by_what_graphs_call_them() {
    let mut whole = testing::ungrouped();
    let functions = whole.symbols.functions.iter_mut();
    functions.for_each(|function| function.name = 0);
    let criteria = FilterCriteria {
        function_name: text(string_condition::Condition::Equal("_Zhash".to_owned())),
        ..FilterCriteria::default()
    };
    assert_eq!(
        applied_to(whole, vec![stack(criteria)]),
        ("_Zmain;_Zwalk;_Zwalk;_Zhash 30".to_owned(), 135)
    );
}

#[test]
fn negative_conditions_hold_for_every_frame() {
    use string_condition::Condition;
    let criteria = FilterCriteria {
        function_name: text(Condition::NotContains("walk".to_owned())),
        ..FilterCriteria::default()
    };
    assert_eq!(
        applied(vec![stack(criteria)]),
        ("main;lib.so+0x40 5".to_owned(), 160)
    );
    let excluded = wire::Filter {
        filter: Some(filter::Filter::StackFilter(wire::StackFilter {
            filter: Some(stack_filter::Filter::FunctionNameStackFilter(
                wire::FunctionNameStackFilter {
                    function_to_filter: "lk".to_owned(),
                    exclude: true,
                },
            )),
        })),
    };
    assert_eq!(applied(vec![excluded]).1, 160);
}

#[test]
fn filters_of_stacks_add_up() {
    use string_condition::Condition;
    let named = |name: &str| {
        stack(FilterCriteria {
            function_name: text(Condition::Equal(name.to_owned())),
            ..FilterCriteria::default()
        })
    };
    assert_eq!(applied(vec![named("hash"), named("walk")]).1, 135);
    assert_eq!(applied(vec![named("hash"), named("nothing")]).1, 165);
}

#[test]
fn frames_go_and_their_values_stay() {
    use string_condition::Condition;
    let criteria = FilterCriteria {
        function_name: text(Condition::NotEqual("walk".to_owned())),
        ..FilterCriteria::default()
    };
    let (kept, filtered) = applied(vec![frame(criteria)]);
    assert_eq!(kept, "main 130\nmain;hash 30\nmain;lib.so+0x40 5");
    assert_eq!(filtered, 0);
    let address = FilterCriteria {
        address: Some(NumberCondition {
            condition: Some(number_condition::Condition::Equal(0x40)),
        }),
        ..FilterCriteria::default()
    };
    assert_eq!(applied(vec![frame(address)]).0, "lib.so+0x40 5");
}

#[test]
fn empty_filters_are_refused_and_empty_criteria_pass_all() {
    assert!(Filters::read(vec![wire::Filter::default()]).is_err());
    assert_eq!(applied(vec![stack(FilterCriteria::default())]).1, 0);
}

#[test]
fn frames_of_some_binaries_stay() {
    let of_binaries = |names: &[&str]| wire::Filter {
        filter: Some(filter::Filter::FrameFilter(wire::FrameFilter {
            filter: Some(frame_filter::Filter::BinaryFrameFilter(
                wire::BinaryFrameFilter {
                    include_binaries: names.iter().map(|name| (*name).to_owned()).collect(),
                },
            )),
        })),
    };
    let (kept, filtered) = applied(vec![of_binaries(&["LIB.so", "other"])]);
    assert_eq!((kept.as_str(), filtered), ("lib.so+0x40 5", 0));
    let both = of_binaries(&["app", "lib.so"]);
    assert_eq!(applied(vec![both]).0, applied(vec![]).0);
    assert_eq!(applied(vec![of_binaries(&[])]).0, "");
}
