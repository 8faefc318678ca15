//! The body of `/ingest` as a form.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::Error;

/// The parts of a form that count.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Of the field that was asked for.
    pub(super) profile: Bytes,
    pub(super) sample_type_config: String,
    /// Labels of a flight recording's contexts, as sent.
    pub(super) labels: Bytes,
}

/// Parts of a form, so that a hostile one costs no more than its bytes.
const FORM_PARTS_MAX: usize = 64;

/// `field` is the one with the profile.
pub(super) async fn read(bytes: Bytes, boundary: String, field: &str) -> Result<Form, Error> {
    let invalid = |error: multer::Error| unprocessable(format!("invalid form: {error}"));
    let stream = futures::stream::once(async { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(stream, boundary);
    let mut profile = None;
    let mut form = Form::default();
    for _ in 0..FORM_PARTS_MAX {
        let Some(part) = parts.next_field().await.map_err(invalid)? else {
            form.profile =
                profile.ok_or_else(|| unprocessable(format!("the form has no field {field:?}")))?;
            return Ok(form);
        };
        match part.name() {
            Some(name) if name == field => profile = Some(part.bytes().await.map_err(invalid)?),
            Some("labels") => form.labels = part.bytes().await.map_err(invalid)?,
            Some("sample_type_config") => {
                let bytes = part.bytes().await.map_err(invalid)?;
                form.sample_type_config = String::from_utf8_lossy(&bytes).into_owned();
            }
            Some("prev_profile") => {
                return Err(unprocessable(
                    "unsupported client version: it sends prev_profile",
                ));
            }
            // Reading the next part skips this one.
            _ => {}
        }
    }
    Err(unprocessable("the form has too many parts"))
}

/// Display names of sample types. They decide what the profile is called.
pub(super) fn display_names(config: &str) -> Result<Vec<(String, String)>, Error> {
    #[derive(serde::Deserialize)]
    struct SampleType {
        #[serde(default, rename = "display-name")]
        display_name: String,
    }
    if config.trim().is_empty() {
        return Ok(Vec::new());
    }
    let types: BTreeMap<String, SampleType> = serde_json::from_str(config)
        .map_err(|error| unprocessable(format!("invalid sample_type_config: {error}")))?;
    let named = types.into_iter().map(|(name, t)| (name, t.display_name));
    Ok(named.filter(|(_, display)| !display.is_empty()).collect())
}

pub(super) fn unprocessable(reason: impl Into<String>) -> Error {
    Error::Unprocessable(reason.into())
}
