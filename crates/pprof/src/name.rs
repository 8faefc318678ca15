//! What a profile is usually called, for senders that do not say.

use cairn_model::Profile;

/// The first part of the profile type, told from the kinds of its values as Pyroscope tells it.
///
/// `display` are names that replace a kind's own, as Pyroscope's SDKs send them. A profile of
/// nothing known is called after its last kind of value.
pub fn usual_name(profile: &Profile, display: &[(String, String)]) -> String {
    let kinds = || profile.types.iter().map(|value| profile.str(value.kind));
    if kinds().any(|kind| kind == "wall") {
        return "wall".to_owned();
    }
    let shown = |kind| {
        let found = display.iter().find(|(name, _)| name == kind);
        found.map_or(kind, |(_, display)| display.as_str())
    };
    let has = |kind| kinds().map(shown).any(|shown| shown == kind);
    // Go calls the values of both its lock profiles alike; the period tells nothing either.
    let lock = (has("contentions") && has("delay")).then_some("mutex");
    let known = kinds().map(shown).find_map(known).or(lock);
    let last = kinds().map(shown).next_back();
    known.or(last).unwrap_or("profile").to_owned()
}

fn known(kind: &str) -> Option<&'static str> {
    let has = |part| kind.contains(part);
    match kind {
        _ if has("cpu") => Some("process_cpu"),
        "space" | "objects" => Some("memory"),
        _ if has("alloc_") || has("inuse_") => Some("memory"),
        _ if has("mutex_") => Some("mutex"),
        _ if has("block_") => Some("block"),
        _ if has("goroutine") => Some("goroutines"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::ProfileBuilder;

    #[test]
    fn kinds_of_values_tell_the_name() {
        let display = [("contentions".to_owned(), "block_count".to_owned())];
        for (kinds, display, name) in [
            (&["samples", "cpu"][..], &[][..], "process_cpu"),
            (&["samples", "wall", "cpu"], &[], "wall"),
            (&["alloc_objects", "inuse_space"], &[], "memory"),
            (&["objects", "space"], &[], "memory"),
            (&["contentions", "delay"], &[], "mutex"),
            (&["contentions", "delay"], &display, "block"),
            (&["goroutine"], &[], "goroutines"),
            (&["threads"], &[], "threads"),
            (&[], &[], "profile"),
        ] {
            let mut profile = ProfileBuilder::default();
            for kind in kinds {
                profile.value_type(kind, "");
            }
            let profile = profile.finish();
            assert_eq!(usual_name(&profile, display), name, "{kinds:?}");
        }
    }
}
