//! What is asked and told about repeats, on the wire.

use cairn_model::TimeRange;
use cairn_wire::cairn::query::v1 as wire;

use crate::repeats::{Ask, Delivery, Sent, SourceId, Stretch, Told};

/// Somebody's hash of a batch has not sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a batch has {0} bytes")]
pub struct InvalidBatch(usize);

pub(super) fn ask(ask: &Ask) -> wire::Repeats {
    wire::Repeats {
        tell_stretches: ask.stretches,
        tell_deliveries_of: ask.deliveries.iter().copied().collect(),
        without: ask.without.iter().map(delivery).collect(),
        // Entries count from 1.
        until_lsn: ask.until.unwrap_or(0),
    }
}

pub(super) fn read_ask(repeats: wire::Repeats) -> Result<Ask, InvalidBatch> {
    let without = repeats.without.iter().map(read_delivery);
    Ok(Ask {
        stretches: repeats.tell_stretches,
        deliveries: repeats.tell_deliveries_of.into_iter().collect(),
        without: without.collect::<Result<_, _>>()?,
        until: Some(repeats.until_lsn).filter(|until| *until > 0),
    })
}

pub(super) fn tell(told: &Told, trailer: &mut wire::ScanTrailer) {
    trailer.stretches = told.stretches.iter().map(stretch).collect();
    trailer.deliveries = told.deliveries.iter().map(delivery).collect();
    trailer.told_in_part = told.is_cut_off;
    trailer.last_lsn = told.last.unwrap_or(0);
}

/// What a trailer tells.
pub fn told(trailer: &wire::ScanTrailer) -> Result<Told, InvalidBatch> {
    let stretches = trailer.stretches.iter().map(read_stretch);
    let deliveries = trailer.deliveries.iter().map(read_delivery);
    Ok(Told {
        stretches: stretches.collect(),
        deliveries: deliveries.collect::<Result<_, _>>()?,
        is_cut_off: trailer.told_in_part,
        last: Some(trailer.last_lsn).filter(|last| *last > 0),
    })
}

fn stretch(stretch: &Stretch) -> wire::Stretch {
    wire::Stretch {
        source: stretch.source.0,
        series: stretch.series,
        time_min: stretch.times.start,
        time_max: stretch.times.end,
    }
}

fn read_stretch(stretch: &wire::Stretch) -> Stretch {
    Stretch {
        source: SourceId(stretch.source),
        series: stretch.series,
        times: TimeRange {
            start: stretch.time_min,
            end: stretch.time_max,
        },
    }
}

fn delivery(delivery: &Delivery) -> wire::Delivery {
    let Delivery { sent, source, lsn } = delivery;
    wire::Delivery {
        source: source.0,
        lsn: *lsn,
        series: sent.series,
        batch: sent.batch.to_le_bytes().to_vec().into(),
        time: sent.time,
        total: sent.total,
    }
}

fn read_delivery(delivery: &wire::Delivery) -> Result<Delivery, InvalidBatch> {
    let batch = delivery.batch.as_ref().try_into();
    let batch = batch.map_err(|_| InvalidBatch(delivery.batch.len()))?;
    Ok(Delivery {
        sent: Sent {
            series: delivery.series,
            batch: u128::from_le_bytes(batch),
            time: delivery.time,
            total: delivery.total,
        },
        source: SourceId(delivery.source),
        lsn: delivery.lsn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_survives_the_trailer() {
        let source = SourceId(u64::MAX);
        let whole = Told {
            stretches: vec![Stretch {
                source,
                series: 4,
                times: TimeRange { start: -5, end: 9 },
            }],
            deliveries: vec![Delivery {
                sent: Sent {
                    series: 4,
                    batch: u128::MAX - 7,
                    time: -1,
                    total: i64::MIN,
                },
                source,
                lsn: 8,
            }],
            is_cut_off: true,
            last: Some(8),
        };
        for expected in [whole, Told::default()] {
            let mut trailer = wire::ScanTrailer::default();
            tell(&expected, &mut trailer);
            assert_eq!(told(&trailer), Ok(expected));
        }
    }
}
