//! Stacks as lines of text: `main;work;read 7`.

use crate::flame::Flame;

/// One line per node with a value of its own, outermost call first.
pub fn folded(flame: &Flame) -> String {
    let _ = flame;
    unimplemented!("folded")
}
