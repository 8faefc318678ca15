//! The querier as a process of its own. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    cairn_chassis::main("querier", cairn_querier::run)
}
