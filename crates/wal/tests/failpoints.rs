//! A process that dies at each named place leaves a log that can be recovered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::WriterId;
use cairn_store::Store;
use cairn_wal::{DurableLog, Lease, LogReader, ObjectLog, Outside, Payload, points};
use futures::FutureExt;

fn outside() -> Outside {
    Outside {
        instant: Arc::new(instant),
        sleep: Arc::new(|duration| Box::pin(tokio::time::sleep(duration))),
        random: Arc::new(|| 7),
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
fn instant() -> Instant {
    Instant::now()
}

fn payload(id: u8) -> Payload {
    Payload {
        bytes: vec![id],
        hashes: Vec::new(),
    }
}

#[tokio::test]
async fn a_crash_at_any_named_place_loses_nothing_acknowledged() {
    let scenario = fail::FailScenario::setup();
    for point in points::ALL {
        let store = Store::memory();
        let id = WriterId::parse("w").expect("valid");
        let reader = LogReader::new(store.clone(), id.clone(), 1);
        let lease = Lease::new(instant() + Duration::from_secs(60));
        let mut log = ObjectLog::new(store, (id, 1), lease, outside());
        let first = log.append(vec![payload(1)], 0).await;
        assert_eq!(first.expect("stored"), 1);

        fail::cfg(point, "panic").expect("a valid action");
        let append = std::panic::AssertUnwindSafe(log.append(vec![payload(2)], 0));
        let appended = append.catch_unwind().await;
        let in_log = match point {
            points::BEFORE_PUT => 1,
            _ => 2,
        };
        let is_writers = ![points::BEFORE_FENCE, points::AFTER_FENCE].contains(&point);
        assert_eq!(appended.is_err(), is_writers, "{point}");
        let out = outside();
        let fence = std::panic::AssertUnwindSafe(reader.fence(0, 0, &out)).catch_unwind();
        assert_eq!(fence.await.is_err(), !is_writers, "{point}");
        fail::remove(point);

        let end = reader.fence(0, 0, &out).await.expect("fenced once");
        assert_eq!(end, in_log + 1, "{point}");
        let listing = reader.segments(0).await.expect("listed");
        assert!(listing.is_fenced && listing.end == end, "{point}");
        let mut found = Vec::new();
        for segment in &listing.segments {
            let segment = reader.read(segment).await.expect("intact");
            found.extend(segment.entries().map(|(_, bytes)| bytes[0]));
        }
        assert_eq!(found, Vec::from_iter(1..=in_log as u8), "{point}");
        drop(log);
    }
    scenario.teardown();
}
