//! The objects of the mesh as PostgreSQL's catalogs list them: schemas, relations with their columns, roles; each only
//! where the principal may discover it, each with its OID.
//!
//! Columns come from the contract, or from the table as it was last seen where the principal may read it; no table is
//! opened. What a contract does not declare is known once the server has seen the table, as it does when it starts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use datafusion::arrow::datatypes::{Field, SchemaRef};

use super::pg_catalog::contract_type;
use super::policies::sees_governance;
use super::{Described, SCHEMA, SCHEMA_OID, described};
use crate::access::decide::{Access, ReadScope};
use crate::access::visible::VisibleProduct;
use crate::catalog::keys::{Key, KeyKind, keys};
use crate::catalog::model::{self, DomainName, Product, Relationship};
use crate::catalog::oids::{self, Object, TableOids};
use crate::error::Result;
use crate::pgtype::{self, PgType};
use crate::statement::context::Context;
use crate::statement::views::View;

/// The role that owns what belongs to the server itself.
pub const SERVER_ROLE: &str = "postgres";
/// Its OID, as PostgreSQL's bootstrap superuser's.
pub const SERVER_ROLE_OID: u32 = 10;
/// What the OID of the schema of a session's views is made of: it is no other object's, so it needs no name of its own.
const TEMPORARY: &str = "temporary";

/// A schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace<'a> {
    pub oid: u32,
    pub name: Cow<'a, str>,
    /// OID of a role.
    pub owner: u32,
    pub description: Option<Cow<'a, str>>,
}

/// Which of the principal's relations are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those of the mesh, the same in every session.
    Mesh,
    /// The session's temporary views.
    Session,
}

/// A relation.
pub struct Relation<'a> {
    pub oid: u32,
    pub row_type: u32,
    pub row_array: u32,
    pub schema: Cow<'a, str>,
    pub namespace: u32,
    pub name: &'a str,
    /// OID of a role.
    pub owner: u32,
    pub description: Option<&'a str>,
    source: Source<'a>,
}

enum Source<'a> {
    Product { visible: VisibleProduct<'a>, product: &'a Product, oids: &'a TableOids },
    Catalog(&'static SchemaRef),
    View(&'a View),
}

/// A column of a relation.
#[derive(Clone, Debug)]
pub struct Column<'a> {
    pub name: Cow<'a, str>,
    pub pg_type: PgType,
    pub not_null: bool,
    /// What the contract says of it.
    pub contract: Option<&'a model::Column>,
}

/// A key of a table.
pub struct TableKey<'a> {
    pub key: Key<'a>,
    /// OID of the constraint.
    pub constraint: u32,
    /// OID of its index; 0 for a foreign key.
    pub index: u32,
    /// Of the columns, from 1.
    pub numbers: Vec<i16>,
    /// Of a foreign key.
    pub refers_to: Option<Referred<'a>>,
}

/// What a foreign key refers to.
pub struct Referred<'a> {
    pub relation: Relation<'a>,
    /// Of the columns, from 1.
    pub numbers: Vec<i16>,
    /// Types of the columns.
    pub types: Vec<u32>,
    /// The key of these very columns, if the other contract declares it: its name, and the OID of its index.
    pub key: Option<(String, u32)>,
}

/// A role that the principal may know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role<'a> {
    pub oid: u32,
    pub name: &'a str,
    /// Whether it is a user.
    pub can_login: bool,
    /// The groups that the user is in.
    pub groups: Vec<&'a str>,
}

/// The schemas of the mesh that the principal may know of, and that of the session's views if it has any.
pub fn namespaces(context: &Context, part: Part) -> Vec<Namespace<'_>> {
    let oids = context.snapshot.oids();
    if part == Part::Session {
        if context.views.is_empty() {
            return Vec::new();
        }
        let (oid, name) = (temporary_namespace(), Cow::Owned(temporary_schema(context)));
        return vec![Namespace { oid, name, owner: own_role(context), description: None }];
    }
    let mut found: BTreeMap<Cow<'_, str>, Namespace<'_>> = BTreeMap::new();
    let server = Namespace {
        oid: SCHEMA_OID,
        name: Cow::Borrowed(SCHEMA),
        owner: SERVER_ROLE_OID,
        description: Some(Cow::Borrowed("what the mesh knows of itself: products, columns, access, quality")),
    };
    found.insert(server.name.clone(), server);
    for name in context.visible.domains() {
        let schema = Cow::Owned(name.schema_name());
        if found.contains_key(&schema) {
            continue;
        }
        let Some(oid) = oids.namespace(&schema) else { continue };
        let domain = context.snapshot.catalog.domains.get(name);
        let owner = domain.and_then(|domain| oids.role(&domain.owner)).unwrap_or(SERVER_ROLE_OID);
        let description = domain.and_then(|domain| domain.description.as_deref()).map(Cow::Borrowed);
        found.insert(schema.clone(), Namespace { oid, name: schema, owner, description });
    }
    found.into_values().collect()
}

/// The schema of the session's views, as it is called where it has a name of its own (PostgreSQL's `pg_temp_N`).
pub fn temporary_schema(context: &Context) -> String {
    format!("pg_temp_{}", context.facts.pid)
}

/// Its OID.
pub fn temporary_namespace() -> u32 {
    oids::of_session("namespace", TEMPORARY, |_| false)
}

/// The principal's own role.
pub fn own_role(context: &Context) -> u32 {
    context.snapshot.oids().role(&context.principal.name).unwrap_or(SERVER_ROLE_OID)
}

/// The relations that the principal may discover, without PostgreSQL's own.
///
/// # Errors
/// When `data_catalog` cannot be described.
pub fn relations(context: &Context, part: Part) -> Result<Vec<Relation<'_>>> {
    if part == Part::Session {
        return Ok(views(context).collect());
    }
    let catalog = described(context)?.iter().map(of_catalog);
    let products = context.visible.products().filter_map(|visible| of_product(visible, context));
    Ok(catalog.chain(products).collect())
}

/// The relations of `data_catalog` and the session's views.
///
/// # Errors
/// When `data_catalog` cannot be described.
pub fn of_server_and_session(context: &Context) -> Result<impl Iterator<Item = Relation<'_>>> {
    Ok(described(context)?.iter().map(of_catalog).chain(views(context)))
}

/// The relation of this OID, none of PostgreSQL's own, if the principal may discover it.
///
/// # Errors
/// When `data_catalog` cannot be described.
pub fn relation(context: &Context, oid: u32) -> Result<Option<Relation<'_>>> {
    if let Some(Object::Table(id)) = context.snapshot.oids().object(oid) {
        return Ok(context.visible.get(id).and_then(|visible| of_product(visible, context)));
    }
    if oid >= oids::FIRST_OF_SESSION {
        return Ok(views(context).find(|view| view.oid == oid));
    }
    let catalog = described(context)?.iter().find(|relation| relation.oid == oid);
    Ok(catalog.map(of_catalog))
}

/// `None` for a product without a table, and for one whose name another has taken.
fn of_product<'a>(visible: VisibleProduct<'a>, context: &'a Context) -> Option<Relation<'a>> {
    let first = context.visible.lookup(visible.schema, visible.table)?;
    if !visible.has_table || first.id != visible.id {
        return None;
    }
    let product = visible.of(&context.snapshot.catalog)?;
    let all = context.snapshot.oids();
    let oids = all.table(&product.id)?;
    Some(Relation {
        oid: oids.table,
        row_type: oids.row_type,
        row_array: oids.row_array,
        schema: Cow::Borrowed(visible.schema),
        namespace: all.namespace(visible.schema)?,
        name: visible.table,
        owner: all.role(&product.owner).unwrap_or(SERVER_ROLE_OID),
        description: product.description.as_deref(),
        source: Source::Product { visible, product, oids },
    })
}

fn of_catalog<'a>(relation: &'static Described) -> Relation<'a> {
    Relation {
        oid: relation.oid,
        row_type: relation.oid + 1,
        row_array: relation.oid + 2,
        schema: Cow::Borrowed(SCHEMA),
        namespace: SCHEMA_OID,
        name: relation.name,
        owner: SERVER_ROLE_OID,
        description: Some(relation.description),
        source: Source::Catalog(&relation.schema),
    }
}

fn views(context: &Context) -> impl Iterator<Item = Relation<'_>> {
    let mut taken = BTreeSet::from([temporary_namespace()]);
    let (owner, schema) = (own_role(context), temporary_schema(context));
    context.views.iter().map(move |(name, view)| {
        let [oid, row_type, row_array] = ["view", "row type", "row array"].map(|kind| {
            let oid = oids::of_session(kind, name, |oid| taken.contains(&oid));
            taken.insert(oid);
            oid
        });
        let schema = Cow::Owned(schema.clone());
        let namespace = temporary_namespace();
        let source = Source::View(view);
        Relation { oid, row_type, row_array, schema, namespace, name, owner, description: None, source }
    })
}

impl<'a> Relation<'a> {
    /// `pg_class.relkind`.
    pub fn kind(&self) -> char {
        if matches!(self.source, Source::Product { .. }) { 'r' } else { 'v' }
    }

    pub fn is_temporary(&self) -> bool {
        matches!(self.source, Source::View(_))
    }

    /// Whether the principal may read it, within row filters and masks.
    pub fn is_readable(&self) -> bool {
        match &self.source {
            Source::Product { visible, .. } => visible.access.is_readable(),
            Source::Catalog(_) | Source::View(_) => true,
        }
    }

    /// What the principal may read of a product's table.
    pub fn scope(&self) -> Option<&'a ReadScope> {
        match &self.source {
            Source::Product { visible, .. } => match visible.access {
                Access::Read(scope) => Some(scope),
                Access::Hidden | Access::DiscoverOnly => None,
            },
            Source::Catalog(_) | Source::View(_) => None,
        }
    }

    /// The product whose table it is, with the OIDs of what belongs to the table.
    pub fn product(&self) -> Option<(&'a Product, &'a TableOids)> {
        match &self.source {
            Source::Product { product, oids, .. } => Some((*product, *oids)),
            Source::Catalog(_) | Source::View(_) => None,
        }
    }

    /// The query of a view, where it has one to show.
    pub fn definition(&self) -> Option<String> {
        match &self.source {
            Source::View(view) => Some(view.query()),
            Source::Product { .. } | Source::Catalog(_) => None,
        }
    }

    /// In the order in which `SELECT *` yields them.
    pub fn columns(&self, context: &Context) -> Vec<Column<'a>> {
        let of_schema = |schema: &SchemaRef| schema.fields().iter().map(|field| of_field(field)).collect();
        match &self.source {
            Source::Catalog(schema) => of_schema(schema),
            Source::View(view) => of_schema(view.schema()),
            Source::Product { visible, product, .. } => {
                let product: &'a Product = product;
                // what the contract does not tell is for those who may read the table
                let seen = visible.access.is_readable().then(|| context.mesh.columns_seen(product)).flatten();
                seen.map_or_else(|| promised(product), |schema| as_seen(product, &schema))
            }
        }
    }

    /// The keys whose columns are all there; foreign ones only where the principal may discover what they refer to.
    pub fn keys(&self, columns: &[Column<'_>], context: &'a Context) -> Vec<TableKey<'a>> {
        let Some((product, oids)) = self.product() else { return Vec::new() };
        let numbered = keys(product).into_iter().zip(&oids.keys);
        numbered
            .filter_map(|(key, (constraint, index))| {
                let numbers = numbers(columns, &key.columns)?;
                let refers_to = match key.references {
                    Some(relationship) => Some(referred(relationship, context)?),
                    None => None,
                };
                Some(TableKey { key, constraint: *constraint, index: *index, numbers, refers_to })
            })
            .collect()
    }
}

/// The numbers of columns, from 1.
fn numbers<S: AsRef<str>>(columns: &[Column<'_>], names: &[S]) -> Option<Vec<i16>> {
    let number = |name: &S| columns.iter().position(|column| column.name == name.as_ref()).map(|at| at as i16 + 1);
    names.iter().map(number).collect()
}

fn referred<'a>(relationship: &Relationship, context: &'a Context) -> Option<Referred<'a>> {
    let relation = of_product(context.visible.get(&relationship.product)?, context)?;
    let columns = relation.columns(context);
    let numbers = numbers(&columns, &relationship.referenced)?;
    let (product, oids) = relation.product()?;
    let key = keys(product).into_iter().zip(&oids.keys).find(|(key, _)| {
        key.kind != KeyKind::Foreign
            && key.columns.iter().copied().eq(relationship.referenced.iter().map(String::as_str))
    });
    let types = numbers.iter().filter_map(|number| columns.get(*number as usize - 1)).map(|column| column.pg_type.oid);
    Some(Referred { types: types.collect(), numbers, key: key.map(|(key, (_, index))| (key.name, *index)), relation })
}

fn of_field(field: &Field) -> Column<'static> {
    let pg_type = pgtype::pg_type(field);
    Column { name: Cow::Owned(field.name().clone()), pg_type, not_null: false, contract: None }
}

fn as_seen<'a>(product: &'a Product, schema: &SchemaRef) -> Vec<Column<'a>> {
    let declared: HashMap<&str, &model::Column> =
        product.columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let column = |field: &Field| {
        let contract = declared.get(field.name().as_str()).copied();
        let not_null = !field.is_nullable() || contract.is_some_and(|column| column.required || column.primary_key);
        let called = contract.and_then(contract_type::of_texts);
        Column { not_null, contract, ..of_field(&pgtype::declared(field, called)) }
    };
    schema.fields().iter().map(|field| column(field)).collect()
}

fn promised(product: &Product) -> Vec<Column<'_>> {
    fn column(column: &model::Column) -> Column<'_> {
        Column {
            name: Cow::Borrowed(column.name.as_str()),
            pg_type: contract_type::of(column),
            not_null: column.required || column.primary_key,
            contract: Some(column),
        }
    }
    product.columns.iter().map(column).collect()
}

/// The roles that the principal may know of: its own, the groups that it is in, and the owners of what it may discover.
/// Those who govern the mesh know of all users and groups.
pub fn roles<'a>(context: &'a Context) -> Vec<Role<'a>> {
    let (catalog, oids) = (&context.snapshot.catalog, context.snapshot.oids());
    let mut found: BTreeMap<&'a str, Role<'a>> = BTreeMap::new();
    let role = |name: &'a str| oids.role(name).map(|oid| Role { oid, name, can_login: false, groups: Vec::new() });
    let owners = context.visible.products().filter_map(|visible| Some(visible.of(catalog)?.owner.as_str()));
    let domains = context.visible.domains().iter().filter_map(|name: &DomainName| catalog.domains.get(name));
    for name in owners.chain(domains.map(|domain| domain.owner.as_str())) {
        if !found.contains_key(name) {
            found.extend(role(name).map(|role| (name, role)));
        }
    }
    let own = catalog.users.get(&context.principal.name);
    let everybody = sees_governance(&context.principal);
    let users = catalog.users.values().filter(|user| everybody || Some(*user) == own);
    if everybody {
        found.extend(catalog.groups.iter().filter_map(|name| Some((name.as_str(), role(name)?))));
    }
    for user in users {
        for group in &user.groups {
            found.extend(role(group).map(|role| (group.as_str(), role)));
        }
    }
    // last, so that a user who is called as an owner is shown as a user
    let users = catalog.users.values().filter(|user| everybody || Some(*user) == own);
    for user in users {
        let groups = user.groups.iter().map(String::as_str).collect();
        found.extend(role(&user.name).map(|role| (user.name.as_str(), Role { can_login: true, groups, ..role })));
    }
    found.into_values().collect()
}
