//! From OIDs to names and back, for what the principal may discover: what functions over the catalog ask.
//!
//! It answers for PostgreSQL's own relations and types too. An OID of something hidden is an OID of nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use super::objects::{self, Namespace, Part, Relation, SERVER_ROLE, SERVER_ROLE_OID};
use super::pg_catalog::facts::{self, Cells, PG_CATALOG_OID, Shape};
use super::{SCHEMA, SCHEMA_OID, information_schema, pg_catalog};
use crate::catalog::keys::{Key, KeyKind, keys};
use crate::catalog::model::ProductId;
use crate::catalog::oids::{FIRST_NORMAL, Object};
use crate::statement::context::Context;
use crate::statement::views;

/// The OIDs that one principal may know. Made for a statement.
#[derive(Clone)]
pub struct VisibleOids {
    context: Context,
    roles: OnceLock<HashMap<u32, String>>,
}

/// An object in a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InSchema {
    pub schema: Cow<'static, str>,
    pub name: Cow<'static, str>,
    /// `pg_class.relkind` of a relation; `pg_type.typtype` of a type.
    pub kind: char,
}

/// PostgreSQL's own objects of one kind, by OID and by name.
struct Own {
    by_oid: HashMap<u32, InSchema>,
    by_name: HashMap<(Cow<'static, str>, Cow<'static, str>), u32>,
}

static OWN_TYPES: LazyLock<Own> = LazyLock::new(|| {
    let types = Cells::of("pg_type");
    let mut own = Own { by_oid: HashMap::new(), by_name: HashMap::new() };
    for row in types.rows() {
        let text = |column| types.value(row, column).unwrap_or_default();
        let Ok(oid) = text("oid").parse() else { continue };
        let schema = if text("typnamespace") == PG_CATALOG_OID.to_string() {
            pg_catalog::SCHEMA
        } else {
            information_schema::SCHEMA
        };
        let kind = text("typtype").chars().next().unwrap_or('b');
        let named = InSchema { schema: Cow::Borrowed(schema), name: text("typname"), kind };
        own.by_name.insert((named.schema.clone(), named.name.clone()), oid);
        own.by_oid.insert(oid, named);
    }
    own
});

static OWN_RELATIONS: LazyLock<HashMap<u32, &'static Shape>> =
    LazyLock::new(|| facts::all().map(|shape| (shape.oid, shape)).collect());

impl VisibleOids {
    pub fn new(context: &Context) -> Self {
        Self { context: context.clone(), roles: OnceLock::new() }
    }

    /// Of a schema; `pg_temp` is the schema of the session's own views, if it has any.
    pub fn namespace(&self, name: &str) -> Option<u32> {
        match name {
            pg_catalog::SCHEMA => return Some(PG_CATALOG_OID),
            information_schema::SCHEMA => return Some(facts::information_schema_oid()),
            "pg_toast" => return Some(99),
            SCHEMA => return Some(SCHEMA_OID),
            _ => {}
        }
        if self.is_temporary(name) {
            return (!self.context.views.is_empty()).then(objects::temporary_namespace);
        }
        self.context.visible.schemas().get(name)?;
        self.context.snapshot.oids().namespace(name)
    }

    /// The schema of this OID.
    pub fn namespace_name(&self, oid: u32) -> Option<Cow<'static, str>> {
        let own = [PG_CATALOG_OID, facts::information_schema_oid(), SCHEMA_OID, 99];
        if let Some(at) = own.iter().position(|known| *known == oid) {
            return [pg_catalog::SCHEMA, information_schema::SCHEMA, SCHEMA, "pg_toast"]
                .get(at)
                .map(|s| Cow::Borrowed(*s));
        }
        if oid == objects::temporary_namespace() && !self.context.views.is_empty() {
            return Some(Cow::Owned(objects::temporary_schema(&self.context)));
        }
        match self.context.snapshot.oids().object(oid)? {
            Object::Namespace(name) => self.context.visible.schemas().contains(name).then(|| Cow::Owned(name.clone())),
            _ => None,
        }
    }

    /// All schemas that the principal may know of, PostgreSQL's own left out.
    pub fn namespaces(&self) -> Vec<Namespace<'_>> {
        [Part::Mesh, Part::Session].into_iter().flat_map(|part| objects::namespaces(&self.context, part)).collect()
    }

    fn is_temporary(&self, schema: &str) -> bool {
        schema == views::SCHEMA || schema == objects::temporary_schema(&self.context)
    }

    /// Of a table, a view or an index.
    pub fn relation(&self, schema: &str, name: &str) -> Option<u32> {
        let context = &self.context;
        match schema {
            pg_catalog::SCHEMA => return facts::shape(PG_CATALOG_OID, name).map(|shape| shape.oid),
            information_schema::SCHEMA => {
                return facts::shape(facts::information_schema_oid(), name).map(|shape| shape.oid);
            }
            SCHEMA => {
                let described = super::described(context).ok()?;
                return described.iter().find(|relation| relation.name == name).map(|relation| relation.oid);
            }
            _ => {}
        }
        if self.is_temporary(schema) {
            let views = objects::relations(context, Part::Session).ok()?;
            return views.iter().find(|view| view.name == name).map(|view| view.oid);
        }
        let oids = context.snapshot.oids();
        if let Some(table) = context.visible.lookup(schema, name).filter(|product| product.has_table) {
            return oids.table(table.id).map(|oids| oids.table);
        }
        let (product, at) = oids.index(schema, name)?;
        context.visible.get(product)?;
        Some(oids.table(product)?.keys.get(at)?.1)
    }

    /// The table, view or index of this OID.
    pub fn relation_name(&self, oid: u32) -> Option<InSchema> {
        if oid < FIRST_NORMAL {
            let shape = OWN_RELATIONS.get(&oid)?;
            let schema =
                if shape.namespace == PG_CATALOG_OID { pg_catalog::SCHEMA } else { information_schema::SCHEMA };
            return Some(InSchema { schema: schema.into(), name: shape.name.into(), kind: shape.kind });
        }
        if let Some(Object::Index(product, at)) = self.context.snapshot.oids().object(oid) {
            let (key, schema) = self.key(product, *at)?;
            return Some(InSchema { schema: schema.to_owned().into(), name: key.name.into(), kind: 'i' });
        }
        let relation = self.table(oid)?;
        let (schema, name) = (relation.schema.clone().into_owned(), relation.name.to_owned());
        Some(InSchema { schema: schema.into(), name: name.into(), kind: relation.kind() })
    }

    /// The constraint of this OID; its kind is `pg_constraint.contype`.
    pub fn constraint_name(&self, oid: u32) -> Option<InSchema> {
        let Object::Key(product, at) = self.context.snapshot.oids().object(oid)? else { return None };
        let (key, schema) = self.key(product, *at)?;
        let kind = match key.kind {
            KeyKind::Primary => 'p',
            KeyKind::Unique => 'u',
            // not without what it refers to
            KeyKind::Foreign => key.references.and_then(|to| self.context.visible.get(&to.product)).map(|_| 'f')?,
        };
        Some(InSchema { schema: schema.to_owned().into(), name: key.name.into(), kind })
    }

    fn key(&self, product: &ProductId, at: usize) -> Option<(Key<'_>, &str)> {
        let visible = self.context.visible.get(product)?;
        let key = keys(visible.of(&self.context.snapshot.catalog)?).into_iter().nth(at)?;
        Some((key, visible.schema))
    }

    /// A table or view of the mesh or of the session, with its columns and keys; none of PostgreSQL's own.
    pub fn table(&self, oid: u32) -> Option<Relation<'_>> {
        objects::relation(&self.context, oid).ok().flatten()
    }

    /// The table or view of which this is the type of rows, or of arrays of rows.
    fn of_row_type(&self, oid: u32) -> Option<Relation<'_>> {
        let oids = self.context.snapshot.oids();
        match oids.object(oid) {
            Some(Object::RowType(id) | Object::RowArray(id)) => self.table(oids.table(id)?.table),
            Some(_) => None,
            None => {
                let mut small = objects::of_server_and_session(&self.context).ok()?;
                small.find(|relation| oid == relation.row_type || oid == relation.row_array)
            }
        }
    }

    /// The type of this OID, by its internal name (`int4`, `_int4`); types of rows among them.
    pub fn type_name(&self, oid: u32) -> Option<InSchema> {
        if oid < FIRST_NORMAL {
            return OWN_TYPES.by_oid.get(&oid).cloned();
        }
        let relation = self.of_row_type(oid)?;
        let is_array = oid == relation.row_array;
        let name = if is_array { pg_catalog::array_name(relation.name) } else { relation.name.to_owned() };
        let kind = if is_array { 'b' } else { 'c' };
        Some(InSchema { schema: Cow::Owned(relation.schema.into_owned()), name: Cow::Owned(name), kind })
    }

    /// Of a type by its internal name.
    pub fn type_oid(&self, schema: &str, name: &str) -> Option<u32> {
        if matches!(schema, pg_catalog::SCHEMA | information_schema::SCHEMA) {
            let key = (Cow::Owned(schema.to_owned()), Cow::Owned(name.to_owned()));
            return OWN_TYPES.by_name.get(&key).copied();
        }
        let of_rows = |name: &str| self.relation(schema, name).and_then(|oid| self.table(oid));
        if let Some(relation) = of_rows(name) {
            return Some(relation.row_type);
        }
        of_rows(name.strip_prefix('_')?).map(|relation| relation.row_array)
    }

    /// Of a role that the principal may know of.
    pub fn role(&self, name: &str) -> Option<u32> {
        let oid = self.context.snapshot.oids().role(name).filter(|oid| self.roles().contains_key(oid));
        oid.or_else(|| self.roles().iter().find(|(_, role)| *role == name).map(|(oid, _)| *oid))
    }

    /// The role of this OID, if the principal may know of it.
    pub fn role_name(&self, oid: u32) -> Option<&str> {
        self.roles().get(&oid).map(String::as_str)
    }

    fn roles(&self) -> &HashMap<u32, String> {
        self.roles.get_or_init(|| {
            let cells = Cells::of("pg_authid");
            let own = cells.rows().filter_map(|row| {
                Some((cells.value(row, "oid")?.parse().ok()?, cells.value(row, "rolname")?.into_owned()))
            });
            let visible = objects::roles(&self.context).into_iter().map(|role| (role.oid, role.name.to_owned()));
            own.chain([(SERVER_ROLE_OID, SERVER_ROLE.to_owned())]).chain(visible.collect::<Vec<_>>()).collect()
        })
    }

    /// Of the database.
    pub fn database(&self) -> u32 {
        self.context.snapshot.oids().database()
    }
}

impl Context {
    /// The OIDs that the principal may know.
    pub fn oids(&self) -> VisibleOids {
        VisibleOids::new(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::model::ProductId;
    use crate::statement::system::tests::context;

    #[tokio::test]
    async fn names_and_oids_lead_to_each_other() {
        let mesh = crate::mesh::tests::sample();
        let oids = context(&mesh, "sales_analyst").await.oids();
        for (schema, name) in [
            ("pg_catalog", "pg_class"),
            ("pg_catalog", "pg_class_oid_index"),
            ("information_schema", "columns"),
            ("data_catalog", "products"),
            ("sales", "orders"),
            ("sales", "orders_pkey"),
        ] {
            let oid = oids.relation(schema, name).unwrap_or_else(|| panic!("{schema}.{name}"));
            let named = oids.relation_name(oid).unwrap();
            assert_eq!((&*named.schema, &*named.name), (schema, name));
        }
        for (schema, name) in [
            ("pg_catalog", "int4"),
            ("pg_catalog", "_int4"),
            ("information_schema", "sql_identifier"),
            ("data_catalog", "products"),
            ("sales", "orders"),
            ("sales", "_orders"),
        ] {
            let oid = oids.type_oid(schema, name).unwrap_or_else(|| panic!("{schema}.{name}"));
            let named = oids.type_name(oid).unwrap();
            assert_eq!((&*named.schema, &*named.name), (schema, name));
        }
        for schema in ["pg_catalog", "information_schema", "data_catalog", "sales", "pg_toast"] {
            assert_eq!(oids.namespace_name(oids.namespace(schema).unwrap()).unwrap(), schema);
        }
        for role in ["sales_analyst", "sales", "postgres", "sales-data-team@company.com"] {
            assert_eq!(oids.role_name(oids.role(role).unwrap()), Some(role));
        }
        let table = oids.table(oids.relation("sales", "orders").unwrap()).unwrap();
        let key = table.product().unwrap().1.keys[0].0;
        assert_eq!(oids.constraint_name(key).unwrap().name, "orders_pkey");
    }

    /// INVARIANT: what is hidden has no OID, and its OID has no name.
    #[tokio::test]
    async fn what_is_hidden_has_neither_name_nor_oid() {
        let mesh = crate::mesh::tests::sample();
        let context = context(&mesh, "sales_analyst").await;
        let (oids, all) = (context.oids(), context.snapshot.oids());
        let mut hidden = 0;
        for product in context.snapshot.catalog.products.values() {
            let Some(numbers) = all.table(&product.id).filter(|_| context.visible.get(&product.id).is_none()) else {
                continue;
            };
            hidden += 1;
            let (schema, table) = (product.domain.schema_name(), product.table_name());
            assert_eq!(oids.relation(&schema, &table), None);
            assert_eq!(oids.relation(&schema, &format!("{table}_pkey")), None);
            assert_eq!(oids.type_oid(&schema, &table), None);
            assert!(oids.relation_name(numbers.table).is_none());
            assert!(oids.type_name(numbers.row_type).is_none() && oids.type_name(numbers.row_array).is_none());
            for (constraint, index) in &numbers.keys {
                assert!(oids.constraint_name(*constraint).is_none() && oids.relation_name(*index).is_none());
            }
        }
        assert!(hidden > 0);
        assert_eq!(all.role("auditor").and_then(|oid| oids.role_name(oid)), None, "another user");
        assert_eq!(oids.role("auditor"), None);
        assert_eq!(oids.namespace("finance"), None);
        assert_eq!(all.namespace("finance").and_then(|oid| oids.namespace_name(oid)), None);
        assert!(all.table(&ProductId("sales.nothing".to_owned())).is_none());
    }
}
