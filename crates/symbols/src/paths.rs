//! Paths of source files: put together, and in one spelling.

pub(crate) fn join(folder: &str, path: &str) -> String {
    match folder.is_empty() || is_absolute(path) {
        true => path.to_owned(),
        false => format!("{}/{path}", folder.trim_end_matches('/')),
    }
}

fn is_absolute(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':');
    path.starts_with(['/', '\\']) || drive && path.as_bytes()[0].is_ascii_alphabetic()
}

/// Without `.`, `..` and doubled slashes, so that one file has one spelling.
pub(crate) fn tidy(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            // There is nothing above the root.
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let root = if rooted { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_spelling() {
        for (path, want) in [
            (
                "/build/glibc/./malloc/malloc.c",
                "/build/glibc/malloc/malloc.c",
            ),
            ("/a/b/../c//d.c", "/a/c/d.c"),
            ("/../a.c", "/a.c"),
            ("../x/../../a.c", "../../a.c"),
            ("a.c", "a.c"),
        ] {
            assert_eq!(tidy(path), want);
        }
        assert_eq!(join("/a/", "b.c"), "/a/b.c");
        assert_eq!(join("/a", "/b.c"), "/b.c");
        assert_eq!(join("C:\\a", "C:\\b.c"), "C:\\b.c");
        assert_eq!(join("", "b.c"), "b.c");
    }
}
