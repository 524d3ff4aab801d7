//! Measures in the background: whenever a product's table has a new version, few at a time.
//!
//! It follows the catalog's generations, learns of new versions from what readers have seen, and looks for itself where
//! nobody reads. A tick costs what changed since the last one, however many products there are.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use datafusion::execution::context::SessionState;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::measure::{assess_freshness, measure};
use super::{Measurement, Scores};
use crate::catalog::model::{Product, ProductId};
use crate::catalog::snapshot::Snapshot;
use crate::delta::{TableLocation, Tables};

/// How many products are measured at a time; statements of users come first.
const CONCURRENCY: usize = 2;
/// How often versions that readers have seen are taken in, and looks that are due are begun.
const TICK: Duration = Duration::from_secs(1);
/// How long a table goes without a look at its log, at the least.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// How many tables that nobody reads are looked at in one tick, those that have waited longest first. A look is two small
/// requests to the store: up to 600 tables are looked at every [`LOOK_INTERVAL`], and 10,000 once in eight minutes, where
/// looking at all of them every time would be 700 requests a second for as long as the server runs.
const LOOKS_PER_TICK_MAX: usize = 20;
/// How often freshness is judged again. All products are judged at once, because every change of a score makes the kept
/// relations of `data_catalog` outdated.
const FRESHNESS_INTERVAL: Duration = Duration::from_mins(1);

/// Gives the catalog's newest snapshot.
pub type CurrentCatalog = dyn Fn() -> Arc<Snapshot> + Send + Sync;

/// Measures until `stop` is cancelled. `generations` hears of every new snapshot; `state` is the engine's own, unsecured
/// session.
pub async fn run(
    tables: Tables,
    current: Arc<CurrentCatalog>,
    mut generations: watch::Receiver<u64>,
    state: SessionState,
    scores: Arc<Scores>,
    stop: CancellationToken,
) {
    generations.mark_unchanged();
    let mut runner = Runner::new(tables, current(), state, scores);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut freshness_due = Instant::now() + FRESHNESS_INTERVAL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = generations.changed() => {
                if changed.is_err() {
                    return;
                }
                runner.follow(current());
            }
            _ = ticks.tick() => runner.tick(),
            Some(done) = runner.jobs.join_next_with_id() => runner.finish(done),
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
    /// The generation that is followed.
    snapshot: Arc<Snapshot>,
    state: SessionState,
    scores: Arc<Scores>,
    /// Every product that has a table.
    known: HashMap<ProductId, Known>,
    by_location: HashMap<TableLocation, Vec<ProductId>>,
    /// New products, and those whose contract or table changed. Whoever in it is not [`Place::Queued`] left meanwhile.
    queue: VecDeque<ProductId>,
    /// The others, by the time of their next look.
    resting: BTreeSet<(Instant, ProductId)>,
    /// Looks that this tick may still begin.
    looks_left: usize,
    jobs: JoinSet<Look>,
    running: HashMap<Id, Job>,
    /// Products that were measured since the last line of progress.
    measured: usize,
}

/// What the runner remembers of a product.
struct Known {
    location: TableLocation,
    contract: String,
    /// Of the contract and version that were measured last.
    measured: Option<(String, u64)>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued,
    Running,
    Resting { until: Instant },
}

/// What a job looks at.
struct Job {
    product: ProductId,
    location: TableLocation,
    contract: String,
}

/// What came of looking at a product's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Measured { version: u64 },
    Unchanged { version: u64 },
    Failed,
}

impl Runner {
    fn new(tables: Tables, snapshot: Arc<Snapshot>, state: SessionState, scores: Arc<Scores>) -> Self {
        let mut runner = Self {
            tables,
            snapshot: Arc::clone(&snapshot),
            state,
            scores,
            known: HashMap::new(),
            by_location: HashMap::new(),
            queue: VecDeque::new(),
            resting: BTreeSet::new(),
            looks_left: 0,
            jobs: JoinSet::new(),
            running: HashMap::new(),
            measured: 0,
        };
        runner.follow(snapshot);
        runner
    }

    /// Takes in a generation: new products and changed contracts are due at once, and leavers are forgotten.
    fn follow(&mut self, snapshot: Arc<Snapshot>) {
        self.by_location.clear();
        let mut before = std::mem::take(&mut self.known);
        for product in snapshot.catalog.products.values() {
            let Some(location) = location(product) else { continue };
            self.by_location.entry(location.clone()).or_default().push(product.id.clone());
            let contract = product.contract_sha256.clone();
            // with another table it is another product
            let stays = before.get(&product.id).is_some_and(|known| known.location == location);
            if stays && let Some(known) = before.remove(&product.id) {
                let changed = known.contract != contract;
                self.known.insert(product.id.clone(), Known { contract, ..known });
                if changed {
                    self.wake(&product.id);
                }
            } else {
                let known = Known { location, contract, measured: None, place: Place::Queued };
                self.known.insert(product.id.clone(), known);
                self.queue.push_back(product.id.clone());
            }
        }
        for (product, left) in before {
            if let Place::Resting { until } = left.place {
                self.resting.remove(&(until, product));
            }
        }
        let known = &self.known;
        self.scores.retain(|product| known.contains_key(product));
        self.snapshot = snapshot;
    }

    fn tick(&mut self) {
        self.looks_left = LOOKS_PER_TICK_MAX;
        for location in self.tables.take_changed() {
            let Some(seen) = self.tables.latest_seen(&location).map(|table| table.version) else { continue };
            for product in self.by_location.get(&location).cloned().unwrap_or_default() {
                if self.known.get(&product).is_some_and(|known| known.is_outdated(Some(seen))) {
                    self.wake(&product);
                }
            }
        }
    }

    /// Queues a product that rests. One that runs is compared again when it is done.
    fn wake(&mut self, product: &ProductId) {
        if let Some(known) = self.known.get_mut(product)
            && let Place::Resting { until } = known.place
        {
            known.place = Place::Queued;
            self.resting.remove(&(until, product.clone()));
            self.queue.push_back(product.clone());
        }
    }

    fn start_due(&mut self) {
        let mut started = false;
        while self.jobs.len() < CONCURRENCY
            && let Some(id) = self.next_due()
        {
            let (Some(known), Some(product)) = (self.known.get_mut(&id), self.snapshot.product(&id).cloned()) else {
                continue;
            };
            known.place = Place::Running;
            let job = Job { product: id, location: known.location.clone(), contract: known.contract.clone() };
            let (location, measured) = (known.location.clone(), known.measured.clone());
            let (tables, state, scores) = (self.tables.clone(), self.state.clone(), Arc::clone(&self.scores));
            let look = async move { examine(&tables, &product, &location, &state, &scores, measured).await };
            self.running.insert(self.jobs.spawn(look).id(), job);
            started = true;
        }
        if !started && self.jobs.is_empty() && self.measured > 0 {
            tracing::info!(measured = self.measured, products = self.known.len(), "quality is up to date");
            self.measured = 0;
        }
    }

    /// Who is known to be outdated goes first.
    fn next_due(&mut self) -> Option<ProductId> {
        while let Some(id) = self.queue.pop_front() {
            if self.known.get(&id).is_some_and(|known| known.place == Place::Queued) {
                return Some(id);
            }
        }
        let (until, _) = self.resting.first()?;
        if self.looks_left == 0 || *until > Instant::now() {
            return None;
        }
        self.looks_left -= 1;
        self.resting.pop_first().map(|(_, id)| id)
    }

    fn finish(&mut self, done: Result<(Id, Look), JoinError>) {
        let (id, look) = done.unwrap_or_else(|error| {
            tracing::error!(cause = %error, "a quality measurement ended abnormally");
            (error.id(), Look::Failed)
        });
        self.measured += usize::from(matches!(look, Look::Measured { .. }));
        let Some(Job { product: id, location, contract }) = self.running.remove(&id) else { return };
        let Some(known) = self.known.get_mut(&id) else {
            // it left while it was measured
            return self.scores.retain(|product| *product != id);
        };
        // it left and came back, or has another table, and waits already
        if known.place != Place::Running || known.location != location {
            return;
        }
        if let Look::Measured { version } | Look::Unchanged { version } = look {
            known.measured = Some((contract, version));
        }
        let seen = self.tables.latest_seen(&location).map(|table| table.version);
        // one that failed waits for its time, whatever readers have seen
        if look != Look::Failed && known.is_outdated(seen) {
            known.place = Place::Queued;
            self.queue.push_back(id);
        } else {
            let until = Instant::now() + LOOK_INTERVAL;
            known.place = Place::Resting { until };
            self.resting.insert((until, id));
        }
    }

    fn judge_freshness(&self) {
        let now = Utc::now();
        // what is being measured is judged with it, and must not be told by what it was before
        let settled = self.known.iter().filter(|(_, known)| known.place != Place::Running);
        let judged = settled.filter_map(|(id, known)| {
            let product = self.snapshot.product(id)?;
            // a changed contract has other checks, and is measured anew
            let is_current = known.measured.as_ref().is_some_and(|(contract, _)| *contract == product.contract_sha256);
            let mut measurement = Measurement::clone(&*self.scores.get(id).filter(|_| is_current)?);
            assess_freshness(&mut measurement, product, now);
            Some((id.clone(), measurement))
        });
        self.scores.put(judged);
    }
}

impl Known {
    /// Whether something else was measured than what there is: the contract, and the version that was `seen` last.
    fn is_outdated(&self, seen: Option<u64>) -> bool {
        self.measured
            .as_ref()
            .is_none_or(|(contract, version)| *contract != self.contract || seen.is_some_and(|seen| seen != *version))
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
) -> Look {
    let put = |measurement| scores.put([(product.id.clone(), measurement)]);
    let known = scores.get(&product.id).map_or_else(|| Measurement::pending(None), |known| Measurement::clone(&known));
    let table = match tables.snapshot(location, LOOK_INTERVAL).await {
        Ok(table) => table,
        Err(error) => {
            if known.problem.as_deref() != Some(&error.to_string()) {
                tracing::warn!(product = %product.id, cause = %error, "quality cannot be measured");
            }
            put(Measurement { problem: Some(error.to_string()), ..known });
            return Look::Failed;
        }
    };
    put(Measurement { newest_version: Some(table.version), problem: None, ..known });
    if measured.is_some_and(|(contract, version)| contract == product.contract_sha256 && version == table.version) {
        return Look::Unchanged { version: table.version };
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
    Look::Measured { version: table.version }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Mutex;

    use datafusion::prelude::SessionContext;
    use tempfile::TempDir;

    use super::*;
    use crate::catalog::fixtures::delta_port;
    use crate::catalog::load::Loaded;
    use crate::catalog::model::{Catalog, CheckKind, CheckSeverity, Defaults, Mesh, QualityCheck};
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

    fn snapshot(generation: u64, products: Vec<Product>) -> Arc<Snapshot> {
        let mesh = Mesh { name: "mesh".into(), description: None, defaults: Defaults::default() };
        let products = products.into_iter().map(|product| (product.id.clone(), product)).collect();
        let (domains, users) = (BTreeMap::new(), BTreeMap::new());
        let catalog = Catalog { mesh, domains, products, policies: Vec::new(), users, groups: BTreeSet::new() };
        Snapshot::new(generation, Utc::now(), Loaded { catalog, problems: Vec::new() })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn versions_contracts_and_leavers_are_followed() {
        let folder = TempDir::new().unwrap();
        let writer = fixtures::append(fixtures::writer(folder.path()), &[1, 2]).await;
        let tables = fixtures::tables();
        let context: SessionContext = fixtures::session(&tables);
        let mut product = orders(folder.path());
        let id = product.id.clone();
        let served = Arc::new(Mutex::new(snapshot(1, vec![product.clone()])));
        let (generation, generations) = watch::channel(1);
        let serve = |next: u64, products| {
            *served.lock().unwrap() = snapshot(next, products);
            generation.send(next).unwrap();
        };
        let (scores, stop) = (Arc::new(Scores::default()), CancellationToken::new());
        let newest = Arc::clone(&served);
        let current: Arc<CurrentCatalog> = Arc::new(move || Arc::clone(&newest.lock().unwrap()));
        let running = run(tables.clone(), current, generations, context.state(), Arc::clone(&scores), stop.clone());
        let runner = tokio::spawn(running);

        let status = || scores.get(&id).map(|m| (m.delta_version, m.status()));
        until("the first measurement", || status() == Some((Some(0), QualityStatus::Valid))).await;
        fixtures::append(writer, &[2]).await;
        // a reader sees the new version before the runner's own look is due
        tables.snapshot(&fixtures::location(folder.path()), Duration::ZERO).await.unwrap();
        until("the second measurement", || status() == Some((Some(1), QualityStatus::Invalid))).await;
        product.quality_checks[0].threshold = Some(0.5);
        product.contract_sha256 = "another".into();
        serve(2, vec![product]);
        until("the changed contract", || status() == Some((Some(1), QualityStatus::Valid))).await;
        serve(3, Vec::new());
        until("the leaving", || scores.get(&id).is_none()).await;
        stop.cancel();
        runner.await.unwrap();
    }

    /// Products `d.p000`, `d.p001`, …, each with a table of its own that is not there.
    fn many(count: usize) -> Vec<Product> {
        let product = |n| Product {
            outputs: vec![delta_port(format!("file:///nowhere/{n}/"))],
            ..crate::catalog::fixtures::product(&format!("d.p{n:03}"))
        };
        (0..count).map(product).collect()
    }

    fn runner(products: Vec<Product>) -> Runner {
        let tables = fixtures::tables();
        let state = fixtures::session(&tables).state();
        Runner::new(tables, snapshot(1, products), state, Arc::default())
    }

    /// Every product was measured, and the next look at each is due a second after that at the one before it.
    fn rested(runner: &mut Runner, first_due: Instant) {
        for n in 0.. {
            let Some(id) = runner.next_due() else { break };
            let until = first_due + Duration::from_secs(n);
            let known = runner.known.get_mut(&id).unwrap();
            known.measured = Some((known.contract.clone(), 0));
            known.place = Place::Resting { until };
            runner.resting.insert((until, id));
        }
    }

    fn due(runner: &mut Runner) -> Vec<String> {
        std::iter::from_fn(|| runner.next_due()).map(|id| id.0).collect()
    }

    #[tokio::test]
    async fn a_generation_queues_what_is_new_or_changed_and_nothing_else() {
        let mut runner = runner(many(3));
        let later = Instant::now() + Duration::from_hours(1);
        rested(&mut runner, later);
        runner.follow(snapshot(2, many(3)));
        runner.tick();
        assert_eq!(due(&mut runner), Vec::<String>::new(), "nothing changed, and no look is due");
        let mut next = many(5);
        next[1].contract_sha256 = "another".into();
        next[2].outputs = vec![delta_port("file:///elsewhere/".into())];
        next[4].outputs.clear();
        next.remove(0);
        runner.scores.put([(ProductId("d.p000".into()), Measurement::pending(None))]);
        runner.follow(snapshot(3, next));
        assert_eq!(due(&mut runner), ["d.p001", "d.p002", "d.p003"]);
        assert!(runner.scores.get(&ProductId("d.p000".into())).is_none(), "who left has no score");
        assert!(runner.resting.is_empty() && runner.known.len() == 3);
    }

    #[tokio::test]
    async fn looks_of_a_tick_are_bounded_and_come_round() {
        let mut runner = runner(many(LOOKS_PER_TICK_MAX + 5));
        assert_eq!(due(&mut runner).len(), LOOKS_PER_TICK_MAX + 5, "the first look waits for no tick");
        let mut runner = self::runner(many(LOOKS_PER_TICK_MAX + 5));
        rested(&mut runner, Instant::now().checked_sub(Duration::from_mins(10)).unwrap());
        assert_eq!(due(&mut runner), Vec::<String>::new());
        runner.tick();
        let first = due(&mut runner);
        assert_eq!((first.len(), first[0].as_str()), (LOOKS_PER_TICK_MAX, "d.p000"));
        // a changed contract waits for no tick either
        let mut changed = many(LOOKS_PER_TICK_MAX + 5);
        changed[LOOKS_PER_TICK_MAX + 4].contract_sha256 = "another".into();
        runner.follow(snapshot(2, changed));
        assert_eq!(due(&mut runner), [format!("d.p{:03}", LOOKS_PER_TICK_MAX + 4)]);
        runner.tick();
        assert_eq!(due(&mut runner).len(), 4, "those that had to wait");
    }

    #[tokio::test]
    async fn what_changes_while_it_is_measured_is_measured_again() {
        let (mut runner, id) = (runner(many(1)), ProductId("d.p000".into()));
        let (moved, mut edited) = (vec![delta_port("file:///elsewhere/".into())], many(1));
        let place = |runner: &Runner| runner.known.get(&id).map(|known| known.place);
        let finish = async |runner: &mut Runner| {
            let done = runner.jobs.join_next_with_id().await.unwrap();
            runner.finish(done);
        };
        runner.start_due();
        assert_eq!(place(&runner), Some(Place::Running));
        edited[0].outputs = moved;
        runner.follow(snapshot(2, edited));
        finish(&mut runner).await;
        assert_eq!(place(&runner), Some(Place::Queued), "the other table was not looked at");
        runner.start_due();
        finish(&mut runner).await;
        assert!(matches!(place(&runner), Some(Place::Resting { .. })), "one that failed waits for its time");
        assert_eq!((runner.resting.len(), runner.running.len()), (1, 0));
        runner.follow(snapshot(3, many(1)));
        runner.start_due();
        runner.follow(snapshot(4, Vec::new()));
        finish(&mut runner).await;
        assert!(place(&runner).is_none() && runner.scores.get(&id).is_none(), "who left meanwhile is forgotten");
        assert_eq!((runner.resting.len(), due(&mut runner).len()), (0, 0));
    }

    #[tokio::test]
    async fn a_table_that_cannot_be_opened_is_pending_with_its_problem() {
        let folder = TempDir::new().unwrap();
        let tables = fixtures::tables();
        let (product, state) = (orders(folder.path()), fixtures::session(&tables).state());
        let scores = Scores::default();
        let look = examine(&tables, &product, &location(&product).unwrap(), &state, &scores, None).await;
        assert_eq!(look, Look::Failed);
        let known = scores.get(&product.id).unwrap();
        assert_eq!(known.status(), QualityStatus::Pending);
        assert!(known.problem.as_ref().unwrap().contains("no Delta table"), "{known:?}");
    }
}
