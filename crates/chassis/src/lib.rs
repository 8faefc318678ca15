//! The process: config, telemetry, servers, readiness, task ownership, ordered shutdown.
