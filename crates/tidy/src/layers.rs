//! A crate depends only on crates of a lower level.

use std::collections::BTreeMap;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata};

use crate::Complaint;

/// Checks the level that each manifest declares against its normal and build dependencies.
pub fn layers(metadata: &Metadata) -> anyhow::Result<Vec<Complaint>> {
    let mut levels = BTreeMap::new();
    for package in metadata.workspace_packages() {
        let level = package.metadata["layer"]["level"].as_u64();
        let level = level
            .with_context(|| format!("{} has no [package.metadata.layer] level", package.name))?;
        levels.insert(package.name.to_string(), level);
    }
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages() {
        let level = levels[package.name.as_str()];
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Development)
        {
            let Some(below) = levels.get(&dependency.name) else {
                continue;
            };
            if *below >= level {
                complaints.push(Complaint {
                    place: package.manifest_path.to_string(),
                    rule: "a crate depends only on lower levels",
                    instead: format!(
                        "{} (level {level}) must not use {} (level {below}): move what both need down, or speak through proto/",
                        package.name, dependency.name
                    ),
                });
            }
        }
    }
    Ok(complaints)
}
