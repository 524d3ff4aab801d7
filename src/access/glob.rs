//! Wildcards of policies: `*` stands for any run of characters, everything else for itself, case-sensitively.

/// Whether the whole of `text` matches `pattern`. The time is linear in the lengths of both: the parts between stars
/// are found from left to right, each once, and the last one is anchored at the end.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_suffix(tail) else { return false };
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("PERSONAL.*", "PERSONAL.EMAIL", true),
            ("PERSONAL.*", "PERSONAL.", true),
            ("PERSONAL.*", "PERSONAL", false),
            ("PERSONAL.*", "personal.email", false),
            ("PERSONAL.*", "XPERSONAL.EMAIL", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("**", "", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*b*b*", "ab", false),
            ("*b*b*", "abab", true),
            ("*ab", "aab", true),
            ("a.c", "abc", false),
            ("[ab]", "a", false),
            ("?", "a", false),
            ("ü*", "über", true),
            ("*\u{308}", "u", false),
            ("sales.*", "sales.orders", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} against {text:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "*a".repeat(20_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(100_000)));
    }
}
