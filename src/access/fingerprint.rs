//! A stable name for the content of a decision's inputs: SHA-256 over length-prefixed parts.
//!
//! Equal fingerprints stand for equal content, so caches may be keyed by them; a cheaper hash could be made to collide
//! and hand one principal another's view.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// SHA-256 of some content, the same in every run of every server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes the parts of one fingerprint, in order. Each part is preceded by its length, so that no two lists of parts
/// run together into the same bytes.
pub(super) struct Fingerprinter(Context);

impl Fingerprinter {
    /// `kind` keeps fingerprints of different things apart.
    pub(super) fn new(kind: &str) -> Self {
        let mut started = Self(Context::new(&SHA256));
        started.text(kind);
        started
    }

    pub(super) fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    pub(super) fn finish(self) -> Fingerprint {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Fingerprint(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let of = |parts: &[&str]| {
            let mut f = Fingerprinter::new("test");
            for part in parts {
                f.text(part);
            }
            f.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", ""]), of(&["a"]));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_eq!(of(&[]).to_string().len(), 64);
    }
}
