//! Agents that put files into a real object store themselves.

use cairn_model::Secret;
use cairn_store::S3;
use cairn_symbolizer::{Config, SignedUrls};
use cairn_testkit::servers::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedFs};
use cairn_wire::cairn::symbols::v1::Addressing;
use cairn_wire::parca::debuginfo::v1alpha1::upload_instructions::UploadStrategy;
use tonic::Code;

use crate::http::send;
use crate::parca::{Agent, Said};
use crate::server::{Server, config, native};
use crate::{IN_MIX, WORK_PIE, chain};

async fn start(bucket: &str) -> Server {
    let store = SeaweedFs::shared();
    store.create_bucket(bucket);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config {
        store: cairn_store::Config {
            s3: Some(S3 {
                bucket: bucket.to_owned(),
                prefix: "clusters/a".to_owned(),
                endpoint: store.endpoint(),
                allow_http: true,
                access_key_id: ACCESS_KEY_ID.to_owned(),
                secret_access_key: Secret::new(SECRET_ACCESS_KEY),
                ..S3::default()
            }),
            ..cairn_store::Config::default()
        },
        ..config(&folder)
    };
    config.upload.signed_urls = SignedUrls::Auto;
    Server::start_with(config, folder).await
}

/// Puts as an agent does, and gives the status.
fn put(url: &str, bytes: &[u8]) -> u16 {
    tokio::task::block_in_place(|| send("PUT", url, "application/octet-stream", bytes)).status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_puts_itself_is_checked_when_it_is_complete() {
    let server = start("signed").await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    let said = Said::of(WORK_PIE, &elf);
    let to = agent.initiate(&said).await.expect("wanted");
    assert_eq!(to.upload_strategy(), UploadStrategy::SignedUrl);
    // The URL is good for this one object.
    let elsewhere = to.signed_url.replace("incoming", "file");
    assert_eq!(put(&elsewhere, &elf), 403);
    let early = agent.finish(&to).await.expect_err("nothing is there");
    assert_eq!(early.code(), Code::FailedPrecondition, "{early:?}");

    // Another size, or another content of the same size.
    let mut flipped = elf.clone();
    flipped[100] ^= 1;
    for (wrong, text) in [(&elf[1..], "bytes"), (&flipped[..], "hash")] {
        let to = match text {
            "bytes" => to.clone(),
            _ => agent.initiate(&said).await.expect("the other was given up"),
        };
        assert_eq!(put(&to.signed_url, wrong), 200);
        let refused = agent.finish(&to).await.expect_err("not what was announced");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(text), "{refused:?}");
    }

    let to = agent.initiate(&said).await.expect("wanted");
    assert_eq!(put(&to.signed_url, &elf), 200);
    agent.finish(&to).await.expect("complete");
    // Whoever has the URL changes nothing any more.
    put(&to.signed_url, b"something else");
    agent.finish(&to).await.expect("complete already");
    let answer = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");

    // The store is the one way, as it is at Parca.
    let said = Said {
        force: true,
        ..said
    };
    let to = agent.initiate(&said).await.expect("forced");
    let refused = agent.send(&to, &elf).await.expect_err("not here");
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
    server.stop().await;
}
