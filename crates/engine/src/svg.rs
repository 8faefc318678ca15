//! A flame graph as a picture to open in a browser.

use crate::flame::Flame;
use crate::folded::folded;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum NoSvg {
    #[error("there is nothing to draw: all values are zero")]
    Nothing,
    #[error("draw the flame graph: {0}")]
    Draw(String),
}

/// `unit` is what values are counted in.
pub fn svg(flame: &Flame, title: &str, unit: &str) -> Result<Vec<u8>, NoSvg> {
    let lines = folded(flame);
    if lines.is_empty() {
        return Err(NoSvg::Nothing);
    }
    let mut options = inferno::flamegraph::Options::default();
    options.count_name = unit.to_owned();
    options.title = title.to_owned();
    let mut out = Vec::new();
    inferno::flamegraph::from_lines(&mut options, lines.lines(), &mut out)
        .map_err(|error| NoSvg::Draw(error.to_string()))?;
    Ok(out)
}
