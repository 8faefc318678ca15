//! What rows are added to, by question.

use super::Tables;
use super::groups::By;
use super::names::Names;
use super::series::SeriesSum;
use super::stacks::{Apart, Sums};
use crate::query::{GroupBy, Question};

pub(super) enum Sum<'a> {
    Stacks(Sums<'a>),
    Series(Box<SeriesSum<'a>>),
    Names(Names<'a>),
    Types,
}

impl<'a> Sum<'a> {
    pub(super) fn new(question: &'a Question, tables: Tables<'a>, everything: bool) -> Self {
        match question {
            Question::Stacks(GroupBy::Nothing) => Sum::Stacks(Sums::Plain(Vec::new())),
            Question::Stacks(GroupBy::Labels(names)) => {
                Sum::Stacks(Sums::grouped(By::Labels(names), Apart::Groups, tables))
            }
            Question::Stacks(GroupBy::SampleLabels) => {
                Sum::Stacks(Sums::grouped(By::RowLabels, Apart::Groups, tables))
            }
            Question::Stacks(GroupBy::Times { step, labels }) => Sum::Stacks(Sums::grouped(
                By::Labels(labels),
                Apart::Times(*step),
                tables,
            )),
            Question::Stacks(GroupBy::Profiles { step, labels }) => Sum::Stacks(Sums::grouped(
                By::Labels(labels),
                Apart::Profiles(*step),
                tables,
            )),
            Question::Series { step, sum_by } => {
                Sum::Series(Box::new(SeriesSum::new(*step, sum_by.as_deref(), tables)))
            }
            Question::LabelNames => Sum::Names(Names::new(None, tables, everything)),
            Question::LabelValues(name) => Sum::Names(Names::new(Some(name), tables, everything)),
            Question::ProfileTypes => Sum::Types,
        }
    }
}
