//! Measures in the background: whenever a product's table has a new version, few at a time.
//!
//! It learns of new versions from what readers have seen already, and looks for itself where nobody reads.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use datafusion::execution::context::SessionState;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::measure::{assess_freshness, measure};
use super::{Measurement, Scores};
use crate::catalog::model::{Product, ProductId};
use crate::delta::{TableLocation, Tables};

/// How many products are measured at a time; statements of users come first.
const CONCURRENCY: usize = 2;
/// How often the list of products and the versions that readers have seen are compared with what was measured.
const TICK: Duration = Duration::from_secs(1);
/// How long a product that nobody reads goes without a look at its log.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// How many due products are taken from the catalog at a time.
const QUEUE_MAX: usize = 64;
/// How often freshness is judged again.
const FRESHNESS_INTERVAL: Duration = Duration::from_mins(1);

/// Gives every current product to a visitor. A closure over the catalog's newest snapshot.
pub type EachProduct = dyn Fn(&mut dyn FnMut(&Product)) + Send + Sync;

/// Measures until `stop` is cancelled. `state` is the engine's own, unsecured session.
pub async fn run(
    tables: Tables,
    each_product: Arc<EachProduct>,
    state: SessionState,
    scores: Arc<Scores>,
    stop: CancellationToken,
) {
    let mut runner = Runner {
        tables,
        each_product,
        state,
        scores,
        known: HashMap::new(),
        queue: VecDeque::new(),
        jobs: JoinSet::new(),
        measured: 0,
        started: Instant::now(),
    };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut freshness_due = Instant::now() + FRESHNESS_INTERVAL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => runner.drop_leavers(),
            Some(done) = runner.jobs.join_next() => runner.finish(done),
        }
        runner.start_due();
        if Instant::now() >= freshness_due {
            runner.judge_freshness();
            freshness_due = Instant::now() + FRESHNESS_INTERVAL;
        }
    }
}

struct Runner {
    tables: Tables,
    each_product: Arc<EachProduct>,
    state: SessionState,
    scores: Arc<Scores>,
    known: HashMap<ProductId, Known>,
    /// Due, and waiting for a place among the jobs.
    queue: VecDeque<(Product, TableLocation)>,
    jobs: JoinSet<Done>,
    /// Products that were measured since the last line of progress.
    measured: usize,
    started: Instant,
}

/// What the runner remembers of a product.
#[derive(Clone, Debug)]
struct Known {
    /// Of the contract and version that were measured last.
    measured: Option<(String, u64)>,
    next_look: Instant,
    /// The last look failed, so the next one waits for its time whatever readers have seen.
    failed: bool,
    /// In the queue or among the jobs.
    busy: bool,
}

struct Done {
    product: ProductId,
    contract: String,
    look: Look,
}

/// What came of looking at a product's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Measured { version: u64 },
    Unchanged { version: u64 },
    Failed,
}

impl Runner {
    fn drop_leavers(&mut self) {
        let mut current = HashSet::new();
        (self.each_product)(&mut |product| {
            if location(product).is_some() {
                current.insert(product.id.clone());
            }
        });
        self.known.retain(|product, _| current.contains(product));
        self.scores.retain(|product| current.contains(product));
    }

    fn start_due(&mut self) {
        if self.queue.is_empty() {
            self.fill_queue();
        }
        while self.jobs.len() < CONCURRENCY
            && let Some((product, location)) = self.queue.pop_front()
        {
            let (tables, state, scores) = (self.tables.clone(), self.state.clone(), Arc::clone(&self.scores));
            let measured = self.known.get(&product.id).and_then(|known| known.measured.clone());
            self.jobs.spawn(async move { examine(&tables, &product, &location, &state, &scores, measured).await });
        }
    }

    /// Those that have waited longest come first, so that slow stores do not starve the rest.
    fn fill_queue(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        (self.each_product)(&mut |product| {
            if let Some(location) = location(product)
                && let Some(since) = self.due_since(product, &location, now)
            {
                due.push((since, product.id.clone()));
            }
        });
        if due.is_empty() && self.jobs.is_empty() && self.measured > 0 {
            tracing::info!(measured = self.measured, products = self.known.len(), "quality is up to date");
            self.measured = 0;
        }
        due.sort_unstable();
        due.truncate(QUEUE_MAX);
        let due: HashMap<ProductId, Instant> = due.into_iter().map(|(since, product)| (product, since)).collect();
        (self.each_product)(&mut |product| {
            if due.contains_key(&product.id)
                && let Some(location) = location(product)
            {
                self.queue.push_back((product.clone(), location));
            }
        });
        self.queue.make_contiguous().sort_by_key(|(product, _)| due.get(&product.id).copied());
        for (product, _) in &self.queue {
            let fresh = || Known { measured: None, next_look: now, failed: false, busy: true };
            self.known.entry(product.id.clone()).or_insert_with(fresh).busy = true;
        }
    }

    /// Since when a product waits for a look. One that was never looked at, or is known to be outdated, goes first.
    fn due_since(&self, product: &Product, location: &TableLocation, now: Instant) -> Option<Instant> {
        let Some(known) = self.known.get(&product.id) else { return Some(self.started) };
        if known.busy {
            return None;
        }
        let seen = self.tables.latest_seen(location).map(|table| table.version);
        let outdated = known.measured.as_ref().is_some_and(|(contract, version)| {
            *contract != product.contract_sha256 || seen.is_some_and(|seen| seen != *version)
        });
        if outdated && !known.failed { Some(self.started) } else { (now >= known.next_look).then_some(known.next_look) }
    }

    fn finish(&mut self, done: Result<Done, JoinError>) {
        let next_look = Instant::now() + LOOK_INTERVAL;
        match done {
            Ok(done) => {
                self.measured += usize::from(matches!(done.look, Look::Measured { .. }));
                let Some(known) = self.known.get_mut(&done.product) else {
                    // it left while it was measured
                    return self.scores.retain(|product| *product != done.product);
                };
                let (failed, measured) = match done.look {
                    Look::Measured { version } | Look::Unchanged { version } => (false, Some((done.contract, version))),
                    Look::Failed => (true, known.measured.take()),
                };
                *known = Known { measured, next_look, failed, busy: false };
            }
            Err(error) => {
                tracing::error!(cause = %error, "a quality measurement ended abnormally");
                // whose it was is not known; all that may have been are looked at again
                let queued: HashSet<&ProductId> = self.queue.iter().map(|(product, _)| &product.id).collect();
                for (product, known) in &mut self.known {
                    if known.busy && !queued.contains(product) {
                        *known = Known { measured: known.measured.take(), next_look, failed: true, busy: false };
                    }
                }
            }
        }
    }

    fn judge_freshness(&self) {
        let now = Utc::now();
        let mut judged = Vec::new();
        (self.each_product)(&mut |product| {
            let measured = self.known.get(&product.id).and_then(|known| known.measured.as_ref());
            // a changed contract has other checks, and is measured anew
            if measured.is_some_and(|(contract, _)| *contract == product.contract_sha256)
                && let Some(measurement) = self.scores.get(&product.id)
            {
                let mut measurement = Measurement::clone(&measurement);
                assess_freshness(&mut measurement, product, now);
                judged.push((product.id.clone(), measurement));
            }
        });
        self.scores.put(judged);
    }
}

/// The table that SQL reads.
fn location(product: &Product) -> Option<TableLocation> {
    let location = product.delta_port()?.location.as_ref()?;
    Some(TableLocation { url: location.url.clone(), credentials: location.credentials.clone() })
}

/// Looks at a product's table, and measures it when its version or its contract is another than `measured`.
async fn examine(
    tables: &Tables,
    product: &Product,
    location: &TableLocation,
    state: &SessionState,
    scores: &Scores,
    measured: Option<(String, u64)>,
) -> Done {
    let done = |look| Done { product: product.id.clone(), contract: product.contract_sha256.clone(), look };
    let put = |measurement| scores.put([(product.id.clone(), measurement)]);
    let known = scores.get(&product.id).map_or_else(|| Measurement::pending(None), |known| Measurement::clone(&known));
    let table = match tables.snapshot(location, LOOK_INTERVAL).await {
        Ok(table) => table,
        Err(error) => {
            if known.problem.as_deref() != Some(&error.to_string()) {
                tracing::warn!(product = %product.id, cause = %error, "quality cannot be measured");
            }
            put(Measurement { problem: Some(error.to_string()), ..known });
            return done(Look::Failed);
        }
    };
    put(Measurement { newest_version: Some(table.version), problem: None, ..known });
    if measured.is_some_and(|(contract, version)| contract == product.contract_sha256 && version == table.version) {
        return done(Look::Unchanged { version: table.version });
    }
    let began = Instant::now();
    let measurement = measure(product, &table, state, Utc::now()).await;
    tracing::debug!(
        product = %product.id,
        version = table.version,
        score = measurement.quality_score,
        status = measurement.status().as_str(),
        elapsed_ms = began.elapsed().as_millis() as u64,
        "quality measured"
    );
    put(measurement);
    done(Look::Measured { version: table.version })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use datafusion::prelude::SessionContext;
    use tempfile::TempDir;

    use super::*;
    use crate::catalog::fixtures::delta_port;
    use crate::catalog::model::{CheckKind, CheckSeverity, QualityCheck};
    use crate::delta::fixtures;
    use crate::quality::QualityStatus;
    use crate::quality::fixtures::{column, product};

    fn orders(folder: &Path) -> Product {
        let mut product = product(vec![column("id", "bigint"), column("name", "string")]);
        product.outputs.push(delta_port(fixtures::location(folder).url));
        product.quality_checks.push(QualityCheck {
            name: "unique".into(),
            kind: CheckKind::Uniqueness,
            column: Some("id".into()),
            threshold: Some(1.0),
            severity: CheckSeverity::Error,
        });
        product
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        for _ in 0..400 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what} did not happen");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn versions_contracts_and_leavers_are_followed() {
        let folder = TempDir::new().unwrap();
        let writer = fixtures::append(fixtures::writer(folder.path()), &[1, 2]).await;
        let tables = fixtures::tables();
        let context: SessionContext = fixtures::session(&tables);
        let products = Arc::new(Mutex::new(vec![orders(folder.path())]));
        let id = products.lock().unwrap()[0].id.clone();
        let (scores, stop) = (Arc::new(Scores::default()), CancellationToken::new());
        let list = Arc::clone(&products);
        let each: Arc<EachProduct> = Arc::new(move |visit| list.lock().unwrap().iter().for_each(visit));
        let runner = tokio::spawn(run(tables.clone(), each, context.state(), Arc::clone(&scores), stop.clone()));

        let status = || scores.get(&id).map(|m| (m.delta_version, m.status()));
        until("the first measurement", || status() == Some((Some(0), QualityStatus::Valid))).await;
        fixtures::append(writer, &[2]).await;
        // a reader sees the new version before the runner's own look is due
        tables.snapshot(&fixtures::location(folder.path()), Duration::ZERO).await.unwrap();
        until("the second measurement", || status() == Some((Some(1), QualityStatus::Invalid))).await;
        {
            let mut products = products.lock().unwrap();
            products[0].quality_checks[0].threshold = Some(0.5);
            products[0].contract_sha256 = "another".into();
        }
        until("the changed contract", || status() == Some((Some(1), QualityStatus::Valid))).await;
        products.lock().unwrap().clear();
        until("the leaving", || scores.get(&id).is_none()).await;
        stop.cancel();
        runner.await.unwrap();
    }

    #[tokio::test]
    async fn a_table_that_cannot_be_opened_is_pending_with_its_problem() {
        let folder = TempDir::new().unwrap();
        let tables = fixtures::tables();
        let (product, state) = (orders(folder.path()), fixtures::session(&tables).state());
        let scores = Scores::default();
        let done = examine(&tables, &product, &location(&product).unwrap(), &state, &scores, None).await;
        assert_eq!(done.look, Look::Failed);
        let known = scores.get(&product.id).unwrap();
        assert_eq!(known.status(), QualityStatus::Pending);
        assert!(known.problem.as_ref().unwrap().contains("no Delta table"), "{known:?}");
    }
}
