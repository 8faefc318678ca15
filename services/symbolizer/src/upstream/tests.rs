use std::time::Duration;

use cairn_chassis::FakeClock;
use prometheus_client::registry::Registry;

use super::*;

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../../tests/integration/upstream/fake.rs"]
mod fake;

use fake::{Answer, Fake};

const TTL: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(30);

fn upstream(fakes: &[&Fake], clock: &FakeClock) -> Upstream {
    let server = |fake: &&Fake| UpstreamServer {
        url: fake.url(),
        ..UpstreamServer::default()
    };
    let config = UpstreamConfig {
        servers: fakes.iter().map(server).collect(),
        absence_ttl: TTL,
        pause: PAUSE,
        failures_max: 2,
        ..UpstreamConfig::default()
    };
    let metrics = Metrics::register(&mut Registry::default());
    Upstream::new(&config, metrics, clock.clock()).expect("good settings")
}

fn build_id() -> BuildId {
    BuildId::parse("abcd12").expect("valid")
}

#[tokio::test]
async fn existence_is_asked_without_fetching() {
    let (nothing, get_only, whole) = (
        Fake::start().await,
        Fake::start().await,
        Fake::start().await,
    );
    nothing.say("executable", Answer::File(vec![1; 5]));
    get_only.say("debuginfo", Answer::GetOnly(vec![1; 5]));
    whole.say("debuginfo", Answer::File(vec![1; 5]));
    let clock = FakeClock::at(0);
    let path = |method, artifact| format!("{method} /buildid/abcd12/{artifact}");

    let some = upstream(&[&nothing, &get_only], &clock);
    assert!(some.exists(&build_id()).await.expect("an answer"));
    assert_eq!(nothing.asked(), [path("HEAD", "debuginfo")]);
    assert_eq!(get_only.asked()[1..], [path("GET", "debuginfo")]);
    assert!(get_only.heads()[1].contains("range: bytes=0-0\r\n"));

    let some = upstream(&[&whole], &clock);
    assert!(some.exists(&build_id()).await.expect("an answer"));
    assert_eq!(whole.asked(), [path("HEAD", "debuginfo")]);

    let none = upstream(&[], &clock);
    assert!(!none.exists(&build_id()).await.expect("an answer"));
    let odd = BuildId::parse("go/abc").expect("valid");
    assert!(!some.exists(&odd).await.expect("an answer"));
}

#[tokio::test]
async fn absences_expire_and_an_error_is_none() {
    let fake = Fake::start().await;
    let clock = FakeClock::at(0);
    let upstream = upstream(&[&fake], &clock);
    let exists = async || upstream.exists(&build_id()).await;
    for _ in 0..3 {
        assert!(!exists().await.expect("an answer"));
    }
    assert_eq!(fake.asked().len(), 1);
    fake.say("debuginfo", Answer::File(vec![1]));
    assert!(!exists().await.expect("an answer"), "it is remembered");
    clock.advance(TTL);
    assert!(exists().await.expect("an answer"));

    fake.say("debuginfo", Answer::Status(500));
    for _ in 0..2 {
        exists().await.expect_err("it is not known");
    }
    let asked = fake.asked().len();
    let told = exists().await.expect_err("it is left alone").to_string();
    assert!(told.contains("left alone for a while"), "{told}");
    assert_eq!(fake.asked().len(), asked);
    fake.say("debuginfo", Answer::File(vec![1]));
    clock.advance(PAUSE);
    assert!(exists().await.expect("an answer"));
}

#[test]
fn addresses_of_servers_are_checked() {
    for (url, told) in [
        ("debuginfod.example", "relative URL"),
        ("ftp://debuginfod.example", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://x.example/?a=b", "what follows the path"),
        ("https://me:secret@x.example", "token_file"),
    ] {
        let config = UpstreamConfig {
            servers: vec![UpstreamServer {
                url: url.to_owned(),
                ..UpstreamServer::default()
            }],
            ..UpstreamConfig::default()
        };
        let metrics = Metrics::register(&mut Registry::default());
        let refused = Upstream::new(&config, metrics, FakeClock::at(0).clock()).err();
        let refused = format!("{:#}", refused.expect("refused"));
        assert!(refused.contains(told), "{url}: {refused}");
    }
}
