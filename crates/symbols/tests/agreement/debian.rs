//! Packages of Debian, downloaded and unpacked beside the build, never installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use object::Object;

pub(crate) struct Unpacked {
    root: PathBuf,
}

/// The files of packages for an architecture. What was unpacked before is not fetched again.
pub(crate) fn unpacked(architecture: &str, packages: &[&str]) -> Unpacked {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("debian")
        .join(architecture);
    for package in packages {
        let done = cache.join(format!("{package}.unpacked"));
        if done.exists() {
            continue;
        }
        let folder = cache.join(format!("{package}.download"));
        // What an interrupted run left behind is of no use.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        download(package, architecture, (&folder, &cache));
        let fetched = std::fs::read_dir(&folder).unwrap();
        let fetched: Vec<PathBuf> = fetched.map(|entry| entry.unwrap().path()).collect();
        let [archive] = &fetched[..] else {
            panic!("{package} came as {fetched:?}");
        };
        run(Command::new("dpkg-deb")
            .arg("-x")
            .arg(archive)
            .arg(cache.join("root")));
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&done, "").unwrap();
    }
    Unpacked {
        root: cache.join("root"),
    }
}

/// With lists of packages of its own: the system's may be of another architecture, or absent.
fn download(package: &str, architecture: &str, (into, cache): (&Path, &Path)) {
    let lists = cache.join("lists");
    let options = [
        format!("-oAPT::Architecture={architecture}"),
        format!("-oAPT::Architectures={architecture}"),
        "-oAPT::Sandbox::User=root".to_owned(),
        "-oAcquire::Languages=none".to_owned(),
        "-oAcquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".to_owned(),
        format!("-oDir::State::Lists={}", lists.display()),
        format!("-oDir::Cache={}", cache.join("apt").display()),
    ];
    let apt = || {
        let mut command = Command::new("apt-get");
        command.args(&options).arg("-qq").current_dir(into);
        command
    };
    if !lists.exists() {
        std::fs::create_dir_all(cache.join("apt/archives/partial")).unwrap();
        std::fs::create_dir_all(lists.join("partial")).unwrap();
        // One list that fails is no harm if the package is in another.
        apt().arg("update").output().expect("apt-get runs");
    }
    run(apt().args(["download", package]));
}

fn run(command: &mut Command) {
    let ran = command.output().unwrap();
    let words = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {words}");
}

impl Unpacked {
    /// The file whose path ends so.
    pub(crate) fn find(&self, end: &str) -> PathBuf {
        let mut folders = vec![self.root.clone()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => folders.push(path),
                    kind if kind.is_file() && path.ends_with(end) => found.push(path),
                    _ => {}
                }
            }
        }
        // The shortest is the one that nothing else encloses.
        found.sort_by_key(|path| path.as_os_str().len());
        found
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no file ends in {end}"))
    }

    /// The debug file that belongs to a library.
    pub(crate) fn debug_file_of(&self, library: &str) -> PathBuf {
        let elf = std::fs::read(self.find(library)).unwrap();
        let file = object::File::parse(&*elf).unwrap();
        let id = file.build_id().unwrap().unwrap();
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        self.find(&format!(".build-id/{}/{}.debug", &hex[..2], &hex[2..]))
    }
}
