//! A query as a ticket and back. Knows nothing of how tickets travel.

use std::sync::Arc;

use cairn_model::{Code, MatchOp, Matcher, Selector, TenantId, TimeRange};
use cairn_wire::cairn::query::v1::scan_ticket::{Question as WireQuestion, Source};
use cairn_wire::cairn::query::v1::{
    Keep, LabelNames, LabelValues, ProfileTypes, ScanTicket, Series, Stacks, WeightedStacks,
};

use super::told;
use crate::repeats::Ask;
use crate::weights::Weights;
use crate::{GroupBy, Query, Question};

/// A ticket that asks nothing that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid scan ticket: {0}")]
pub struct InvalidTicket(pub(super) String);

impl InvalidTicket {
    pub fn code(&self) -> Code {
        Code::Invalid
    }
}

/// What a ticket asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub tenant: TenantId,
    pub query: Query,
    pub source: Source,
    pub repeats: Ask,
}

pub fn encode(tenant: &TenantId, query: &Query, source: Source, repeats: &Ask) -> ScanTicket {
    ScanTicket {
        tenant: tenant.to_string(),
        selector: selector(query),
        time_start: query.range.start,
        time_end: query.range.end,
        source: Some(source),
        question: Some(match (question(&query.question), &query.weights) {
            (WireQuestion::Stacks(stacks), Some(weights)) => weighted(stacks, weights),
            (question, _) => question,
        }),
        repeats: (*repeats != Ask::NOTHING).then(|| told::ask(repeats)),
    }
}

pub fn decode(ticket: ScanTicket) -> Result<Asked, InvalidTicket> {
    let ScanTicket {
        tenant,
        selector,
        time_start,
        time_end,
        source,
        question,
        repeats,
    } = ticket;
    let invalid = |text: &dyn ToString| InvalidTicket(text.to_string());
    let tenant = TenantId::parse(&tenant).map_err(|error| invalid(&error))?;
    let Selector {
        profile_type,
        matchers,
    } = Selector::parse(&selector).map_err(|error| invalid(&error))?;
    let question = question.ok_or_else(|| invalid(&"it asks no question"))?;
    let (question, weights) = match question {
        WireQuestion::WeightedStacks(weighted) => {
            let (stacks, weights) = read_weighted(weighted)?;
            (WireQuestion::Stacks(stacks), Some(Arc::new(weights)))
        }
        question => (question, None),
    };
    let query = Query {
        profile_type,
        matchers,
        range: TimeRange {
            start: time_start,
            end: time_end,
        },
        weights,
        question: read_question(question)?,
    };
    let source = source.ok_or_else(|| invalid(&"it names no source"))?;
    let repeats = told::read_ask(repeats.unwrap_or_default());
    Ok(Asked {
        tenant,
        query,
        source,
        repeats: repeats.map_err(|error| invalid(&error))?,
    })
}

/// The profile type goes in as a quoted label, since its parts may hold spaces and braces.
fn selector(query: &Query) -> String {
    let named = query.profile_type.as_ref().map(|profile_type| {
        Matcher::new("__name__", MatchOp::Equal, &profile_type.to_string())
            .expect("an equality holds no regular expression")
    });
    let matchers = named.into_iter().chain(query.matchers.iter().cloned());
    Selector {
        profile_type: None,
        matchers: matchers.collect(),
    }
    .to_string()
}

fn question(question: &Question) -> WireQuestion {
    let stacks = |keep: Keep, labels: &[String]| {
        WireQuestion::Stacks(Stacks {
            keep: keep.into(),
            labels: labels.to_vec(),
            step_ns: match question {
                Question::Stacks(GroupBy::Times { step, .. } | GroupBy::Profiles { step, .. }) => {
                    *step
                }
                _ => 0,
            },
        })
    };
    match question {
        Question::Stacks(GroupBy::Nothing) => stacks(Keep::Nothing, &[]),
        Question::Stacks(GroupBy::SampleLabels) => stacks(Keep::SampleLabels, &[]),
        Question::Stacks(GroupBy::Labels(labels)) => stacks(Keep::Labels, labels),
        Question::Stacks(GroupBy::Times { labels, .. }) => stacks(Keep::Times, labels),
        Question::Stacks(GroupBy::Profiles { labels, .. }) => stacks(Keep::Profiles, labels),
        Question::Series { step, sum_by } => WireQuestion::Series(Series {
            step_ns: *step,
            sum_by: sum_by.clone().unwrap_or_default(),
            by_all_labels: sum_by.is_none(),
        }),
        Question::LabelNames => WireQuestion::LabelNames(LabelNames {}),
        Question::LabelValues(name) => {
            WireQuestion::LabelValues(LabelValues { name: name.clone() })
        }
        Question::ProfileTypes => WireQuestion::ProfileTypes(ProfileTypes {}),
    }
}

fn weighted(stacks: Stacks, weights: &Weights) -> WireQuestion {
    let mut weighted = WeightedStacks {
        stacks: Some(stacks),
        ..WeightedStacks::default()
    };
    for (series, time, weight) in weights.iter() {
        weighted.series.push(series);
        weighted.times.push(time);
        weighted.weights.push(weight);
    }
    WireQuestion::WeightedStacks(weighted)
}

fn read_weighted(weighted: WeightedStacks) -> Result<(Stacks, Weights), InvalidTicket> {
    let WeightedStacks {
        stacks,
        series,
        times,
        weights,
    } = weighted;
    if series.len() != times.len() || series.len() != weights.len() {
        return Err(InvalidTicket("its weights are incomplete".to_owned()));
    }
    let keys = series.into_iter().zip(times);
    let all = keys.zip(weights);
    let all = all.map(|((series, time), weight)| (series, time, weight));
    Ok((stacks.unwrap_or_default(), all.collect()))
}

/// A later version may keep apart what this one can't.
fn read_keep(keep: i32) -> Result<Keep, InvalidTicket> {
    Keep::try_from(keep)
        .map_err(|_| InvalidTicket(format!("it keeps apart what is unknown: {keep}")))
}

fn read_question(question: WireQuestion) -> Result<Question, InvalidTicket> {
    Ok(match question {
        WireQuestion::Stacks(stacks) => Question::Stacks(match read_keep(stacks.keep)? {
            Keep::Nothing => GroupBy::Nothing,
            Keep::SampleLabels => GroupBy::SampleLabels,
            Keep::Labels => GroupBy::Labels(stacks.labels),
            Keep::Times => GroupBy::Times {
                step: stacks.step_ns.max(0),
                labels: stacks.labels,
            },
            Keep::Profiles => GroupBy::Profiles {
                step: stacks.step_ns.max(0),
                labels: stacks.labels,
            },
        }),
        WireQuestion::Series(Series {
            step_ns,
            sum_by,
            by_all_labels,
        }) => Question::Series {
            step: step_ns.max(0),
            sum_by: (!by_all_labels).then_some(sum_by),
        },
        WireQuestion::LabelNames(LabelNames {}) => Question::LabelNames,
        WireQuestion::LabelValues(LabelValues { name }) => Question::LabelValues(name),
        WireQuestion::ProfileTypes(ProfileTypes {}) => Question::ProfileTypes,
        WireQuestion::WeightedStacks(_) => {
            return Err(InvalidTicket("weights within weights".to_owned()));
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::repeats::{Delivery, Sent, SourceId};
    use cairn_wire::cairn::query::v1::Tail;

    fn repeats() -> Ask {
        let delivery = Delivery {
            sent: Sent {
                series: 4,
                batch: u128::MAX - 7,
                time: -1,
                total: i64::MIN,
            },
            source: SourceId(u64::MAX),
            lsn: 8,
        };
        Ask {
            stretches: true,
            deliveries: BTreeSet::from([3, u64::MAX]),
            without: BTreeSet::from([delivery]),
            until: Some(8),
        }
    }

    #[test]
    fn queries_survive_the_ticket() {
        let odd = "a b:c{:d:e f:g";
        let questions = [
            Question::Stacks(GroupBy::Nothing),
            Question::Stacks(GroupBy::SampleLabels),
            Question::Stacks(GroupBy::Labels(vec!["pod".to_owned()])),
            Question::Stacks(GroupBy::Times {
                step: 15,
                labels: vec!["pod".to_owned()],
            }),
            Question::Stacks(GroupBy::Profiles {
                step: 15,
                labels: vec!["pod".to_owned()],
            }),
            Question::Series {
                step: 15,
                sum_by: Some(vec![]),
            },
            Question::Series {
                step: 0,
                sum_by: None,
            },
            Question::LabelNames,
            Question::LabelValues("pod".to_owned()),
            Question::ProfileTypes,
        ];
        for question in questions {
            let query = Query {
                profile_type: Some(odd.parse().expect("five parts")),
                matchers: vec![
                    Matcher::new(
                        "process.x/y",
                        MatchOp::Regex,
                        r#"a\d"é\"#.trim_end_matches('\\'),
                    )
                    .expect("valid"),
                    Matcher::new("zero", MatchOp::NotEqual, "tab\tnul\0\u{200b}").expect("valid"),
                ],
                range: TimeRange { start: -5, end: 9 },
                weights: matches!(question, Question::Stacks(_)).then(|| {
                    let weights = [(7, -5, 1), (u64::MAX, 9, -1)];
                    Arc::new(weights.into_iter().collect())
                }),
                question,
            };
            let tenant = TenantId::anonymous();
            let source = Source::Tail(Tail::default());
            let repeats = repeats();
            let back = decode(encode(&tenant, &query, source.clone(), &repeats)).expect("valid");
            let asked = Asked {
                tenant,
                query,
                source,
                repeats,
            };
            assert_eq!(back, asked);
        }
    }

    #[test]
    fn incomplete_tickets_are_refused() {
        let ticket = ScanTicket {
            tenant: "../x".to_owned(),
            ..ScanTicket::default()
        };
        assert!(decode(ticket).is_err());
        let ticket = ScanTicket {
            tenant: "a".to_owned(),
            ..ScanTicket::default()
        };
        assert!(decode(ticket).is_err());
        let uneven = WeightedStacks {
            series: vec![1],
            ..WeightedStacks::default()
        };
        assert!(read_weighted(uneven).is_err());
        assert!(read_keep(77).is_err());
    }
}
