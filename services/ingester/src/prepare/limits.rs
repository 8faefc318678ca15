//! Profiles that another ingester decoded, held against the limits of this one.

use cairn_model::{Limits, Profile, Tables};

/// Fails by the name of a limit.
pub(super) fn check_tables(tables: &Tables, limits: &Limits) -> Result<(), String> {
    let longest = tables.strings.iter().map(str::len).max();
    let max = limits.string_bytes_max;
    over(longest.unwrap_or(0), ("a string", "string_bytes_max", max))
}

/// The same for what is not in tables.
pub(super) fn check_profile(profile: &Profile, limits: &Limits) -> Result<(), String> {
    let samples = &profile.samples;
    let labels = (0..samples.len()).map(|sample| samples.attrs(sample).len());
    let labels = labels.max().unwrap_or(0);
    let (types, max) = (profile.types.len(), limits.sample_types_max);
    over(types, ("sample types", "sample_types_max", max))?;
    // One more stands for those that were left out.
    let sent = samples.len().saturating_sub(1);
    over(sent, ("samples", "samples_max", limits.samples_max))?;
    let points = samples.points.len();
    over(points, ("points", "samples_max", limits.samples_max))?;
    let max = limits.sample_labels_max;
    over(labels, ("labels of a sample", "sample_labels_max", max))
}

fn over(count: usize, (what, name, max): (&str, &str, usize)) -> Result<(), String> {
    match count > max {
        true => Err(format!("invalid profile: {what}: more than {name}={max}")),
        false => Ok(()),
    }
}
