//! What can go wrong between a location and a readable table, in words that may reach a client.
//!
//! Messages carry no location and no secret: the caller knows which product it asked for. Raw causes go to the log,
//! scrubbed of query strings and user information, because a signed URL is a secret.

use std::error::Error as StdError;
use std::time::Duration;

use chrono::{DateTime, Utc};
use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

/// Why a table cannot be read. Cheap to clone, because waiting readers share one failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The location is not a URL that a store can be made for.
    #[error("the location is not usable: {reason}")]
    InvalidLocation { reason: String },
    /// The named credentials are missing, or have an option that does not exist.
    #[error("credentials \"{name}\" are not usable: {reason}")]
    Credentials { name: String, reason: String },
    /// The store answers, and there is no Delta log.
    #[error("there is no Delta table at the location")]
    NotATable,
    /// The table has no such version, or its log no longer reaches back to it.
    #[error("the table has no version {version}")]
    NoSuchVersion {
        version: u64,
        /// The versions that can be read; `None` when the log says nothing of them.
        readable: Option<(u64, u64)>,
    },
    /// The first version that can be read is younger than the time that was asked for.
    #[error("the table has no version as old as {time}")]
    BeforeFirst { time: DateTime<Utc>, earliest: u64, earliest_time: DateTime<Utc> },
    /// A change feed from a version to one before it.
    #[error("the range of versions ends before it begins")]
    InvalidRange { from: u64, to: u64 },
    /// A change feed of too many versions at once.
    #[error("a change feed is read over at most {versions_max} versions")]
    RangeTooLong { versions_max: u64 },
    /// The table did not record changes at this version.
    #[error("the table's changes were not recorded at version {version}")]
    ChangesNotRecorded { version: u64 },
    /// The table's columns are not the same before and after this version.
    #[error("the table's columns changed at version {version}")]
    ColumnsChanged { version: u64 },
    /// More commits than are searched for a time.
    #[error("the table's log has more than {commits_max} commits")]
    TooManyCommits { commits_max: usize },
    /// The store does not answer, or answers with failures.
    #[error("the table's store cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// The store answers and refuses.
    #[error("the table's store refuses access with the product's credentials")]
    Denied,
    /// The disk is full or read-only, or the store takes no file.
    #[error("the store cannot be written: {reason}")]
    NotWritable { reason: String },
    /// The table needs a reader feature that this version does not have.
    #[error("the table uses a feature that is not supported: {feature}")]
    Unsupported { feature: String },
    /// The log or a file contradicts the Delta protocol.
    #[error("the table is damaged: {reason}")]
    Corrupt { reason: String },
}

impl DeltaError {
    /// Whether trying again later can help without anybody changing the table or the configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(super) fn from_kernel(error: &delta_kernel::Error) -> Self {
        tracing::debug!(cause = scrub(&error.to_string()), "a table's change feed could not be read");
        classify(error)
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        Self::Unreachable { reason: format!("no answer within {} s", limit.as_secs()) }
    }
}

impl From<object_store::Error> for DeltaError {
    fn from(error: object_store::Error) -> Self {
        classify(&error)
    }
}

impl From<DeltaTableError> for DeltaError {
    fn from(error: DeltaTableError) -> Self {
        match &error {
            DeltaTableError::NotATable(_) | DeltaTableError::InvalidVersion(_) => Self::NotATable,
            DeltaTableError::ObjectStore { source } => classify(source),
            DeltaTableError::UnsupportedColumnMapping { .. } => Self::Unsupported { feature: "column mapping".into() },
            _ => classify(&error),
        }
    }
}

impl From<DataFusionError> for DeltaError {
    fn from(error: DataFusionError) -> Self {
        classify(&error)
    }
}

/// Finds the store's own error in the chain of causes; what has none is judged by its text, since the kernel's error
/// type keeps its causes to itself.
fn classify(error: &(dyn StdError + 'static)) -> DeltaError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(store) = current.downcast_ref::<object_store::Error>() {
            return from_store(store);
        }
        cause = current.source();
    }
    from_text(&error.to_string())
}

fn from_store(error: &object_store::Error) -> DeltaError {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => DeltaError::Corrupt { reason: "a file that the log names is missing".into() },
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => DeltaError::Denied,
        E::InvalidPath { .. } | E::NotSupported { .. } => DeltaError::Corrupt { reason: scrub(&error.to_string()) },
        _ => from_text(&error.to_string()),
    }
}

fn from_text(text: &str) -> DeltaError {
    let lower = text.to_ascii_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|needle| lower.contains(needle));
    if has(&["no files in log segment"]) {
        DeltaError::NotATable
    } else if has(&["403 forbidden", "401 unauthorized", "access denied", "accessdenied", "signaturedoesnotmatch"]) {
        DeltaError::Denied
    } else if has(&["unsupported", "not supported", "unknown feature", "unrecognized"]) {
        DeltaError::Unsupported { feature: scrub(text) }
    } else if has(&["error performing", "interacting with object store", "connection", "timed out", "dns error"]) {
        DeltaError::Unreachable { reason: reachability(&lower).to_owned() }
    } else {
        DeltaError::Corrupt { reason: scrub(text) }
    }
}

/// A store's failure in a few words: the whole text names hosts and paths.
fn reachability(lower: &str) -> &'static str {
    if lower.contains("timed out") || lower.contains("timeout") {
        "the request timed out"
    } else if lower.contains("dns") || lower.contains("resolve") {
        "its host name does not resolve"
    } else if lower.contains("connect") {
        "the connection failed"
    } else {
        "the request failed"
    }
}

/// The longest cause that is worth telling, in characters.
const CAUSE_CHARACTERS_MAX: usize = 300;

/// A cause without what may be secret or private: URLs lose everything but their last path segment, and back traces
/// and everything else beyond the first line is dropped.
pub(super) fn scrub(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        if word.contains("://") {
            let path = word.split(['?', '#']).next().unwrap_or_default().trim_end_matches(['/', '\'', '"', ',', ')']);
            words.push(format!("…/{}", path.rsplit('/').next().unwrap_or_default()));
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ").chars().take(CAUSE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_loses_urls_signatures_and_further_lines() {
        let text = "Generic error at https://user:pw@host/bucket/secret/_delta_log/1.json?sig=abc: boom\n  backtrace";
        let scrubbed = scrub(text);
        assert_eq!(scrubbed, "Generic error at …/1.json boom");
    }

    #[test]
    fn store_errors_are_told_apart() {
        let source = || Box::<dyn StdError + Send + Sync>::from("x");
        let denied = object_store::Error::PermissionDenied { path: "p".into(), source: source() };
        assert_eq!(DeltaError::from(denied), DeltaError::Denied);
        let generic = object_store::Error::Generic {
            store: "S3",
            source: Box::from("Error performing GET http://h/x in 30s - HTTP error: operation timed out"),
        };
        assert_eq!(DeltaError::from(generic), DeltaError::Unreachable { reason: "the request timed out".into() });
        let missing = object_store::Error::NotFound { path: "p".into(), source: source() };
        assert!(matches!(DeltaError::from(missing), DeltaError::Corrupt { .. }));
    }
}
