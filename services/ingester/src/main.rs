//! The ingester as a process of its own. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    // Those that FAILPOINTS in the environment names.
    #[cfg(feature = "failpoints")]
    let _points = fail::FailScenario::setup();
    cairn_chassis::main("ingester", cairn_ingester::run)
}
