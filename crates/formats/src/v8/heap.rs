//! `.heapprofile`: how much each function has allocated that still lives.

use super::{Nodes, place};
use crate::budget::Budget;
use crate::calls::Calls;
use crate::json::Reader;
use crate::{Decoded, Error};

const SAMPLES: &str = "samples of a heap profile beside its sums";

pub(crate) fn heap_profile(bytes: &[u8], mut budget: Budget<'_>) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let mut head = None;
    let mut samples = 0;
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| match key {
        "head" => {
            head = Some(Nodes::nested(reader)?);
            Ok(())
        }
        "samples" if !reader.null()? => reader.array(|reader| {
            samples += 1;
            reader.skip()
        }),
        "samples" => Ok(()),
        _ => reader.skip(),
    })?;
    reader.end()?;
    let Some(mut nodes) = head else {
        return Err(Error::undecodable(
            "it has no head, so it is no heap profile",
        ));
    };
    for (node, at) in nodes.rows.iter_mut().zip(0..) {
        let size = node.own;
        let size = size.ok_or_else(|| Error::undecodable(format!("node {at} has no selfSize")))?;
        node.has_value = size > 0;
    }
    let mut calls = Calls::new(&[("inuse_space", "bytes")]);
    let places = place(&nodes, &mut calls, &mut budget)?;
    for (node, at) in nodes.rows.iter().zip(places) {
        calls
            .add(at, 0, node.own.unwrap_or_default())
            .map_err(|_| Error::contradiction("the sum of a stack is too large"))?;
    }
    decoded.replaced_strings = reader.replaced;
    decoded.skip(SAMPLES, samples);
    decoded.push(calls, &mut budget)?.name = Some("memory".to_owned());
    Ok(decoded)
}
