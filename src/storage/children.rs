//! How the children of a folder are told from its keys.
//!
//! All keys below a folder `a/` lie between `a/` and `a0`, since `0` is the byte after `/`: that is the seek past it.

/// The child of the folder `prefix` under which `key` lies, with its slash if it is a folder. None when the key is not
/// in the folder, or is the folder's own name.
pub fn child<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix)?;
    match rest.find('/') {
        Some(slash) => Some(&rest[..=slash]),
        None if rest.is_empty() => None,
        None => Some(rest),
    }
}

/// Where the key after everything of `child` (or after nothing, if it is empty) is sought: this text, and whether it
/// counts itself.
pub fn past(prefix: &str, child: &str) -> (String, bool) {
    // What is below a folder comes after it and is none of its siblings: it stands for the folder.
    match child.split_once('/') {
        Some((name, _)) => (format!("{prefix}{name}0"), true),
        None => (format!("{prefix}{child}"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_from_a_folder() {
        assert_eq!(child("p/", "p/a"), Some("a"));
        assert_eq!(child("p/", "p/a/b/c"), Some("a/"));
        assert_eq!(child("p/", "p/a/"), Some("a/"));
        assert_eq!(child("p/", "p//a"), Some("/"));
        assert_eq!(child("", "a/b"), Some("a/"));
        assert_eq!(child("p/", "p/"), None);
        assert_eq!(child("p/", "q/a"), None);
    }

    #[test]
    fn a_seek_skips_the_folder_and_no_more() {
        let (from, inclusive) = past("p/", "a/");
        assert!(inclusive);
        assert!("p/a/\u{10ffff}" < from.as_str());
        assert!("p/a-" < from.as_str() && "p/a0" >= from.as_str() && "p/aa" > from.as_str());
        assert_eq!(past("p/", "a/b"), past("p/", "a/"));
        assert_eq!(past("p/", "a"), ("p/a".to_owned(), false));
        assert_eq!(past("p/", ""), ("p/".to_owned(), false));
    }
}
