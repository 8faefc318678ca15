//! Generates Rust from `proto/`, without `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;

const FILES: &[&str] = &[
    "cairn/catalog/v1/catalog.proto",
    "cairn/catalog/v1/raft.proto",
    "cairn/ingest/v1/forward.proto",
    "cairn/ingest/v1/log.proto",
    "cairn/ingest/v1/usage.proto",
    "cairn/query/v1/scan.proto",
    "cairn/query/v1/shared.proto",
    "cairn/symbols/v1/symbols.proto",
    "google/pprof/profile.proto",
    "opentelemetry/proto/collector/profiles/v1development/profiles_service.proto",
    "parca/debuginfo/v1alpha1/debuginfo.proto",
    "parca/metastore/v1alpha1/metastore.proto",
    "parca/profilestore/v1alpha1/profilestore.proto",
    "parca/query/v1alpha1/query.proto",
    "parca/scrape/v1alpha1/scrape.proto",
    "parca/share/v1alpha1/share.proto",
    "parca/telemetry/v1alpha1/telemetry.proto",
    "push/v1/push.proto",
    "types/v1/types.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let descriptors = protox::compile(FILES, [&root])?;
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    // Payloads are slices of the request's buffer instead of copies.
    config.bytes(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
