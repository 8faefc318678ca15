//! What a profile is usually called, for senders that do not say.

use cairn_model::Profile;

/// The first part of the profile type, told from the kinds of its values as Pyroscope tells it.
///
/// A profile of nothing known is called after its first kind of value.
pub fn usual_name(profile: &Profile) -> String {
    let kinds: Vec<&str> = profile
        .types
        .iter()
        .map(|value| profile.str(value.kind))
        .collect();
    let any = |part: &str| kinds.iter().any(|kind| kind.contains(part));
    let known = [
        (any("wall"), "wall"),
        (any("cpu"), "process_cpu"),
        (
            any("alloc_") || any("inuse_") || any("space") || any("objects"),
            "memory",
        ),
        (any("mutex_"), "mutex"),
        (any("block_"), "block"),
        (any("goroutine"), "goroutines"),
    ];
    // Go calls the values of both its lock profiles alike; the period tells nothing either.
    let lock = any("contentions") && any("delay");
    let name = known
        .into_iter()
        .find(|(found, _)| *found)
        .map(|(_, name)| name);
    name.or(lock.then_some("mutex"))
        .or(kinds.first().copied())
        .unwrap_or("profile")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::ValueType;

    fn named(kinds: &[&str]) -> String {
        let mut profile = Profile::default();
        for kind in kinds {
            let kind = profile.strings.push(kind);
            profile.types.push(ValueType { kind, unit: 0 });
        }
        usual_name(&profile)
    }

    #[test]
    fn kinds_of_values_tell_the_name() {
        assert_eq!(named(&["samples", "cpu"]), "process_cpu");
        assert_eq!(named(&["samples", "wall", "cpu"]), "wall");
        assert_eq!(named(&["alloc_objects", "inuse_space"]), "memory");
        assert_eq!(named(&["contentions", "delay"]), "mutex");
        assert_eq!(named(&["goroutine"]), "goroutines");
        assert_eq!(named(&["threads"]), "threads");
        assert_eq!(named(&[]), "profile");
    }
}
