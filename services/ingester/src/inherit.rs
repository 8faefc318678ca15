//! What other writers have stored, for the one who takes over their shards: clients may send again
//! what was stored and could not be acknowledged any more.
//!
//! Owns learning what was stored: one that is open is asked, the log of one that has ended is read.
//! Which pushes have to wait for it is the router's business.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cairn_catalog::Client;
use cairn_chassis::{Clock, Context};
use cairn_model::WriterId;
use cairn_store::Store;
use cairn_wal::{Content, LogReader, Outside, SegmentRef};
use cairn_wire::cairn::ingest::v1::forward_service_client::ForwardServiceClient;
use cairn_wire::cairn::ingest::v1::{ReleaseRequest, ReleaseResponse};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::flush::Flusher;
use crate::recover::sealed;
use crate::route::{Connect, Inherit, Map, Peer, Peers, Predecessor, Shards};
use crate::writer::Writer;

/// Headers that are fetched at the same time.
const READS: usize = 32;

/// The shard map as the catalog has it.
struct CatalogMap {
    catalog: Client,
    own: WriterId,
    incarnation: u64,
    clock: Clock,
}

/// Before the catalog is asked again that does not know this incarnation yet.
const CATCH_UP: Duration = Duration::from_millis(50);
/// Earlier incarnations of this writer whose logs are read at the start.
const OWN_MAX: u64 = 3;
/// Hashes of one answer: the window of repeats has no more.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How long an open writer may take to let go.
const RELEASE_MAX: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl Map for CatalogMap {
    async fn fetch(&self) -> anyhow::Result<Shards> {
        let shards = self.newest().await?;
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
            epoch: 0,
        };
        // Recovered or not, what they stored may be sent again.
        let own = (1..self.incarnation).rev().take(OWN_MAX as usize);
        let own = own.map(|incarnation| (self.own.clone(), incarnation));
        let mut sealed = shards.sealed.clone();
        sealed.extend(own);
        sealed.sort();
        sealed.dedup();
        Ok(Shards {
            epoch: shards.epoch,
            owners: (0..).zip(&shards.owners).filter_map(owner).collect(),
            writers: shards.writers.iter().map(peer).collect(),
            sealed: sealed.iter().map(gone).collect(),
        })
    }
}

impl CatalogMap {
    /// The map, once it is no older than this incarnation: a node that just started may lag behind.
    async fn newest(&self) -> anyhow::Result<Arc<cairn_catalog::Shards>> {
        loop {
            let shards = self.catalog.shards().await;
            let shards = shards.context("ask for the shard map")?;
            let own = shards.writers.get(&self.own);
            if own.is_some_and(|place| place.incarnation >= self.incarnation) {
                return Ok(shards);
            }
            self.clock.sleep(CATCH_UP).await;
        }
    }
}

/// Learns what others have stored.
struct Heir {
    catalog: Client,
    store: Store,
    connect: Connect,
    outside: Outside,
    clock: Clock,
    /// Profiles that were stored longer ago may be stored again.
    window: i64,
    writer: Writer,
}

/// What an ingester among others needs of the catalog and of the store.
pub(crate) fn peers(cx: &Context, flusher: &Flusher) -> Peers {
    let connect: Connect = cx.connector();
    let catalog = flusher.catalog.clone();
    let window = flusher.config.dedup_window.as_nanos();
    Peers {
        map: Arc::new(CatalogMap {
            catalog: catalog.clone(),
            own: flusher.id.clone(),
            incarnation: flusher.registered.incarnation,
            clock: cx.clock(),
        }),
        inherit: Arc::new(Heir {
            catalog,
            store: flusher.blocks.store.clone(),
            connect: Arc::clone(&connect),
            outside: crate::log::outside(cx),
            clock: cx.clock(),
            window: i64::try_from(window).unwrap_or(i64::MAX),
            writer: flusher.writer.clone(),
        }),
        connect,
    }
}

#[tonic::async_trait]
impl Inherit for Heir {
    async fn inherit(&self, predecessor: &Predecessor) -> anyhow::Result<()> {
        if predecessor.epoch == 0 {
            return self.read(predecessor).await;
        }
        let shards = self.catalog.shards().await;
        let shards = shards.context("ask where the writer is")?;
        match shards.writers.get(&predecessor.writer) {
            Some(place) if place.incarnation == predecessor.incarnation => {
                self.ask(&place.address, predecessor.epoch).await
            }
            // It has ended since.
            _ => self.read(predecessor).await,
        }
    }
}

impl Heir {
    /// Has an open writer let go of what it lost, and tell what it has stored.
    async fn ask(&self, address: &str, epoch: u64) -> anyhow::Result<()> {
        let channel = (self.connect)(address).map_err(anyhow::Error::msg)?;
        let client = ForwardServiceClient::new(channel);
        let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
        let released = tokio::select! {
            released = client.release(ReleaseRequest { epoch }) => released,
            () = self.clock.sleep(RELEASE_MAX) => anyhow::bail!("it did not let go in time"),
        };
        let ReleaseResponse { hashes } = released.context("have it let go")?.into_inner();
        let (hashes, rest) = hashes.as_chunks();
        anyhow::ensure!(rest.is_empty(), "its answer is cut off");
        self.note(
            hashes
                .iter()
                .map(|bytes| u128::from_le_bytes(*bytes))
                .collect(),
        )
        .await
    }

    /// Reads what one that has ended has stored.
    async fn read(&self, predecessor: &Predecessor) -> anyhow::Result<()> {
        let Predecessor {
            writer,
            incarnation,
            epoch: _,
        } = predecessor;
        let reader = LogReader::new(self.store.clone(), writer.clone(), *incarnation);
        let now = self.clock.now();
        // One that is not sealed any more was recovered, or ended in order: nothing is added to it.
        if let Some(flushed) = sealed(&self.catalog, writer, *incarnation).await? {
            let fenced = reader.fence(flushed, now, &self.outside).await;
            fenced.context("put a fence behind the log")?;
        }
        let listing = reader.all().await.context("list the log")?;
        let header = |segment: SegmentRef| {
            let reader = reader.clone();
            async move { reader.header(&segment).await }.boxed()
        };
        let mut headers = futures::stream::iter(listing.segments)
            .map(header)
            .buffered(READS);
        while let Some(header) = headers.try_next().await.context("read the log")? {
            let Content::Segment(entries) = header.content else {
                continue;
            };
            if header.place.made >= now.saturating_sub(self.window) {
                let hashes = entries.into_iter().flat_map(|entry| entry.hashes);
                self.note(hashes.collect()).await?;
            }
        }
        Ok(())
    }

    async fn note(&self, hashes: Vec<u128>) -> anyhow::Result<()> {
        let noted = self.writer.note(hashes).await;
        noted.map_err(|error| anyhow::anyhow!("note what is stored: {error}"))
    }
}
