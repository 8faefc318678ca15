//! How the body of `/ingest` is written, and what its values mean.

use cairn_formats::{Format as Text, Unit};
use http::{HeaderMap, header};

use super::about::About;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Pprof,
    Jfr,
    Text(Text),
}

/// The format, and the boundary if the body is a form.
pub(super) fn of(format: Option<&str>, headers: &HeaderMap) -> (Format, Option<String>) {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).ok();
    let found = match format {
        Some("trie") => Format::Text(Text::Trie),
        Some("tree") => Format::Text(Text::Tree),
        _ if content_type.contains("+trie") => Format::Text(Text::Trie),
        _ if content_type.contains("+tree") => Format::Text(Text::Tree),
        Some("lines") => Format::Text(Text::Lines),
        Some("speedscope") => Format::Text(Text::Speedscope),
        Some("jfr") => Format::Jfr,
        Some("pprof") => Format::Pprof,
        _ if boundary.is_some() => Format::Pprof,
        _ => Format::Text(Text::Folded),
    };
    (found, boundary)
}

/// What profiles of plain values are called, and what their values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    /// The application without the part of its name that says what was measured.
    pub(super) app: String,
}

/// By the last part of the application's name: name, kind, unit.
const BY_SUFFIX: [(&str, &str, &str, &str); 24] = [
    ("cpu", "process_cpu", "cpu", "nanoseconds"),
    ("itimer", "process_cpu", "cpu", "nanoseconds"),
    ("wall", "wall", "wall", "nanoseconds"),
    ("inuse_objects", "memory", "inuse_objects", "count"),
    ("inuse_space", "memory", "inuse_space", "bytes"),
    ("alloc_objects", "memory", "alloc_objects", "count"),
    ("alloc_space", "memory", "alloc_space", "bytes"),
    (
        "alloc_in_new_tlab_objects",
        "memory",
        "alloc_in_new_tlab_objects",
        "count",
    ),
    (
        "alloc_in_new_tlab_bytes",
        "memory",
        "alloc_in_new_tlab_bytes",
        "bytes",
    ),
    (
        "alloc_outside_tlab_objects",
        "memory",
        "alloc_outside_tlab_objects",
        "count",
    ),
    (
        "alloc_outside_tlab_bytes",
        "memory",
        "alloc_outside_tlab_bytes",
        "bytes",
    ),
    ("live", "memory", "live", "count"),
    ("bytes", "memory", "space", "bytes"),
    ("goroutines", "goroutines", "goroutine", "count"),
    ("mutex_count", "mutex", "contentions", "count"),
    ("mutex_duration", "mutex", "delay", "nanoseconds"),
    ("lock_count", "mutex", "contentions", "count"),
    ("lock_duration", "mutex", "delay", "nanoseconds"),
    ("block_count", "block", "contentions", "count"),
    ("block_duration", "block", "delay", "nanoseconds"),
    ("exceptions", "exceptions", "exceptions", "count"),
    ("samples", "process_cpu", "samples", "count"),
    ("objects", "memory", "objects", "count"),
    ("seconds", "seconds", "seconds", "seconds"),
];

/// By the parameter `units`.
const BY_UNITS: [(&str, &str, &str, &str); 7] = [
    ("samples", "process_cpu", "cpu", "nanoseconds"),
    ("objects", "memory", "inuse_objects", "count"),
    ("bytes", "memory", "inuse_space", "bytes"),
    ("goroutines", "goroutines", "goroutine", "count"),
    ("lock_samples", "mutex", "contentions", "count"),
    ("lock_nanoseconds", "mutex", "delay", "nanoseconds"),
    ("nanoseconds", "process_cpu", "cpu", "nanoseconds"),
];

impl Meaning {
    pub(super) fn of(about: &About) -> Self {
        let suffix = about.app.rsplit_once('.');
        let known = suffix.and_then(|(app, suffix)| {
            let found = BY_SUFFIX.iter().find(|(name, ..)| *name == suffix)?;
            Some((app.to_owned(), *found))
        });
        let (app, (_, name, kind, unit)) = known.unwrap_or_else(|| {
            let by_units = BY_UNITS.iter().find(|(name, ..)| *name == about.units);
            let found = by_units.unwrap_or(&("", "samples", "samples", "count"));
            (about.app.clone(), *found)
        });
        // Values of these count samples.
        let is_time = matches!(kind, "cpu" | "wall") && about.units != "nanoseconds";
        let period = 1_000_000_000 / i64::from(about.sample_rate);
        Self {
            name,
            unit: Unit {
                kind: kind.to_owned(),
                unit: unit.to_owned(),
                scale: if is_time { period.max(1) } else { 1 },
                period_type: (kind.to_owned(), unit.to_owned()),
                period: if is_time { period.max(1) } else { 0 },
            },
            app,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(query: &str) -> Meaning {
        Meaning::of(&About::parse(query, 0).expect("valid"))
    }

    #[test]
    fn names_and_units_tell_what_values_are() {
        for (query, name, kind, scale, app) in [
            (
                "name=shop.cpu&sampleRate=100",
                "process_cpu",
                "cpu",
                10_000_000,
                "shop",
            ),
            (
                "name=shop.wall&sampleRate=50",
                "wall",
                "wall",
                20_000_000,
                "shop",
            ),
            ("name=shop", "process_cpu", "cpu", 10_000_000, "shop"),
            ("name=shop.inuse_space", "memory", "inuse_space", 1, "shop"),
            ("name=a.b&units=bytes", "memory", "inuse_space", 1, "a.b"),
            ("name=a.lock_duration", "mutex", "delay", 1, "a"),
            ("name=a&units=parsecs", "samples", "samples", 1, "a"),
            ("name=a&units=nanoseconds", "process_cpu", "cpu", 1, "a"),
        ] {
            let found = meaning(query);
            let found = (found.name, &*found.unit.kind, found.unit.scale, &*found.app);
            assert_eq!(found, (name, kind, scale, app), "{query}");
        }
    }

    #[test]
    fn parameters_and_content_types_tell_the_format() {
        let text = Format::Text;
        for (format, content_type, expected) in [
            (Some("pprof"), "binary/octet-stream", Format::Pprof),
            (None, "multipart/form-data; boundary=x", Format::Pprof),
            (Some("jfr"), "multipart/form-data; boundary=x", Format::Jfr),
            (Some("speedscope"), "text/plain", text(Text::Speedscope)),
            (Some("lines"), "", text(Text::Lines)),
            (None, "binary/octet-stream+tree", text(Text::Tree)),
            (None, "binary/octet-stream+trie", text(Text::Trie)),
            (Some("trie"), "", text(Text::Trie)),
            (None, "text/plain", text(Text::Folded)),
            (Some("groups"), "", text(Text::Folded)),
        ] {
            let value = content_type.parse().expect("a header");
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
            assert_eq!(
                of(format, &headers).0,
                expected,
                "{format:?} {content_type}"
            );
        }
    }
}
