//! Panics in tasks, which would go unnoticed: the runtime catches them.

use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Default)]
pub(crate) struct Panics(Arc<Mutex<Vec<String>>>);

/// From here on, in all threads.
pub(crate) fn listen() -> Panics {
    let panics = Panics::default();
    let (heard, usual) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let mut all = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(panic.to_string());
        drop(all);
        usual(panic);
    }));
    panics
}

impl Panics {
    /// Those so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
