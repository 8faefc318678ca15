//! Whether anything is stored at all.

use cairn_model::TimeRange;

use crate::error::Error;
use crate::querier::{Reply, Session};

impl Session {
    /// Opens no block: one that the catalog knows holds profiles. Only where it knows none are
    /// those asked that have profiles in memory.
    pub(crate) async fn has_data(&self) -> Result<Reply<bool>, Error> {
        if !self.snapshot(TimeRange::ALL).await?.blocks.is_empty() {
            return Ok(Reply {
                value: true,
                warnings: Vec::new(),
            });
        }
        let types = self.types(TimeRange::ALL, &[]).await?;
        Ok(types.map(|types| !types.is_empty()))
    }
}
