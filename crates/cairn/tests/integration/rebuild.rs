//! A catalog made anew of what a Cairn left in its store.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use cairn_catalog::State;
use cairn_model::{BlockId, TenantId, WriterId};
use cairn_store::{Config, Key, Store};
use cairn_testkit::ledger;
use cairn_testkit::process::binary;

use crate::cairn::{Cairn, PATIENCE};
use crate::crash::{LABELS, profile, stored};

const SETTINGS: [(&str, &str); 2] = [
    ("CAIRN__SELF_PROFILE__ENABLED", "false"),
    ("CAIRN__INGESTER__TAIL__FLUSH_INTERVAL", "150ms"),
];

fn rebuild(folder: &Path, args: &[&str]) -> (Output, String) {
    let output = Command::new(binary("cairn"))
        .args(["catalog", "rebuild", "--store", "store"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    (output, said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_and_the_position_of_the_log_come_back_from_the_store_alone() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &SETTINGS);
    let client = cairn.connect().await;
    let path = data.path().join("store");
    let store = Store::open(&Config::folder(path), 1).await.unwrap();
    let tenant = TenantId::anonymous();
    for number in 0..3u64 {
        client.push(profile(number), &LABELS).await.unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while (store.list_blocks(&tenant).await.unwrap().len() as u64) <= number {
            assert!(tokio::time::Instant::now() < deadline, "{}", cairn.output());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    cairn.stop();
    let garbage = Key::Block {
        tenant: &tenant,
        id: BlockId::new(1, 1),
    };
    store.create(garbage, "garbage".into()).await.unwrap();

    let (output, said) = rebuild(data.path(), &["--dry-run"]);
    assert!(output.status.success(), "{output:?}");
    for line in [
        "4 blocks found",
        "  live: 3, 3 rows, ",
        "damaged, and left out: 1",
        "/0: in blocks up to 3, what follows is on the writer's disk",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("conflicts"), "{said}");

    let (output, _) = rebuild(data.path(), &["--out", "catalog.json"]);
    assert!(output.status.success(), "{output:?}");
    let written = std::fs::read(data.path().join("catalog.json")).unwrap();
    let state: State = serde_json::from_slice(&written).unwrap();
    let mut listed = store.list_blocks(&tenant).await.unwrap();
    listed.retain(|object| object.id != BlockId::new(1, 1));
    let live: Vec<_> = state
        .snapshot(&tenant)
        .blocks
        .iter()
        .map(|b| b.id)
        .collect();
    assert_eq!(
        live,
        listed.iter().map(|object| object.id).collect::<Vec<_>>()
    );
    let id = cairn_ingester::Config::default().writer;
    let writer = state.writer(&WriterId::parse(&id).unwrap()).unwrap();
    assert_eq!(writer.flushed_lsn, 3);

    let (again, _) = rebuild(data.path(), &["--out", "catalog.json"]);
    assert!(!again.status.success(), "no file is overwritten");
    let (nowhere, _) = rebuild(data.path(), &["--dry-run", "--store", "nowhere"]);
    assert!(!nowhere.status.success());
    assert!(!data.path().join("nowhere").exists());

    // Without its catalog, Cairn goes on with the one that was made anew.
    std::fs::remove_dir_all(data.path().join("ingester/catalog")).unwrap();
    let restore = data.path().join("catalog.json");
    let restore = (
        "CAIRN__INGESTER__CATALOG__RESTORE",
        restore.to_str().unwrap(),
    );
    let cairn = Cairn::start(data.path(), &[SETTINGS[0], SETTINGS[1], restore]);
    cairn
        .connect()
        .await
        .push(profile(3), &LABELS)
        .await
        .unwrap();
    let found = stored(&cairn).await;
    let expected = (0..4).map(|attempt| (attempt, ledger::value(attempt)));
    assert_eq!(found, expected.collect());
    cairn.stop();
}
