//! The worker process: one ELF file in, or two that belong together, one symbol file out. What it
//! reads is hostile, so it may crash, and whoever made the file may come to command it. It gets
//! input and output as open descriptors, and before it looks at the first byte it gives up
//! everything else.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::Duration;

use cairn_symbols::{Companions, Limits};
use memmap2::Mmap;

use crate::config::Sandbox;
use crate::sandbox::{self, Bounds};
use crate::sources;

/// The first argument of a process that is started as a worker.
pub(crate) const ARGUMENT: &str = "__convert";

/// The file is at fault, and standard error says why.
pub(crate) const EXIT_REFUSED: u8 = 3;
/// Something else failed, and standard error says what.
pub(crate) const EXIT_FAILED: u8 = 4;

/// Makes a symbol file of an ELF file and what it shares with others, within so many bytes of memory,
/// or says what is wrong with it.
pub type Conversion =
    fn(elf: &[u8], alt: Option<&[u8]>, memory_max: u64) -> Result<Vec<u8>, String>;

/// Where in the input the second file may begin: readers want their tables aligned.
pub(crate) const ALIGNMENT: u64 = 4096;

/// Acts as a worker if this process was started as one. Every program that runs the symbolizer
/// calls it first thing in `main`, and ends with the exit code if there is one.
pub fn worker_main() -> Option<ExitCode> {
    worker_main_of(convert)
}

/// The same with another conversion, for tests of what one can do.
#[doc(hidden)]
pub fn worker_main_of(conversion: Conversion) -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let arguments: Vec<OsString> = arguments.collect();
    let (code, reason) = match work(&arguments, conversion) {
        Ok(remark) => (0, remark),
        Err(failure) => failure,
    };
    // If nobody reads it, the exit code still tells.
    let _ = std::io::stderr().write_all(reason.as_bytes());
    Some(ExitCode::from(code))
}

/// What a worker is told on its command line.
pub(crate) fn arguments(bounds: &Bounds, sandbox: Sandbox, elf_bytes: u64) -> [String; 6] {
    let word = match sandbox {
        Sandbox::Required => "required",
        Sandbox::Preferred => "preferred",
    };
    [
        ARGUMENT.to_owned(),
        bounds.memory_max.to_string(),
        bounds.time_max.as_secs().max(1).to_string(),
        bounds.output_max.to_string(),
        word.to_owned(),
        elf_bytes.to_string(),
    ]
}

/// The last is how long the first file is.
fn bounds(arguments: &[OsString]) -> Option<(Bounds, Sandbox, u64)> {
    let [memory_max, seconds_max, output_max, sandbox, elf_bytes] = arguments else {
        return None;
    };
    let number = |text: &OsString| text.to_str()?.parse::<u64>().ok();
    let bounds = Bounds {
        memory_max: number(memory_max)?,
        time_max: Duration::from_secs(number(seconds_max)?),
        output_max: number(output_max)?,
    };
    let sandbox = match sandbox.to_str()? {
        "required" => Sandbox::Required,
        "preferred" => Sandbox::Preferred,
        _ => return None,
    };
    Some((bounds, sandbox, number(elf_bytes)?))
}

/// A remark for the log if it worked.
fn work(arguments: &[OsString], conversion: Conversion) -> Result<String, (u8, String)> {
    let failed = |text: String| (EXIT_FAILED, text);
    let (bounds, sandbox, elf_bytes) = bounds(arguments)
        .ok_or_else(|| failed("a worker is told its bounds, sandbox and input".to_owned()))?;
    let input = map_input().map_err(|error| failed(format!("map the input: {error}")))?;
    let input = input.as_deref().unwrap_or_default();
    let (elf, alt) = split(input, elf_bytes)
        .ok_or_else(|| failed("the input is shorter than the file in it".to_owned()))?;
    let lacks = sandbox::enter(&bounds, input.len() as u64).map_err(failed)?;
    let remark = match sandbox {
        Sandbox::Required if !lacks.is_empty() => return Err(failed(sandbox::refusal(&lacks))),
        _ => lacks.join("; "),
    };
    let symbols = conversion(elf, alt, bounds.memory_max).map_err(|error| (EXIT_REFUSED, error))?;
    let written = std::io::stdout().lock().write_all(&symbols);
    written.map_err(|error| failed(format!("write the symbol file: {error}")))?;
    Ok(remark)
}

/// The first file, and the second if there is one.
fn split(input: &[u8], elf_bytes: u64) -> Option<(&[u8], Option<&[u8]>)> {
    let at = |bytes: u64| usize::try_from(bytes).ok();
    let elf = input.get(..at(elf_bytes)?)?;
    let alt = input.get(at(elf_bytes.next_multiple_of(ALIGNMENT))?..);
    Some((elf, alt.filter(|alt| !alt.is_empty())))
}

/// An archive of sources is made into something else.
fn convert(elf: &[u8], alt: Option<&[u8]>, memory_max: u64) -> Result<Vec<u8>, String> {
    if sources::is_archive(elf) {
        let made = sources::convert(elf, &sources::Limits::default());
        return made.map_err(|error| error.to_string());
    }
    let limits = Limits {
        section_bytes_max: usize::try_from(memory_max / 2).unwrap_or(usize::MAX),
        ..Limits::default()
    };
    let companions = Companions {
        alt,
        ..Companions::default()
    };
    cairn_symbols::convert(elf, &companions, &limits).map_err(|error| error.to_string())
}

/// None if the file is empty, which can't be mapped.
fn map_input() -> std::io::Result<Option<Mmap>> {
    let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    if input.metadata()?.len() == 0 {
        return Ok(None);
    }
    #[expect(
        unsafe_code,
        reason = "nobody else writes the scratch file, and if somebody did, it is this process that ends"
    )]
    // SAFETY: the file is not changed while it is mapped.
    let map = unsafe { Mmap::map(&input)? };
    Ok(Some(map))
}
