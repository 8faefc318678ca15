//! Names of code that a process generated: there is no file of it, and what stands in the place of
//! one differs from process to process.
//!
//! Owns what is shown instead, so that a function of many processes is one. Stored and downloaded
//! profiles keep what was sent.

/// Stands in the place of a binary for code that was generated, as `[jvm]` does for interpreted code.
pub const GENERATED: &str = "[jit]";

/// The binary as graphs show it and filters know it.
pub fn shown_binary(file: &str) -> &str {
    match is_generated(file) {
        true => GENERATED,
        false => file,
    }
}

fn is_generated(file: &str) -> bool {
    let file = file.strip_suffix(" (deleted)").unwrap_or(file);
    match file {
        "//anon" | "anon" | "[anon]" => return true,
        _ => {}
    }
    // What its maker calls it follows, such as a part of a heap.
    if file.starts_with("[anon:") && file.ends_with(']') {
        return true;
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    of_process(name, "perf-", ".map")
        || of_process(name, "jit-", ".dump")
        || of_process(name, "jitted-", ".so")
}

/// Whether only numbers joined by `-` stand between these.
fn of_process(name: &str, before: &str, after: &str) -> bool {
    let middle = name.strip_prefix(before);
    let middle = middle.and_then(|rest| rest.strip_suffix(after));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    middle.is_some_and(|middle| middle.split('-').all(is_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_per_process_is_one_name_and_files_keep_theirs() {
        for generated in [
            "/tmp/perf-1234.map",
            "perf-1.map",
            "/tmp/.debug/jit/jitted-1234-17.so",
            "jitted-1234-17.so (deleted)",
            "/tmp/jit-1234.dump",
            "//anon",
            "[anon]",
            "anon",
            "[anon:dalvik-jit-code-cache]",
        ] {
            assert_eq!(shown_binary(generated), GENERATED, "{generated}");
        }
        for file in [
            "",
            "[jvm]",
            "[kernel]",
            "/usr/lib/libperf-1.map.so",
            "/opt/perf-tool.map",
            "perf-.map",
            "perf-1-.map",
            "jitted-a.so",
            "jitted-1.so.2",
            "/usr/bin/anon",
            "[anon",
        ] {
            assert_eq!(shown_binary(file), file);
        }
    }
}
