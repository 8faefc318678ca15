//! Cairn over a bucket instead of a folder, set by the environment as in a container.

use std::time::Duration;

use cairn_model::{Secret, TenantId, TimeRange};
use cairn_store::{S3, Store};
use cairn_testkit::process::{binary, spawn};
use cairn_testkit::servers::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedFs};

use crate::cairn::{Cairn, PATIENCE};
use crate::crash::{LABELS, profile};

const SERVICES: [&str; 4] = ["INGESTER", "QUERIER", "SYMBOLIZER", "COMPACTOR"];
const PROFILES: u64 = 5;

/// Settings of a bucket for every service.
fn settings(endpoint: &str, bucket: &str) -> Vec<(String, String)> {
    let mut all = vec![
        (
            "CAIRN__SELF_PROFILE__ENABLED".to_owned(),
            "false".to_owned(),
        ),
        (
            "CAIRN__INGESTER__TAIL__FLUSH_INTERVAL".to_owned(),
            "150ms".to_owned(),
        ),
    ];
    for service in SERVICES {
        let mut set = |name: &str, value: &str| {
            let name = format!("CAIRN__{service}__STORE__S3__{name}");
            all.push((name, value.to_owned()));
        };
        set("BUCKET", bucket);
        set("PREFIX", "clusters/a");
        set("ENDPOINT", endpoint);
        set("ALLOW_HTTP", "true");
        set("ACCESS_KEY_ID", ACCESS_KEY_ID);
        set("SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    }
    all
}

fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = settings.iter();
    pairs.map(|(name, value)| (&name[..], &value[..])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_back_from_blocks_in_a_bucket() {
    let server = SeaweedFs::shared();
    server.create_bucket("blocks");
    let settings = settings(&server.endpoint(), "blocks");
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &borrowed(&settings));
    let client = cairn.connect().await;
    for number in 0..PROFILES {
        client.push(profile(number), &LABELS).await.unwrap();
    }
    let config = cairn_store::Config {
        s3: Some(S3 {
            bucket: "blocks".to_owned(),
            prefix: "clusters/a".to_owned(),
            endpoint: server.endpoint(),
            allow_http: true,
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: Secret::new(SECRET_ACCESS_KEY),
            ..S3::default()
        }),
        ..cairn_store::Config::default()
    };
    let store = Store::open(&config, 1).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while store
        .list_blocks(&TenantId::anonymous())
        .await
        .unwrap()
        .is_empty()
    {
        assert!(tokio::time::Instant::now() < deadline, "{}", cairn.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cairn.kill();

    let cairn = Cairn::start(data.path(), &borrowed(&settings));
    let selector = r#"crash:cpu:count:cpu:count{service_name="crash"}"#;
    let merged = cairn.connect().await.merged(selector, TimeRange::ALL).await;
    let (merged, warnings) = merged.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(merged.tables.functions.len() as u64, PROFILES);
    assert!(
        !data.path().join("store").exists(),
        "the folder is not used"
    );
    cairn.stop();
}

#[test]
fn a_bucket_that_is_not_there_is_named_and_nothing_starts() {
    let server = SeaweedFs::shared();
    let settings = settings(&server.endpoint(), "no-such-bucket");
    let data = tempfile::tempdir().unwrap();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--data",
    ];
    let args = args
        .iter()
        .map(AsRef::as_ref)
        .chain([data.path().as_os_str()]);
    let mut process = spawn(binary("cairn"), args, &borrowed(&settings));
    assert!(!process.wait(PATIENCE).success());
    let said = process.output();
    assert!(said.contains("no such bucket"), "{said}");
    assert!(said.contains("bucket no-such-bucket"), "{said}");
    assert!(!said.contains(SECRET_ACCESS_KEY), "{said}");
}

#[test]
fn the_settings_of_a_bucket_are_shown_without_the_secret() {
    let settings = settings("https://s3.test", "profiles");
    let mut process = spawn(binary("cairn"), ["config"], &borrowed(&settings));
    assert!(process.wait(PATIENCE).success(), "{}", process.output());
    let shown = process.output();
    assert_eq!(
        shown.matches("bucket: profiles").count(),
        SERVICES.len(),
        "{shown}"
    );
    assert_eq!(
        shown.matches("secret_access_key: '***'").count(),
        SERVICES.len(),
        "{shown}"
    );
    assert!(!shown.contains(SECRET_ACCESS_KEY), "{shown}");
}

#[test]
fn a_misspelt_setting_of_a_bucket_is_refused() {
    let settings = [("CAIRN__INGESTER__STORE__S3__BUKKET", "profiles")];
    let mut process = spawn(binary("cairn"), ["config"], &settings);
    assert!(!process.wait(PATIENCE).success());
    let said = process.output();
    assert!(said.contains("bukket"), "{said}");
}
