//! What profiles are called that come without a name, as Pyroscope's SDKs and users expect it.

use cairn_model::Profile;

/// The name by sample types; `display` replaces a type's own name where it is given.
pub(crate) fn by_types(profile: &Profile, display: &[(String, String)]) -> String {
    let types = || profile.types.iter().map(|t| profile.str(t.kind));
    if types().any(|t| t == "wall") {
        return "wall".to_owned();
    }
    let shown = |t| {
        let found = display.iter().find(|(name, _)| name == t);
        found.map_or(t, |(_, display)| display.as_str())
    };
    let known = types().map(shown).find_map(known);
    let last = types().map(shown).next_back().unwrap_or_default();
    known.unwrap_or(last).to_owned()
}

fn known(sample_type: &str) -> Option<&'static str> {
    let has = |part| sample_type.contains(part);
    match sample_type {
        _ if has("cpu") => Some("process_cpu"),
        "space" | "objects" => Some("memory"),
        _ if has("alloc_") || has("inuse_") => Some("memory"),
        _ if has("mutex_") => Some("mutex"),
        _ if has("block_") => Some("block"),
        _ if has("goroutines") => Some("goroutines"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::ValueType;

    use super::*;

    #[test]
    fn names_follow_the_sample_types() {
        let display = [
            ("contentions".to_owned(), "mutex_count".to_owned()),
            ("goroutine".to_owned(), "goroutines".to_owned()),
        ];
        for (types, name) in [
            (&["samples", "cpu"][..], "process_cpu"),
            (&["samples", "wall", "cpu"], "wall"),
            (&["alloc_objects", "inuse_space"], "memory"),
            (&["objects", "space"], "memory"),
            (&["contentions", "delay"], "mutex"),
            (&["goroutine"], "goroutines"),
            (&["exceptions"], "exceptions"),
            (&[], ""),
        ] {
            let mut profile = Profile::default();
            for sample_type in types {
                let kind = profile.strings.push(sample_type);
                profile.types.push(ValueType { kind, unit: 0 });
            }
            assert_eq!(by_types(&profile, &display), name, "{types:?}");
        }
    }
}
