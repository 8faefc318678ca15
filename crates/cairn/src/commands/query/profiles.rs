//! Single profiles, the newest first.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use cairn_model::TimeRange;
use http_body_util::BodyExt;
use serde::Deserialize;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::Channel;

use super::text::amount;
use crate::commands::time;

/// A page of the listing.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    profiles: Vec<Row>,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    time: f64,
    labels: BTreeMap<String, String>,
    duration: f64,
    total: i64,
}

/// Why a request was refused.
#[derive(Debug, Deserialize)]
struct Refused {
    message: String,
}

/// Asks over the connection that all other questions use.
pub(super) async fn fetch(
    mut channel: Channel,
    server: &str,
    selector: &str,
    range: TimeRange,
    limit: usize,
) -> anyhow::Result<Page> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("query", selector)
        .append_pair("from", &range.start.to_string())
        .append_pair("until", &range.end.to_string())
        .append_pair("limit", &limit.to_string())
        .finish();
    let uri = format!("{}/api/v1/profiles?{query}", server.trim_end_matches('/'));
    let request = http::Request::get(uri).body(Body::empty())?;
    std::future::poll_fn(|cx| GrpcService::<Body>::poll_ready(&mut channel, cx)).await?;
    let response = GrpcService::call(&mut channel, request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        let refused: Result<Refused, _> = serde_json::from_slice(&body);
        match refused {
            Ok(Refused { message }) => anyhow::bail!("{message}"),
            Err(_) => anyhow::bail!("the server answered {status}"),
        }
    }
    let page: Page = serde_json::from_slice(&body).context("read the answer")?;
    for warning in &page.warnings {
        tracing::warn!("partial answer: {warning}");
    }
    Ok(page)
}

impl Page {
    pub(super) fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// One line per profile.
    pub(super) fn text(&self, unit: &str) -> String {
        let mut out = format!(
            "{:<24} {:>9} {:>12}  {:<36}  labels\n",
            "time", "duration", "total", "id"
        );
        for row in &self.profiles {
            let pairs = row.labels.iter();
            let pairs = pairs.map(|(name, value)| format!("{name}={value:?}"));
            // The server tells seconds: more than milliseconds is noise.
            let millis = (row.time * 1e3).round() as i64;
            let _ = writeln!(
                out,
                "{:<24} {:>9} {:>12}  {:<36}  {}",
                time::show(millis.saturating_mul(1_000_000)),
                amount((row.duration * 1e9) as i64, "nanoseconds"),
                amount(row.total, unit),
                row.id,
                pairs.collect::<Vec<_>>().join(" ")
            );
        }
        if self.next.is_some() {
            out.push_str("... more profiles; --limit shows them\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_lines() {
        let page = serde_json::json!({
            "profiles": [{
                "id": "18e91efd-632f-84d1-94c2-69a738d2cf7c",
                "time": 1_795_000_000.25,
                "labels": { "pod": "a", "service_name": "cart" },
                "type": "cpu:cpu:ns:cpu:ns",
                "duration": 10.0,
                "total": 42,
            }],
            "next": "18e91efd-632f-84d1-94c2-69a738d2cf7c",
        });
        let page: Page = serde_json::from_value(page).expect("a page");
        let text = page.text("count");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        for part in [
            "2026-11-18T",
            "42",
            "18e91efd",
            "pod=\"a\" service_name=\"cart\"",
        ] {
            assert!(lines[1].contains(part), "{part}: {text}");
        }
        assert!(lines[2].contains("--limit"));
    }
}
