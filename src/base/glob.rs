//! Patterns with `*`, as roles, token roles and sidecars write them: each star stands for any text, also none. Paths and
//! parameters of policies have rules of their own (`policy`).

/// Whether a text fits a pattern. The cost is bounded by the product of the lengths; nothing recurses.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a text fits one of the patterns.
pub fn fits_any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, text))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_pattern_covers_the_whole_text() {
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("a*", "ba"),
            ("*a", "ab"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
            ("*x*", "abc"),
            ("a*b*c", "acb"),
            ("a*ba*a", "aba"),
            ("a", "A"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "any"),
            ("a*", "a"),
            ("a*c", "abbc"),
            ("*@x.test", "s@x.test"),
            ("a**b", "ab"),
            ("*b*d*", "abcde"),
            ("a*é", "a-é"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
    }
}
