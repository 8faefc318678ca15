//! One document of settings: defaults, then a YAML file, then the environment, then the command
//! line. Refuses what nobody reads.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Sections that every process has.
const COMMON: [&str; 4] = ["server", "telemetry", "self_profile", "memory"];
const ENV_PREFIX: &str = "CAIRN__";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not YAML: {reason}")]
    Syntax { path: PathBuf, reason: String },
    #[error("{0}")]
    Value(String),
    #[error("unknown setting `{0}`")]
    Unknown(String),
    #[error(
        "{0} is reachable from other machines, and anybody there could read and write every \
         profile. Listen on 127.0.0.1, or say --insecure-listen-anywhere"
    )]
    Exposed(SocketAddr),
    #[error(
        "memory.bytes_max: {0} is too little. Say at least 512MiB, or 256MiB together with \
         self_profile.enabled=false"
    )]
    Memory(ByteSize),
}

/// Settings of one process, by section.
#[derive(Debug)]
pub struct Document {
    merged: Figment,
    /// Sections read so far, as they took effect, secrets hidden.
    effective: Vec<(String, serde_yaml_ng::Value)>,
}

impl Document {
    /// Reads the file, if any, and the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        // Names and values that are no text are none of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::layered(file, std::env::vars_os().filter_map(text))
    }

    /// Reads the file, if any, and these variables; others than `CAIRN__*` are not looked at.
    pub fn layered(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut document = Self {
            merged: Figment::new(),
            effective: Vec::new(),
        };
        if let Some(path) = file {
            document.merged = Figment::from(Serialized::defaults(read_yaml(path)?));
        }
        for (name, value) in variables {
            if let Some(path) = name.strip_prefix(ENV_PREFIX) {
                let Ok(value) = value.parse::<Value>();
                document.set(&path.to_lowercase().replace("__", "."), value);
            }
        }
        Ok(document)
    }

    /// Overrides one setting, named by its dotted path, as the command line does.
    pub fn set(&mut self, path: &str, value: impl Serialize) {
        let merged = std::mem::take(&mut self.merged);
        self.merged = merged.merge(Serialized::default(path, value));
    }

    /// One section; what is not set keeps the value it has in `defaults`.
    pub fn section<C>(&mut self, name: &str, defaults: C) -> Result<C, ConfigError>
    where
        C: Serialize + DeserializeOwned,
    {
        let figment = Figment::from(Serialized::default(name, &defaults)).merge(&self.merged);
        let section: C = figment
            .extract_inner(name)
            .map_err(|error| invalid(name, &error))?;
        let effective = serde_yaml_ng::to_value(&section)
            .map_err(|error| ConfigError::Value(format!("section `{name}`: {error}")))?;
        if let Ok(given) = self.merged.find_value(name)
            && let Some(unknown) = unread(&given, &effective)
        {
            return Err(ConfigError::Unknown(format!("{name}.{unknown}")));
        }
        self.effective.push((name.to_owned(), effective));
        Ok(section)
    }

    /// Call once every section is read: whatever is left over is a mistake.
    pub fn finish(&self) -> Result<(), ConfigError> {
        let given: Dict = self
            .merged
            .extract()
            .map_err(|error| ConfigError::Value(error.to_string()))?;
        let is_read = |key: &str| self.effective.iter().any(|(name, _)| name == key);
        match given.keys().find(|key| !is_read(key)) {
            Some(key) => {
                let mut known: Vec<&str> = COMMON.to_vec();
                known.extend(self.effective.iter().map(|(name, _)| name.as_str()));
                known.sort_unstable();
                known.dedup();
                Err(ConfigError::Unknown(format!(
                    "{key}`; the sections are `{}",
                    known.join("`, `")
                )))
            }
            None => Ok(()),
        }
    }

    /// The sections read so far as YAML, secrets hidden.
    pub fn to_yaml(&self) -> String {
        let mapping: serde_yaml_ng::Mapping = self
            .effective
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.clone()))
            .collect();
        serde_yaml_ng::to_string(&mapping).expect("a mapping of YAML values is YAML")
    }
}

/// Names the setting from the outside in; the section's own name comes last in the error's path.
fn invalid(section: &str, error: &figment::Error) -> ConfigError {
    let inner = error.path.strip_suffix(&[section.to_owned()]);
    let mut path = vec![section.to_owned()];
    path.extend_from_slice(inner.unwrap_or(&error.path));
    ConfigError::Value(format!("setting `{}`: {}", path.join("."), error.kind))
}

fn read_yaml(path: &Path) -> Result<serde_yaml_ng::Mapping, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    // An empty document is null, which means: nothing is set.
    let parsed: Result<Option<serde_yaml_ng::Mapping>, _> = serde_yaml_ng::from_str(&text);
    parsed
        .map(Option::unwrap_or_default)
        .map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            reason: error.to_string(),
        })
}

/// The dotted path of the first setting that was given but did not survive into the section, for
/// structs that do not refuse unknown fields themselves.
fn unread(given: &Value, effective: &serde_yaml_ng::Value) -> Option<String> {
    let Value::Dict(_, given) = given else {
        return None;
    };
    let known = effective.as_mapping()?;
    given
        .iter()
        .find_map(|(key, value)| match known.get(key.as_str()) {
            None => Some(key.clone()),
            Some(inner) => unread(value, inner).map(|rest| format!("{key}.{rest}")),
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;
    use crate::config::{Secret, Server};

    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Store {
        path: String,
        key: Secret,
        retries: Option<u32>,
    }

    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Config {
        store: Store,
        name: String,
    }

    fn document(yaml: &str, variables: &[(&str, &str)]) -> Document {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Document::layered(Some(file.path()), variables).unwrap()
    }

    #[test]
    fn the_environment_overrides_the_file_and_the_file_the_defaults() {
        let yaml = "server: {shutdown_deadline: 7s, drain_delay: 1s}\nsome: {store: {path: file}}";
        let mut document = document(
            yaml,
            &[
                ("CAIRN__SERVER__DRAIN_DELAY", "2s"),
                ("CAIRN__SERVER__LISTEN", "127.0.0.1:9000"),
                ("CAIRN__SOME__STORE__RETRIES", "3"),
                ("CAIRN_SERVER", "http://not.ours"),
            ],
        );
        document.set("server.listen", "127.0.0.1:9001");
        let server = document.section("server", Server::default()).unwrap();
        assert_eq!(server.shutdown_deadline, Duration::from_secs(7));
        assert_eq!(server.drain_delay, Duration::from_secs(2));
        assert_eq!(server.listen.port(), 9001);
        assert_eq!(server.admin_listen.port(), 7071);
        let defaults = Config {
            name: "kept".to_owned(),
            ..Config::default()
        };
        let some = document.section("some", defaults).unwrap();
        assert_eq!(
            (some.name.as_str(), some.store.path.as_str()),
            ("kept", "file")
        );
        assert_eq!(some.store.retries, Some(3));
        document.finish().unwrap();
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        let refusal = |yaml: &str, variables: &[(&str, &str)]| {
            let mut document = document(yaml, variables);
            let server = document.section("server", Server::default());
            let some = document.section("some", Config::default());
            let error = server.err().or(some.err()).or(document.finish().err());
            error.expect("it is refused").to_string()
        };
        let text = refusal("server: {lisen: 127.0.0.1:1}", &[]);
        assert!(
            text.contains("`lisen`") && text.contains("server"),
            "{text}"
        );
        let text = refusal("some: {store: {pth: x}}", &[]);
        assert!(text.contains("some.store.pth"), "{text}");
        let text = refusal("sme: {}", &[]);
        assert!(text.contains("`sme`") && text.contains("`some`"), "{text}");
        let text = refusal("", &[("CAIRN__SOME__NAM", "x")]);
        assert!(text.contains("some.nam"), "{text}");
        let text = refusal("server: {drain_delay: often}", &[]);
        assert!(text.contains("server.drain_delay"), "{text}");
    }

    #[test]
    fn secrets_are_read_but_not_shown() {
        let mut document = document("some: {store: {key: hunter2}}", &[]);
        let some = document.section("some", Config::default()).unwrap();
        assert_eq!(some.store.key.reveal(), "hunter2");
        assert!(!document.to_yaml().contains("hunter2"));
        assert!(document.to_yaml().contains("***"));
        assert!(!format!("{some:?}").contains("hunter2"));
    }
}
