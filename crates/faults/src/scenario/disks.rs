//! Disks that are full or fail.

use std::time::Duration;

use anyhow::Context as _;

use super::kills::HEAL;
use super::{Scenario, Stage};
use crate::cluster::INGESTERS;
use crate::hosts::run;

pub(super) const ALL: [Scenario; 2] = [
    Scenario {
        name: "disk full",
        about: "the disk of an ingester's catalog is full for 15 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(full(stage)),
    },
    Scenario {
        name: "fsync fails",
        about: "every sync of an ingester fails (EIO) from some moment on, until it is started again",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(failing_sync(stage)),
    },
];

const LENGTH: Duration = Duration::from_secs(15);
/// Enough for the catalog, little enough to fill.
const DISK_BYTES: u64 = 64 << 20;

async fn full(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let name = INGESTERS[0];
    let data = stage.cluster.data(name);
    stage.cluster.kill(name);
    let kept = data.with_extension("kept");
    std::fs::rename(&data, &kept).context("put the data aside")?;
    std::fs::create_dir(&data).context("make the mount point")?;
    let (at, from) = (data.display(), kept.display());
    run(&format!("mount -t tmpfs -o size={DISK_BYTES} tmpfs {at}"))?;
    run(&format!("cp -a {from}/. {at}"))?;
    stage.cluster.supervised(HEAL).await?;
    let filler = data.join("filler");
    fill(&filler)?;
    stage.cluster.supervised(LENGTH).await?;
    std::fs::remove_file(&filler).context("free the disk")?;
    stage.cluster.supervised(HEAL).await?;
    // Back onto the disk for the scenarios that follow.
    stage.cluster.kill(name);
    run(&format!("rm -rf {from}"))?;
    run(&format!("cp -a {at} {from}"))?;
    run(&format!("umount {at}"))?;
    std::fs::remove_dir(&data).context("remove the mount point")?;
    std::fs::rename(&kept, &data).context("put the data back")?;
    stage.cluster.supervised(HEAL).await
}

/// Writes until there is no more room.
fn fill(path: &std::path::Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).context("make the filler")?;
    let mut size = 1 << 20;
    while size > 0 {
        if file.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
    Ok(())
}

async fn failing_sync(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let name = INGESTERS[1];
    let strace = [
        "strace",
        // As a grandchild, so that signals reach the program itself.
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=EIO:when=60+",
    ];
    stage.cluster.kill(name);
    stage.cluster.start_with(name, &[], &strace);
    stage.cluster.spawn(name)?;
    // From its next start on it syncs again.
    stage.cluster.start_with(name, &[], &[]);
    stage.cluster.supervised(LENGTH).await?;
    stage.cluster.kill(name);
    stage.cluster.supervised(HEAL).await
}
