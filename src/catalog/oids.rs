//! The numbers under which PostgreSQL's clients know the objects of the mesh.
//!
//! An object has the same OID in every session, for every principal and after every restart: it is a hash of what the
//! object is and of its name. Where two objects meet, the one that comes later in the order of the catalog is hashed
//! again. It knows nothing of principals: whoever asks must show only what is visible.

use std::collections::HashMap;

use super::keys::{KeyKind, keys};
use super::model::{Catalog, ProductId};

/// OIDs below are PostgreSQL's own objects (`FirstNormalObjectId`).
pub const FIRST_NORMAL: u32 = 16_384;
/// From here on are the objects that catalogs name; below are those of every mesh.
const FIRST_HASHED: u32 = 1 << 16;
/// From here on are the objects of single sessions. Clients that take OIDs for signed numbers can hold all of them.
pub const FIRST_OF_SESSION: u32 = 1 << 30;

/// What an OID stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Database,
    /// A schema of domains, by its name in SQL.
    Namespace(String),
    /// A product's table.
    Table(ProductId),
    /// The type of the table's rows.
    RowType(ProductId),
    /// The type of arrays of the table's rows.
    RowArray(ProductId),
    /// A key of the table: its position among the product's [`keys`].
    Key(ProductId, usize),
    /// The index that the key would have.
    Index(ProductId, usize),
    /// What holds rows of the table back.
    Policy(ProductId),
    /// A user, a group or an owner.
    Role(String),
}

/// The OIDs of a product's table and of what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOids {
    pub table: u32,
    pub row_type: u32,
    pub row_array: u32,
    pub policy: u32,
    /// Of each key in the order of [`keys`]: the constraint and its index, 0 for a foreign key.
    pub keys: Vec<(u32, u32)>,
}

/// All OIDs of one catalog.
///
/// INVARIANT: each OID stands for one object, and is in `FIRST_HASHED..FIRST_OF_SESSION`.
#[derive(Debug)]
pub struct Oids {
    database: u32,
    namespaces: HashMap<String, u32>,
    tables: HashMap<ProductId, TableOids>,
    roles: HashMap<String, u32>,
    /// By `schema.name`: the product, and the position among its keys.
    indexes: HashMap<String, (ProductId, usize)>,
    objects: HashMap<u32, Object>,
}

impl Oids {
    /// Numbers the objects of a catalog. Costs about a microsecond for each.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let mut objects = HashMap::new();
        let database = claim(&mut objects, "database", &catalog.mesh.name, Object::Database);
        let mut oids = Self {
            database,
            namespaces: HashMap::new(),
            tables: HashMap::new(),
            roles: HashMap::new(),
            indexes: HashMap::new(),
            objects,
        };
        for domain in catalog.domains.keys() {
            oids.name_namespace(domain.schema_name());
        }
        let users = catalog.users.keys().chain(&catalog.groups);
        let owners = catalog.domains.values().map(|domain| &domain.owner);
        for role in users.chain(owners).chain(catalog.products.values().map(|product| &product.owner)) {
            oids.name_role(role);
        }
        for product in catalog.products.values().filter(|product| product.delta_port().is_some()) {
            let schema = product.domain.schema_name();
            let id = &product.id;
            let name = format!("{schema}.{}", product.table_name());
            let mut claim = |kind, name: &str, object| claim(&mut oids.objects, kind, name, object);
            let table = TableOids {
                table: claim("table", &name, Object::Table(id.clone())),
                row_type: claim("row type", &name, Object::RowType(id.clone())),
                row_array: claim("row array", &name, Object::RowArray(id.clone())),
                policy: claim("policy", &name, Object::Policy(id.clone())),
                keys: (keys(product).iter().enumerate())
                    .map(|(at, key)| {
                        let place = format!("{name}.{}", key.name);
                        let constraint = claim("constraint", &place, Object::Key(id.clone(), at));
                        if key.kind == KeyKind::Foreign {
                            return (constraint, 0);
                        }
                        oids.indexes.entry(format!("{schema}.{}", key.name)).or_insert_with(|| (id.clone(), at));
                        (constraint, claim("index", &place, Object::Index(id.clone(), at)))
                    })
                    .collect(),
            };
            oids.tables.insert(id.clone(), table);
            oids.name_namespace(schema);
        }
        oids
    }

    fn name_namespace(&mut self, schema: String) {
        if !self.namespaces.contains_key(&schema) {
            let oid = claim(&mut self.objects, "namespace", &schema, Object::Namespace(schema.clone()));
            self.namespaces.insert(schema, oid);
        }
    }

    fn name_role(&mut self, role: &str) {
        if !self.roles.contains_key(role) {
            let oid = claim(&mut self.objects, "role", role, Object::Role(role.to_owned()));
            self.roles.insert(role.to_owned(), oid);
        }
    }

    /// The mesh's own.
    #[must_use]
    pub fn database(&self) -> u32 {
        self.database
    }

    /// Of a schema of domains, by its name in SQL.
    #[must_use]
    pub fn namespace(&self, schema: &str) -> Option<u32> {
        self.namespaces.get(schema).copied()
    }

    /// Of a user, a group or an owner.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<u32> {
        self.roles.get(name).copied()
    }

    /// Of a product's table; `None` for a product without one.
    #[must_use]
    pub fn table(&self, product: &ProductId) -> Option<&TableOids> {
        self.tables.get(product)
    }

    /// The key whose index has this name: the product, and the position among its [`keys`].
    #[must_use]
    pub fn index(&self, schema: &str, name: &str) -> Option<(&ProductId, usize)> {
        self.indexes.get(&format!("{schema}.{name}")).map(|(product, at)| (product, *at))
    }

    #[must_use]
    pub fn object(&self, oid: u32) -> Option<&Object> {
        self.objects.get(&oid)
    }
}

fn claim(objects: &mut HashMap<u32, Object>, kind: &str, name: &str, object: Object) -> u32 {
    let candidates = (0..).map(|again| hashed(kind, name, again, FIRST_HASHED, FIRST_OF_SESSION));
    let free = candidates.into_iter().find(|oid| !objects.contains_key(oid));
    // there are thousands of times as many numbers as objects
    let oid = free.unwrap_or(FIRST_HASHED);
    objects.insert(oid, object);
    oid
}

/// The OID of an object of a session, which only that session sees.
#[must_use]
pub fn of_session(kind: &str, name: &str, is_taken: impl Fn(u32) -> bool) -> u32 {
    let mut candidates = (0..).map(|again| hashed(kind, name, again, FIRST_OF_SESSION, 2 * FIRST_OF_SESSION));
    candidates.find(|oid| !is_taken(*oid)).unwrap_or(FIRST_OF_SESSION)
}

/// FNV-1a, which stays what it is from release to release.
fn hashed(kind: &str, name: &str, again: u32, from: u32, to: u32) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in kind.bytes().chain([0]).chain(name.bytes()).chain([0]).chain(again.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // the upper bits are the better ones
    from + ((hash >> 32) as u32 ^ hash as u32) % (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixtures::{column, delta_port, product};
    use crate::catalog::model::{Defaults, Mesh, Product};
    use std::collections::{BTreeMap, BTreeSet};

    fn with_key(id: &str) -> Product {
        let mut product = Product { outputs: vec![delta_port("file:///x".to_owned())], ..product(id) };
        product.columns = vec![column("id")];
        product.columns[0].primary_key = true;
        product
    }

    fn catalog(products: Vec<Product>) -> Catalog {
        Catalog {
            mesh: Mesh { name: "mesh".to_owned(), description: None, defaults: Defaults::default() },
            domains: BTreeMap::new(),
            products: products.into_iter().map(|product| (product.id.clone(), product)).collect(),
            policies: Vec::new(),
            users: BTreeMap::new(),
            groups: BTreeSet::new(),
        }
    }

    #[test]
    fn an_object_keeps_its_number_whatever_is_beside_it() {
        let alone = Oids::of(&catalog(vec![with_key("sales.orders")]));
        let among = (0..2_000).map(|number| with_key(&format!("marketing.p{number}")));
        let among = Oids::of(&catalog(among.chain([with_key("sales.orders")]).collect()));
        let orders = ProductId("sales.orders".to_owned());
        assert_eq!(alone.table(&orders), among.table(&orders));
        assert_eq!(alone.table(&orders).unwrap().keys.len(), 1);
        assert_eq!(alone.namespace("sales"), among.namespace("sales"));
        assert_eq!(alone.database(), among.database());
        assert_eq!(alone.namespace("nowhere"), None);
        // written down, so that a release that changes them is noticed
        assert_eq!(alone.table(&orders).unwrap().table, hashed("table", "sales.orders", 0, 1 << 16, 1 << 30));
        assert_eq!(hashed("table", "sales.orders", 0, 1 << 16, 1 << 30), WRITTEN_DOWN);
    }

    #[test]
    fn every_number_leads_back_to_its_object() {
        let oids = Oids::of(&catalog(vec![with_key("sales.orders"), with_key("sales.lines")]));
        for (oid, object) in &oids.objects {
            assert!((FIRST_HASHED..FIRST_OF_SESSION).contains(oid));
            let again = match object {
                Object::Database => oids.database(),
                Object::Namespace(name) => oids.namespace(name).unwrap(),
                Object::Role(name) => oids.role(name).unwrap(),
                Object::Table(id) => oids.table(id).unwrap().table,
                Object::RowType(id) => oids.table(id).unwrap().row_type,
                Object::RowArray(id) => oids.table(id).unwrap().row_array,
                Object::Policy(id) => oids.table(id).unwrap().policy,
                Object::Key(id, at) => oids.table(id).unwrap().keys[*at].0,
                Object::Index(id, at) => oids.table(id).unwrap().keys[*at].1,
            };
            assert_eq!(again, *oid);
            assert_eq!(oids.object(*oid), Some(object));
        }
    }

    #[test]
    fn two_that_meet_get_two_numbers() {
        let mut objects = HashMap::new();
        let first = claim(&mut objects, "role", "ann", Object::Role("ann".to_owned()));
        let second = claim(&mut objects, "role", "ann", Object::Role("other".to_owned()));
        assert_ne!(first, second);
        assert_eq!(of_session("view", "v", |_| false), of_session("view", "v", |_| false));
        assert!(of_session("view", "v", |_| false) >= FIRST_OF_SESSION);
    }

    const WRITTEN_DOWN: u32 = 309_518_777;
}
