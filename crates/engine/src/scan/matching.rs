//! Which profiles a query needs, and which of their rows.
//!
//! A matcher is decided by a profile's labels wherever they have its name, or no row has; only what
//! is left is asked of rows, through one table look-up per attribute set and link.

use cairn_block::{AttrSet, Columns, Links, Lsn, ProfileRow};
use cairn_model::{Labels, Link, MatchOp, Matcher, NONE, ProfileType};
use cairn_trie::GroupValue;
use fixedbitset::FixedBitSet;
use hashbrown::{HashMap, HashSet};

use super::Tables;
use super::postings::Candidates;
use crate::query::{GroupBy, Query, Question};

/// Labels that single rows may have.
#[derive(Debug)]
pub(crate) struct RowLabels<'a> {
    keys: HashSet<&'a str>,
    links: bool,
}

impl<'a> RowLabels<'a> {
    pub(crate) fn of(tables: Tables<'a>) -> Self {
        let sets = tables.index.attr_sets.iter();
        Self {
            keys: sets
                .flat_map(|set| set.0.iter().map(|(key, _)| &**key))
                .collect(),
            links: tables
                .links
                .list
                .iter()
                .any(|link| *link != Link::default()),
        }
    }

    /// Whether some row may have a label of this name.
    pub(crate) fn may_have(&self, name: &str) -> bool {
        self.keys.contains(name) || self.links && id_bit(name) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.links
    }

    /// What a question asks of rows besides stacks and values.
    fn columns(&self, question: &Question) -> Columns {
        let of_names = |names: &[String]| Columns {
            attrs: names.iter().any(|name| self.keys.contains(name.as_str())),
            links: names.iter().any(|name| id_bit(name) != 0),
            times: false,
        };
        let all = Columns {
            times: false,
            ..Columns::ALL
        };
        match question {
            Question::Stacks(GroupBy::Nothing) | Question::ProfileTypes => Columns::default(),
            Question::Stacks(GroupBy::Labels(names)) => of_names(names),
            Question::Stacks(GroupBy::SampleLabels) | Question::LabelNames => all,
            Question::Stacks(GroupBy::Times { labels, .. }) => Columns {
                times: true,
                ..of_names(labels)
            },
            Question::Stacks(GroupBy::Profiles { labels, .. }) => of_names(labels),
            Question::Series { sum_by, .. } => of_names(sum_by.as_deref().unwrap_or_default()),
            Question::LabelValues(name) => of_names(std::slice::from_ref(name)),
        }
    }
}

/// Whether the answer depends on which requests rows belong to.
pub(crate) fn is_about_links(query: &Query) -> bool {
    let is_id = |name: &String| id_bit(name) != 0;
    let by_question = match &query.question {
        Question::Stacks(GroupBy::Nothing) | Question::ProfileTypes => false,
        Question::Stacks(GroupBy::SampleLabels) | Question::LabelNames => true,
        Question::Stacks(
            GroupBy::Labels(names)
            | GroupBy::Times { labels: names, .. }
            | GroupBy::Profiles { labels: names, .. },
        ) => names.iter().any(is_id),
        Question::Series { sum_by, .. } => sum_by.iter().flatten().any(is_id),
        Question::LabelValues(name) => is_id(name),
    };
    by_question || query.matchers.iter().any(|m| id_bit(m.name()) != 0)
}

/// The traces of which one must be named by a row that matches, per matcher that says so.
pub(crate) fn traces(query: &Query) -> Vec<Vec<String>> {
    let of_traces = query.matchers.iter();
    let of_traces = of_traces.filter(|matcher| id_bit(matcher.name()) == TRACE);
    let listed = of_traces.filter_map(Matcher::alternatives);
    // What has no trace at all matches the empty text.
    listed
        .filter(|values| !values.iter().any(String::is_empty))
        .collect()
}

/// A profile that matches, or some of whose rows may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selected {
    /// Position in the index.
    pub(crate) profile: u32,
    /// Position in [`Plan::filters`]; [`NONE`] if all rows match.
    pub(crate) filter: u32,
    /// How often it counts.
    pub(crate) weight: i64,
}

/// What a query needs of one source.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the order of their rows.
    pub(crate) selected: Vec<Selected>,
    pub(crate) filters: Vec<RowFilter>,
    /// Whether every row of the source matches.
    pub(crate) everything: bool,
}

impl Plan {
    pub(crate) fn new(
        tables: Tables<'_>,
        after: Lsn,
        query: &Query,
        rows: &RowLabels<'_>,
        mut weight: impl FnMut(&ProfileRow) -> i64,
    ) -> Self {
        let index = tables.index;
        let of_type = |matcher: &&Matcher| is_of_type(matcher.name());
        let (of_types, of_labels): (Vec<&Matcher>, Vec<&Matcher>) =
            query.matchers.iter().partition(of_type);
        let types: Vec<bool> = index
            .types
            .iter()
            .map(|profile_type| type_matches(profile_type, query, &of_types))
            .collect();
        let mut filters = Filters {
            tables,
            list: Vec::new(),
            known: HashMap::new(),
        };
        let candidates = Candidates::of(index, &of_labels, rows);
        let sets = index.label_sets.iter().enumerate();
        let sets: Vec<Decision> = sets
            .map(|(at, labels)| match candidates.may_match(at) {
                true => decide(labels, &of_labels, rows, &mut filters),
                false => Decision::Never,
            })
            .collect();
        let mut select = |at: usize| {
            let row = &index.profiles[at];
            let wanted = row.lsn > after
                && types[row.profile_type as usize]
                && query.range.contains(row.time);
            let filter = match sets[row.label_set as usize] {
                Decision::Never => return None,
                Decision::Always => NONE,
                Decision::Rows(filter) => match &filters.list[filter as usize].profiles {
                    Some(profiles) if !profiles.contains(at) => return None,
                    _ => filter,
                },
            };
            let weight = if wanted { weight(row) } else { 0 };
            (weight != 0).then_some(Selected {
                profile: at as u32,
                filter,
                weight,
            })
        };
        let ranges = candidates.profiles(index, &types).into_iter();
        let mut selected: Vec<Selected> = ranges.flatten().filter_map(&mut select).collect();
        selected.sort_by_key(|s| index.profiles[s.profile as usize].rows.start);
        Self {
            everything: selected.len() == index.profiles.len()
                && selected.iter().all(|s| s.filter == NONE),
            selected,
            filters: filters.list,
        }
    }

    /// What must be read of rows to answer the question.
    pub(crate) fn columns(&self, question: &Question, rows: &RowLabels<'_>) -> Columns {
        let mut columns = rows.columns(question);
        for filter in &self.filters {
            let Columns { attrs, links, .. } = filter.columns();
            columns.attrs |= attrs;
            columns.links |= links;
        }
        columns
    }

    pub(crate) fn filter(&self, selected: Selected) -> Option<&RowFilter> {
        self.filters.get(selected.filter as usize)
    }
}

#[derive(Clone, Copy, Debug)]
enum Decision {
    Never,
    Always,
    Rows(u32),
}

fn decide(
    labels: &Labels,
    matchers: &[&Matcher],
    rows: &RowLabels<'_>,
    filters: &mut Filters<'_>,
) -> Decision {
    let mut open = Vec::new();
    for (at, matcher) in matchers.iter().enumerate() {
        let value = labels.get(matcher.name());
        if value.is_none() && rows.may_have(matcher.name()) {
            open.push(at);
        } else if !matcher.matches(value) {
            return Decision::Never;
        }
    }
    if open.is_empty() {
        Decision::Always
    } else {
        filters.of(open, matchers)
    }
}

/// Row filters, one per set of matchers that labels of profiles leave open.
struct Filters<'a> {
    tables: Tables<'a>,
    list: Vec<RowFilter>,
    known: HashMap<Vec<usize>, Decision>,
}

impl Filters<'_> {
    fn of(&mut self, open: Vec<usize>, matchers: &[&Matcher]) -> Decision {
        if let Some(known) = self.known.get(&open) {
            return *known;
        }
        let wanted: Vec<&Matcher> = open.iter().map(|at| matchers[*at]).collect();
        let filter = RowFilter::new(self.tables, &wanted);
        let decision = match filter.uniform() {
            Some(true) => Decision::Always,
            Some(false) => Decision::Never,
            None => {
                self.list.push(filter);
                Decision::Rows(self.list.len() as u32 - 1)
            }
        };
        self.known.insert(open, decision);
        decision
    }
}

const TRACE: u8 = 1;
const SPAN: u8 = 2;
/// Never granted by a link.
const NEVER: u8 = 4;

/// Which rows match, by their attribute set and link.
#[derive(Debug)]
pub(crate) struct RowFilter {
    /// What an attribute set asks of the link beside it, as bits.
    needs: Vec<u8>,
    /// What a link grants.
    grants: Vec<u8>,
    /// Profiles that have such rows or may have; absent if all may.
    profiles: Option<FixedBitSet>,
}

impl RowFilter {
    fn new(Tables { index, links }: Tables<'_>, matchers: &[&Matcher]) -> Self {
        let need = |set: &AttrSet| {
            let needs = matchers.iter().map(|matcher| attr_needs(matcher, set));
            needs.fold(0, |all, need| all | need)
        };
        let grant = |link: &Link| {
            let mut text = LinkText::default();
            let grants = |bit: u8, value: Option<&str>| {
                let mut of_bit = matchers.iter().filter(|m| id_bit(m.name()) == bit);
                if of_bit.all(|m| m.matches(value)) {
                    bit
                } else {
                    0
                }
            };
            grants(TRACE, text.hex(&link.trace_id)) | grants(SPAN, text.hex(&link.span_id))
        };
        let mut filter = Self {
            needs: index.attr_sets.iter().map(need).collect(),
            grants: links.list.iter().map(grant).collect(),
            profiles: None,
        };
        filter.profiles = filter.of_links(links, index.profiles.len());
        filter
    }

    /// Profiles that links lead to, if rows match only by their link.
    fn of_links(&self, links: &Links, profiles: usize) -> Option<FixedBitSet> {
        let mut needs = self.needs.clone();
        needs.sort_unstable();
        needs.dedup();
        let matches = |link: usize| needs.iter().any(|need| need & !self.grants[link] == 0);
        if matches(0) || !links.has_profiles() {
            return None;
        }
        let mut found = FixedBitSet::with_capacity(profiles);
        for link in (1..links.list.len()).filter(|link| matches(*link)) {
            let of_link = links.profiles(link).iter();
            of_link.for_each(|profile| found.insert(*profile as usize));
        }
        Some(found)
    }

    /// What of a row decides.
    fn columns(&self) -> Columns {
        Columns {
            attrs: self.needs.iter().any(|need| *need != self.needs[0]),
            links: self.needs.iter().any(|need| need & (TRACE | SPAN) != 0),
            times: false,
        }
    }

    pub(crate) fn matches(&self, attr: u32, link: u32) -> bool {
        self.needs[attr as usize] & !self.grants[link as usize] == 0
    }

    /// Whether all rows fare alike.
    fn uniform(&self) -> Option<bool> {
        if self.needs.iter().all(|need| *need == 0) {
            return Some(true);
        }
        let never =
            |need: &u8| need & NEVER != 0 || self.grants.iter().all(|grant| need & !grant != 0);
        self.needs.iter().all(never).then_some(false)
    }
}

/// Of several values of one label, one must be equal, or all different.
fn attr_needs(matcher: &Matcher, set: &AttrSet) -> u8 {
    let mut values = set
        .0
        .iter()
        .filter(|(key, _)| **key == *matcher.name())
        .map(|(_, value)| matcher.matches(Some(&text(value))))
        .peekable();
    if values.peek().is_none() {
        let bit = id_bit(matcher.name());
        return if bit != 0 {
            bit
        } else if matcher.matches(None) {
            0
        } else {
            NEVER
        };
    }
    let matches = match matcher.op() {
        MatchOp::Equal | MatchOp::Regex => values.any(|matches| matches),
        MatchOp::NotEqual | MatchOp::NotRegex => values.all(|matches| matches),
    };
    if matches { 0 } else { NEVER }
}

fn id_bit(name: &str) -> u8 {
    match name {
        "trace_id" => TRACE,
        "span_id" => SPAN,
        _ => 0,
    }
}

/// How a value of a sample label reads as text.
pub(crate) fn text(value: &GroupValue) -> std::borrow::Cow<'_, str> {
    match value {
        GroupValue::Str(text) => (&**text).into(),
        GroupValue::Num { value, .. } => value.to_string().into(),
    }
}

/// Room for the text of an id, so that a million links make no million strings.
#[derive(Debug, Default)]
pub(crate) struct LinkText([u8; 32]);

impl LinkText {
    /// Lower-case hex; none if the id is all zero.
    pub(crate) fn hex(&mut self, id: &[u8]) -> Option<&str> {
        if id.iter().all(|byte| *byte == 0) {
            return None;
        }
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (pair, byte) in self.0.chunks_exact_mut(2).zip(id) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        let text = std::str::from_utf8(&self.0[..id.len() * 2]);
        Some(text.expect("hex digits are ASCII"))
    }
}

/// Names that read a part of the profile type.
fn is_of_type(name: &str) -> bool {
    matches!(
        name,
        "__name__"
            | "__profile_type__"
            | "__type__"
            | "__unit__"
            | "__period_type__"
            | "__period_unit__"
    )
}

/// A part of the profile type, by the name that queries know it under.
pub(crate) fn of_type(profile_type: &ProfileType, name: &str) -> Option<String> {
    let part = match name {
        "__name__" => &profile_type.name,
        "__type__" => &profile_type.sample_type,
        "__unit__" => &profile_type.sample_unit,
        "__period_type__" => &profile_type.period_type,
        "__period_unit__" => &profile_type.period_unit,
        "__profile_type__" => {
            let whole = ProfileType {
                delta: false,
                ..profile_type.clone()
            };
            return Some(whole.to_string());
        }
        _ => return None,
    };
    Some(part.clone())
}

fn type_matches(profile_type: &ProfileType, query: &Query, matchers: &[&Matcher]) -> bool {
    let wanted = query.profile_type.as_ref();
    let value = |matcher: &Matcher| of_type(profile_type, matcher.name());
    wanted.is_none_or(|wanted| wanted == profile_type)
        && matchers.iter().all(|m| m.matches(value(m).as_deref()))
}
