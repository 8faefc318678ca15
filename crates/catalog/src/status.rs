//! How a node and the catalog are, for people and probes.

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub node: u64,
    pub cluster: String,
    pub role: String,
    /// The node that leads, as far as this one knows.
    pub leader: Option<u64>,
    pub term: u64,
    pub last_log_index: u64,
    pub applied_index: u64,
    pub snapshot_index: u64,
    /// How often the state changed.
    pub version: u64,
    pub members: Vec<Member>,
    /// Why the node does not work any more.
    pub failure: Option<String>,
}

/// One node of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub node: u64,
    /// Where other nodes reach it.
    pub address: String,
    /// Whether it counts for majorities.
    pub is_voter: bool,
    /// Known to the leader only: the newest entry of the log that the node has.
    pub matched_index: Option<u64>,
}
