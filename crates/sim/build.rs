//! Lets libraries that look for the C library's functions by name, at run time, find those of the
//! simulation.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic-symbol=getrandom");
}
