//! Reads what a catalog can be made of.

use anyhow::Context;
use cairn_block::{Block, Error, Origins};
use cairn_catalog::{BlockMeta, Found, FoundLog};
use cairn_model::{BlockId, TenantId, WriterId};
use cairn_store::{BlockObject, Store};
use cairn_wal::{Listing, LogReader};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};

/// Blocks that are read at the same time.
const READS: usize = 32;

/// All that is in the bucket.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) blocks: Vec<Found>,
    pub(super) logs: Vec<FoundLog>,
    /// Blocks that can't be read, and why.
    pub(super) damaged: Vec<(TenantId, BlockId, String)>,
}

impl Survey {
    /// Looks at every block and at the ends of every log.
    pub(super) async fn of(store: &Store) -> anyhow::Result<Self> {
        let mut survey = Self::default();
        let progress = progress();
        for tenant in store.list_tenants().await.context("list tenants")? {
            survey.read_blocks(store, &tenant, &progress).await?;
        }
        for (writer, incarnation) in store.list_logs().await.context("list logs")? {
            let log = log(store, &writer, incarnation).await;
            let log = log.with_context(|| format!("read the log of {writer}/{incarnation}"))?;
            survey.logs.extend(log);
        }
        progress.finish_and_clear();
        Ok(survey)
    }

    async fn read_blocks(
        &mut self,
        store: &Store,
        tenant: &TenantId,
        progress: &ProgressBar,
    ) -> anyhow::Result<()> {
        let listed = store.list_blocks(tenant).await;
        let listed = listed.with_context(|| format!("list blocks of {tenant}"))?;
        progress.inc_length(listed.len() as u64);
        let read = async |object: BlockObject| (object.id, block(store, tenant, object).await);
        let mut reads = futures::stream::iter(listed).map(read).buffered(READS);
        while let Some((id, read)) = reads.next().await {
            progress.inc(1);
            match read {
                Ok(found) => self.blocks.push(found),
                // Deleted since it was listed.
                Err(Error::NotFound(_)) => {}
                Err(error @ (Error::Corrupt { .. } | Error::UnsupportedVersion(_))) => {
                    let why = error.to_string();
                    self.damaged.push((tenant.clone(), id, why));
                }
                // A store that fails for a moment must not look like one without blocks.
                Err(error) => {
                    let what = format!("read block {id} of {tenant}");
                    return Err(anyhow::Error::new(error).context(what));
                }
            }
        }
        Ok(())
    }
}

/// From where to where a log goes, if anything of it is left.
async fn log(
    store: &Store,
    writer: &WriterId,
    incarnation: u64,
) -> Result<Option<FoundLog>, cairn_wal::Error> {
    let reader = LogReader::new(store.clone(), writer.clone(), incarnation);
    let Listing {
        segments,
        end,
        is_fenced,
    } = reader.all().await?;
    let is_there = is_fenced || !segments.is_empty();
    Ok(is_there.then(|| FoundLog {
        writer: writer.clone(),
        incarnation,
        first: segments.first().map_or(end, |segment| segment.first),
        end,
        is_fenced,
    }))
}

/// What the end of a block says.
async fn block(store: &Store, tenant: &TenantId, object: BlockObject) -> Result<Found, Error> {
    let BlockObject { id, bytes } = object;
    let block = Block::open(store, tenant, id, Some(bytes)).await?;
    let info = block.info();
    let Origins {
        stretches,
        unknown,
        siblings,
    } = block.origins();
    Ok(Found {
        meta: BlockMeta {
            id,
            tenant: tenant.clone(),
            level: u32::from(block.level()),
            range: info.range,
            bytes,
            rows: info.rows,
            profiles: info.profiles,
            created_unix_ms: i64::try_from(id.unix_ms()).unwrap_or(i64::MAX),
        },
        origins: stretches,
        unknown,
        siblings,
    })
}

fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} blocks, {eta} left");
    ProgressBar::new(0).with_style(style.expect("a valid template"))
}
