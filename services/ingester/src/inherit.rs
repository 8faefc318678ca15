//! What a writer that crashed has stored, for the one who takes over its shards: its clients may
//! send again what it stored and could not acknowledge any more.
//!
//! Owns reading what was stored; which pushes have to wait for it is the router's business.

use std::sync::Arc;

use anyhow::Context as _;
use cairn_catalog::Client;
use cairn_chassis::{Clock, Context};
use cairn_model::WriterId;
use cairn_store::Store;
use cairn_wal::{Content, LogReader, Outside, SegmentRef};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::recover::sealed;
use crate::route::{Connect, Inherit, Map, Peer, Peers, Predecessor, Shards};
use crate::writer::Writer;

/// Headers that are fetched at the same time.
const READS: usize = 32;

/// The shard map as the catalog has it.
struct CatalogMap(Client);

#[tonic::async_trait]
impl Map for CatalogMap {
    async fn fetch(&self) -> anyhow::Result<Shards> {
        let shards = self.0.shards().await.context("ask for the shard map")?;
        let owner = |(shard, owner): (u16, &Option<cairn_catalog::Owner>)| {
            owner.as_ref().map(|owner| (shard, owner.writer.clone()))
        };
        let peer = |(id, place): (&WriterId, &cairn_catalog::Place)| Peer {
            id: id.clone(),
            incarnation: place.incarnation,
            log: place.log,
            address: place.address.clone(),
            zone: place.zone.clone(),
        };
        let gone = |(writer, incarnation): &(WriterId, u64)| Predecessor {
            writer: writer.clone(),
            incarnation: *incarnation,
        };
        Ok(Shards {
            epoch: shards.epoch,
            owners: (0..).zip(&shards.owners).filter_map(owner).collect(),
            writers: shards.writers.iter().map(peer).collect(),
            sealed: shards.sealed.iter().map(gone).collect(),
        })
    }
}

/// Reads logs of writers that crashed.
struct Heir {
    catalog: Client,
    store: Store,
    outside: Outside,
    clock: Clock,
    /// Profiles that were stored longer ago may be stored again.
    window: i64,
    writer: Writer,
}

/// What an ingester among others needs of the catalog and of the store.
pub(crate) fn peers(
    (cx, catalog): (&Context, &Client),
    store: &Store,
    writer: &Writer,
    dedup_window: std::time::Duration,
) -> Peers {
    let connect: Connect = cx.connector();
    Peers {
        map: Arc::new(CatalogMap(catalog.clone())),
        connect,
        inherit: Arc::new(Heir {
            catalog: catalog.clone(),
            store: store.clone(),
            outside: crate::log::outside(cx),
            clock: cx.clock(),
            window: i64::try_from(dedup_window.as_nanos()).unwrap_or(i64::MAX),
            writer: writer.clone(),
        }),
    }
}

#[tonic::async_trait]
impl Inherit for Heir {
    async fn inherit(&self, predecessor: &Predecessor) -> anyhow::Result<()> {
        let Predecessor {
            writer,
            incarnation,
        } = predecessor;
        let reader = LogReader::new(self.store.clone(), writer.clone(), *incarnation);
        let now = self.clock.now();
        // One that is not sealed any more was recovered, or ended in order: nothing is added to it.
        if let Some(flushed) = sealed(&self.catalog, writer, *incarnation).await? {
            let fenced = reader.fence(flushed, now, &self.outside).await;
            fenced.context("put a fence behind the log")?;
        }
        let listing = reader.all().await.context("list the log")?;
        let hashes = |segment: SegmentRef| {
            let reader = reader.clone();
            async move { reader.header(&segment).await }.boxed()
        };
        let mut headers = futures::stream::iter(listing.segments)
            .map(hashes)
            .buffered(READS);
        while let Some(header) = headers.try_next().await.context("read the log")? {
            let Content::Segment(entries) = header.content else {
                continue;
            };
            if header.place.made < now.saturating_sub(self.window) {
                continue;
            }
            let hashes = entries.into_iter().flat_map(|entry| entry.hashes);
            let noted = self.writer.note(hashes.collect()).await;
            noted.map_err(|error| anyhow::anyhow!("note what is stored: {error}"))?;
        }
        Ok(())
    }
}
