//! The corpus of real profiles and recorded requests. Finds and unwraps them; does not decode
//! profiles.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;

/// One request as a client sent it.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The folder: client and version, such as `pyroscope-nodejs-0.6.4`.
    pub client: String,
    /// Client and number, for messages.
    pub name: String,
    pub method: String,
    pub path: String,
    /// As in the URL, without `?`.
    pub query_raw: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// As on the wire, before undoing any content encoding. gRPC: the bare message.
    pub body: Vec<u8>,
    pub is_grpc: bool,
}

/// A pprof file, or a pprof inside a captured request.
#[derive(Clone, Debug)]
pub struct Pprof {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The corpus folder: `$CAIRN_CORPUS`, or `../shared/corpus` beside the repository. Its name has
/// neither links nor `..`: some tests compile what lies there, and tools spell such names as they
/// like.
///
/// # Panics
///
/// If there is none, since a test that skips what it should check is worse than one that fails.
pub fn root() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let root = std::env::var_os("CAIRN_CORPUS").map_or_else(|| beside.into(), PathBuf::from);
    assert!(
        root.join("MANIFEST.txt").is_file(),
        "no corpus at {}: set CAIRN_CORPUS to the folder that holds MANIFEST.txt, captured/ and generated/",
        root.display()
    );
    root.canonicalize().expect("a folder that is there")
}

/// All files below a folder of the corpus, sorted. `""` is the whole corpus.
pub fn files(below: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let entries = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("the corpus is readable").path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), &mut found);
    found.sort();
    found
}

/// One file's bytes, by its path inside the corpus.
pub fn read(path: &str) -> Vec<u8> {
    read_path(&root().join(path))
}

fn read_path(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// All captured requests, in the order of their names.
pub fn captured() -> Vec<Captured> {
    files("captured")
        .iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| read_captured(path))
        .collect()
}

fn read_captured(path: &Path) -> Captured {
    let json: serde_json::Value =
        serde_json::from_slice(&read_path(path)).expect("captures are described in JSON");
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let folder = path.parent().expect("captures lie in folders");
    let client = file_name(folder);
    Captured {
        name: format!("{client}/{}", file_name(path).trim_end_matches(".json")),
        client,
        method: text("method"),
        path: text("path"),
        query_raw: text("query_raw"),
        query: pairs(&json["query"]),
        headers: pairs(&json["headers"]),
        body: read_path(&folder.join(text("body_file"))),
        is_grpc: json["proto"] == "gRPC",
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().expect("walked paths have names");
    name.to_string_lossy().into_owned()
}

fn pairs(json: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    json.as_array()
        .into_iter()
        .flatten()
        .map(|pair| (text(&pair[0]), text(&pair[1])))
        .collect()
}

impl Captured {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// The first query parameter of this name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }

    /// The body without its content encoding.
    pub fn plain_body(&self) -> Vec<u8> {
        if self.header("content-encoding") != Some("gzip") {
            return self.body.clone();
        }
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&*self.body)
            .read_to_end(&mut plain)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        plain
    }

    /// The pprof files inside the request; none for other formats and for queries.
    pub fn pprofs(&self) -> Vec<Pprof> {
        let body = self.plain_body();
        let content_type = self.header("content-type").unwrap_or_default();
        let found: Vec<Vec<u8>> = if self.path == "/ingest" {
            match content_type.split_once("boundary=") {
                Some((_, boundary)) => part(&body, boundary, "profile").into_iter().collect(),
                None => vec![body],
            }
        } else if self.path.ends_with("/WriteRaw") {
            // series, samples, raw_profile
            bytes_at(&body, &[2, 2, 1])
        } else if !self.path.ends_with("PusherService/Push") {
            Vec::new()
        } else if content_type == "application/json" {
            base64_profiles(&body)
        } else {
            bytes_at(&body, &[1, 2, 1])
        };
        found
            .into_iter()
            .enumerate()
            .map(|(at, bytes)| Pprof {
                name: format!("{}#{at}", self.name),
                bytes,
            })
            .collect()
    }
}

/// Every pprof of the corpus: files and those inside captured requests.
pub fn pprofs() -> Vec<Pprof> {
    let root = root();
    let mut found: Vec<Pprof> = files("generated")
        .iter()
        .filter(|path| {
            let name = file_name(path);
            name.ends_with(".pb") || name.ends_with(".pb.gz")
        })
        .map(|path| Pprof {
            name: path
                .strip_prefix(&root)
                .expect("files lie below the root")
                .to_string_lossy()
                .into_owned(),
            bytes: read_path(path),
        })
        .collect();
    found.extend(captured().iter().flat_map(Captured::pprofs));
    found
}

/// The content of the first part of a multipart body with this field name.
fn part(body: &[u8], boundary: &str, name: &str) -> Option<Vec<u8>> {
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let mut rest = body;
    while let Some(start) = find(rest, boundary.as_bytes()) {
        rest = &rest[start + boundary.len()..];
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        rest = &rest[head_end + 4..];
        let end = find(rest, format!("\r\n{boundary}").as_bytes())?;
        if head.contains(&format!("name=\"{name}\"")) {
            return Some(rest[..end].to_vec());
        }
    }
    None
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|at| at == needle)
}

fn base64_profiles(body: &[u8]) -> Vec<Vec<u8>> {
    let json: serde_json::Value = serde_json::from_slice(body).expect("a JSON push is JSON");
    let array = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    array(&json["series"])
        .iter()
        .flat_map(|series| array(&series["samples"]))
        .map(|sample| {
            let text = ["rawProfile", "raw_profile"]
                .iter()
                .find_map(|key| sample[*key].as_str())
                .expect("a pushed sample holds a profile");
            let standard = base64::engine::general_purpose::STANDARD;
            standard.decode(text).expect("bytes in JSON are base64")
        })
        .collect()
}

/// The bytes fields of a protobuf message at a path of field numbers.
fn bytes_at(message: &[u8], path: &[u32]) -> Vec<Vec<u8>> {
    let Some((field, deeper)) = path.split_first() else {
        return vec![message.to_vec()];
    };
    let mut found = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let len = match key & 7 {
            0 => {
                varint(&mut rest);
                continue;
            }
            1 => 8,
            2 => varint(&mut rest) as usize,
            5 => 4,
            other => panic!("wire type {other} in a captured message"),
        };
        // One capture was made neutral without mending the lengths around the profile.
        let (bytes, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        if key == u64::from(field << 3 | 2) {
            found.extend(bytes_at(bytes, deeper));
        }
    }
    found
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().expect("captured messages are whole");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_described_and_unwrapped() {
        let captured = captured();
        let node = captured
            .iter()
            .find(|request| request.name == "pyroscope-nodejs-0.6.4/001")
            .expect("in the corpus");
        assert_eq!((&*node.method, &*node.path), ("POST", "/ingest"));
        assert_eq!(node.query("spyName"), Some("nodespy"));
        assert_eq!(
            node.header("Content-Type"),
            Some("application/octet-stream")
        );
        let with_profile: Vec<&str> = captured
            .iter()
            .filter(|request| !request.pprofs().is_empty())
            .map(|request| &*request.client)
            .collect();
        for client in [
            "pyroscope-go",
            "lightswitch-0.7.0-pyroscope",
            "pyroscope-io-python",
            "parca-client-grpc",
        ] {
            assert!(with_profile.contains(&client), "{client}");
        }
        assert!(pprofs().len() >= 80, "{}", pprofs().len());
    }
}
