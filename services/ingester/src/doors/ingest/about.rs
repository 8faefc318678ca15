//! What the query string of `/ingest` says.

use std::collections::BTreeMap;

use cairn_wal::NAME_LABEL;

use super::super::attime;

/// What the query string says.
#[derive(Debug, PartialEq)]
pub(super) struct About {
    /// Of the application, without its labels.
    pub(super) app: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) from: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) sample_rate: u32,
    pub(super) format: Option<String>,
    pub(super) units: String,
    /// Values are of a moment and not of a span of time.
    pub(super) is_average: bool,
}

/// What senders that don't say so sample with.
const SAMPLE_RATE: u32 = 100;

impl About {
    pub(super) fn parse(query: &str, now: i64) -> Result<Self, String> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let get = |wanted: &str| {
            let found = pairs.iter().find(|(name, _)| name == wanted);
            found
                .map(|(_, value)| value.as_ref())
                .filter(|value| !value.is_empty())
        };
        let time = |name| get(name).map(|text| attime::parse(text, now)).transpose();
        let (app, tags) = parse_name(get("name").ok_or("the parameter \"name\" is missing")?)?;
        let rate = get("sampleRate").and_then(|rate| rate.parse().ok());
        Ok(Self {
            app: app.to_owned(),
            labels: labels(app, tags, get("spyName").unwrap_or("unknown")),
            from: time("from")?,
            until: time("until")?,
            sample_rate: rate.filter(|rate| *rate > 0).unwrap_or(SAMPLE_RATE),
            format: get("format").map(str::to_ascii_lowercase),
            units: get("units").unwrap_or("samples").to_owned(),
            is_average: get("aggregationType") == Some("average"),
        })
    }
}

/// `app.name{key=value,...}`
fn parse_name(text: &str) -> Result<(&str, BTreeMap<&str, &str>), String> {
    let (app, tags) = match text.split_once('{') {
        None => (text, None),
        Some((app, rest)) => {
            let closed = rest.trim_end().strip_suffix('}');
            (
                app,
                Some(closed.ok_or("the name's labels do not end with '}'")?),
            )
        }
    };
    if app.trim().is_empty() {
        return Err("the name of the application is empty".to_owned());
    }
    let mut map = BTreeMap::new();
    for tag in tags.unwrap_or_default().split(',') {
        if tag.trim().is_empty() {
            continue;
        }
        let (key, value) = tag
            .split_once('=')
            .ok_or_else(|| format!("label {tag:?} of the name has no '='"))?;
        map.insert(key.trim(), value.trim());
    }
    Ok((app.trim(), map))
}

/// Labels that begin with two underscores are ours, but for these.
const KEPT: [&str; 2] = [NAME_LABEL, "__session_id__"];

fn labels<'a>(
    app: &'a str,
    mut tags: BTreeMap<&'a str, &'a str>,
    spy: &'a str,
) -> Vec<(String, String)> {
    tags.retain(|name, _| !name.starts_with("__") || KEPT.contains(name));
    tags.entry("service_name").or_insert(app);
    tags.entry("pyroscope_spy").or_insert(spy);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    tags.into_iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_labels() {
        let query = "name=go.demo%7B__session_id__%3D77%2C__x__%3D1%2Cotel.scope.name%3Dcom.a%2Fgo%7D\
                     &spyName=gospy&from=1795365579997631877&sampleRate=-1";
        let about = About::parse(query, 0).expect("valid");
        let labels: Vec<_> = about
            .labels
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let expected = [
            "__session_id__=77",
            "otel.scope.name=com.a/go",
            "pyroscope_spy=gospy",
            "service_name=go.demo",
        ];
        assert_eq!(labels, expected);
        assert_eq!(about.from, Some(1_795_365_579_997_631_877));
        assert_eq!((about.until, about.sample_rate), (None, 100));
        let kept = About::parse("name=a%7Bservice_name=b%7D", 0).expect("valid");
        assert!(
            kept.labels
                .contains(&("service_name".to_owned(), "b".to_owned()))
        );
    }

    #[test]
    fn bad_metadata_says_why() {
        for (query, why) in [
            ("", "\"name\" is missing"),
            ("name=", "\"name\" is missing"),
            ("name={a=b}", "application is empty"),
            ("name=a{b=c", "do not end with '}'"),
            ("name=a{b}", "has no '='"),
            ("name=a&from=tomorrow", "invalid time"),
        ] {
            let error = About::parse(query, 0).expect_err(query);
            assert!(error.contains(why), "{query}: {error}");
        }
    }
}
