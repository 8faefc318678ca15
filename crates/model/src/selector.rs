//! Which profiles a query is about: a profile type and label matchers, in PromQL's selector syntax.
//!
//! Owns the syntax and what a single matcher means; which rows match is the engine's business.

use std::fmt;

use regex_syntax::hir::Look;
use regex_syntax::hir::literal::{Extractor, Literal};

use crate::profile_type::{InvalidProfileType, ProfileType};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One condition on one label. An absent label reads as the empty string.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<regex::Regex>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

/// Compiled size of one regular expression; bounds memory and compile time of hostile ones.
const REGEX_BYTES_MAX: usize = 1 << 20;

impl Matcher {
    /// Regular expressions are not anchored, as in Parca: `web` matches `web-7`.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, InvalidSelector> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                let built = regex::RegexBuilder::new(value)
                    .size_limit(REGEX_BYTES_MAX)
                    .build();
                Some(built.map_err(|error| InvalidSelector::Regex {
                    value: value.to_owned(),
                    reason: error.to_string(),
                })?)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
            regex,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// The only values that match, if they can be listed: what the matcher is equal to, or the
    /// alternatives of a regular expression that matches whole values, such as `^(a|b)$`.
    pub fn alternatives(&self) -> Option<Vec<String>> {
        match self.op {
            MatchOp::Equal => Some(vec![self.value.clone()]),
            MatchOp::Regex => alternatives(&self.value),
            MatchOp::NotEqual | MatchOp::NotRegex => None,
        }
    }

    pub fn matches(&self, value: Option<&str>) -> bool {
        let value = value.unwrap_or("");
        match (&self.regex, self.op) {
            (Some(regex), MatchOp::NotRegex) => !regex.is_match(value),
            (Some(regex), _) => regex.is_match(value),
            (None, MatchOp::NotEqual) => value != self.value,
            (None, _) => value == self.value,
        }
    }
}

fn alternatives(regex: &str) -> Option<Vec<String>> {
    let parsed = regex_syntax::parse(regex).ok()?;
    let properties = parsed.properties();
    let is_whole = properties.look_set_prefix().contains(Look::Start)
        && properties.look_set_suffix().contains(Look::End);
    if !is_whole {
        return None;
    }
    // Literals that are prefixes and whole at once; there are none if they would be too many.
    let found = Extractor::new().extract(&parsed);
    if !found.is_exact() {
        return None;
    }
    let text = |literal: &Literal| String::from_utf8(literal.as_bytes().to_vec()).ok();
    found.literals()?.iter().map(text).collect()
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':');
        if !self.name.is_empty() && self.name.bytes().all(is_plain) {
            f.write_str(&self.name)?
        } else {
            quote(f, &self.name)?
        }
        f.write_str(self.op.symbol())?;
        quote(f, &self.value)
    }
}

/// Escapes what the parser knows to unescape and nothing else, so that any text reads back.
fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write;
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// What a regular expression of a selector must match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Regexes {
    /// Any part of a value, as Parca means it.
    #[default]
    MatchPart,
    /// The whole value, as PromQL and Pyroscope mean it. Once parsed, the matcher says so itself.
    MatchWhole,
}

/// A profile type, if one was named, and matchers that must all hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    pub profile_type: Option<ProfileType>,
    pub matchers: Vec<Matcher>,
}

/// Why a selector was refused. Clients compare the texts of the first three.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidSelector {
    #[error("failed to parse query: {reason} at byte {at}")]
    Syntax { at: usize, reason: &'static str },
    #[error("query must contain a profile-type selection")]
    NoProfileType,
    #[error(transparent)]
    ProfileType(#[from] InvalidProfileType),
    #[error("failed to parse query: invalid regular expression {value:?}: {reason}")]
    Regex { value: String, reason: String },
}

impl Selector {
    /// `name:type:unit:period_type:period_unit[:delta]{label="value", ...}`; either half may be left out,
    /// and the type may also stand as `__name__="..."`.
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        Self::parse_as(text, Regexes::MatchPart)
    }

    /// Like [`Selector::parse`], with a choice.
    pub fn parse_as(text: &str, regexes: Regexes) -> Result<Self, InvalidSelector> {
        let at = 0;
        Parser { text, at, regexes }.selector()
    }

    /// Like [`Selector::parse`], for queries that make no sense without a profile type.
    pub fn parse_typed(text: &str) -> Result<(ProfileType, Vec<Matcher>), InvalidSelector> {
        let Self {
            profile_type,
            matchers,
        } = Self::parse(text)?;
        Ok((
            profile_type.ok_or(InvalidSelector::NoProfileType)?,
            matchers,
        ))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile_type = self.profile_type.as_ref().map(ToString::to_string);
        let profile_type = profile_type.unwrap_or_default();
        // A bare one ends at a space or a brace; one that holds any reads back only from quotes.
        let is_bare = !profile_type.contains(|c: char| c == '{' || c.is_ascii_whitespace());
        let mut comma = "";
        if is_bare {
            write!(f, "{profile_type}{{")?;
        } else {
            f.write_str("{__name__=")?;
            quote(f, &profile_type)?;
            comma = ", ";
        }
        for matcher in &self.matchers {
            write!(f, "{comma}{matcher}")?;
            comma = ", ";
        }
        f.write_str("}")
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    regexes: Regexes,
}

impl<'a> Parser<'a> {
    fn selector(mut self) -> Result<Selector, InvalidSelector> {
        self.skip_space();
        let metric = self.take_while(|b| b != b'{' && !b.is_ascii_whitespace());
        let mut profile_type = match metric {
            "" => None,
            metric => Some(metric.parse()?),
        };
        let mut matchers = Vec::new();
        self.skip_space();
        if self.eat("{") {
            self.matchers(&mut profile_type, &mut matchers)?;
        }
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.error("unexpected text after the selector"));
        }
        Ok(Selector {
            profile_type,
            matchers,
        })
    }

    fn matchers(
        &mut self,
        profile_type: &mut Option<ProfileType>,
        out: &mut Vec<Matcher>,
    ) -> Result<(), InvalidSelector> {
        loop {
            self.skip_space();
            if self.eat("}") {
                return Ok(());
            }
            let name = self.name()?;
            self.skip_space();
            let op = self.op()?;
            self.skip_space();
            let value = self.string()?;
            if name == "__name__"
                && op == MatchOp::Equal
                && profile_type.is_none()
                && value.contains(':')
            {
                *profile_type = Some(value.parse()?);
            } else {
                out.push(self.matcher(&name, op, &value)?);
            }
            self.skip_space();
            if !self.eat(",") && !self.text[self.at..].starts_with('}') {
                return Err(self.error("expected ',' or '}'"));
            }
        }
    }

    fn matcher(&self, name: &str, op: MatchOp, value: &str) -> Result<Matcher, InvalidSelector> {
        let is_regex = matches!(op, MatchOp::Regex | MatchOp::NotRegex);
        if self.regexes == Regexes::MatchPart || !is_regex {
            return Matcher::new(name, op, value);
        }
        // By itself first: `a)|(b` is none, whatever stands around it.
        Matcher::new(name, op, value)?;
        Matcher::new(name, op, &format!("^(?:{value})$"))
    }

    /// A bare name, or any UTF-8 text in quotes.
    fn name(&mut self) -> Result<String, InvalidSelector> {
        if self.text[self.at..].starts_with(['"', '\'', '`']) {
            return self.string();
        }
        match self.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':')) {
            "" => Err(self.error("expected a label name or '}'")),
            name => Ok(name.to_owned()),
        }
    }

    fn op(&mut self) -> Result<MatchOp, InvalidSelector> {
        let ops = [
            ("=~", MatchOp::Regex),
            ("!~", MatchOp::NotRegex),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ];
        let found = ops.into_iter().find(|(symbol, _)| self.eat(symbol));
        found
            .map(|(_, op)| op)
            .ok_or_else(|| self.error("expected one of = != =~ !~"))
    }

    fn string(&mut self) -> Result<String, InvalidSelector> {
        let rest = &self.text[self.at..];
        let Some(quote) = rest
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\'' | '`'))
        else {
            return Err(self.error("expected a quoted value"));
        };
        let mut out = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += offset + 1;
                    return Ok(out);
                }
                '\\' if quote != '`' => out.push(match chars.next().map(|(_, escaped)| escaped) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(c @ ('\\' | '"' | '\'')) => c,
                    _ => return Err(self.error("unknown escape in a quoted value")),
                }),
                c => out.push(c),
            }
        }
        Err(self.error("a quoted value does not end"))
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        // Only ASCII bytes can end a run, so the cut is on a character boundary.
        let len = rest
            .bytes()
            .position(|b| b.is_ascii() && !keep(b))
            .unwrap_or(rest.len());
        let len = rest
            .bytes()
            .take(len)
            .position(|b| !b.is_ascii() && !keep(b))
            .unwrap_or(len);
        self.at += len;
        &rest[..len]
    }

    fn skip_space(&mut self) {
        self.take_while(|b| b.is_ascii_whitespace());
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn error(&self, reason: &'static str) -> InvalidSelector {
        InvalidSelector::Syntax {
            at: self.at,
            reason,
        }
    }
}

#[cfg(test)]
mod tests;
