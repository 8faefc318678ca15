//! Parts of pushes as messages between ingesters. What comes in is checked here, once.

use std::sync::Arc;

use cairn_catalog::SHARDS;
use cairn_model::{Tables, TenantId};
use cairn_pprof::{ExecutableInfo, LoadSegment};
use cairn_wal::{Encoding, pack, pack_tables};
use cairn_wire::cairn::ingest::v1 as wire;
use cairn_wire::cairn::ingest::v1::Format;
use cairn_wire::cairn::ingest::v1::store_response::Outcome as WireOutcome;

use super::split::Part;
use crate::error::{Error, Refusal};
use crate::prepare::place;
use crate::push::{Door, Naming, Outcome, Push, Raw, Series};
use crate::writer::Stored;

/// What another ingester passed on.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) part: Part,
    /// Of the map by which the sender found this ingester.
    pub(crate) epoch: u64,
}

/// Bytes of a message besides those of profiles and labels that some door has let in.
pub(crate) const OVERHEAD_BYTES_MAX: usize = 1 << 20;
/// Characters of one reason that an answer repeats.
const REASON_CHARS_MAX: usize = 1_000;

// === requests ===

pub(super) fn request(part: &Part, epoch: u64) -> wire::StoreRequest {
    let Push {
        tenant,
        door,
        sender: _,
        received,
        from,
        until,
        normalized,
        series,
        tables,
    } = &part.push;
    let door = match door {
        Door::WriteRaw => wire::Door::WriteRaw,
        Door::Ingest => wire::Door::Ingest,
        Door::Push => wire::Door::Push,
        Door::Otlp => wire::Door::Otlp,
        Door::WriteArrow => wire::Door::WriteArrow,
        Door::Write => wire::Door::Write,
        Door::Profiles => wire::Door::Profiles,
        // Nothing is passed on twice.
        Door::Forward => wire::Door::Unspecified,
    };
    let series = series.iter().zip(&part.shards);
    let writer = Writer {
        shared: part.push.shared(),
        packed: tables.len(),
    };
    let tables = tables.iter().cloned();
    let shared = writer.shared.iter();
    let shared = shared.map(|tables| pack_tables(tables).into());
    wire::StoreRequest {
        tenant: tenant.to_string(),
        epoch,
        door: door.into(),
        received_unix_ns: *received,
        from_unix_ns: *from,
        until_unix_ns: *until,
        format: Format::from(part.push.encoding()).into(),
        normalized: *normalized,
        tables: tables.chain(shared).collect(),
        series: series
            .map(|(series, shard)| writer.series(series, *shard))
            .collect(),
    }
}

/// Writes profiles beside their tables.
struct Writer<'a> {
    shared: Vec<&'a Arc<Tables>>,
    /// How many tables come before the shared ones.
    packed: usize,
}

impl Writer<'_> {
    fn series(&self, series: &Series, shard: u16) -> wire::Series {
        let Series {
            labels,
            naming,
            profiles,
            sample_rate,
            sample_type_config,
        } = series;
        let pairs = |pairs: &[(String, String)]| -> Vec<wire::Label> {
            let label = |(name, value): &(String, String)| wire::Label {
                name: name.clone(),
                value: value.clone(),
            };
            pairs.iter().map(label).collect()
        };
        wire::Series {
            shard: shard.into(),
            labels: pairs(labels),
            naming: match naming {
                Naming::Required => None,
                Naming::ByTypes(display) => Some(wire::Naming {
                    display_names: pairs(display),
                }),
            },
            profiles: profiles.iter().map(|raw| self.profile(raw)).collect(),
            sample_rate: *sample_rate,
            sample_type_config: sample_type_config.clone(),
        }
    }

    fn profile(&self, raw: &Raw) -> wire::RawProfile {
        let executable = |info: &ExecutableInfo| wire::Executable {
            elf_type: info.elf_type,
            load_segment: info.load_segment.map(|segment| wire::LoadSegment {
                offset: segment.offset,
                vaddr: segment.vaddr,
            }),
        };
        let (profile, tables, content) = match raw {
            Raw::Pprof { bytes, executables } => {
                return wire::RawProfile {
                    profile: bytes.clone(),
                    executables: executables.iter().map(executable).collect(),
                    ..wire::RawProfile::default()
                };
            }
            Raw::Decoded { profile, content } => {
                let is_its = |shared: &&Arc<Tables>| Arc::ptr_eq(shared, &profile.tables);
                let at = self.shared.iter().position(is_its).unwrap_or_default();
                (pack(profile).into(), (self.packed + at) as u32, content)
            }
            Raw::Packed {
                bytes,
                tables,
                content,
            } => (bytes.clone(), *tables, content),
        };
        wire::RawProfile {
            profile,
            tables,
            content: content.to_vec().into(),
            ..wire::RawProfile::default()
        }
    }
}

pub(crate) fn read(request: wire::StoreRequest) -> Result<Forwarded, Error> {
    let door = match request.door() {
        wire::Door::WriteRaw => Door::WriteRaw,
        wire::Door::Ingest => Door::Ingest,
        wire::Door::Push => Door::Push,
        wire::Door::Otlp => Door::Otlp,
        wire::Door::WriteArrow => Door::WriteArrow,
        wire::Door::Write => Door::Write,
        wire::Door::Profiles => Door::Profiles,
        wire::Door::Unspecified => {
            let text = format!("door {} is not known", request.door);
            return Err(Error::Malformed(text));
        }
    };
    let encoding = match request.format() {
        // Ingesters that know one format don't name it.
        Format::Pprof | Format::Unspecified => Encoding::Pprof,
        Format::Shared => Encoding::Packed,
        Format::Packed => {
            // Its senders keep trying until it is of this version too.
            return Err(Error::Owner {
                code: cairn_model::Code::Unavailable,
                text: "packed profiles of ingesters of earlier versions are not taken".to_owned(),
            });
        }
    };
    let wire::StoreRequest {
        tenant,
        epoch,
        door: _,
        received_unix_ns,
        from_unix_ns,
        until_unix_ns,
        format: _,
        normalized,
        series,
        tables,
    } = request;
    let tenant = TenantId::parse(&tenant).map_err(|error| Error::Malformed(error.to_string()))?;
    let shard = |series: &wire::Series| match u16::try_from(series.shard) {
        Ok(shard) if shard < SHARDS => Ok(shard),
        _ => Err(Error::Malformed(format!(
            "there is no shard {}",
            series.shard
        ))),
    };
    let shards: Result<Vec<u16>, Error> = series.iter().map(shard).collect();
    let push = Push {
        tenant,
        door,
        // Whoever took it in knows.
        sender: Default::default(),
        received: received_unix_ns,
        from: from_unix_ns,
        until: until_unix_ns,
        normalized,
        series: series
            .into_iter()
            .map(|series| read_series(series, encoding))
            .collect::<Result<_, Error>>()?,
        tables,
    };
    let part = Part::new(push, shards?);
    Ok(Forwarded { part, epoch })
}

fn read_series(series: wire::Series, encoding: Encoding) -> Result<Series, Error> {
    let wire::Series {
        shard: _,
        labels,
        naming,
        profiles,
        sample_rate,
        sample_type_config,
    } = series;
    let pairs = |labels: Vec<wire::Label>| -> Vec<(String, String)> {
        let labels = labels.into_iter();
        labels.map(|label| (label.name, label.value)).collect()
    };
    let profiles = profiles.into_iter();
    let profiles = profiles.map(|raw| read_profile(raw, encoding));
    Ok(Series {
        labels: pairs(labels),
        naming: match naming {
            None => Naming::Required,
            Some(naming) => Naming::ByTypes(pairs(naming.display_names)),
        },
        profiles: profiles.collect::<Result<_, Error>>()?,
        sample_rate,
        sample_type_config,
    })
}

fn read_profile(raw: wire::RawProfile, encoding: Encoding) -> Result<Raw, Error> {
    let wire::RawProfile {
        profile,
        executables,
        tables,
        content,
    } = raw;
    if encoding != Encoding::Pprof {
        let content = content[..].try_into();
        let content = content.map_err(|_| {
            Error::Malformed("what tells a profile that is sent again has 16 bytes".to_owned())
        })?;
        return Ok(Raw::Packed {
            bytes: profile,
            tables,
            content,
        });
    }
    let executable = |info: wire::Executable| ExecutableInfo {
        elf_type: info.elf_type,
        load_segment: info.load_segment.map(|segment| LoadSegment {
            offset: segment.offset,
            vaddr: segment.vaddr,
        }),
    };
    Ok(Raw::Pprof {
        bytes: profile,
        executables: executables.into_iter().map(executable).collect(),
    })
}

// === answers ===

pub(crate) fn not_owner(epoch: u64) -> wire::StoreResponse {
    wire::StoreResponse {
        outcome: Some(WireOutcome::NotOwner(wire::NotOwner { epoch })),
    }
}

pub(crate) fn stored(mut outcome: Outcome) -> wire::StoreResponse {
    outcome.shorten();
    let Outcome {
        stored,
        refused,
        more,
        newest: _,
    } = outcome;
    let Stored {
        profiles,
        samples,
        repeats,
        bytes: _,
    } = stored;
    let stored = wire::Stored {
        profiles: profiles as u64,
        samples: samples as u64,
        repeats: repeats as u64,
        refused: (refused.len() + more) as u64,
        refusals: refused.into_iter().filter_map(write_refusal).collect(),
    };
    wire::StoreResponse {
        outcome: Some(WireOutcome::Stored(stored)),
    }
}

fn write_refusal(refusal: Refusal) -> Option<wire::Refusal> {
    let Refusal {
        place,
        reason,
        kind,
        bytes: _,
    } = refusal;
    // What is passed on has a place.
    let (series, sample) = place.position()?;
    Some(wire::Refusal {
        series: u32::try_from(series).ok()?,
        profile: sample.and_then(|sample| u32::try_from(sample).ok()),
        reason: reason.chars().take(REASON_CHARS_MAX).collect(),
        kind: kind.to_owned(),
    })
}

/// What an owner said about a part; `Err` holds the epoch of its map, if it is not the owner.
pub(super) fn outcome(
    response: wire::StoreResponse,
    part: &Part,
) -> Result<Result<Outcome, u64>, Error> {
    let strange = || Error::Owner {
        code: cairn_model::Code::Internal,
        text: "the answer of another ingester makes no sense".to_owned(),
    };
    let stored = match response.outcome.ok_or_else(strange)? {
        WireOutcome::NotOwner(wire::NotOwner { epoch }) => return Ok(Err(epoch)),
        WireOutcome::Stored(stored) => stored,
    };
    let wire::Stored {
        profiles,
        samples,
        repeats,
        refused,
        refusals,
    } = stored;
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let refusals: Option<Vec<Refusal>> = refusals
        .into_iter()
        .map(|refusal| read_refusal(refusal, part))
        .collect();
    let refusals = refusals.ok_or_else(strange)?;
    // The owner counts what it did: no more than it got.
    let all = part.push.profiles().max(part.push.series.len());
    let outcome = Outcome {
        stored: Stored {
            profiles: count(profiles).min(all),
            samples: count(samples),
            repeats: count(repeats).min(all),
            bytes: 0,
        },
        more: count(refused).min(all).saturating_sub(refusals.len()),
        refused: refusals,
        newest: None,
    };
    Ok(Ok(Part::placed(part.places(), outcome)))
}

/// None if it is about something that the part doesn't hold.
fn read_refusal(refusal: wire::Refusal, part: &Part) -> Option<Refusal> {
    let wire::Refusal {
        series: at,
        profile,
        reason,
        kind,
    } = refusal;
    let at = usize::try_from(at).ok()?;
    let series = part.push.series.get(at)?;
    let sample = profile.map(usize::try_from).transpose().ok()?;
    if sample.is_some_and(|sample| sample >= series.profiles.len()) {
        return None;
    }
    let kinds = ["labels", "profile", "time"];
    Some(Refusal {
        place: place(at, sample, series),
        reason,
        kind: kinds
            .into_iter()
            .find(|known| *known == kind)
            .unwrap_or("other"),
        bytes: 0,
    })
}

#[cfg(test)]
mod tests;
