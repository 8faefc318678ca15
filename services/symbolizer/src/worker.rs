//! The worker process: one ELF file in, one symbol file out. What it reads is hostile, so it may
//! crash; it bounds its own time and memory, and ends when nobody waits for it any more.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cairn_symbols::Limits;

/// The first argument of a process that is started as a worker.
pub(crate) const ARGUMENT: &str = "__convert";

/// The file is at fault, and standard error says why.
pub(crate) const EXIT_REFUSED: u8 = 3;
/// Something else failed, and standard error says what.
pub(crate) const EXIT_FAILED: u8 = 4;

/// Between two looks at the bounds.
const PATROL: Duration = Duration::from_millis(20);

/// Acts as a worker if this process was started as one. Every program that runs the symbolizer
/// calls it first thing in `main`, and ends with the exit code if there is one.
pub fn worker_main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let arguments: Vec<OsString> = arguments.collect();
    let (code, reason) = match work(&arguments) {
        Ok(()) => return Some(ExitCode::SUCCESS),
        Err(failure) => failure,
    };
    // If nobody reads it, the exit code still tells.
    let _ = std::io::stderr().write_all(reason.as_bytes());
    Some(ExitCode::from(code))
}

fn work(arguments: &[OsString]) -> Result<(), (u8, String)> {
    let failed = |text: String| (EXIT_FAILED, text);
    let [input, output, memory_max, seconds_max] = arguments else {
        return Err(failed("a worker takes four arguments".to_owned()));
    };
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    let (Some(memory_max), Some(seconds_max)) = (number(memory_max), number(seconds_max)) else {
        return Err(failed("the bounds of a worker are numbers".to_owned()));
    };
    let parent = std::os::unix::process::parent_id();
    let patrol = move || patrol(parent, memory_max, Duration::from_secs(seconds_max));
    std::thread::Builder::new()
        .name("patrol".to_owned())
        .spawn(patrol)
        .map_err(|error| failed(format!("start a thread: {error}")))?;

    let elf = std::fs::read(Path::new(input)).map_err(|error| failed(error.to_string()))?;
    let limits = Limits {
        section_bytes_max: usize::try_from(memory_max / 2).unwrap_or(usize::MAX),
        ..Limits::default()
    };
    let symbols =
        cairn_symbols::convert(&elf, &limits).map_err(|error| (EXIT_REFUSED, error.to_string()))?;
    std::fs::write(Path::new(output), symbols).map_err(|error| failed(error.to_string()))
}

/// Ends the process when it takes more than its share.
fn patrol(parent: u32, memory_max: u64, time_max: Duration) {
    let mut passed = Duration::ZERO;
    let reason = loop {
        std::thread::sleep(PATROL);
        passed += PATROL;
        if std::os::unix::process::parent_id() != parent {
            break "nobody waits for the result".to_owned();
        }
        if passed > time_max {
            break format!("reading the file takes more than {time_max:?}");
        }
        if resident_bytes().is_some_and(|bytes| bytes > memory_max) {
            break format!("reading the file takes more than {memory_max} bytes of memory");
        }
    };
    let _ = std::io::stderr().write_all(reason.as_bytes());
    std::process::exit(i32::from(EXIT_REFUSED));
}

/// Memory in use, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
