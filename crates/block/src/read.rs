//! Reads blocks: which bytes are needed, and whether they are the ones that were written.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cairn_model::{BlockId, TenantId, TimeRange};
use cairn_store::{Key, Store};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::Error;
use crate::error::SectionName;
use crate::index::{self, LINKS, PROFILES, TYPES};
use crate::labels::{ATTRS, LABEL_INDEX, LABEL_SETS};
use crate::origins::Origins;
use crate::reads::Reads;
use crate::repeats::Batches;
use crate::rows::{Layout, Part, Rows};
use crate::samples::{Columns, SAMPLES};
use crate::symbols::{self, FUNCTIONS, LOCATIONS, MAPPINGS, PackedStacks, STACKS, STRINGS};
use crate::table;
use crate::tables::{Index, Links, RowRange, SampleColumns, Stacks};
use crate::toc::{First, Tail, Toc};
use crate::traces::Traces;
use crate::write::Info;

/// Besides these, the labels of samples if there are any.
const INDEX_SECTIONS: [SectionName; 4] = [TYPES, PROFILES, LABEL_SETS, LABEL_INDEX];

const STACK_SECTIONS: [SectionName; 5] = [STACKS, LOCATIONS, MAPPINGS, FUNCTIONS, STRINGS];

/// Stacks are read beside an index that may not need them if they have at most so many times its
/// bytes: what is read in vain stays in proportion.
const AHEAD: u64 = 4;

/// Bytes of an object, and where they begin in it.
type Piece = (u64, Bytes);

/// An open block: its table of contents, and of the rest what was asked for so far.
#[derive(Debug)]
pub struct Block {
    /// Absent if all of the object is in `tail`.
    object: Option<Object>,
    toc: Toc,
    /// Where the end of the object begins that came with the table of contents, and that end.
    tail: Piece,
    /// The same with more before it, until what that is about is decoded.
    ahead: Mutex<Option<Piece>>,
    index: OnceCell<Arc<Index>>,
    links: OnceCell<Arc<Links>>,
    traces: OnceCell<Traces>,
    stacks: OnceCell<Arc<Stacks>>,
    layout: OnceCell<Arc<Layout>>,
    /// Bytes read from the store.
    read: AtomicU64,
}

/// A whole block in memory, as a merge takes it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub index: Arc<Index>,
    pub links: Arc<Links>,
    pub stacks: PackedStacks,
    /// All rows, in order.
    pub rows: Vec<Rows>,
    pub origins: Origins,
    pub(crate) range: TimeRange,
    /// Per profile: whether a merge leaves it out, since another block holds it. Empty: all stay.
    pub(crate) left_out: Vec<bool>,
}

impl Loaded {
    /// How many profiles are marked as another block's.
    pub fn left_out(&self) -> u64 {
        self.left_out.iter().filter(|left_out| **left_out).count() as u64
    }

    /// Marks profiles that another block holds, besides those that are marked already.
    pub fn leave_out(&mut self, profiles: &[bool]) {
        self.left_out.resize(self.index.profiles.len(), false);
        for (left_out, more) in self.left_out.iter_mut().zip(profiles) {
            *left_out |= more;
        }
    }
}

#[derive(Debug)]
struct Object {
    reads: Arc<dyn Reads>,
    tenant: TenantId,
    id: BlockId,
}

impl Block {
    /// Reads and checks the table of contents. A size that is known saves a request.
    pub async fn open(
        store: &Store,
        tenant: &TenantId,
        id: BlockId,
        size: Option<u64>,
    ) -> Result<Self, Error> {
        let size = match size {
            Some(size) => size,
            None => {
                let size = store.size(Key::Block { tenant, id }).await;
                size.map_err(Error::store)?
            }
        };
        let reads = Arc::new(store.clone());
        Self::open_from(reads, tenant, (id, size), First::Contents).await
    }

    /// The same of an object whose size is known.
    pub async fn open_from(
        reads: Arc<dyn Reads>,
        tenant: &TenantId,
        (id, size): (BlockId, u64),
        first: First,
    ) -> Result<Self, Error> {
        let object = Object {
            reads,
            tenant: tenant.clone(),
            id,
        };
        let mut range = Toc::suffix(size, first);
        let mut tail = object.read(std::slice::from_ref(&range)).await?.remove(0);
        let mut parsed = Toc::parse(&tail, size)?;
        if let Tail::Longer(bytes) = parsed {
            range = size - bytes..size;
            tail = object.read(std::slice::from_ref(&range)).await?.remove(0);
            parsed = Toc::parse(&tail, size)?;
        }
        let mut block = Self::new(Some(object), parsed, (range.start, tail))?;
        let kept = Toc::suffix(size, First::Contents).start;
        if range.start < kept {
            // A copy, which does not keep all of it in memory.
            let end = Bytes::copy_from_slice(&block.tail.1[(kept - range.start) as usize..]);
            let ahead = std::mem::replace(&mut block.tail, (kept, end));
            *block.ahead.get_mut() = Some(ahead);
        }
        Ok(block)
    }

    /// A block that is in memory already; none of its methods wait.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Error> {
        let parsed = Toc::parse(&bytes, bytes.len() as u64)?;
        Self::new(None, parsed, (0, bytes))
    }

    fn new(object: Option<Object>, parsed: Tail, tail: Piece) -> Result<Self, Error> {
        let read = AtomicU64::new(match object {
            Some(_) => tail.1.len() as u64,
            None => 0,
        });
        let Tail::Toc(toc) = parsed else {
            return Err(Error::corrupt("table of contents", "its length changes"));
        };
        Ok(Self {
            object,
            toc: *toc,
            tail,
            ahead: Mutex::new(None),
            index: OnceCell::new(),
            links: OnceCell::new(),
            traces: OnceCell::new(),
            stacks: OnceCell::new(),
            layout: OnceCell::new(),
            read,
        })
    }

    /// About how much memory is taken by what was read so far and is kept.
    pub fn memory_bytes(&self) -> usize {
        self.tail.1.len()
            + self
                .ahead
                .lock()
                .as_ref()
                .map_or(0, |(_, ahead)| ahead.len())
            + self.toc.origins.memory_bytes()
            + self.layout.get().map_or(0, |layout| layout.memory_bytes())
            + self.index.get().map_or(0, |index| index.bytes())
            + self.links.get().map_or(0, |links| links.bytes())
            + self.traces.get().map_or(0, Traces::bytes)
            + self.stacks.get().map_or(0, |stacks| stacks.bytes())
    }

    /// Bytes read from the store so far.
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub fn info(&self) -> Info {
        self.toc.info()
    }

    /// How often the rows have been through compaction.
    pub fn level(&self) -> u8 {
        self.toc.level
    }

    /// Where the rows come from.
    pub fn origins(&self) -> Origins {
        let object = self.object.as_ref();
        let id = object.map_or(BlockId::new(0, 0), |object| object.id);
        self.toc.origins.unpack(id)
    }

    pub(crate) fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Whether a row, or the labels of its profile, may name this trace; if not, none does. For
    /// nearly every block opening it was enough to know.
    pub async fn may_have_trace(&self, trace_id: &str) -> Result<bool, Error> {
        let Some(range) = self.toc.traces() else {
            return Ok(true);
        };
        let read = async || {
            let bytes = self.read(std::slice::from_ref(&range)).await?.remove(0);
            self.toc.read_traces(&bytes)
        };
        let traces = self.traces.get_or_try_init(read).await?;
        Ok(traces.may_have(trace_id))
    }

    /// All that says which rows a query needs, but for links. Kept once read.
    pub async fn index(&self) -> Result<Arc<Index>, Error> {
        let read = async || {
            let attrs = self.toc.find(ATTRS).map(|_| ATTRS);
            let names: Vec<_> = INDEX_SECTIONS.into_iter().chain(attrs).collect();
            let mut sections = self.sections(&names).await?.into_iter();
            let mut next = || sections.next().expect("one section per name");
            let sections = index::Sections {
                types: next(),
                profiles: next(),
                label_sets: next(),
                label_index: next(),
                attrs: attrs.map(|_| next()),
            };
            Ok(Arc::new(index::read(sections, &self.toc, &self.origins())?))
        };
        let index = self.index.get_or_try_init(read).await.cloned();
        self.trim_end();
        index
    }

    /// The requests that rows belong to. Kept once read.
    pub async fn links(&self) -> Result<Arc<Links>, Error> {
        let read = async || {
            let Some(section) = self.toc.find(LINKS) else {
                return Ok(Arc::default());
            };
            let bytes = self.sections(&[LINKS]).await?.remove(0);
            let links = index::read_links(bytes, section.rows, self.toc.profiles)?;
            Ok(Arc::new(links))
        };
        self.links.get_or_try_init(read).await.cloned()
    }

    /// Whether a profile came in one of these batches; reads less than the index, and keeps nothing.
    pub async fn holds_any(&self, batches: &Batches) -> Result<bool, Error> {
        let profiles = self.sections(&[PROFILES]).await?.remove(0);
        index::hold_any(profiles, batches)
    }

    /// Stacks and their symbols. Kept once read.
    pub async fn stacks(&self) -> Result<Arc<Stacks>, Error> {
        self.stacks_after(None).await
    }

    /// The same if they may have been [read ahead](Self::stacks_ahead).
    pub async fn stacks_after(&self, ahead: Option<PackedStacks>) -> Result<Arc<Stacks>, Error> {
        let read = async || {
            let packed = match ahead {
                Some(packed) => packed,
                None => self.packed_stacks().await?,
            };
            Ok(Arc::new(packed.unpack()?))
        };
        self.stacks.get_or_try_init(read).await.cloned()
    }

    /// Reads stacks while the index is read, and decodes none of them; if the index may say that
    /// nobody `needs` them, only if they cost little beside it. Nothing if one of both is there.
    pub async fn stacks_ahead(&self, needed: bool) -> Result<Option<PackedStacks>, Error> {
        let bytes = |names: &[SectionName]| {
            let sections = names.iter().filter_map(|name| self.toc.find(name));
            sections.map(|section| section.bytes).sum::<u64>()
        };
        let is_cheap = bytes(&STACK_SECTIONS) <= AHEAD * bytes(&INDEX_SECTIONS);
        let is_there = self.has_index() || self.stacks.initialized();
        match (needed || is_cheap) && !is_there {
            true => {
                let (packed, _) = futures::try_join!(self.packed_stacks(), self.layout())?;
                Ok(Some(packed))
            }
            false => Ok(None),
        }
    }

    /// Whether the index is there without a read.
    fn has_index(&self) -> bool {
        let names = INDEX_SECTIONS.iter().chain([&ATTRS]);
        let mut sections = names.filter_map(|name| self.toc.find(name));
        let (start, _) = self.end();
        self.index.initialized() || sections.all(|section| section.offset >= start)
    }

    /// What is there of the end of the object.
    fn end(&self) -> Piece {
        self.ahead.lock().as_ref().unwrap_or(&self.tail).clone()
    }

    /// Forgets what came with the end once it is decoded.
    fn trim_end(&self) {
        if self.index.initialized() && self.layout.initialized() {
            *self.ahead.lock() = None;
        }
    }

    /// The build ids of its binaries, which take little of it to read.
    pub async fn build_ids(&self) -> Result<Vec<String>, Error> {
        let sections = self.sections(&[MAPPINGS, STRINGS]).await?;
        let [mappings, strings] = sections.try_into().expect("one section per name");
        symbols::read_build_ids(mappings, strings)
    }

    async fn packed_stacks(&self) -> Result<PackedStacks, Error> {
        let sections = self.sections(&STACK_SECTIONS).await?;
        let sections = sections.try_into().expect("one section per name");
        PackedStacks::new(sections, self.toc.stacks)
    }

    /// Gives every row of `ranges` to `visit`, in order of rows, whatever the order of the ranges;
    /// rows in several ranges come once. `visit` gets the number of a run's first row and the run.
    pub async fn samples(
        &self,
        ranges: &[RowRange],
        visit: &mut (dyn FnMut(u64, &SampleColumns) + Send),
    ) -> Result<(), Error> {
        for part in self.parts(ranges).await? {
            self.fetch(part, Columns::ALL).await?.visit(visit)?;
        }
        Ok(())
    }

    /// Cuts `ranges` into parts to [fetch](Self::fetch) one at a time, so that memory stays bounded
    /// and one part can be decoded elsewhere while the next is read.
    pub async fn parts(&self, ranges: &[RowRange]) -> Result<Vec<Part>, Error> {
        self.layout().await?.parts(ranges)
    }

    /// Reads the pages that hold a part's rows.
    pub async fn fetch(&self, part: Part, columns: Columns) -> Result<Rows, Error> {
        let layout = self.layout().await?;
        let section = self.toc.section(SAMPLES)?;
        // Chunks are the units of checksums; neighbours become one read.
        let mut chunks: Vec<Range<u64>> = Vec::new();
        for range in layout.bytes(&part, columns)? {
            let range = section.offset + range.start..section.offset + range.end;
            let range = self.toc.chunks_around(section, &range);
            match chunks.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => chunks.push(range),
            }
        }
        let bytes = self.read(&chunks).await?;
        let mut pieces = Vec::with_capacity(chunks.len());
        for (range, bytes) in chunks.iter().zip(bytes) {
            self.toc.verify((SAMPLES, section), range.start, &bytes)?;
            pieces.push((range.start - section.offset, bytes));
        }
        Ok(Rows::new(layout, (part, columns), pieces))
    }

    /// Reads everything, and decodes none of what may be large.
    pub async fn load(&self) -> Result<Loaded, Error> {
        let index = self.index().await?;
        let ranges: Vec<RowRange> = index.profiles.iter().map(|profile| profile.rows).collect();
        let mut rows = Vec::new();
        for part in self.parts(&ranges).await? {
            rows.push(self.fetch(part, Columns::ALL).await?);
        }
        Ok(Loaded {
            index,
            links: self.links().await?,
            stacks: self.packed_stacks().await?,
            rows,
            origins: self.origins(),
            range: self.toc.range,
            left_out: Vec::new(),
        })
    }

    async fn layout(&self) -> Result<Arc<Layout>, Error> {
        let read = async || {
            let section = self.toc.section(SAMPLES)?;
            let range = section.offset + section.footer..section.offset + section.bytes;
            let chunks = self.toc.chunks_around(section, &range);
            let bytes = self.read(std::slice::from_ref(&chunks)).await?.remove(0);
            self.toc.verify((SAMPLES, section), chunks.start, &bytes)?;
            let footer = bytes.slice((range.start - chunks.start) as usize..);
            let parse = || Layout::parse(&footer, section.bytes, &self.toc);
            Ok(Arc::new(table::decode(SAMPLES, parse)?))
        };
        let layout = self.layout.get_or_try_init(read).await.cloned();
        self.trim_end();
        layout
    }

    /// Whole sections, checked.
    pub(crate) async fn sections(&self, names: &[SectionName]) -> Result<Vec<Bytes>, Error> {
        let sections: Vec<_> = names
            .iter()
            .map(|name| self.toc.section(name))
            .collect::<Result<_, _>>()?;
        let ranges: Vec<Range<u64>> = sections.iter().map(|section| section.range()).collect();
        let bytes = self.read(&ranges).await?;
        for ((name, section), bytes) in names.iter().zip(sections).zip(&bytes) {
            self.toc.verify((name, section), section.offset, bytes)?;
        }
        Ok(bytes)
    }

    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        // No range ends beyond the object: the table of contents was checked against its size.
        let (start, end) = self.end();
        let at = |byte: u64| (byte - start) as usize;
        let is_away = |range: &&Range<u64>| range.start < start;
        let away: Vec<Range<u64>> = ranges.iter().filter(is_away).cloned().collect();
        let mut read = Vec::new();
        if let Some(object) = self.object.as_ref().filter(|_| !away.is_empty()) {
            read = object.read(&away).await?;
            let bytes = read.iter().map(|bytes| bytes.len() as u64).sum();
            self.read.fetch_add(bytes, Ordering::Relaxed);
        }
        let mut read = read.into_iter();
        let of = |range: &Range<u64>| match is_away(&range) {
            true => read.next().expect("one for each range"),
            false => end.slice(at(range.start)..at(range.end)),
        };
        Ok(ranges.iter().map(of).collect())
    }
}

impl Object {
    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let key = Key::Block {
            tenant: &self.tenant,
            id: self.id,
        };
        let read = self.reads.read(key, ranges).await;
        read.map_err(Error::store)
    }
}
