//! Profiles of this very process, sent through the front door like anybody's.

use std::sync::Arc;

use crate::config;
use crate::process::Shared;

pub(crate) fn start(_shared: &Arc<Shared>, _settings: &config::SelfProfile) {}
