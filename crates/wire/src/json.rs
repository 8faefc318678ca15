//! Messages as JSON and as query strings.
