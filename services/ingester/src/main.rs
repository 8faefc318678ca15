//! The ingester as a process of its own. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    cairn_chassis::main("ingester", cairn_ingester::run)
}
