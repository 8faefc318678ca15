//! Runs every rule over this workspace.

use std::path::Path;

use cairn_tidy::Complaint;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn none(complaints: Vec<Complaint>) {
    let text: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    assert!(text.is_empty(), "\n{}\n", text.join("\n"));
}

#[test]
fn crates_depend_only_on_lower_levels() {
    let mut command = cargo_metadata::MetadataCommand::new();
    let metadata = command
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata runs");
    none(cairn_tidy::layers(&metadata).expect("every crate declares its level"));
}

#[test]
fn sources_keep_to_the_rules() {
    none(cairn_tidy::sources(root()).expect("sources can be read"));
}

#[test]
fn links_lead_somewhere() {
    none(cairn_tidy::links(root()).expect("documents can be read"));
}

#[test]
fn broken_rules_are_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let long = "fn f() {}\n".repeat(501);
    std::fs::write(folder.path().join("long.rs"), long).expect("write");
    std::fs::write(folder.path().join("a.md"), "[gone](no/where.md)").expect("write");
    let rules = |complaints: Vec<Complaint>| complaints.iter().map(|c| c.rule).collect::<Vec<_>>();
    assert_eq!(
        rules(cairn_tidy::sources(folder.path()).expect("readable")),
        [
            "a file has at most 500 lines besides its tests",
            "a module starts with `//!`"
        ]
    );
    assert_eq!(
        rules(cairn_tidy::links(folder.path()).expect("readable")),
        ["links lead somewhere"]
    );
}
