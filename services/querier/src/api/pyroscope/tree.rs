//! A call tree as Pyroscope's own bytes: per node, parents before children, the length of the name,
//! the name, the self value and the number of children, all numbers as varints. The root has no name.

use cairn_engine::{Flame, Kind};

use crate::api::flamebearer::name;

pub(super) fn encode(flame: &Flame) -> Vec<u8> {
    let children = flame.children();
    let mut out = Vec::new();
    for (node, children) in flame.nodes.iter().zip(children) {
        let name = match node.kind {
            Kind::Root => String::new(),
            _ => name(flame, node),
        };
        let mut number = |number: u64| prost::encoding::encode_varint(number, &mut out);
        number(name.len() as u64);
        out.extend_from_slice(name.as_bytes());
        let mut number = |number: u64| prost::encoding::encode_varint(number, &mut out);
        number(node.flat.cast_unsigned());
        number(children.len() as u64);
    }
    out
}

#[cfg(test)]
mod tests {
    use cairn_engine::KeyBy;

    use super::*;
    use crate::testing;

    #[test]
    fn every_node_comes_before_its_children() {
        let flame = Flame::build(&testing::ungrouped(), KeyBy::default());
        let bytes = encode(&flame);
        let mut expected = vec![0, 0, 1];
        let mut node = |name: &str, own: u8, children: u8| {
            expected.push(name.len() as u8);
            expected.extend_from_slice(name.as_bytes());
            expected.extend([own, children]);
        };
        node("main", 0, 2);
        node("walk", 110, 1);
        node("walk", 20, 1);
        node("hash", 30, 0);
        node("lib.so+0x40", 5, 0);
        assert_eq!(bytes, expected);
    }
}
