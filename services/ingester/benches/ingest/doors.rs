//! What other formats than pprof take from the door to the acknowledgement, per second of CPU of
//! the whole process; the log is on a disk, with a sync before every answer.

use bytes::Bytes;
use cairn_ingester::Config;
use cairn_ingester::bench::Pushes;
use cairn_parca::write;

use crate::{config, cpu};

#[path = "../../../../crates/otlp/benches/decode/request.rs"]
mod otlp;
#[path = "../../../../crates/parca/benches/decode/load.rs"]
mod parca;
#[path = "../../../../crates/jfr/benches/decode/large.rs"]
mod recording;
#[path = "../../../../crates/jfr/tests/jfr/writer.rs"]
#[expect(dead_code, reason = "the tests use more of the writer")]
mod writer;

/// Passes, of which the median counts.
const PASSES: usize = 5;

#[derive(Clone, Copy)]
enum Door {
    Otlp,
    WriteArrow,
    Recording,
}

/// Requests of one kind, sent one after the other.
struct Case {
    name: &'static str,
    door: Door,
    body: Bytes,
    samples: usize,
    /// Times that the request is sent.
    count: usize,
}

fn cases() -> Vec<Case> {
    let otlp = |name, profiles| Case {
        name,
        door: Door::Otlp,
        body: otlp::request(profiles, false).into(),
        samples: otlp::SAMPLES,
        count: 2,
    };
    let arrow = |(name, shape)| Case {
        name,
        door: Door::WriteArrow,
        body: write::v2(&parca::samples(shape)).into(),
        samples: parca::ROWS,
        count: 100,
    };
    let mut cases = vec![otlp("otlp, 1 profile", 1), otlp("otlp, 200 profiles", 200)];
    let shapes = [
        ("arrow, 1 label set", "one"),
        ("arrow, 500, own stacks", "own"),
        ("arrow, 500, any stacks", "any"),
    ];
    cases.extend(shapes.map(arrow));
    cases.push(Case {
        name: "jfr",
        door: Door::Recording,
        body: recording::large().into(),
        samples: usize::try_from(recording::EVENTS).unwrap(),
        count: 2,
    });
    cases
}

pub(crate) fn print() {
    println!("formats, from the door to the acknowledgement, per second of CPU:");
    let wanted: Vec<String> = std::env::args()
        .skip_while(|arg| arg != "doors")
        .skip(1)
        .collect();
    let is_wanted =
        |case: &Case| wanted.is_empty() || wanted.iter().any(|name| case.name.starts_with(name));
    for case in cases().into_iter().filter(is_wanted) {
        let mut rates: Vec<(f64, f64)> = (0..PASSES).map(|_| case.pass()).collect();
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ((slowest, _), (median, bytes)) = (rates[0], rates[PASSES / 2]);
        let fastest = rates[PASSES - 1].0;
        println!(
            "{:<23} {median:5.2} M samples/s ({slowest:.2} to {fastest:.2})  {bytes:6.1} MB/s",
            case.name
        );
    }
}

impl Case {
    /// Millions of samples and of bytes.
    fn pass(&self) -> (f64, f64) {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let config = Config {
            // The same is sent over and over.
            dedup_window: std::time::Duration::ZERO,
            ..config(folder.path())
        };
        runtime.block_on(async {
            let pushes = Pushes::open(config).await.unwrap();
            let start = cpu();
            for _ in 0..self.count {
                self.send(&pushes).await;
            }
            let spent = cpu() - start;
            pushes.close().await.unwrap();
            let rate = |each: usize| (each * self.count) as f64 / spent / 1e6;
            (rate(self.samples), rate(self.body.len()))
        })
    }

    async fn send(&self, pushes: &Pushes) {
        let body = self.body.clone();
        let sent = match self.door {
            Door::Otlp => pushes.otlp(body).await,
            Door::WriteArrow => pushes.write_arrow(body).await,
            Door::Recording => pushes.ingest("name=cart&format=jfr", body).await,
        };
        sent.unwrap();
    }
}
