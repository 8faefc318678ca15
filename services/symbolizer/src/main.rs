//! The symbolizer as a process of its own. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    if let Some(done) = cairn_symbolizer::worker_main() {
        return done;
    }
    cairn_chassis::main("symbolizer", cairn_symbolizer::run)
}
