//! What is made of what workers could not do: tried again, or not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use cairn_symbolizer::Config;
use cairn_wire::cairn::symbols::v1::upload_request::Part;
use cairn_wire::cairn::symbols::v1::{Addressing, FileInfo, FileState, FileType, SourceRequest};
use tempfile::TempDir;

use crate::keeping::list;
use crate::server::{Server, Upload, config, native};
use crate::{IN_MIX, WORK_PIE, chain};

/// Workers that note that they run, and do nothing for long if a test wants it.
struct Workers {
    folder: PathBuf,
}

impl Workers {
    fn new(folder: &TempDir) -> Self {
        let this = Self {
            folder: folder.path().to_owned(),
        };
        let program = env!("CARGO_BIN_EXE_cairn-symbolizer");
        let (runs, hangs) = (this.folder.join("runs"), this.folder.join("hangs"));
        let (runs, hangs) = (runs.display(), hangs.display());
        let script = format!(
            "#!/bin/sh\necho >> {runs}\ntest -e {hangs} && exec /bin/sleep 600\nexec {program} \"$@\"\n"
        );
        std::fs::write(this.program(), script).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(this.program(), mode).expect("set");
        this
    }

    fn program(&self) -> PathBuf {
        self.folder.join("worker")
    }

    fn config(&self, folder: &TempDir) -> Config {
        let mut config = config(folder);
        config.conversion.program = Some(self.program());
        // No symbol file is in memory.
        config.cache_bytes_max = ByteSize::b(0);
        config.absence_ttl = Duration::ZERO;
        config
    }

    fn runs(&self) -> usize {
        std::fs::read(self.folder.join("runs")).map_or(0, |runs| runs.len())
    }

    fn hang(&self, hang: bool) {
        let path = self.folder.join("hangs");
        match hang {
            true => std::fs::write(path, "").expect("written"),
            false => std::fs::remove_file(path).expect("removed"),
        }
    }
}

/// As when their format changes.
fn forget_symbols(folder: &Path) {
    let files = folder.join(format!("store/debuginfo/a/{WORK_PIE}/executable"));
    let mut removed = 0;
    for entry in std::fs::read_dir(files).expect("listed") {
        let path = entry.expect("listed").path();
        if path.to_string_lossy().contains(".symbols.") {
            std::fs::remove_file(path).expect("removed");
            removed += 1;
        }
    }
    assert_eq!(removed, 1);
}

/// Otherwise a file would be refused for good after some busy hours, however far apart they are.
#[tokio::test]
async fn workers_that_are_late_count_only_in_a_row() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workers = Workers::new(&folder);
    let mut config = workers.config(&folder);
    config.conversion.time_max = Duration::from_secs(2);
    let server = Server::start_with(config, folder).await;
    server
        .upload(Upload::of("a", &native("work_pie")))
        .await
        .expect("stored");
    for _ in 0..2 {
        forget_symbols(&workers.folder);
        workers.hang(true);
        for _ in 0..2 {
            let reason = server.reason("a", WORK_PIE, IN_MIX).await;
            assert!(reason.ends_with("at present: ask again"), "{reason}");
        }
        workers.hang(false);
        let named = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(chain(&named.await[0])[0].0, "mix");
    }
    server.stop().await;
}

#[tokio::test]
async fn texts_that_can_t_be_made_are_tried_again_later_and_not_each_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workers = Workers::new(&folder);
    let mut server = Server::start_with(workers.config(&folder), folder).await;
    let id = "85314830-023f-4cf1-a267-535f4e37bb17";
    // Names are found without looking at the contents.
    let map = format!(
        r#"{{"version":3,"debugId":"{id}","sources":["a.js"],"names":[],"mappings":"AAAA","sourcesContent":[5]}}"#
    );
    let info = FileInfo {
        tenant: "a".to_owned(),
        r#type: FileType::SourceMap.into(),
        ..FileInfo::default()
    };
    let parts = vec![Part::Info(info), Part::Chunk(map.into())];
    server.send(parts).await.expect("stored");
    for _ in 0..2 {
        let before = workers.runs();
        for _ in 0..3 {
            let request = SourceRequest {
                tenant: "a".to_owned(),
                build_id: id.to_owned(),
                file: "a.js".to_owned(),
            };
            let none = server.files.clone().source(request).await;
            let none = none.expect_err("it is no text");
            assert!(none.message().contains("refused"), "{none:?}");
        }
        assert_eq!(workers.runs() - before, 1);
        assert_eq!(list(&server, "a").await[0].state(), FileState::Uploaded);
        let folder = server.stop().await;
        server = Server::start_with(workers.config(&folder), folder).await;
    }
    server.stop().await;
}
