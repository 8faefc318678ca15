//! What a rebuild says.

use std::collections::BTreeMap;
use std::io::{self, Write};

use cairn_catalog::{BlockMeta, Conflict, Dead, LogPosition, Plan};
use cairn_model::{BlockId, Stretch, TenantId};

/// Conflicts and damaged blocks that are named unless everything is.
const NAMED_MAX: usize = 20;

pub(super) fn write(
    plan: &Plan,
    damaged: &[(TenantId, BlockId, String)],
    is_verbose: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let max = if is_verbose { usize::MAX } else { NAMED_MAX };
    let found = plan.live.len() + plan.dead.len() + damaged.len();
    writeln!(out, "{found} blocks found")?;
    writeln!(out, "  live: {}", sizes(plan.live.iter()))?;
    let mut reasons: BTreeMap<Dead, Vec<&BlockMeta>> = BTreeMap::new();
    for (block, why) in &plan.dead {
        reasons.entry(*why).or_default().push(block);
    }
    for (why, blocks) in &reasons {
        let count = sizes(blocks.iter().copied());
        writeln!(out, "  not live, {}: {count}", reason(*why))?;
        for block in blocks.iter().filter(|_| is_verbose) {
            writeln!(out, "    {} {}", block.tenant, block.id)?;
        }
    }
    if plan.unknown > 0 {
        let unknown = plan.unknown;
        writeln!(
            out,
            "  {unknown} live blocks hold rows of unknown origin (format version 1): if some of \
             them had been replaced by others of these, rows without a batch hash count twice"
        )?;
    }
    section(out, "damaged, and left out", damaged, max, |entry| {
        let (tenant, id, why) = entry;
        format!("{tenant} {id}: {why}")
    })?;
    section(out, "logs", &plan.logs, usize::MAX, log)?;
    section(out, "conflicts", &plan.conflicts, max, conflict)?;
    writeln!(
        out,
        "\ntenants' settings, tokens and the shard map are not in the store: set them again"
    )
}

fn section<T>(
    out: &mut dyn Write,
    title: &str,
    entries: &[T],
    max: usize,
    line: impl Fn(&T) -> String,
) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}: {}", entries.len())?;
    for entry in entries.iter().take(max) {
        writeln!(out, "  {}", line(entry))?;
    }
    match entries.len().checked_sub(max) {
        Some(more @ 1..) => writeln!(out, "  and {more} more"),
        _ => Ok(()),
    }
}

fn sizes<'a>(blocks: impl Iterator<Item = &'a BlockMeta>) -> String {
    let (mut count, mut rows, mut bytes) = (0u64, 0u64, 0u64);
    for block in blocks {
        count += 1;
        rows = rows.saturating_add(block.rows);
        bytes = bytes.saturating_add(block.bytes);
    }
    format!("{count}, {rows} rows, {bytes} bytes")
}

fn reason(why: Dead) -> &'static str {
    match why {
        Dead::Uncommitted => "never committed, their rows are in logs",
        Dead::Outrun => "of commits that others outran",
        Dead::Repeated => "copies of others",
        Dead::Covered => "merged, or merges that were refused",
        Dead::Lost => "in conflict with live ones",
    }
}

fn log(position: &LogPosition) -> String {
    let LogPosition {
        writer,
        incarnation,
        flushed_lsn,
        left,
        is_unfinished,
    } = position;
    let rest = match (incarnation, is_unfinished) {
        (0, _) => "what follows is on the writer's disk".to_owned(),
        (_, true) => format!("{left} entries follow and are to be recovered"),
        (_, false) => "nothing follows".to_owned(),
    };
    format!("{writer}/{incarnation}: in blocks up to {flushed_lsn}, {rest}")
}

fn conflict(conflict: &Conflict) -> String {
    match conflict {
        Conflict::LeftOut { tenant, blocks } => {
            let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
            format!(
                "{tenant}: rows of these would be twice or not at all, so not at all: {}",
                blocks.join(" ")
            )
        }
        Conflict::Incomplete { stretch, missing } => format!(
            "{}: {missing} blocks are missing, and so is the log; the others are taken",
            spelled(stretch)
        ),
        Conflict::Short { stretch, end } => format!(
            "{}: not all blocks of it are there, but the log ends before {end}",
            spelled(stretch)
        ),
    }
}

fn spelled(stretch: &Stretch) -> String {
    let Stretch {
        writer,
        incarnation,
        from,
        to,
    } = stretch;
    format!("{writer}/{incarnation} from {from} to {to}")
}
