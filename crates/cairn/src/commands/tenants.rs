//! `cairn tenants`: what became of what each tenant sent.

use std::io::Write;

use bytesize::ByteSize;
use cairn_wire::cairn::ingest::v1::usage_service_client::UsageServiceClient;
use cairn_wire::cairn::ingest::v1::{Fate, UsageRequest, UsageResponse, UsageRow};

use super::server::{Server, refused};
use super::time;

/// See what tenants sent.
#[derive(Debug, clap::Subcommand)]
pub enum Tenants {
    /// Show what was stored, and everything that was not, by reason.
    ///
    /// Every ingester counts from its start on; the metrics cairn_ingester_* keep the same counts
    /// for longer.
    Usage {
        /// Of this tenant only.
        #[arg(long)]
        tenant: Option<String>,
        /// As JSON, with exact numbers.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: Server,
    },
}

impl Tenants {
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self::Usage {
            tenant,
            json,
            server,
        } = self;
        let mut client = UsageServiceClient::new(server.connect().await?);
        let request = UsageRequest {
            tenant: tenant.unwrap_or_default(),
            is_local: false,
        };
        let answer = client.usage(request).await;
        let answer = answer.map_err(|status| refused(&status))?.into_inner();
        match json {
            true => writeln!(out, "{:#}", as_json(&answer))?,
            false => out.write_all(as_text(&answer).as_bytes())?,
        }
        Ok(())
    }
}

/// Word for people, and what is counted.
fn words(fate: Fate) -> (&'static str, &'static str) {
    match fate {
        Fate::Unspecified => ("unknown", "things"),
        Fate::Stored => ("stored", "profiles"),
        Fate::Repeated => ("repeated", "profiles"),
        Fate::Altered => ("altered", "parts"),
        Fate::Refused => ("refused", "profiles"),
        Fate::Failed => ("failed", "requests"),
        Fate::Postponed => ("postponed", "requests"),
    }
}

/// What the words mean, where they are used.
fn legend(fate: Fate) -> Option<&'static str> {
    match fate {
        Fate::Unspecified | Fate::Stored => None,
        Fate::Repeated => Some("sent again: stored once"),
        Fate::Altered => Some("changed or left out of profiles that are stored"),
        Fate::Refused | Fate::Failed => Some("discarded: it can never be stored"),
        Fate::Postponed => Some("the sender was told to come again"),
    }
}

fn as_text(answer: &UsageResponse) -> String {
    let mut text = String::new();
    for source in &answer.sources {
        let line = match source.error.is_empty() {
            true => format!("since {}", time::show(source.since_unix_ns)),
            false => format!("not counted: {}", source.error),
        };
        text += &format!("ingester {:?}: {line}\n", source.ingester);
    }
    if answer.rows.is_empty() {
        return text + "nothing came\n";
    }
    let mut table =
        vec![["TENANT", "WHAT", "DOOR", "REASON", "COUNT", "BYTES", ""].map(str::to_owned)];
    table.extend(answer.rows.iter().map(cells));
    text.push('\n');
    text += &columns(&table);
    let mut fates: Vec<Fate> = answer.rows.iter().map(UsageRow::fate).collect();
    fates.dedup();
    fates.sort();
    fates.dedup();
    let legends = fates
        .into_iter()
        .filter_map(|fate| Some(format!("{}: {}\n", words(fate).0, legend(fate)?)));
    let legends: String = legends.collect();
    if !legends.is_empty() {
        text.push('\n');
        text += &legends;
    }
    text
}

fn cells(row: &UsageRow) -> [String; 7] {
    let (word, what) = words(row.fate());
    let or_dash = |is_known: bool, text: String| if is_known { text } else { "-".to_owned() };
    [
        row.tenant.clone(),
        word.to_owned(),
        row.door.clone(),
        or_dash(!row.reason.is_empty(), row.reason.clone()),
        match row.count {
            1 => format!("1 {}", what.trim_end_matches('s')),
            count => format!("{count} {what}"),
        },
        or_dash(
            row.bytes > 0,
            ByteSize(row.bytes).display().iec().to_string(),
        ),
        match row.samples {
            0 => String::new(),
            samples => format!("{samples} samples"),
        },
    ]
}

/// Cells below each other.
fn columns<const N: usize>(table: &[[String; N]]) -> String {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        format!("{}\n", line.trim_end())
    };
    table.iter().map(line).collect()
}

fn as_json(answer: &UsageResponse) -> serde_json::Value {
    let sources = answer.sources.iter().map(|source| {
        serde_json::json!({
            "ingester": source.ingester,
            "sinceUnixNs": source.since_unix_ns.to_string(),
            "error": source.error,
        })
    });
    let rows = answer.rows.iter().map(|row| {
        serde_json::json!({
            "tenant": row.tenant,
            "what": words(row.fate()).0,
            "door": row.door,
            "reason": row.reason,
            "count": row.count,
            "bytes": row.bytes,
            "samples": row.samples,
        })
    });
    serde_json::json!({
        "ingesters": sources.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use cairn_wire::cairn::ingest::v1::UsageSource;

    use super::*;

    #[test]
    fn people_see_what_was_lost_and_why() {
        let row = |fate: Fate, reason: &str, bytes| UsageRow {
            tenant: "anonymous".to_owned(),
            fate: fate.into(),
            door: "Otlp".to_owned(),
            reason: reason.to_owned(),
            count: 2,
            bytes,
            samples: u64::from(fate == Fate::Stored) * 9,
        };
        let source = |error: &str| UsageSource {
            ingester: "a".to_owned(),
            since_unix_ns: 1_700_000_000_000_000_000,
            error: error.to_owned(),
        };
        let answer = UsageResponse {
            sources: vec![source(""), source("no answer within 2 s")],
            rows: vec![
                row(Fate::Stored, "", 2048),
                row(Fate::Refused, "time", 7),
                row(Fate::Altered, "truncated_stacks", 0),
            ],
        };
        let text = as_text(&answer);
        let expected = "\
ingester \"a\": since 2023-11-14T22:13:20Z
ingester \"a\": not counted: no answer within 2 s

TENANT     WHAT     DOOR  REASON            COUNT       BYTES
anonymous  stored   Otlp  -                 2 profiles  2.0 KiB  9 samples
anonymous  refused  Otlp  time              2 profiles  7 B
anonymous  altered  Otlp  truncated_stacks  2 parts     -

altered: changed or left out of profiles that are stored
refused: discarded: it can never be stored
";
        assert_eq!(text, expected);
        assert_eq!(as_json(&answer)["rows"][0]["bytes"], 2048);
    }
}
