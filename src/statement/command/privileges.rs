//! GRANT and REVOKE (PostgreSQL 15, SQL commands GRANT and REVOKE): by the owner of a product, the owner of its domain,
//! and mesh_admin. They hold as soon as they are answered, in every session, and are not part of a transaction.
//!
//! `GRANT SELECT ON ALL TABLES IN SCHEMA` is, as in PostgreSQL, a grant on each table that there is now; restricted
//! products must be named. Only `GRANT USAGE ON SCHEMA` reaches products that come later, and lets discover only.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, Utc};

use super::objects::Recording;
use super::{expiry, objects};
use crate::access::domains::Privilege;
use crate::access::grants::{Grant, GrantObject, Grantee, may_grant_on_domain, may_grant_on_product, owns_product};
use crate::catalog::model::{AccessPolicy, DomainName, Product};
use crate::error::{Error, Report, Result, Severity, SqlState};
use crate::mesh::grants::Revoked;
use crate::settings::moment;
use crate::statement::Outcome;
use crate::statement::context::Context;
use crate::statement::parse::privileges::{Objects, Privileges, Role};

/// How many grants one statement may give or take: objects times grantees.
const GRANTS_PER_STATEMENT_MAX: usize = 1_000;

/// # Errors
/// `42P01` and `3F000` for what does not exist or may not be discovered, `42501` without the right, `42704` for unknown
/// grantees, `22007` and `22023` for an expiry that cannot be, `53100` when it cannot be made durable.
pub async fn execute(statement: &Privileges, context: &Context) -> Result<Outcome> {
    let zone = *context.settings.lock().time_zone();
    let now = Utc::now().trunc_subsecs(6);
    let end = |text| expiry::of_text(text, now, zone);
    let expires_at = statement.expires.as_deref().map(end).transpose()?;
    let named = match named(statement, context) {
        Err(Refused::Plainly(error)) => return Err(error),
        Err(Refused::Recorded { object, error }) => {
            objects::record_denied(kind(statement), &object, None, context).await?;
            return Err(error);
        }
        Ok(named) => named,
    };
    let grantees = grantees(statement, context)?;
    if named.objects.len().saturating_mul(grantees.len()) > GRANTS_PER_STATEMENT_MAX {
        let message = format!("one statement may give or take {GRANTS_PER_STATEMENT_MAX} grants");
        return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message));
    }
    if statement.revoke {
        return revoke(named, grantees, context).await;
    }
    grant(&named, &grantees, now, expires_at, context).await
}

async fn grant(
    named: &Named,
    grantees: &[Grantee],
    granted_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    context: &Context,
) -> Result<Outcome> {
    for object in &named.foreign {
        if grantees.iter().any(|grantee| *grantee != Grantee::Public && grantee.covers(&context.principal)) {
            objects::record_denied("grant", object, None, context).await?;
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "permission denied to grant access to oneself")
                .hint("mesh_admin reads no data by that role: an owner can grant it."));
        }
    }
    let pairs = named.objects.iter().flat_map(|object| grantees.iter().map(move |grantee| (object, grantee)));
    let ids = context.mesh.new_grant_ids(named.objects.len() * grantees.len())?;
    let given = pairs.zip(ids).map(|((object, grantee), id)| Grant {
        id,
        grantee: grantee.clone(),
        object: object.clone(),
        granted_by: context.principal.name.clone(),
        granted_at,
        expires_at,
        requested: false,
    });
    let grants: Vec<Grant> = given.collect();
    let recordings: Vec<Recording> = grants
        .iter()
        .map(|grant| {
            let until = grant.expires_at.map(|end| format!(" until {}", moment::show(end)));
            let detail = described(grant.object.privilege(), &grant.grantee) + &until.unwrap_or_default();
            allowed("grant", &grant.object, Some(grant.id), detail)
        })
        .collect();
    let context = context.clone();
    let change = async move {
        objects::record(recordings, &context).await?;
        context.mesh.give(&grants).await
    };
    objects::to_its_end(change).await?;
    let notice = (!named.restricted.is_empty()).then(|| {
        let message = format!("restricted products must be named: {}", named.restricted.join(", "));
        let mut notice = Report::new(SqlState::SUCCESSFUL_COMPLETION, message);
        notice.severity = Severity::Notice;
        notice
    });
    Ok(Outcome::Done { tag: "GRANT", notice })
}

async fn revoke(named: Named, grantees: Vec<Grantee>, context: &Context) -> Result<Outcome> {
    let mut recordings = Vec::with_capacity(named.objects.len() * grantees.len());
    for (object, revoked) in named.objects.iter().zip(&named.revoked) {
        for grantee in &grantees {
            let detail = match revoked {
                Revoked::On(object) => described(object.privilege(), grantee),
                Revoked::ProductsOf(_) => described(Privilege::Read, grantee) + " on all tables",
            };
            recordings.push(allowed("revoke", object, None, detail));
        }
    }
    let quoted: Vec<String> = named.objects.iter().map(|object| format!("\"{object}\"")).collect();
    let context = context.clone();
    let change = async move {
        objects::record(recordings, &context).await?;
        context.mesh.revoke(&named.revoked, &grantees, &context.principal.name).await
    };
    let mut notice = None;
    if objects::to_its_end(change).await?.is_empty() {
        let message = format!("no privileges could be revoked for {}", quoted.join(", "));
        let mut warning = Report::new(SqlState::WARNING_PRIVILEGE_NOT_REVOKED, message);
        warning.severity = Severity::Warning;
        warning.hint = Some(
            "Nothing was granted to them. What comes from membership or a policy ends where the catalog says so."
                .to_owned(),
        );
        notice = Some(warning);
    }
    Ok(Outcome::Done { tag: "REVOKE", notice })
}

/// What a statement names, once the principal was found to have the right.
#[derive(Default)]
struct Named {
    /// What is granted on; for a REVOKE on all tables of a schema, the domain.
    objects: Vec<GrantObject>,
    /// The same for REVOKE.
    revoked: Vec<Revoked>,
    /// Products that mesh_admin grants for others: it owns neither them nor their domain.
    foreign: BTreeSet<String>,
    /// Products that a grant on all tables leaves out.
    restricted: Vec<String>,
}

impl Named {
    fn add(&mut self, object: GrantObject) {
        if !self.objects.contains(&object) {
            self.revoked.push(Revoked::On(object.clone()));
            self.objects.push(object);
        }
    }
}

enum Refused {
    /// Nothing was decided about an object.
    Plainly(Error),
    /// The right is missing.
    Recorded { object: String, error: Error },
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Plainly(error)
    }
}

fn named(statement: &Privileges, context: &Context) -> std::result::Result<Named, Refused> {
    let (catalog, principal) = (&context.snapshot.catalog, &context.principal);
    let mut named = Named::default();
    match &statement.objects {
        Objects::Tables(tables) => {
            for parts in tables {
                let (visible, product) = objects::product(parts, context)?;
                if !may_grant_on_product(catalog, principal, product) {
                    let error = objects::denied_table(visible.table).hint(who_grants(product));
                    return Err(Refused::Recorded { object: product.id.0.clone(), error });
                }
                named.add_product(product, context);
            }
        }
        Objects::AllTablesIn(schemas) => {
            for schema in schemas {
                let domain = on_domain(schema, context)?;
                if statement.revoke {
                    named.objects.push(GrantObject::Domain(domain.clone()));
                    named.revoked.push(Revoked::ProductsOf(domain.clone()));
                } else {
                    named.add_tables_of(domain, context);
                }
            }
        }
        Objects::Schemas(schemas) => {
            for schema in schemas {
                named.add(GrantObject::Domain(on_domain(schema, context)?.clone()));
            }
        }
    }
    Ok(named)
}

impl Named {
    fn add_product(&mut self, product: &Product, context: &Context) {
        if !owns_product(&context.snapshot.catalog, &context.principal, product) {
            self.foreign.insert(product.id.0.clone());
        }
        self.add(GrantObject::Product(product.id.clone()));
    }

    fn add_tables_of(&mut self, domain: &DomainName, context: &Context) {
        let catalog = &context.snapshot.catalog;
        let tables = context.visible.products().filter(|visible| visible.has_table);
        for product in tables.filter_map(|visible| visible.of(catalog)).filter(|product| product.domain == *domain) {
            if product.governance.access_policy == AccessPolicy::Restricted {
                self.restricted.push(product.id.0.clone());
            } else {
                self.add_product(product, context);
            }
        }
    }
}

/// The domain of a schema, if the principal may grant on it.
fn on_domain<'a>(schema: &str, context: &'a Context) -> std::result::Result<&'a DomainName, Refused> {
    let domain = objects::domain(schema, context)?;
    if may_grant_on_domain(&context.snapshot.catalog, &context.principal, domain) {
        return Ok(domain);
    }
    let owner = context.snapshot.catalog.domains.get(domain).map_or("", |domain| domain.owner.as_str());
    let error =
        objects::denied_schema(schema).hint(format!("The domain's owner, {owner}, and mesh_admin grant on it."));
    Err(Refused::Recorded { object: domain.to_string(), error })
}

fn who_grants(product: &Product) -> String {
    format!(
        "The owner of {}, {}, the owner of its domain and mesh_admin grant access to it.",
        product.id, product.owner
    )
}

/// The grantees, each once. REVOKE also takes those who left the catalog and still hold grants.
fn grantees(statement: &Privileges, context: &Context) -> Result<Vec<Grantee>> {
    let mut grantees = Vec::new();
    for role in &statement.grantees {
        let grantee = match role {
            Role::Public => Some(Grantee::Public),
            Role::CurrentUser => Some(Grantee::User(context.principal.name.clone())),
            Role::Named(name) => objects::principal_named(name, context),
            Role::Group(name) => objects::group_named(name, context),
        };
        let grantee = match (grantee, role) {
            (Some(grantee), _) => grantee,
            (None, Role::Named(name) | Role::Group(name)) => {
                left_behind(role, statement, context)?.ok_or_else(|| objects::undefined_role(name))?
            }
            (None, Role::Public | Role::CurrentUser) => return Err(Error::internal("a role that cannot be unknown")),
        };
        if !grantees.contains(&grantee) {
            grantees.push(grantee);
        }
    }
    Ok(grantees)
}

fn left_behind(role: &Role, statement: &Privileges, context: &Context) -> Result<Option<Grantee>> {
    let candidates = match role {
        Role::Named(name) => vec![Grantee::User(name.clone()), Grantee::Group(name.clone())],
        Role::Group(name) => vec![Grantee::Group(name.clone())],
        Role::Public | Role::CurrentUser => Vec::new(),
    };
    for candidate in candidates {
        if statement.revoke && context.mesh.is_granted_to(&candidate)? {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

fn kind(statement: &Privileges) -> &'static str {
    if statement.revoke { "revoke" } else { "grant" }
}

fn allowed(kind: &'static str, object: &GrantObject, grant: Option<u32>, detail: String) -> Recording {
    Recording { kind, outcome: "allowed", object: object.to_string(), grant, detail: Some(detail) }
}

/// For the record: `read to user bob`.
fn described(privilege: Privilege, grantee: &Grantee) -> String {
    let name = grantee.name().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{} to {}{name}", privilege.as_str(), grantee.kind())
}
