//! The compactor as a process of its own. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    cairn_chassis::main("compactor", cairn_compactor::run)
}
