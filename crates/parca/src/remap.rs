//! From numbers of a large table to those of a small one, emptied at no cost.

/// Rounds begin anew above this, so that names have 31 bits.
const BASE_MAX: u32 = 1 << 31;

/// What each of a fixed number of things is called in the current round: 0, 1, 2 and so on.
#[derive(Debug)]
pub(crate) struct Remap {
    /// Name of each thing, counted through all rounds.
    slots: Vec<u32>,
    /// First name of this round.
    base: u32,
    /// The things in the order of their names.
    named: Vec<u32>,
}

impl Remap {
    pub(crate) fn new(things: usize) -> Self {
        Self {
            slots: vec![0; things],
            base: 1,
            named: Vec::new(),
        }
    }

    /// Forgets all names.
    pub(crate) fn clear(&mut self) {
        self.base += self.named.len() as u32;
        self.named.clear();
        if self.base > BASE_MAX {
            self.slots.fill(0);
            self.base = 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, thing: u32) -> Option<u32> {
        self.slots[thing as usize].checked_sub(self.base)
    }

    /// Gives a thing the next name, whether or not it has one.
    #[inline]
    pub(crate) fn rename(&mut self, thing: u32) -> u32 {
        let name = self.named.len() as u32;
        self.slots[thing as usize] = self.base + name;
        self.named.push(thing);
        name
    }

    /// The things that have a name, in the order of their names.
    pub(crate) fn named(&self) -> &[u32] {
        &self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_last_one_round() {
        let mut remap = Remap::new(3);
        assert_eq!((remap.rename(1), remap.rename(2)), (0, 1));
        assert_eq!((remap.get(0), remap.get(1)), (None, Some(0)));
        assert_eq!((remap.rename(1), remap.get(1)), (2, Some(2)));
        assert_eq!(remap.named(), [1, 2, 1]);
        remap.clear();
        assert_eq!((remap.get(1), remap.get(2)), (None, None));
        assert_eq!((remap.rename(2), remap.named()), (0, &[2][..]));
        remap.base = BASE_MAX;
        assert_eq!((remap.rename(0), remap.get(2)), (1, None));
        remap.clear();
        assert_eq!((remap.get(0), remap.base), (None, 1));
    }
}
