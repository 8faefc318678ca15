//! Names and values of labels.

use std::collections::BTreeSet;

use cairn_block::{AttrSet, Index, Links, ProfileRow};
use cairn_model::Link;

use super::matching::{LinkText, RowFilter, RowLabels, of_type, text};
use super::{Run, Tables};
use crate::merge::{is_id, keep_first};

/// Labels of the rows seen so far.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    /// The label whose values are asked for; names are if absent.
    label: Option<&'a str>,
    index: &'a Index,
    list: &'a Links,
    attrs: Vec<bool>,
    links: Vec<bool>,
    /// Per attribute set: whether it has the label, which then hides the link's id of that name.
    hides: Vec<bool>,
    /// All rows match and no label is hidden by another, so no row has to be read.
    everything: bool,
}

impl<'a> Names<'a> {
    /// `everything` says that all rows of the source match.
    pub(super) fn new(
        label: Option<&'a str>,
        Tables { index, links }: Tables<'a>,
        everything: bool,
    ) -> Self {
        let has_label = |set: &AttrSet| label.is_some_and(|l| set.0.iter().any(|(k, _)| **k == *l));
        let hides: Vec<bool> = index.attr_sets.iter().map(has_label).collect();
        let hidden = |label: &str| {
            let in_types = index.types.iter().any(|t| of_type(t, label).is_some());
            let in_attrs = is_id(label) && hides.contains(&true);
            in_types || in_attrs || index.label_sets.iter().any(|set| set.get(label).is_some())
        };
        let everything = everything && !label.is_some_and(hidden);
        Self {
            label,
            index,
            list: links,
            attrs: vec![everything; index.attr_sets.len()],
            links: vec![everything; links.list.len()],
            hides,
            everything,
        }
    }

    pub(super) fn needs_rows(&self, profile: &ProfileRow, labels: &RowLabels<'_>) -> bool {
        match self.label {
            _ if self.everything => false,
            None => !labels.is_empty(),
            Some(label) => labels.may_have(label) && self.of_profile(profile).is_none(),
        }
    }

    /// Whether any row passed.
    pub(super) fn add(
        &mut self,
        profile: &ProfileRow,
        run: Run<'_>,
        filter: Option<&RowFilter>,
        labels: &RowLabels<'_>,
    ) -> bool {
        let wanted = self.needs_rows(profile, labels);
        let Self {
            attrs,
            links,
            hides,
            ..
        } = self;
        run.each(filter, |row| {
            attrs[row.attr as usize] |= wanted;
            links[row.link as usize] |= wanted && !hides[row.attr as usize];
        })
    }

    pub(super) fn finish(&self, hits: &[&ProfileRow]) -> BTreeSet<String> {
        match self.label {
            None => self.names(hits),
            Some(label) => self.values(label, hits),
        }
    }

    fn names(&self, hits: &[&ProfileRow]) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut add = |name: &str| {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        };
        for set in self.label_sets(hits) {
            let labels = &self.index.label_sets[set];
            labels.iter().for_each(|(name, _)| add(name));
        }
        for (set, _) in self
            .index
            .attr_sets
            .iter()
            .zip(&self.attrs)
            .filter(|(_, seen)| **seen)
        {
            set.0.iter().for_each(|(name, _)| add(name));
        }
        let Link { trace_id, span_id } = Link::default();
        for link in self.links() {
            if link.trace_id != trace_id {
                add("trace_id");
            }
            if link.span_id != span_id {
                add("span_id");
            }
        }
        names
    }

    fn values(&self, label: &str, hits: &[&ProfileRow]) -> BTreeSet<String> {
        let types = hits.iter().map(|row| row.profile_type as usize);
        let types: BTreeSet<usize> = types.collect();
        let types = types.into_iter();
        let mut values: BTreeSet<String> = types
            .filter_map(|at| of_type(&self.index.types[at], label))
            .collect();
        if values.is_empty() {
            let sets = self.label_sets(hits);
            let value = |set: usize| self.index.label_sets[set].get(label).map(str::to_owned);
            values.extend(sets.into_iter().filter_map(value));
        }
        for (set, _) in self
            .index
            .attr_sets
            .iter()
            .zip(&self.attrs)
            .filter(|(_, seen)| **seen)
        {
            let of_label = set.0.iter().filter(|(key, _)| **key == *label);
            values.extend(of_label.map(|(_, value)| text(value).into_owned()));
        }
        for link in self.links().filter(|_| is_id(label)) {
            let id: &[u8] = match label {
                "trace_id" => &link.trace_id,
                _ => &link.span_id,
            };
            values.extend(LinkText::default().hex(id).map(str::to_owned));
            keep_first(&mut values);
        }
        if is_id(label) {
            keep_first(&mut values);
        }
        values.remove("");
        values
    }

    fn of_profile(&self, row: &ProfileRow) -> Option<String> {
        let label = self.label?;
        let of_type = of_type(&self.index.types[row.profile_type as usize], label);
        let labels = &self.index.label_sets[row.label_set as usize];
        of_type.or_else(|| labels.get(label).map(str::to_owned))
    }

    fn label_sets(&self, hits: &[&ProfileRow]) -> BTreeSet<usize> {
        hits.iter().map(|row| row.label_set as usize).collect()
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        let links = self.list.list.iter().zip(&self.links);
        links.filter(|(_, seen)| **seen).map(|(link, _)| link)
    }
}
