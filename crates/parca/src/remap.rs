//! From numbers of a large table to those of a small one, emptied at no cost.

use cairn_model::NONE;

/// What each of a fixed number of things is called in the current round.
#[derive(Debug)]
pub(crate) struct Remap {
    /// Round and name.
    slots: Vec<(u32, u32)>,
    round: u32,
}

impl Remap {
    pub(crate) fn new(things: usize) -> Self {
        Self {
            slots: vec![(0, NONE); things],
            round: 1,
        }
    }

    /// Forgets all names.
    pub(crate) fn clear(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.slots.fill((0, NONE));
            self.round = 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, thing: u32) -> Option<u32> {
        let (round, name) = self.slots[thing as usize];
        (round == self.round).then_some(name)
    }

    #[inline]
    pub(crate) fn set(&mut self, thing: u32, name: u32) {
        self.slots[thing as usize] = (self.round, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_last_one_round() {
        let mut remap = Remap::new(2);
        remap.set(1, 7);
        assert_eq!((remap.get(0), remap.get(1)), (None, Some(7)));
        remap.clear();
        assert_eq!(remap.get(1), None);
        remap.round = u32::MAX;
        remap.set(0, 3);
        remap.clear();
        assert_eq!((remap.get(0), remap.round), (None, 1));
    }
}
