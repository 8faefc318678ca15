//! A profile as readable rows, so that two profiles can be compared whatever their tables look
//! like. Not for production: it spells out every frame of every sample.

use std::collections::BTreeMap;

use cairn_model::{Addressing, AttrValue, NONE, Profile};

/// Values per (stack root first, sorted labels).
pub type Canonical = BTreeMap<(Vec<String>, Vec<(String, String)>), Vec<i64>>;

/// Equal for profiles that say the same: equal samples are added up, rows of zeros and empty
/// labels are dropped, links appear as the labels they came from.
///
/// A named frame is its name, system name, file, line, column and first line, as far as there are
/// any; where it was mapped is left out. An unnamed frame is its file, build id and address.
pub fn canonical(profile: &Profile) -> Canonical {
    let mut rows = Canonical::new();
    for at in 0..profile.samples.len() {
        let values = profile.values(at);
        if values.iter().all(|value| *value == 0) {
            continue;
        }
        let mut stack = Vec::new();
        for location in profile.stack(at).iter().rev() {
            push_frames(profile, *location, &mut stack);
        }
        let sums = rows
            .entry((stack, labels(profile, at)))
            .or_insert_with(|| vec![0; values.len()]);
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.wrapping_add(*value);
        }
    }
    rows.retain(|_, values| values.iter().any(|value| *value != 0));
    rows
}

fn push_frames(profile: &Profile, location: u32, stack: &mut Vec<String>) {
    let lines = profile.lines(location);
    if lines.is_empty() {
        stack.push(unnamed(profile, location));
    }
    for line in lines.iter().rev() {
        let function = &profile.tables.functions[line.function as usize];
        let mut frame = profile.str(function.name).to_owned();
        for (before, id) in [(" =", function.system_name), (" in ", function.file)] {
            if id != 0 {
                frame = frame + before + profile.str(id);
            }
        }
        for (before, number) in [
            (" :", line.line),
            (" column ", line.column),
            (" from line ", function.start_line),
        ] {
            if number != 0 {
                frame = frame + before + &number.to_string();
            }
        }
        stack.push(frame);
    }
}

fn unnamed(profile: &Profile, location: u32) -> String {
    let location = &profile.tables.locations[location as usize];
    if location.mapping == NONE {
        return format!("{:#x}", location.address);
    }
    let mapping = &profile.tables.mappings[location.mapping as usize];
    let addressing = match mapping.addressing {
        Addressing::FileOffset => "file offset",
        Addressing::Virtual => "address",
    };
    format!(
        "{} [{}] {addressing} {:#x}",
        profile.str(mapping.file),
        profile.str(mapping.build_id),
        location.address
    )
}

fn labels(profile: &Profile, sample: usize) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    if let Some(link) = profile.samples.link(sample) {
        let link = &profile.tables.links[link as usize];
        labels.extend(crate::encode::link_labels(link).map(|(key, id)| (key.to_owned(), id)));
    }
    for attr in profile.samples.attrs(sample) {
        let value = match attr.value {
            AttrValue::Str(text) if profile.str(text).is_empty() => continue,
            AttrValue::Str(text) => profile.str(text).to_owned(),
            AttrValue::Num { value, unit } => format!("{value} {}", profile.str(unit)),
        };
        labels.push((profile.str(attr.key).to_owned(), value));
    }
    labels.sort();
    labels
}
