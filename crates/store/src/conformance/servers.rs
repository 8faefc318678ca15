//! The contract over real servers, and `object_store`'s own checks of what we use of it.

use std::sync::Arc;

use cairn_model::Secret;
use cairn_testkit::servers::{ACCESS_KEY_ID, Moto, SECRET_ACCESS_KEY, SeaweedFs};
use object_store::memory::InMemory;
use object_store::{ObjectStore, integration};

use super::{contract, long_log_contract};
use crate::{Config, Error, S3, Store};

fn s3(endpoint: String, bucket: &str, prefix: &str) -> Config {
    Config {
        s3: Some(S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint,
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: Secret::new(SECRET_ACCESS_KEY),
            allow_http: true,
            ..S3::default()
        }),
        ..Config::default()
    }
}

/// Fails unless two clusters in one bucket keep the contract and don't see each other.
async fn two_clusters(endpoint: String, bucket: &str) {
    let open = async |prefix| {
        let config = s3(endpoint.clone(), bucket, prefix);
        Store::open(&config, 1).await.expect("it enforces creates")
    };
    contract(&open("clusters/one").await).await;
    let other = open("clusters/one-more").await;
    contract(&other).await;
    long_log_contract(&other).await;
}

/// What `object_store` demands of a store, as far as Cairn uses it.
async fn objects_contract(objects: &dyn ObjectStore) {
    integration::get_opts(objects).await;
    integration::list_uses_directories_correctly(objects).await;
    integration::list_with_delimiter(objects).await;
    integration::list_with_offset_exclusivity(objects).await;
    let missing = integration::get_nonexistent_object(objects, None).await;
    missing.expect_err("there is no such object");
}

fn objects(config: &Config) -> Arc<dyn ObjectStore> {
    config.connect().expect("the settings work").objects
}

#[tokio::test]
async fn object_stores_own_checks_pass_in_memory_and_in_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = objects(&Config::folder(folder.path()));
    integration::put_opts(&folder, false).await;
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    integration::put_opts(&memory, true).await;
    for objects in [folder, memory] {
        integration::put_get_delete_list(&objects).await;
        objects_contract(&objects).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_keeps_the_contract() {
    let server = SeaweedFs::shared();
    server.create_bucket("contract");
    two_clusters(server.endpoint(), "contract").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_stores_own_checks_pass_on_seaweedfs() {
    let server = SeaweedFs::shared();
    server.create_bucket("objects");
    let objects = objects(&s3(server.endpoint(), "objects", ""));
    // Not `put_get_delete_list`: a listing from an offset that names a folder leaves the folder
    // out. Our offsets name segments of logs.
    integration::put_opts(&objects, true).await;
    objects_contract(&objects).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_keeps_the_contract() {
    let server = Moto::start();
    server.create_bucket("contract");
    two_clusters(server.endpoint(), "contract").await;
    server.create_bucket("objects");
    let objects = objects(&s3(server.endpoint(), "objects", ""));
    integration::put_get_delete_list(&objects).await;
    integration::put_opts(&objects, true).await;
    objects_contract(&objects).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_bucket_is_said_at_start() {
    let server = SeaweedFs::shared();
    server.create_bucket("guarded");
    let open = async |change: fn(&mut S3)| {
        let mut config = s3(server.endpoint(), "guarded", "");
        change(config.s3.as_mut().expect("it is set"));
        let error = Store::open(&config, 1).await.expect_err("it can't work");
        let mut said = String::new();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            said += &format!("{error}\n");
            cause = error.source();
        }
        assert!(matches!(error, Error::Open { .. }), "{said}");
        said
    };
    let said = open(|s3| s3.bucket = "no-such-bucket".to_owned()).await;
    assert!(said.contains("no such bucket"), "{said}");
    let said = open(|s3| s3.secret_access_key = Secret::new("wrong")).await;
    assert!(said.contains("SignatureDoesNotMatch"), "{said}");
    assert!(!said.contains("wrong"), "{said}");
}
