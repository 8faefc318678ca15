use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use cairn_chassis::FakeClock;
use cairn_model::{BlockId, TenantId};
use prometheus_client::registry::Registry;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// How long the next reads take, and whether they fail then. One is the number that it gives.
#[derive(Debug)]
struct Slow {
    clock: Clock,
    begun: AtomicU64,
    script: Mutex<Vec<(Duration, bool)>>,
}

impl Reads for Slow {
    fn read<'a>(&'a self, key: Key<'a>, _: &'a [Range<u64>]) -> Read<'a> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let mut script = self.script.lock();
        let (takes, fails) = match script.is_empty() {
            true => (MS, false),
            false => script.remove(0),
        };
        async move {
            self.clock.sleep(takes).await;
            match fails {
                true => Err(Error::NotFound {
                    key: key.to_string(),
                }),
                false => Ok(vec![number.to_string().into()]),
            }
        }
        .boxed()
    }
}

struct Stand {
    fake: FakeClock,
    slow: Arc<Slow>,
    hedged: Hedged,
}

impl Stand {
    /// Where a read takes one millisecond as a rule, and every other one may be sent again.
    async fn new() -> Self {
        let fake = FakeClock::at(0);
        let slow = Arc::new(Slow {
            clock: fake.clock(),
            begun: AtomicU64::new(0),
            script: Mutex::default(),
        });
        let hedge = Hedge {
            share: 0.5,
            after_min: 5 * MS,
        };
        let metrics = Metrics::register(&mut Registry::default());
        let hedged = Hedged::new(slow.clone(), hedge, fake.clock(), metrics);
        let stand = Self { fake, slow, hedged };
        for _ in 0..40 {
            stand.read(&[]).await.expect("an answer");
        }
        stand.slow.begun.store(0, Ordering::Relaxed);
        stand
    }

    /// The answer of a read, and after how many milliseconds it came.
    async fn read(&self, script: &[(u32, bool)]) -> Result<(String, u32), Error> {
        *self.slow.script.lock() = script
            .iter()
            .map(|(ms, fails)| (*ms * MS, *fails))
            .collect();
        let (tenant, id) = (TenantId::anonymous(), BlockId::new(1, 1));
        let key = Key::Block {
            tenant: &tenant,
            id,
        };
        let mut read = Reads::read(&self.hedged, key, &[]);
        for ms in 0..1_000 {
            for _ in 0..10 {
                if let Poll::Ready(answer) = futures::poll!(&mut read) {
                    let text = answer.map(|parts| String::from_utf8_lossy(&parts[0]).into_owned());
                    return text.map(|text| (text, ms));
                }
            }
            self.fake.advance(MS);
        }
        panic!("no answer in a second")
    }

    fn counts(&self) -> (u64, u64) {
        let reads = &self.hedged.metrics.reads;
        (reads.hedged.get(), reads.won.get())
    }
}

#[tokio::test]
async fn a_slow_read_is_sent_again_and_the_first_answer_counts() {
    let stand = Stand::new().await;
    // As usual, or not long enough for a second try.
    assert_eq!(stand.read(&[(1, false)]).await.unwrap(), ("0".into(), 1));
    assert_eq!(stand.read(&[(5, false)]).await.unwrap(), ("1".into(), 5));
    assert_eq!(stand.counts(), (0, 0));
    // The second one is faster, then the first.
    let second = stand.read(&[(100, false), (3, false)]).await.unwrap();
    assert_eq!((second, stand.counts()), (("3".into(), 8), (1, 1)));
    let first = stand.read(&[(7, false), (50, false)]).await.unwrap();
    assert_eq!((first, stand.counts()), (("4".into(), 7), (2, 1)));
}

#[tokio::test]
async fn a_failure_counts_only_if_both_fail() {
    let stand = Stand::new().await;
    let second = stand.read(&[(6, true), (9, false)]).await.unwrap();
    assert_eq!((second, stand.counts()), (("1".into(), 14), (1, 1)));
    let first = stand.read(&[(30, false), (1, true)]).await.unwrap();
    assert_eq!((first, stand.counts()), (("2".into(), 30), (2, 1)));
    assert!(stand.read(&[(30, true), (1, true)]).await.is_err());
    // One that fails in time is not sent again.
    assert!(stand.read(&[(2, true)]).await.is_err());
    assert_eq!(stand.counts(), (3, 1));
}

#[tokio::test]
async fn what_is_slow_for_a_while_is_usual() {
    let stand = Stand::new().await;
    for _ in 0..60 {
        let slow = [(7, false), (20, false)];
        stand.read(&slow).await.unwrap();
    }
    let (hedged, won) = stand.counts();
    assert!((1..=5).contains(&hedged), "{hedged} of 60");
    assert_eq!(won, 0);
}
