//! One document of settings: defaults, then a YAML file, then the environment, then the command
//! line. Refuses what nobody reads.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Serialized};
use figment::value::{Dict, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Sections that every process has.
const COMMON: [&str; 3] = ["server", "telemetry", "self_profile"];
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
        let mut merged = Figment::new();
        if let Some(path) = file {
            merged = merged.merge(Serialized::defaults(read_yaml(path)?));
        }
        Ok(Self {
            merged: merged.merge(Env::prefixed(ENV_PREFIX).split("__")),
            effective: Vec::new(),
        })
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
        let section: C = figment.extract_inner(name).map_err(|error| {
            let path = error.path.join(".");
            let key = if path.is_empty() { name } else { &path };
            ConfigError::Value(format!("setting `{key}`: {}", error.kind))
        })?;
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
