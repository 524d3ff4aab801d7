//! Quality of products: what their contracts' checks say about their tables, as scores and a status.
//!
//! It measures tables in the background and keeps the newest result per product in memory. It refuses to know who
//! asks: what a principal may see of a score is decided above. Measuring reads whole tables, unsecured, and keeps
//! numbers only.
//!
//! A score is in `[0, 1]`. A check that could not run is unevaluated, never 1. A dimension's score is the mean of its
//! checks weighted by severity (error 1, warning ½, info 0), and `quality_score` the mean of the measured dimensions,
//! 0 where nothing was measured. The score belongs to a Delta version.

pub mod measure;
pub mod runner;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::catalog::model::{CheckSeverity, ProductId};

/// The newest measurement of every product. Nobody holds it for longer than one look or one change takes.
#[derive(Debug, Default)]
pub struct Scores {
    measurements: RwLock<HashMap<ProductId, Arc<Measurement>>>,
    epoch: AtomicU64,
}

impl Scores {
    /// `None`: the product was never looked at, which reads as [`QualityStatus::Pending`] and a score of 0.
    #[must_use]
    pub fn get(&self, product: &ProductId) -> Option<Arc<Measurement>> {
        self.measurements.read().unwrap_or_else(PoisonError::into_inner).get(product).cloned()
    }

    /// Changes whenever a measurement does: what was computed from scores holds as long as this is the same.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Stores measurements, except those that say what is known already.
    pub fn put(&self, measurements: impl IntoIterator<Item = (ProductId, Measurement)>) {
        let measurements: Vec<_> = measurements.into_iter().collect();
        self.change(|all| {
            let mut changed = false;
            for (product, measurement) in measurements {
                if all.get(&product).is_none_or(|known| **known != measurement) {
                    all.insert(product, Arc::new(measurement));
                    changed = true;
                }
            }
            changed
        });
    }

    /// Forgets products for which `keep` is false.
    pub fn retain(&self, keep: impl Fn(&ProductId) -> bool) {
        self.change(|all| {
            let before = all.len();
            all.retain(|product, _| keep(product));
            all.len() != before
        });
    }

    /// `edit` tells whether it changed anything.
    fn change(&self, edit: impl FnOnce(&mut HashMap<ProductId, Arc<Measurement>>) -> bool) {
        if edit(&mut self.measurements.write().unwrap_or_else(PoisonError::into_inner)) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// What is known about one product's quality.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The Delta version that was measured; `None` when nothing was.
    pub delta_version: Option<u64>,
    /// The newest version that was seen; greater than `delta_version` while a new one waits to be measured.
    pub newest_version: Option<u64>,
    /// When the checks ran.
    pub measured_at: Option<DateTime<Utc>>,
    /// In the contract's order; the freshness promised by the SLA comes last.
    pub results: Vec<CheckResult>,
    /// Scores of the measured dimensions by ODCS name.
    pub dimensions: BTreeMap<&'static str, f64>,
    /// Mean of the measured dimensions; 0 when there is none.
    pub quality_score: f64,
    /// What the checks say about `delta_version`: `Valid`, `Warn` or `Invalid`; `Pending` when nothing was measured.
    /// The gate goes by this.
    pub verdict: QualityStatus,
    /// Time of the last commit that changed data.
    pub last_data_commit: Option<DateTime<Utc>>,
    /// Why the table could not be looked at, the last time that was tried. Names no location.
    pub problem: Option<String>,
}

impl Measurement {
    /// What the catalog shows: the verdict, or `Stale` while a newer version is unmeasured.
    #[must_use]
    pub fn status(&self) -> QualityStatus {
        match self.delta_version {
            Some(measured) if self.newest_version.is_some_and(|newest| newest != measured) => QualityStatus::Stale,
            _ => self.verdict,
        }
    }

    /// Nothing was measured yet.
    #[must_use]
    pub fn pending(problem: Option<String>) -> Self {
        Self {
            delta_version: None,
            newest_version: None,
            measured_at: None,
            results: Vec::new(),
            dimensions: BTreeMap::new(),
            quality_score: 0.0,
            verdict: QualityStatus::Pending,
            last_data_commit: None,
            problem,
        }
    }
}

/// `quality_status` in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QualityStatus {
    /// Every check that has a threshold and could run reached it.
    Valid,
    /// A check of severity warning missed its threshold.
    Warn,
    /// A check of severity error missed its threshold.
    Invalid,
    /// The newest version is not measured yet; the score is an older version's.
    Stale,
    /// No version was ever measured.
    Pending,
}

impl QualityStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Warn => "WARN",
            Self::Invalid => "INVALID",
            Self::Stale => "STALE",
            Self::Pending => "PENDING",
        }
    }
}

/// One check's result.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckResult {
    pub name: String,
    /// The check's kind, for example `completeness`.
    pub kind: String,
    /// ODCS: accuracy, completeness, conformity, consistency, coverage, timeliness, uniqueness.
    pub dimension: &'static str,
    pub column: Option<String>,
    pub severity: CheckSeverity,
    /// Score that must be reached.
    pub threshold: Option<f64>,
    pub outcome: Outcome,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Score {
        /// In `[0, 1]`.
        score: f64,
        /// Values that failed among those eligible; `None` where the check does not count values.
        failed_of: Option<(u64, u64)>,
    },
    /// The check could not run, and why.
    Unevaluated(String),
}

impl CheckResult {
    /// `None`: unevaluated.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Score { score, .. } => Some(score),
            Outcome::Unevaluated(_) => None,
        }
    }

    /// Whether the check ran and missed its threshold.
    #[must_use]
    pub fn missed(&self) -> bool {
        self.score().zip(self.threshold).is_some_and(|(score, threshold)| score < threshold)
    }
}

/// Contracts for tests.
#[cfg(test)]
pub(crate) mod fixtures {
    use crate::catalog::fixtures;
    use crate::catalog::model::{Column, Product};

    pub(crate) fn column(name: &str, logical_type: &str) -> Column {
        Column { logical_type: Some(logical_type.to_owned()), ..fixtures::column(name) }
    }

    pub(crate) fn product(columns: Vec<Column>) -> Product {
        Product { columns, ..fixtures::product("sales.orders") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_moves_only_when_something_changes() {
        let scores = Scores::default();
        let id = ProductId("a.b".into());
        assert!(scores.get(&id).is_none());
        let start = scores.epoch();
        scores.put([(id.clone(), Measurement::pending(None))]);
        let stored = scores.epoch();
        assert_ne!(start, stored);
        scores.put([(id.clone(), Measurement::pending(None))]);
        scores.retain(|_| true);
        assert_eq!(scores.epoch(), stored);
        scores.put([(id.clone(), Measurement::pending(Some("x".into())))]);
        assert_ne!(scores.epoch(), stored);
        let before = scores.epoch();
        scores.retain(|_| false);
        assert_ne!(scores.epoch(), before);
        assert!(scores.get(&id).is_none());
    }

    #[test]
    fn a_newer_version_makes_a_verdict_stale() {
        let mut measurement = Measurement::pending(None);
        assert_eq!(measurement.status(), QualityStatus::Pending);
        measurement.verdict = QualityStatus::Invalid;
        measurement.delta_version = Some(3);
        measurement.newest_version = Some(3);
        assert_eq!(measurement.status(), QualityStatus::Invalid);
        measurement.newest_version = Some(4);
        assert_eq!(measurement.status(), QualityStatus::Stale);
        assert_eq!(measurement.verdict, QualityStatus::Invalid);
    }
}
