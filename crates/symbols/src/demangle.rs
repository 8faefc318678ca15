//! Names as people write them, out of the names that linkers and runtimes use.
//!
//! A pure function over one name, for C++, Rust, D, Swift, Go and Java. Whatever it does not
//! understand comes back as it was. Bounded in time and size: names come from anybody.

mod cpp;
mod d;
mod go;
mod java;
mod swift;

use std::borrow::Cow;
use std::fmt::{self, Write};

/// How much of a name is shown. What a mode leaves out is the same as in pprof and in those that
/// follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As the linker sees it.
    None,
    /// Without parameters, return type and arguments of templates: what symbol files have.
    #[default]
    Simple,
    /// Without parameters and return type.
    Templates,
    /// With everything that the name says.
    Full,
}

/// Longer names are not looked at, and longer results are given up: crafted names demangle to
/// sizes without bound.
const NAME_BYTES_MAX: usize = 16 << 10;

/// The name of a function as people write it; itself if it is not mangled.
pub fn demangle(name: &str, mode: Mode) -> Cow<'_, str> {
    let name_or = |found: Option<String>| match found {
        Some(found) if !found.is_empty() => Cow::Owned(found),
        _ => Cow::Borrowed(name),
    };
    if mode == Mode::None || name.len() > NAME_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    // Macs put one more underscore before everything.
    let inner = match name.starts_with("__Z") || name.starts_with("__R") || name.starts_with("_$s")
    {
        true => &name[1..],
        false => name,
    };
    if inner.starts_with("_R") || is_rust_legacy(inner) {
        return name_or(rust(inner, mode));
    }
    if inner.starts_with("_Z") || inner.starts_with("_GLOBAL_") {
        return name_or(cpp::demangle(inner, mode));
    }
    if inner.starts_with("_D") {
        return name_or(d::demangle(inner, mode));
    }
    if inner.starts_with("$s") || inner.starts_with("$S") || inner.starts_with("_T0") {
        return name_or(swift::demangle(inner, mode));
    }
    match java::tidy(name, mode).or_else(|| go::tidy(name, mode)) {
        Some(tidy) => Cow::Owned(tidy),
        None => Cow::Borrowed(name),
    }
}

/// Rust's older scheme is C++'s for a path that ends in a hash.
fn is_rust_legacy(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("_ZN") else {
        return false;
    };
    // The hash's length and `h`, sixteen digits, `E`, and what LLVM appends.
    let end = rest.rfind("17h").map(|at| &rest.as_bytes()[at + 3..]);
    end.is_some_and(|end| {
        end.len() > 16
            && end[..16].iter().all(u8::is_ascii_hexdigit)
            && end[16] == b'E'
            && (end.len() == 17 || end[17] == b'.')
    })
}

fn rust(name: &str, mode: Mode) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut out = Bounded::default();
    match mode {
        Mode::Full => write!(out, "{demangled}").ok()?,
        Mode::None | Mode::Simple | Mode::Templates => write!(out, "{demangled:#}").ok()?,
    }
    Some(out.text)
}

/// A text that refuses to grow beyond what a name may have.
#[derive(Default)]
struct Bounded {
    text: String,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.text.len() + more.len() > NAME_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.text.push_str(more);
        Ok(())
    }
}
