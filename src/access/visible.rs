//! The catalog as one principal sees it: what exists for it, under which names, and with which rights. Knows nothing of
//! files, versions or sessions.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::decide::{Access, Reason, Rulebook};
use super::domains::{DomainAccess, Privilege, domain_access_where};
use super::fingerprint::Fingerprint;
use super::grants::Grants;
use super::mask::MaskKey;
use super::principal::Principal;
use super::scope::{Reader, is_about};
use crate::catalog::model::{Catalog, DomainName, Product, ProductId};

/// Everything that one principal sees of one generation of policy: one catalog and the grants that hold. Immutable and shared between its sessions.
#[derive(Debug)]
pub struct Visible {
    generation: u64,
    principal: Arc<Principal>,
    fingerprint: Fingerprint,
    names: Arc<Names>,
    /// One for each product of `names`.
    accesses: Vec<Access>,
    reasons: Reasons,
    domain_access: Vec<DomainAccess>,
    readable_domains: BTreeSet<DomainName>,
    domains: BTreeSet<DomainName>,
    schemas: BTreeSet<String>,
}

impl Visible {
    /// Decides about every product. Use [`VisibleCache::get`] where sessions ask.
    #[must_use]
    pub fn new(catalog: &Catalog, grants: &Grants, generation: u64, principal: Arc<Principal>) -> Self {
        Self::with_names(catalog, grants, generation, principal, Arc::new(Names::of(catalog)))
    }

    fn with_names(
        catalog: &Catalog,
        grants: &Grants,
        generation: u64,
        principal: Arc<Principal>,
        names: Arc<Names>,
    ) -> Self {
        let rulebook = Rulebook::new(catalog, grants, &principal);
        let mut reasons = ReasonsBuilder::default();
        let decide = |product| {
            let decision = rulebook.decide(product);
            reasons.add(&decision.reasons);
            decision.access
        };
        let accesses: Vec<Access> = catalog.products.values().map(decide).collect();
        let reasons = reasons.reasons;
        let domain_access = domain_access_where(catalog, &rulebook, |position, _| {
            accesses.get(position).is_some_and(Access::is_discoverable)
        });
        let readable = domain_access.iter().filter(|row| row.privilege == Privilege::Read);
        let readable_domains = readable.map(|row| row.domain.clone()).collect();
        let domains: BTreeSet<DomainName> = domain_access.iter().map(|row| row.domain.clone()).collect();
        let schemas = domains.iter().map(DomainName::schema_name).collect();
        let fingerprint = principal.fingerprint();
        Self {
            generation,
            principal,
            fingerprint,
            names,
            accesses,
            reasons,
            domain_access,
            readable_domains,
            domains,
            schemas,
        }
    }

    /// The generation of policy that this view was made from: it grows with every change of the catalog or of a grant.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The principal's fingerprint; with the generation it names this view.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The discoverable product behind `schema.table`, both as SQL writes them. Whether it is hidden or absent makes no
    /// difference to the answer.
    #[must_use]
    pub fn lookup(&self, schema: &str, table: &str) -> Option<VisibleProduct<'_>> {
        let candidates = self.names.by_table.get(schema)?.get(table)?;
        candidates.iter().find_map(|&position| self.at(position as usize))
    }

    #[must_use]
    pub fn get(&self, id: &ProductId) -> Option<VisibleProduct<'_>> {
        self.at(self.names.position(id)?)
    }

    /// For the audit alone: the product with a table of this name that does not exist for the principal.
    #[must_use]
    pub fn hidden(&self, schema: &str, table: &str) -> Option<&ProductId> {
        let candidates = self.names.by_table.get(schema)?.get(table)?;
        let named = candidates.iter().find_map(|&position| self.names.products.get(position as usize))?;
        named.has_table.then_some(&named.id)
    }

    /// For the audit alone: everything that spoke for or against access to the product, as
    /// [`Cause::label`](super::decide::Cause::label) writes it, whether the product is visible or not.
    #[must_use]
    pub fn reasons(&self, id: &ProductId) -> &[String] {
        self.names.position(id).map_or(&[], |position| self.reasons.of(position))
    }

    /// For the audit alone: the product's domain, whether the product is visible or not.
    #[must_use]
    pub fn domain_of(&self, id: &ProductId) -> Option<&DomainName> {
        self.names.products.get(self.names.position(id)?).map(|named| &named.domain)
    }

    /// The discoverable products in the order of their ids.
    pub fn products(&self) -> impl Iterator<Item = VisibleProduct<'_>> {
        (0..self.accesses.len()).filter_map(|position| self.at(position))
    }

    fn at(&self, position: usize) -> Option<VisibleProduct<'_>> {
        let access = self.accesses.get(position).filter(|access| access.is_discoverable())?;
        let Named { id, schema, table, has_table, .. } = self.names.products.get(position)?;
        Some(VisibleProduct { id, schema, table, has_table: *has_table, access })
    }

    /// What `data_catalog.user_domain_access` shows of this principal.
    #[must_use]
    pub fn domain_access(&self) -> &[DomainAccess] {
        &self.domain_access
    }

    /// The domains whose rows `row_domain_column` admits.
    #[must_use]
    pub fn readable_domains(&self) -> &BTreeSet<DomainName> {
        &self.readable_domains
    }

    /// Who reads, for binding a decision of this view to a table.
    #[must_use]
    pub fn reader<'a>(&'a self, mask_key: Option<&'a MaskKey>) -> Reader<'a> {
        Reader { principal: &self.principal, readable_domains: &self.readable_domains, mask_key }
    }

    /// For each of a product's declared columns, whether a mask stands before its values: for the principal where it may
    /// read the product, and for anyone where it may not. A mask on a part of a column masks all of it.
    #[must_use]
    pub fn masked(&self, product: &VisibleProduct<'_>, contract: &Product) -> Vec<bool> {
        let masks: Vec<&str> = match product.access {
            Access::Read(scope) => scope.masks.iter().map(|mask| mask.column.as_str()).collect(),
            Access::Hidden | Access::DiscoverOnly => {
                contract.governance.masks.iter().map(|mask| mask.column.as_str()).collect()
            }
        };
        let is_masked = |name: &str| masks.iter().any(|mask| is_about(mask, name));
        contract.columns.iter().map(|column| is_masked(&column.name)).collect()
    }

    /// The domains that exist for the principal: those that it may read and those with a product that it may discover.
    #[must_use]
    pub fn domains(&self) -> &BTreeSet<DomainName> {
        &self.domains
    }

    /// The SQL schemas of [`Self::domains`].
    #[must_use]
    pub fn schemas(&self) -> &BTreeSet<String> {
        &self.schemas
    }
}

/// A product that the principal may at least discover.
#[derive(Clone, Copy, Debug)]
pub struct VisibleProduct<'a> {
    pub id: &'a ProductId,
    /// Schema in SQL.
    pub schema: &'a str,
    /// Table name in SQL.
    pub table: &'a str,
    /// Whether the product has a Delta port, and so a table.
    pub has_table: bool,
    /// Never [`Access::Hidden`].
    pub access: &'a Access,
}

impl VisibleProduct<'_> {
    /// The product itself, in the catalog that the view was made from.
    #[must_use]
    pub fn of<'c>(&self, catalog: &'c Catalog) -> Option<&'c Product> {
        catalog.products.get(self.id)
    }
}

/// Why each product was decided about as it was. Few decisions have reasons of their own, so equal lists are kept once.
#[derive(Debug, Default)]
struct Reasons {
    /// One for each product: a position in `lists`.
    of_products: Vec<u32>,
    lists: Vec<Vec<String>>,
}

impl Reasons {
    fn of(&self, position: usize) -> &[String] {
        let list = self.of_products.get(position).and_then(|&list| self.lists.get(list as usize));
        list.map_or(&[], Vec::as_slice)
    }
}

#[derive(Default)]
struct ReasonsBuilder {
    reasons: Reasons,
    known: HashMap<Vec<String>, u32>,
    last: Vec<Reason>,
}

impl ReasonsBuilder {
    /// The next product's reasons.
    fn add(&mut self, reasons: &[Reason]) {
        let Reasons { of_products, lists } = &mut self.reasons;
        // neighbours in the catalog are mostly decided about alike
        if let Some(&list) = of_products.last()
            && self.last == reasons
        {
            of_products.push(list);
            return;
        }
        let mut labels: Vec<String> = Vec::with_capacity(reasons.len());
        for label in reasons.iter().map(|reason| reason.cause.label()) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        let list = *self.known.entry(labels).or_insert_with_key(|labels| {
            lists.push(labels.clone());
            lists.len() as u32 - 1
        });
        of_products.push(list);
        self.last = reasons.to_vec();
    }
}

/// The SQL names of a catalog's products: the same for every principal, so kept once for each generation.
#[derive(Debug)]
struct Names {
    /// In the order of `catalog.products`.
    products: Vec<Named>,
    /// Schema, then table, to positions in `products`: those with a table first. Validation reports when there are two.
    by_table: HashMap<String, HashMap<String, Vec<u32>>>,
}

#[derive(Debug)]
struct Named {
    id: ProductId,
    domain: DomainName,
    schema: String,
    table: String,
    has_table: bool,
}

impl Names {
    fn of(catalog: &Catalog) -> Self {
        let mut products = Vec::with_capacity(catalog.products.len());
        let mut by_table: HashMap<String, HashMap<String, Vec<u32>>> = HashMap::new();
        for (position, (id, product)) in catalog.products.iter().enumerate() {
            let (schema, table) = (product.domain.schema_name(), product.table_name());
            let has_table = product.delta_port().is_some();
            let positions = by_table.entry(schema.clone()).or_default().entry(table.clone()).or_default();
            positions.push(position as u32);
            products.push(Named { id: id.clone(), domain: product.domain.clone(), schema, table, has_table });
        }
        for positions in by_table.values_mut().flat_map(HashMap::values_mut) {
            positions.sort_by_key(|&position| products.get(position as usize).is_none_or(|named| !named.has_table));
        }
        Self { products, by_table }
    }

    fn position(&self, id: &ProductId) -> Option<usize> {
        self.products.binary_search_by(|named| named.id.cmp(id)).ok()
    }
}

/// How many principals' views are kept. One takes about 20 bytes for each product of the mesh.
pub const VISIBLE_PRINCIPALS_MAX: usize = 256;

/// The views of the newest generation, shared by all sessions; the least recently used make room.
///
/// INVARIANT: a generation number stands for one content of the catalog and one set of grants.
#[derive(Debug, Default)]
pub struct VisibleCache {
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    generation: u64,
    /// Empty until the first view needs them.
    names: Arc<OnceLock<Arc<Names>>>,
    views: HashMap<Fingerprint, (u64, Arc<Visible>)>,
    /// Grows with every use.
    clock: u64,
}

impl VisibleCache {
    /// The view, if it is kept. Never waits for a decision.
    pub fn kept(&self, generation: u64, principal: &Principal) -> Option<Arc<Visible>> {
        let mut state = self.lock();
        state.advance_to(generation);
        if state.generation == generation { state.touch(principal.fingerprint()) } else { None }
    }

    /// The view of `principal` on `catalog` and `grants`, which are the content of `generation`. Decides about every product where the
    /// view is not kept, so not for an async thread; equal principals at the same time may do it twice. A newer generation drops all older
    /// views; an older one, still held by a running statement, is answered without being kept.
    pub fn get(&self, catalog: &Catalog, grants: &Grants, generation: u64, principal: &Arc<Principal>) -> Arc<Visible> {
        if let Some(view) = self.kept(generation, principal) {
            return view;
        }
        // Naming and deciding take long in a large mesh, so not under the lock. An older generation shares no names.
        let names = self.lock().names_of(generation);
        let names = Arc::clone(names.get_or_init(|| Arc::new(Names::of(catalog))));
        let view = Arc::new(Visible::with_names(catalog, grants, generation, Arc::clone(principal), names));
        self.lock().keep(&view);
        view
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        // Every change of the state is complete in itself: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheState {
    fn advance_to(&mut self, generation: u64) {
        if generation > self.generation {
            *self = Self { generation, ..Self::default() };
        }
    }

    fn touch(&mut self, key: Fingerprint) -> Option<Arc<Visible>> {
        self.clock += 1;
        let (used, view) = self.views.get_mut(&key)?;
        *used = self.clock;
        Some(Arc::clone(view))
    }

    fn names_of(&self, generation: u64) -> Arc<OnceLock<Arc<Names>>> {
        if generation == self.generation { Arc::clone(&self.names) } else { Arc::default() }
    }

    fn keep(&mut self, view: &Arc<Visible>) {
        let key = view.fingerprint;
        if view.generation != self.generation {
            return;
        }
        if self.views.len() >= VISIBLE_PRINCIPALS_MAX && !self.views.contains_key(&key) {
            let oldest = self.views.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.views.remove(&oldest));
        }
        self.clock += 1;
        self.views.insert(key, (self.clock, Arc::clone(view)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::testing::{catalog, column, mask, product, user};
    use crate::catalog::model::{AccessPolicy, Discoverable};

    fn principal(name: &str, groups: &[&str]) -> Arc<Principal> {
        Arc::new(Principal::from(&user(name, groups)))
    }

    fn mesh() -> Catalog {
        let mut leads = product("marketing.leads");
        leads.governance.discoverable = Discoverable::Mesh;
        let mut secret = product("sales.secret");
        secret.governance.access_policy = AccessPolicy::Restricted;
        catalog(vec![product("sales.orders"), leads, secret, product("customer-success.Ticket-Log")], Vec::new())
    }

    #[test]
    fn the_audit_learns_why_and_what_is_hidden() {
        let mesh = mesh();
        let visible = Visible::new(&mesh, &Grants::default(), 7, principal("ann", &["cs"]));
        let of = |product: &VisibleProduct<'_>| visible.reasons(product.id).to_vec();
        let seen: Vec<Vec<String>> = visible.products().map(|product| of(&product)).collect();
        assert_eq!(seen, [["group:cs"], ["discoverable:mesh"]]);
        let hidden: Vec<&ProductId> = mesh.products.keys().filter(|id| visible.get(id).is_none()).collect();
        assert!(!hidden.is_empty());
        for id in hidden {
            let product = &mesh.products[id];
            let (schema, table) = (product.domain.schema_name(), product.table_name());
            assert!(visible.lookup(&schema, &table).is_none());
            assert_eq!(visible.hidden(&schema, &table), product.delta_port().map(|_| id));
            assert_eq!(visible.domain_of(id), Some(&product.domain));
            assert!(visible.reasons(id).is_empty(), "nothing spoke for it");
        }
        assert_eq!(visible.hidden("sales", "nothing"), None);
        assert!(visible.reasons(&ProductId("sales.nothing".to_owned())).is_empty());
    }

    #[test]
    fn one_principal_sees_its_part_under_sql_names() {
        let visible = Visible::new(&mesh(), &Grants::default(), 7, principal("ann", &["cs"]));
        let seen: Vec<String> = visible.products().map(|p| format!("{}.{}", p.schema, p.table)).collect();
        assert_eq!(seen, ["customer_success.ticket_log", "marketing.leads"]);
        assert!(visible.lookup("customer_success", "ticket_log").unwrap().access.is_readable());
        assert_eq!(*visible.lookup("marketing", "leads").unwrap().access, Access::DiscoverOnly);
        for (schema, table) in
            [("sales", "orders"), ("sales", "nothing"), ("nowhere", "orders"), ("Marketing", "leads")]
        {
            assert!(visible.lookup(schema, table).is_none(), "{schema}.{table}");
        }
        assert!(visible.get(&ProductId("sales.orders".to_owned())).is_none());
        let leads = visible.get(&ProductId("marketing.leads".to_owned())).unwrap();
        assert_eq!(leads.of(&mesh()).unwrap().name, "leads");
        assert_eq!(visible.schemas().iter().collect::<Vec<_>>(), ["customer_success", "marketing"]);
        let readable: Vec<&str> = visible.readable_domains().iter().map(DomainName::as_str).collect();
        assert_eq!(readable, ["customer-success"]);
    }

    #[test]
    fn a_hidden_product_does_not_stand_before_a_visible_one_of_the_same_sql_name() {
        let mut shadowing = product("sales.a-b");
        shadowing.governance.access_policy = AccessPolicy::Restricted;
        shadowing.domain = DomainName("other".to_owned());
        let mut mesh = catalog(vec![shadowing, product("sales.a_b")], Vec::new());
        mesh.products.get_mut(&ProductId("sales.a-b".to_owned())).unwrap().domain = DomainName("SALES".to_owned());
        let visible = Visible::new(&mesh, &Grants::default(), 1, principal("ann", &["sales"]));
        assert_eq!(visible.lookup("sales", "a_b").unwrap().id.0, "sales.a_b");
    }

    /// INVARIANT: `masked` is what reading hides.
    #[test]
    fn masks_hide_declared_columns_as_they_hide_those_of_the_table() {
        let names = ["id", "Email", "address", "other"];
        let mut orders = product("sales.orders");
        orders.columns = names.map(|name| column(name, None)).to_vec();
        orders.governance.discoverable = Discoverable::Mesh;
        orders.governance.masks =
            vec![mask("EMAIL", &[]), mask("address.street", &["trusted"]), mask("undeclared", &[])];
        let mesh = catalog(vec![orders], Vec::new());
        let masked = |groups: &[&str]| {
            let visible = Visible::new(&mesh, &Grants::default(), 1, principal("ann", groups));
            let orders = visible.lookup("sales", "orders").unwrap();
            (orders.access.is_readable(), visible.masked(&orders, orders.of(&mesh).unwrap()))
        };
        assert_eq!(masked(&["sales"]), (true, vec![false, true, true, false]));
        assert_eq!(masked(&["sales", "trusted"]), (true, vec![false, true, false, false]));
        assert_eq!(masked(&["trusted"]), (false, vec![false, true, true, false]), "who cannot read is told of all");
    }

    #[test]
    fn views_of_one_generation_share_its_names() {
        let (mesh, cache) = (mesh(), VisibleCache::default());
        let (ann, bob) = (principal("ann", &[]), principal("bob", &[]));
        assert!(cache.kept(1, &ann).is_none());
        let (first, second) =
            (cache.get(&mesh, &Grants::default(), 1, &ann), cache.get(&mesh, &Grants::default(), 1, &bob));
        assert!(Arc::ptr_eq(&first.names, &second.names));
        assert!(Arc::ptr_eq(&first, &cache.kept(1, &ann).unwrap()));
        assert!(cache.kept(2, &ann).is_none());
        assert!(cache.kept(1, &ann).is_none(), "a newer generation drops the older");
        assert!(!Arc::ptr_eq(&first.names, &cache.get(&mesh, &Grants::default(), 2, &ann).names));
    }

    #[test]
    fn the_cache_keeps_the_newest_generation_and_not_too_many_principals() {
        let (mesh, cache) = (mesh(), VisibleCache::default());
        let ann = principal("ann", &["sales"]);
        let first = cache.get(&mesh, &Grants::default(), 1, &ann);
        assert!(Arc::ptr_eq(&first, &cache.get(&mesh, &Grants::default(), 1, &principal("ann", &["sales"]))));
        assert!(
            !Arc::ptr_eq(&first, &cache.get(&mesh, &Grants::default(), 1, &principal("ann", &["sales", "cs"]))),
            "other groups"
        );
        let second = cache.get(&mesh, &Grants::default(), 2, &ann);
        assert_eq!(second.generation(), 2);
        let old = cache.get(&mesh, &Grants::default(), 1, &ann);
        assert_eq!(old.generation(), 1);
        assert!(
            Arc::ptr_eq(&second, &cache.get(&mesh, &Grants::default(), 2, &ann)),
            "an older generation displaces nothing"
        );
        for number in 0..VISIBLE_PRINCIPALS_MAX * 2 {
            cache.get(&mesh, &Grants::default(), 2, &principal(&format!("user{number}"), &[]));
            cache.get(&mesh, &Grants::default(), 2, &ann);
        }
        assert_eq!(cache.lock().views.len(), VISIBLE_PRINCIPALS_MAX);
        assert!(Arc::ptr_eq(&second, &cache.get(&mesh, &Grants::default(), 2, &ann)), "what is used stays");
    }
}
