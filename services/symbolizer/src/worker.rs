//! The worker process: one file in, or several that belong together, one
//! symbol file or file of texts out. What it reads is hostile, so it may crash, and whoever made the file may come to command it. It gets
//! input and output as open descriptors, and before it looks at the first byte it gives up
//! everything else.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::Duration;

use cairn_model::FileKind;
use cairn_symbols::{Companions, Identity, Limits};
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

/// What is made of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// A symbol file.
    Symbols,
    /// A file of the texts of sources.
    Texts,
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub file: &'a [u8],
    /// What it shares with others, and what was split off it.
    pub beside: &'a [&'a [u8]],
    pub product: Product,
    /// Bytes of memory.
    pub memory_max: u64,
}

/// Makes of a file what is asked for, or says what is wrong with it.
pub type Conversion = fn(&Task<'_>) -> Result<Vec<u8>, String>;

/// Where in the input further files may begin: readers want their tables aligned.
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
pub(crate) fn arguments(
    bounds: &Bounds,
    sandbox: Sandbox,
    product: Product,
    lengths: &[u64],
) -> [String; 7] {
    let lengths: Vec<String> = lengths.iter().map(u64::to_string).collect();
    let word = match sandbox {
        Sandbox::Required => "required",
        Sandbox::Preferred => "preferred",
    };
    let product = match product {
        Product::Symbols => "symbols",
        Product::Texts => "texts",
    };
    [
        ARGUMENT.to_owned(),
        bounds.memory_max.to_string(),
        bounds.time_max.as_secs().max(1).to_string(),
        bounds.output_max.to_string(),
        word.to_owned(),
        product.to_owned(),
        lengths.join(","),
    ]
}

/// The last is how long the files are, all but the last.
fn told(arguments: &[OsString]) -> Option<(Bounds, Sandbox, Product, Vec<u64>)> {
    let [
        memory_max,
        seconds_max,
        output_max,
        sandbox,
        product,
        lengths,
    ] = arguments
    else {
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
    let product = match product.to_str()? {
        "symbols" => Product::Symbols,
        "texts" => Product::Texts,
        _ => return None,
    };
    let lengths = lengths.to_str()?.split(',').map(str::parse);
    Some((
        bounds,
        sandbox,
        product,
        lengths.collect::<Result<_, _>>().ok()?,
    ))
}

/// A remark for the log if it worked.
fn work(arguments: &[OsString], conversion: Conversion) -> Result<String, (u8, String)> {
    let failed = |text: String| (EXIT_FAILED, text);
    let (bounds, sandbox, product, lengths) = told(arguments)
        .ok_or_else(|| failed("a worker is told its bounds, sandbox and input".to_owned()))?;
    let input = map_input().map_err(|error| failed(format!("map the input: {error}")))?;
    let input = input.as_deref().unwrap_or_default();
    let files = split(input, &lengths);
    let files = files.as_deref().and_then(<[_]>::split_first);
    let (file, beside) =
        files.ok_or_else(|| failed("the input is shorter than the files in it".to_owned()))?;
    let lacks = sandbox::enter(&bounds, input.len() as u64).map_err(failed)?;
    let remark = match sandbox {
        Sandbox::Required if !lacks.is_empty() => return Err(failed(sandbox::refusal(&lacks))),
        _ => lacks.join("; "),
    };
    let task = Task {
        file,
        beside,
        product,
        memory_max: bounds.memory_max,
    };
    let made = conversion(&task).map_err(|error| (EXIT_REFUSED, error))?;
    let written = std::io::stdout().lock().write_all(&made);
    written.map_err(|error| failed(format!("write what was made: {error}")))?;
    Ok(remark)
}

/// The files with these lengths, and another if something is left.
pub(crate) fn split<'a>(input: &'a [u8], lengths: &[u64]) -> Option<Vec<&'a [u8]>> {
    let (mut files, mut start) = (Vec::new(), 0_usize);
    for bytes in lengths {
        let end = start.checked_add(usize::try_from(*bytes).ok()?)?;
        files.push(input.get(start..end)?);
        start = end.checked_next_multiple_of(usize::try_from(ALIGNMENT).ok()?)?;
    }
    let rest = input.get(start..).unwrap_or_default();
    files.extend((!rest.is_empty()).then_some(rest));
    Some(files)
}

fn convert(task: &Task<'_>) -> Result<Vec<u8>, String> {
    let Task { file, beside, .. } = *task;
    let is_map = cairn_symbols::is_source_map(file);
    let limits = Limits {
        section_bytes_max: usize::try_from(task.memory_max / 2).unwrap_or(usize::MAX),
        ..Limits::default()
    };
    let symbols = match task.product {
        Product::Texts => {
            // A name in an archive may begin as a map does.
            let made = match is_map && !sources::is_archive(file) {
                true => sources::of_source_map(file, &sources::Limits::default()),
                false => sources::convert(file, &sources::Limits::default()),
            };
            return made.map_err(|error| error.to_string());
        }
        Product::Symbols if is_map => cairn_symbols::convert_source_map(file, &limits),
        Product::Symbols => {
            let mut companions = Companions::default();
            for &other in beside {
                match Identity::read(other).map(|identity| identity.kind) {
                    Ok(FileKind::Package) => companions.package = Some(other),
                    _ => companions.alt = Some(other),
                }
            }
            cairn_symbols::convert(file, &companions, &limits)
        }
    };
    symbols.map_err(|error| error.to_string())
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
