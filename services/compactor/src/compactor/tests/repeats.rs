//! What several blocks hold counts once, and goes when they are merged.

use super::*;

/// A round for every closed window until nothing is due; gives the live blocks.
async fn settled(world: &mut World, tenant: &TenantId) -> Vec<BlockMeta> {
    for _ in 0..8 {
        world.compactor.round().await;
    }
    world.blocks(tenant).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_in_blocks_that_are_never_merged_with_each_other_counts_once() {
    let mut world = World::new().await;
    world.compactor.config.plan.job_blocks_max = 2;
    let tenant = TenantId::anonymous();
    let store = world.compactor.store.clone();
    // Blocks are merged in pairs; batch 7 is in both pairs, and so is batch 8 the other way round.
    for (minute, batch) in [(1, 7), (2, 1), (3, 8), (4, 2)] {
        world.add(&tenant, minute, batch).await;
    }
    let once = answer(&world.catalog, &store, &tenant).await;
    for (minute, batch) in [(1, 7), (3, 8)] {
        world.add(&tenant, minute, batch).await;
    }
    let mut inputs = world.blocks(&tenant).await;
    assert_ne!(answer(&world.catalog, &store, &tenant).await, once);
    inputs.sort_by_key(|block| block.id);
    world.clock.advance(Duration::from_secs(20 * 60));
    // The later deliveries first, then each pair on its own.
    for pair in [[4, 1], [5, 3], [0, 2]] {
        let job = Job {
            tenant: tenant.clone(),
            level: 1,
            inputs: pair.map(|at| inputs[at].clone()).to_vec(),
        };
        let mut live = world.blocks(&tenant).await;
        world.compactor.job(job, &mut live).await;
        live.sort_by_key(|block| block.id);
        assert_eq!(live, world.blocks(&tenant).await);
    }
    assert_eq!(answer(&world.catalog, &store, &tenant).await, once);
    let levels: Vec<u32> = world
        .blocks(&tenant)
        .await
        .iter()
        .map(|b| b.level)
        .collect();
    assert_eq!(levels, [1, 1, 1]);
    assert!(world.compactor.metrics.repeated_profiles.get() > 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_again_after_its_window_was_merged_is_dropped() {
    let mut world = World::new().await;
    let tenant = TenantId::anonymous();
    let store = world.compactor.store.clone();
    // A position of its own for the one that comes late, but is the first in order.
    world.lsn = 5;
    world.writer = WriterId::parse("x").expect("valid");
    let registration = Registration::continued(world.writer.clone(), "nowhere");
    world
        .catalog
        .register(registration)
        .await
        .expect("registered");
    world.lsn = 0;
    for (minute, batch) in [(1, 7), (2, 3)] {
        world.add(&tenant, minute, batch).await;
    }
    let once = answer(&world.catalog, &store, &tenant).await;
    world.clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
    let merged = settled(&mut world, &tenant).await;
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0].level, 3);
    world.writer = WriterId::parse("w").expect("valid");
    let lsn = std::mem::take(&mut world.lsn);
    world.add(&tenant, 1, 7).await;
    world.lsn += lsn;
    let resent_within = world.compactor.config.plan.resent_within;
    world.clock.advance(resent_within);
    let live = settled(&mut world, &tenant).await;
    assert_eq!(answer(&world.catalog, &store, &tenant).await, once);
    assert!(live.iter().all(|block| block.level == 3), "{live:?}");
    assert_eq!(
        live.len(),
        2,
        "the merged one gave up what the late one holds"
    );
    // And one that is the last in order leaves nothing.
    world.writer = WriterId::parse("x").expect("valid");
    world.lsn = 2;
    world.add(&tenant, 1, 7).await;
    world.clock.advance(resent_within);
    let live = settled(&mut world, &tenant).await;
    let mut profiles: Vec<u64> = live.iter().map(|block| block.profiles).collect();
    profiles.sort_unstable();
    assert_eq!(profiles[0], 0, "a block that says where nothing is left");
    assert_eq!(live.len(), 3);
    assert_eq!(answer(&world.catalog, &store, &tenant).await, once);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_looks_at_what_came_meanwhile() {
    let mut world = World::new().await;
    let tenant = TenantId::anonymous();
    for minute in 1..3 {
        world.add(&tenant, minute, 7 + u128::from(minute)).await;
    }
    let mut live = world.blocks(&tenant).await;
    let job = Job {
        tenant: tenant.clone(),
        level: 1,
        inputs: live.clone(),
    };
    world.add(&tenant, 1, 8).await;
    let now = world.blocks(&tenant).await;
    world.compactor.job(job.clone(), &mut live).await;
    assert_eq!(world.blocks(&tenant).await, now);
    let label = JobLabel {
        level: 1,
        outcome: Outcome::Outrun,
    };
    assert_eq!(world.compactor.metrics.jobs.get_or_create(&label).get(), 1);
    let mut live = now;
    world.add(&tenant, 2, 55).await;
    world.compactor.job(job, &mut live).await;
    let now = world.blocks(&tenant).await;
    assert_eq!(live, now, "what came meanwhile has nothing in common");
    assert_eq!(now.iter().filter(|block| block.level == 1).count(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_two_writers_stored_counts_once_afterwards() {
    let mut world = World::new().await;
    let tenant = TenantId::anonymous();
    world.add(&tenant, 1, 7).await;
    let once = answer(&world.catalog, &world.compactor.store, &tenant).await;
    world.add(&tenant, 1, 7).await;
    world.clock.advance(Duration::from_secs(20 * 60));
    world.compactor.round().await;
    assert_eq!(
        answer(&world.catalog, &world.compactor.store, &tenant).await,
        once
    );
    world.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_writing_and_compacting_changes_an_answer(
        steps in prop::collection::vec((prop::collection::vec(0u32..300, 0..12), 1u64..400), 1..6),
        job_bytes_max in 20_000u64..200_000,
        stacks_bytes_max in 10_000u64..200_000,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut world = World::new().await;
            world.compactor.config.plan.job_bytes_max = ByteSize::b(job_bytes_max);
            world.compactor.config.stacks_bytes_max = ByteSize::b(stacks_bytes_max);
            let tenant = TenantId::anonymous();
            let mut model = Model::new();
            for (minutes, pass) in steps {
                for minute in minutes {
                    world.add(&tenant, minute, 0).await;
                }
                let before = answer(&world.catalog, &world.compactor.store, &tenant).await.expect("nothing is deleted");
                for (row, value) in &model {
                    assert!(before[row] >= *value, "{row:?} was lost");
                }
                world.clock.advance(Duration::from_secs(pass * 60));
                world.compactor.round().await;
                model = answer(&world.catalog, &world.compactor.store, &tenant).await.expect("nothing is deleted");
                assert_eq!(model, before);
            }
            world.stop().await;
        });
    }

    #[test]
    fn whatever_came_again_is_there_once_when_everything_is_merged(
        steps in prop::collection::vec((prop::collection::vec(((0u32..9).prop_map(|n| 11 * n), 0usize..3), 0..8), 1u64..400), 1..5),
        job_blocks_max in 2usize..5,
        job_bytes_max in 20_000u64..200_000,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (mut world, mut once) = (World::new().await, World::new().await);
            world.compactor.config.plan.job_bytes_max = ByteSize::b(job_bytes_max);
            world.compactor.config.plan.job_blocks_max = job_blocks_max;
            let tenant = TenantId::anonymous();
            let writers = ["a", "b", "c"].map(|name| WriterId::parse(name).expect("valid"));
            let mut lsns = [0; 3];
            for writer in &writers {
                let registration = Registration::continued(writer.clone(), "nowhere");
                world.catalog.register(registration).await.expect("registered");
            }
            let mut sent = std::collections::HashSet::new();
            for (adds, pass) in steps {
                for (minute, writer) in adds {
                    (world.writer, world.lsn) = (writers[writer].clone(), lsns[writer]);
                    world.add(&tenant, minute, u128::from(minute) + 1).await;
                    lsns[writer] += 1;
                    if sent.insert(minute) {
                        once.add(&tenant, minute, 0).await;
                    }
                }
                world.clock.advance(Duration::from_secs(pass * 60));
                world.compactor.round().await;
            }
            world.clock.advance(Duration::from_secs(3 * 24 * 60 * 60));
            let live = settled(&mut world, &tenant).await;
            assert!(live.iter().all(|block| block.level > 0), "{live:?}");
            let found = answer(&world.catalog, &world.compactor.store, &tenant).await;
            let expected = answer(&once.catalog, &once.compactor.store, &tenant).await;
            assert_eq!(found, expected);
            world.stop().await;
            once.stop().await;
        });
    }
}
