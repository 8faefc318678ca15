//! The compactor: merges the small blocks of a window into one, deletes what they replaced.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

pub async fn run(_config: Config, cx: cairn_chassis::Context) -> anyhow::Result<()> {
    cx.serve(cairn_chassis::Routes::new()).await
}
