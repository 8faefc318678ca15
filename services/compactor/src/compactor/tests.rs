//! Compaction against a real catalog and store: queries answer the same before, during and after.

mod repeats;
mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use cairn_block::{Block, Head, Origin, Stacks, Stretch, write};
use cairn_catalog::{Node, Registration, RemoteParts};
use cairn_chassis::{FakeClock, Process, Routes};
use cairn_model::{Labels, WriterId};
use cairn_testkit::generator::{Generator, Spec};
use proptest::prelude::*;
use tonic::transport::Endpoint;

use super::*;

const START: i64 = 1_699_920_000_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// Type, labels, time and the names of a stack -> value.
type Model = BTreeMap<(String, String, i64, Vec<String>), i64>;

/// A process with a catalog and a compactor that goes round when told.
struct World {
    clock: FakeClock,
    process: Process,
    node: Node,
    catalog: Client,
    compactor: Compactor,
    writer: WriterId,
    lsn: u64,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = FakeClock::at(START);
        let now = clock.clock();
        let now = Arc::new(move || now.now() / 1_000_000);
        let node = Node::alone(folder.path(), now).await.expect("opened");
        let catalog = node.client();
        let mut options = cairn_chassis::Options::for_tests();
        options.clock = clock.clock();
        let process = Process::bind(options, &["catalog"]).await.expect("bound");
        let routes = Routes::new().grpc(node.catalog_service());
        process.run("catalog", |cx| async move { cx.serve(routes).await });
        process.ready().await;
        let writer = WriterId::parse("w").expect("valid");
        let registration = Registration::continued(writer.clone(), "nowhere");
        catalog.register(registration).await.expect("registered");
        let cx = process.context("compactor");
        let endpoint = Endpoint::from_shared(format!("http://{}", process.address()));
        let channel = endpoint.expect("an address").connect_lazy();
        let compactor = Compactor {
            config: Config::default(),
            store: Store::memory(),
            catalog: Client::remote(RemoteParts {
                addresses: vec![process.address().to_string()],
                connect: Arc::new(move |_| Ok(channel.clone())),
                seed: 1,
            }),
            metrics: cx.metrics(Metrics::register),
            quarantine: HashMap::new(),
            full: HashMap::new(),
            swept: None,
            cx,
        };
        Self {
            clock,
            process,
            node,
            catalog,
            compactor,
            writer,
            lsn: 0,
            _folder: folder,
        }
    }

    /// Stores and commits a block of a minute of profiles, as an ingester would.
    async fn add(&mut self, tenant: &TenantId, minute: u32, batch: u128) -> BlockMeta {
        let head = head((minute, 6), self.lsn + 1, batch);
        self.add_head(tenant, &head).await
    }

    async fn add_head(&mut self, tenant: &TenantId, head: &Head) -> BlockMeta {
        self.lsn += 1;
        let origins = Stretch {
            writer: self.writer.clone(),
            incarnation: 0,
            from: self.lsn,
            to: self.lsn,
        };
        let options = cairn_block::Options {
            origins: vec![origins],
            ..cairn_block::Options::default()
        };
        let built = write(head, options).expect("written");
        let id = BlockId::new(self.lsn, self.compactor.cx.random().u128());
        let key = Key::Block { tenant, id };
        self.compactor
            .store
            .create(key, built.bytes)
            .await
            .expect("stored");
        let meta = BlockMeta {
            id,
            tenant: tenant.clone(),
            level: 0,
            range: built.info.range,
            bytes: built.info.bytes,
            rows: built.info.rows,
            profiles: built.info.profiles,
            created_unix_ms: self.clock.clock().now() / 1_000_000,
        };
        let lsns = (self.lsn, self.lsn);
        let committed = self
            .catalog
            .commit(&self.writer, 1, lsns, vec![meta.clone()]);
        committed.await.expect("committed");
        meta
    }

    async fn blocks(&self, tenant: &TenantId) -> Vec<BlockMeta> {
        let snapshot = self.catalog.snapshot(tenant).await;
        snapshot.expect("it answers").blocks
    }

    async fn stop(self) {
        self.process.stop().await.expect("stopped");
        self.node.shutdown().await.expect("stopped");
    }

    async fn stored(&self, tenant: &TenantId) -> usize {
        let listed = self.compactor.store.list_blocks(tenant).await;
        listed.expect("listed").len()
    }

    /// Puts other bytes in a block's place.
    async fn overwrite(&self, block: &BlockMeta, bytes: Bytes) {
        let key = Key::Block {
            tenant: &block.tenant,
            id: block.id,
        };
        self.compactor.store.delete(key).await.expect("deleted");
        self.compactor
            .store
            .create(key, bytes)
            .await
            .expect("stored");
    }
}

fn head((minute, samples): (u32, u32), lsn: u64, batch: u128) -> Head {
    let generator = Generator::new(Spec {
        services: 2,
        samples,
        stacks: samples * 9,
        ..Spec::default()
    });
    let mut head = Head::default();
    for service in 0..2 {
        let origin = Origin {
            name: "cpu".into(),
            labels: generator.labels(service, minute % 2),
            time: START + i64::from(minute) * MINUTE,
            lsn,
            batch,
        };
        let profile = generator.profile(service, minute % 2, minute);
        head.append(&profile, &origin).expect("it fits");
    }
    head
}

/// What a query of everything that the catalog lists adds up to; unreadable blocks are left out.
/// `None` if a block is gone: the clock of these tests may jump beyond what a query may take.
async fn answer(catalog: &Client, store: &Store, tenant: &TenantId) -> Option<Model> {
    let mut model = Model::new();
    for meta in catalog.snapshot(tenant).await.expect("it answers").blocks {
        let block = match Block::open(store, tenant, meta.id, Some(meta.bytes)).await {
            Err(cairn_block::Error::NotFound(_)) => return None,
            block => block.expect("opened"),
        };
        let loaded = match block.load().await {
            Err(cairn_block::Error::NotFound(_)) => return None,
            loaded => loaded.expect("read"),
        };
        let index = &loaded.index;
        let stacks = loaded.stacks.unpack().expect("decoded");
        for part in &loaded.rows {
            let mut visit = |first: u64, rows: &cairn_block::SampleColumns| {
                for at in 0..rows.len() {
                    let row = first + at as u64;
                    let profile = index.profiles.partition_point(|p| p.rows.start <= row) - 1;
                    let profile = &index.profiles[profile];
                    let labels: &Labels = &index.label_sets[profile.label_set as usize];
                    let key = (
                        index.types[profile.profile_type as usize].to_string(),
                        labels.to_string(),
                        profile.time,
                        stack(&stacks, rows.stacks[at]),
                    );
                    *model.entry(key).or_default() += rows.values[at] * profile.scale;
                }
            };
            part.visit(&mut visit).expect("decoded");
        }
    }
    Some(model)
}

fn stack(stacks: &Stacks, stack: u32) -> Vec<String> {
    let symbols = &stacks.symbols;
    let name = |location: u32| {
        let names = symbols.lines(location).iter();
        let names = names.map(|line| symbols.str(symbols.functions[line.function as usize].name));
        let address = symbols.locations[location as usize].address;
        format!("{address:x} {}", names.collect::<Vec<_>>().join(";"))
    };
    let node = stacks.nodes[stack as usize];
    stacks.trie.stack(node).map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_stay_the_same_while_blocks_become_fewer() {
    let mut world = World::new().await;
    let tenants = ["a", "b"].map(|name| TenantId::parse(name).expect("valid"));
    for minute in 0..200 {
        world.add(&tenants[minute as usize % 2], minute, 0).await;
    }
    let store = world.compactor.store.clone();
    let before = answer(&world.catalog, &store, &tenants[0]).await;
    let before = before.expect("nothing is deleted yet");
    assert!(!before.is_empty());
    let (done, mut stop) = tokio::sync::oneshot::channel::<()>();
    let mut readers = tokio::task::JoinSet::new();
    let (catalog, tenant, expected) = (world.catalog.clone(), tenants[0].clone(), before.clone());
    let shared = store.clone();
    readers.spawn(async move {
        let mut reads = 0;
        while stop.try_recv().is_err() {
            if let Some(found) = answer(&catalog, &shared, &tenant).await {
                assert_eq!(found, expected);
                reads += 1;
            }
        }
        reads
    });
    for minutes in [20, 20, 100, 100, 24 * 60, 24 * 60] {
        world.clock.advance(Duration::from_secs(minutes * 60));
        world.compactor.round().await;
    }
    done.send(()).expect("the reader lives");
    let reads = readers.join_next().await.expect("there is a reader");
    assert!(reads.expect("every answer was the same") > 0);
    for tenant in &tenants {
        let blocks = world.blocks(tenant).await;
        assert_eq!(blocks.len(), 1, "{blocks:?}");
        assert_eq!(blocks[0].level, 3);
        // What was replaced in an earlier round is old enough to be gone.
        assert_eq!(world.stored(tenant).await, 1);
    }
    let after = answer(&world.catalog, &store, &tenants[0]).await;
    assert_eq!(after, Some(before));
    assert_eq!(
        world.catalog.expired(i64::MAX).await.expect("it answers"),
        []
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_blocks_outlive_the_queries_that_read_them() {
    let mut world = World::new().await;
    let tenant = TenantId::anonymous();
    for minute in 0..3 {
        world.add(&tenant, minute, 0).await;
    }
    world.clock.advance(Duration::from_secs(20 * 60));
    world.compactor.round().await;
    assert_eq!(world.blocks(&tenant).await.len(), 1);
    assert_eq!(world.stored(&tenant).await, 4);
    world.clock.advance(Duration::from_secs(29 * 60));
    world.compactor.round().await;
    assert_eq!(world.stored(&tenant).await, 4);
    world.clock.advance(Duration::from_secs(60));
    world.compactor.round().await;
    assert_eq!(world.stored(&tenant).await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_blocks_are_left_out_and_the_rest_is_merged() {
    let mut world = World::new().await;
    let tenant = TenantId::anonymous();
    let mut blocks = Vec::new();
    for minute in 0..5 {
        blocks.push(world.add(&tenant, minute, 0).await);
    }
    let missing = Key::Block {
        tenant: &tenant,
        id: blocks[1].id,
    };
    world
        .compactor
        .store
        .delete(missing)
        .await
        .expect("deleted");
    let damaged = Key::Block {
        tenant: &tenant,
        id: blocks[3].id,
    };
    let mut bytes = world
        .compactor
        .store
        .get(damaged)
        .await
        .expect("there")
        .to_vec();
    bytes[100] ^= 4;
    world.overwrite(&blocks[3], bytes.into()).await;
    world.clock.advance(Duration::from_secs(20 * 60));
    for _ in 0..2 {
        world.compactor.round().await;
        let live: Vec<BlockId> = world
            .blocks(&tenant)
            .await
            .iter()
            .map(|block| block.id)
            .collect();
        assert_eq!(live.len(), 3, "{live:?}");
        assert!(live.contains(&blocks[1].id) && live.contains(&blocks[3].id));
        assert_eq!(world.compactor.metrics.quarantined.get(), 2);
    }
    let label = JobLabel {
        level: 1,
        outcome: Outcome::Done,
    };
    assert_eq!(world.compactor.metrics.jobs.get_or_create(&label).get(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_memory_does_not_suffice_for_are_left_alone() {
    let mut world = World::new().await;
    world.compactor.config.stacks_bytes_max = ByteSize::b(1);
    let tenant = TenantId::anonymous();
    for minute in 0..3 {
        world.add(&tenant, minute, 0).await;
    }
    let live = world.blocks(&tenant).await;
    world.clock.advance(Duration::from_secs(20 * 60));
    let jobs = |world: &World, outcome| {
        let label = JobLabel { level: 1, outcome };
        world.compactor.metrics.jobs.get_or_create(&label).get()
    };
    // Each try finds one that is too large; none is tried twice.
    for tried in [1, 2, 2] {
        world.compactor.round().await;
        assert_eq!(world.blocks(&tenant).await, live);
        assert_eq!(jobs(&world, Outcome::Skipped), tried);
        assert_eq!(world.compactor.metrics.full.get(), tried as i64);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_with_too_many_stacks_leaves_the_others_to_be_merged() {
    let mut world = World::new().await;
    let tenant = TenantId::anonymous();
    let large = world.add_head(&tenant, &head((0, 3000), 1, 0)).await;
    let mut small = Vec::new();
    for minute in 1..4 {
        let meta = world.add(&tenant, minute, 0).await;
        small.push(world.compactor.load(&meta).await.expect("read"));
    }
    let fits = |bytes: &usize| cairn_block::merge(&small, 1, *bytes).is_ok();
    let room = (10..30).map(|power| 1 << power).find(fits).expect("some");
    world.compactor.config.stacks_bytes_max = ByteSize::b(room as u64);
    world.clock.advance(Duration::from_secs(20 * 60));
    let before = answer(&world.catalog, &world.compactor.store, &tenant).await;
    for _ in 0..2 {
        world.compactor.round().await;
    }
    let full: Vec<&BlockId> = world.compactor.full.keys().collect();
    assert_eq!(full, [&large.id]);
    let levels: Vec<u32> = world
        .blocks(&tenant)
        .await
        .iter()
        .map(|b| b.level)
        .collect();
    assert_eq!(levels, [0, 1]);
    let after = answer(&world.catalog, &world.compactor.store, &tenant).await;
    assert_eq!(after, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compactor_that_was_outrun_leaves_nothing_behind() {
    let mut world = World::new().await;
    let tenant = TenantId::anonymous();
    let mut inputs = Vec::new();
    for minute in 0..3 {
        inputs.push(world.add(&tenant, minute, 0).await);
    }
    let late = Job {
        tenant: tenant.clone(),
        level: 1,
        inputs: inputs.clone(),
    };
    world.clock.advance(Duration::from_secs(20 * 60));
    world.compactor.round().await;
    let (live, stored) = (world.blocks(&tenant).await, world.stored(&tenant).await);
    world.compactor.job(late, &mut inputs).await;
    assert_eq!(world.blocks(&tenant).await, live);
    assert_eq!(world.stored(&tenant).await, stored);
    world.stop().await;
}

/// As in a process that stops with its ingester, and the catalog in it.
#[tokio::test]
async fn a_round_that_gets_no_answer_does_not_hold_up_the_stop() {
    let World {
        clock,
        process,
        node,
        compactor,
        ..
    } = World::new().await;
    node.shutdown().await.expect("stopped");
    let catalog = compactor.catalog.clone();
    let compactor = Compactor {
        catalog: catalog.with_patience(Duration::from_secs(3_600)),
        ..compactor
    };
    let mut running = tokio::task::JoinSet::new();
    running.spawn(compactor.run());
    let pass = async |seconds| {
        for _ in 0..seconds {
            clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    pass(100).await;
    assert!(running.try_join_next().is_none(), "nothing stopped it yet");
    process.stop().await.expect("stopped");
    pass(100).await;
    let ended = running.try_join_next();
    assert!(ended.is_some(), "it still waits for the catalog");
}
