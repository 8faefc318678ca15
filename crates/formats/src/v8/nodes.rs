//! The nodes of V8's call trees: a list whose rows name their children, or objects within objects.

use cairn_model::NONE;
use hashbrown::HashMap;

use super::{Frame, ROOT_NAME};
use crate::Error;
use crate::json::Reader;

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) id: Option<i64>,
    /// Position of the caller, or [`NONE`].
    pub(super) parent: u32,
    /// `hitCount` or `selfSize`.
    pub(super) own: Option<i64>,
    /// Whether a sample may end here.
    pub(super) has_value: bool,
}

impl Node<'_> {
    pub(super) fn is_root(&self) -> bool {
        self.parent == NONE && self.frame.name.as_deref() == Some(ROOT_NAME)
    }
}

#[derive(Debug, Default)]
pub(super) struct Nodes<'a> {
    pub(super) rows: Vec<Node<'a>>,
    /// Positions of callers and ids of those they call, until [`Self::link`].
    edges: Vec<(u32, i64)>,
    /// Positions of nodes and ids of their callers, until [`Self::link`].
    callers: Vec<(u32, i64)>,
    /// Tables of lines within functions, which have no place in a call tree.
    pub(super) position_ticks: u64,
}

impl<'a> Nodes<'a> {
    /// The list of newer versions.
    pub(super) fn flat(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut nodes = Self::default();
        reader.array(|reader| {
            let at = nodes.open(NONE);
            reader.object(|reader, key| match key {
                "children" => {
                    if reader.null()? {
                        return Ok(());
                    }
                    reader.array(|reader| {
                        let child = reader.whole()?;
                        nodes.edges.push((at, child));
                        Ok(())
                    })
                }
                "parent" => {
                    let parent = reader.whole()?;
                    nodes.callers.push((at, parent));
                    Ok(())
                }
                _ => nodes.member(at, reader, key),
            })?;
            nodes.close(at)
        })?;
        nodes.link()?;
        Ok(nodes)
    }

    /// Objects within objects, as deep as they like.
    pub(super) fn nested(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut nodes = Self::default();
        reader.expect(b'{')?;
        let mut at = nodes.open(NONE);
        let mut is_new = true;
        loop {
            if reader.eat(b'}') {
                nodes.close(at)?;
                let parent = nodes.rows[at as usize].parent;
                if parent == NONE {
                    return Ok(nodes);
                }
                if reader.eat(b',') {
                    reader.expect(b'{')?;
                    at = nodes.open(parent);
                    is_new = true;
                } else {
                    reader.expect(b']')?;
                    at = parent;
                    is_new = false;
                }
                continue;
            }
            if !is_new {
                reader.expect(b',')?;
            }
            is_new = false;
            let key = reader.key()?;
            if key != "children" || reader.null()? {
                if key != "children" {
                    nodes.member(at, reader, &key)?;
                }
                continue;
            }
            reader.expect(b'[')?;
            if !reader.eat(b']') {
                reader.expect(b'{')?;
                at = nodes.open(at);
                is_new = true;
            }
        }
    }

    fn open(&mut self, parent: u32) -> u32 {
        self.rows.push(Node {
            frame: Frame::default(),
            id: None,
            parent,
            own: None,
            has_value: false,
        });
        self.rows.len() as u32 - 1
    }

    fn close(&self, at: u32) -> Result<(), Error> {
        match self.rows[at as usize].frame.name {
            Some(_) => Ok(()),
            None => Err(Error::undecodable(format!("node {at} has no functionName"))),
        }
    }

    fn member(&mut self, at: u32, reader: &mut Reader<'a>, key: &str) -> Result<(), Error> {
        let node = &mut self.rows[at as usize];
        match key {
            "id" => node.id = Some(reader.whole()?),
            "callFrame" => node.frame = Frame::read(reader)?,
            "hitCount" | "selfSize" => {
                let own = reader.whole()?;
                if own < 0 {
                    return Err(Error::contradiction(format!(
                        "the {key} of node {at} is negative"
                    )));
                }
                node.own = Some(own);
            }
            "positionTicks" => {
                self.position_ticks += 1;
                reader.skip()?;
            }
            _ if node.frame.member(reader, key)? => {}
            _ => reader.skip()?,
        }
        Ok(())
    }

    /// Positions by id.
    pub(super) fn by_id(&self) -> Result<HashMap<i64, u32, foldhash::fast::RandomState>, Error> {
        let mut by_id = HashMap::default();
        for (node, at) in self.rows.iter().zip(0_u32..) {
            let id = node
                .id
                .ok_or_else(|| Error::undecodable(format!("node {at} has no id")))?;
            if by_id.insert(id, at).is_some() {
                return Err(Error::contradiction(format!("two nodes have the id {id}")));
            }
        }
        Ok(by_id)
    }

    fn link(&mut self) -> Result<(), Error> {
        let by_id = self.by_id()?;
        let find = |from: u32, id: i64| {
            by_id.get(&id).copied().ok_or_else(|| {
                Error::contradiction(format!("node {from} refers to node id {id}, which is none"))
            })
        };
        let mut edges = Vec::with_capacity(self.edges.len());
        for (parent, id) in std::mem::take(&mut self.edges) {
            edges.push((parent, find(parent, id)?));
        }
        for (child, id) in std::mem::take(&mut self.callers) {
            edges.push((find(child, id)?, child));
        }
        for (parent, child) in edges {
            let known = &mut self.rows[child as usize].parent;
            if *known != NONE && *known != parent {
                return Err(Error::contradiction(format!(
                    "node {child} has two callers"
                )));
            }
            *known = parent;
        }
        Ok(())
    }

    /// Positions of all nodes, callers before those they call.
    pub(super) fn callers_first(&self) -> Result<Vec<u32>, Error> {
        // Called nodes by caller: where those of each begin, and all in one row.
        let mut starts = vec![0_u32; self.rows.len() + 1];
        let mut order = Vec::with_capacity(self.rows.len());
        for (node, at) in self.rows.iter().zip(0_u32..) {
            match node.parent {
                NONE => order.push(at),
                parent => starts[parent as usize + 1] += 1,
            }
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut called = vec![0_u32; self.rows.len()];
        for (node, at) in self.rows.iter().zip(0_u32..) {
            if node.parent != NONE {
                let slot = &mut next[node.parent as usize];
                called[*slot as usize] = at;
                *slot += 1;
            }
        }
        let mut done = 0;
        while let Some(at) = order.get(done).map(|at| *at as usize) {
            order.extend_from_slice(&called[starts[at] as usize..starts[at + 1] as usize]);
            done += 1;
        }
        if order.len() < self.rows.len() {
            return Err(Error::contradiction(
                "its nodes call each other in a circle",
            ));
        }
        Ok(order)
    }
}
