//! What must hold of any text that arrives as a selector.

use cairn_model::Selector;

/// Whether the bytes are a selector.
pub(crate) fn check(raw: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(raw) else {
        return false;
    };
    let typed = Selector::parse_typed(text);
    let Ok(selector) = Selector::parse(text) else {
        assert!(typed.is_err(), "an invalid selector has a type");
        return false;
    };
    let printed = selector.to_string();
    let again = Selector::parse(&printed);
    assert_eq!(again.as_ref(), Ok(&selector), "{printed:?} reads otherwise");
    match selector.profile_type {
        Some(profile_type) => assert_eq!(typed, Ok((profile_type, selector.matchers))),
        None => assert!(typed.is_err(), "a selector without a type has one"),
    }
    true
}
