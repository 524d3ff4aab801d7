//! Grants: who was given which right on what, by whom and until when, and who may give it. Pure: an instant comes in, what
//! holds at it comes out. Knows nothing of how grants are stored or asked for.
//!
//! A grant is on one product, and then lets its grantee discover and read it, or on a domain, and then lets its grantee
//! discover the domain's products, future ones included. It opens restricted products too, since it names what it opens.
//! The contract's row filter and masks bind whoever reads by it, and any Deny wins over it. No grant makes a domain
//! readable as a whole: the domains whose rows `row_domain_column` admits come from membership and policies alone.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};

use super::domains::Privilege;
use super::principal::Principal;
use crate::catalog::model::{Catalog, DomainName, Product, ProductId, Role};

/// One right that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Drawn at random, so that it tells nothing about other grants.
    pub id: u32,
    pub grantee: Grantee,
    pub object: GrantObject,
    /// The principal who granted it, or approved the request for it.
    pub granted_by: String,
    pub granted_at: DateTime<Utc>,
    /// The first instant at which it no longer holds; `None`: it holds until it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
    /// It came from an approved request, whose id it has.
    pub requested: bool,
}

impl Grant {
    #[must_use]
    pub fn holds_at(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Who may use a grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grantee {
    User(String),
    Group(String),
    /// Every principal of the mesh.
    Public,
}

impl Grantee {
    /// Whether the principal is the grantee or belongs to it.
    #[must_use]
    pub fn covers(&self, principal: &Principal) -> bool {
        match self {
            Self::User(name) => *name == principal.name,
            Self::Group(name) => principal.is_in(name),
            Self::Public => true,
        }
    }

    /// `user`, `group` or `public`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Public => "public",
        }
    }

    /// The user's or group's name; `None` for everybody.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::User(name) | Self::Group(name) => Some(name),
            Self::Public => None,
        }
    }
}

/// What a grant is on, and with it what it lets its grantee do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GrantObject {
    /// Discover and read it: `GRANT SELECT ON …`.
    Product(ProductId),
    /// Discover its products: `GRANT USAGE ON SCHEMA …`.
    Domain(DomainName),
}

impl GrantObject {
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        match self {
            Self::Product(_) => Privilege::Read,
            Self::Domain(_) => Privilege::Discover,
        }
    }

    /// `product` or `domain`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Product(_) => "product",
            Self::Domain(_) => "domain",
        }
    }
}

impl fmt::Display for GrantObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product(id) => id.fmt(f),
            Self::Domain(name) => name.fmt(f),
        }
    }
}

/// All grants that hold at one instant, and when that will no longer be all of them. Immutable and shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    active: Vec<Grant>,
    next_change: Option<DateTime<Utc>>,
}

impl Grants {
    /// Those of `grants` that hold at `now`.
    #[must_use]
    pub fn at(mut grants: Vec<Grant>, now: DateTime<Utc>) -> Self {
        grants.retain(|grant| grant.holds_at(now));
        // The one that lasts longest comes first: it is the one that says how long the right lasts.
        grants.sort_by_key(|grant| (grant.expires_at.is_some(), Reverse(grant.expires_at), grant.id));
        let next_change = grants.iter().filter_map(|grant| grant.expires_at).min();
        Self { active: grants, next_change }
    }

    /// The longest lasting first.
    #[must_use]
    pub fn active(&self) -> &[Grant] {
        &self.active
    }

    /// When the first of them ends by itself.
    #[must_use]
    pub fn next_change(&self) -> Option<DateTime<Utc>> {
        self.next_change
    }

    /// What of them one principal may use.
    #[must_use]
    pub fn to(&self, principal: &Principal) -> GrantsTo<'_> {
        let mut to = GrantsTo::default();
        for grant in self.active.iter().filter(|grant| grant.grantee.covers(principal)) {
            match &grant.object {
                GrantObject::Product(id) => to.products.entry(id).or_default().push(grant),
                GrantObject::Domain(name) => to.domains.entry(name).or_default().push(grant),
            }
        }
        to
    }
}

/// The grants that one principal may use, by what they are on.
#[derive(Debug, Default)]
pub struct GrantsTo<'a> {
    products: HashMap<&'a ProductId, Vec<&'a Grant>>,
    domains: HashMap<&'a DomainName, Vec<&'a Grant>>,
}

impl<'a> GrantsTo<'a> {
    /// Those that speak of the product: on itself, then on its domain; the longest lasting first.
    pub fn on(&self, product: &Product) -> impl Iterator<Item = &'a Grant> {
        let on_product = self.products.get(&product.id);
        let on_domain = self.domains.get(&product.domain);
        on_product.into_iter().chain(on_domain).flatten().copied()
    }

    /// The one of this id that speaks of the product.
    #[must_use]
    pub fn find(&self, product: &Product, id: u32) -> Option<&'a Grant> {
        self.on(product).find(|grant| grant.id == id)
    }
}

/// An owner is the principal whose name, whose attribute `email`, or one of whose groups is the text that a contract or
/// a `domain.yaml` names as `owner`. An empty text is nobody.
#[must_use]
pub fn is_owner(principal: &Principal, owner: &str) -> bool {
    let email = principal.attributes.get("email").is_some_and(|email| email == owner);
    !owner.is_empty() && (principal.name == owner || email || principal.is_in(owner))
}

/// Whether the principal owns the domain.
#[must_use]
pub fn owns_domain(catalog: &Catalog, principal: &Principal, domain: &DomainName) -> bool {
    catalog.domains.get(domain).is_some_and(|domain| is_owner(principal, &domain.owner))
}

/// Whether the principal owns the product, by the contract or as owner of its domain.
#[must_use]
pub fn owns_product(catalog: &Catalog, principal: &Principal, product: &Product) -> bool {
    is_owner(principal, &product.owner) || owns_domain(catalog, principal, &product.domain)
}

/// Whether the principal may grant rights on the domain, and revoke them.
#[must_use]
pub fn may_grant_on_domain(catalog: &Catalog, principal: &Principal, domain: &DomainName) -> bool {
    principal.has_role(Role::MeshAdmin) || owns_domain(catalog, principal, domain)
}

/// Whether the principal may grant reading the product, revoke it, and decide on requests for it.
#[must_use]
pub fn may_grant_on_product(catalog: &Catalog, principal: &Principal, product: &Product) -> bool {
    principal.has_role(Role::MeshAdmin) || owns_product(catalog, principal, product)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::access::decide::{Access, Cause, Decision, RowRule, Rulebook};
    use crate::access::testing::{catalog, condition, mask, policy, product, rule, user};
    use crate::catalog::model::{AccessPolicy, Effect, Policy, Test, User};
    use chrono::TimeDelta;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    /// A grant given at noon that does not end. `object` with a dot is a product.
    pub fn grant(id: u32, grantee: Grantee, object: &str) -> Grant {
        let object = if object.contains('.') {
            GrantObject::Product(ProductId(object.to_owned()))
        } else {
            GrantObject::Domain(DomainName(object.to_owned()))
        };
        Grant {
            id,
            grantee,
            object,
            granted_by: "olga".to_owned(),
            granted_at: noon(),
            expires_at: None,
            requested: false,
        }
    }

    pub fn to_user(name: &str) -> Grantee {
        Grantee::User(name.to_owned())
    }

    fn decision(who: &User, what: Product, policies: Vec<Policy>, grants: Vec<Grant>) -> Decision {
        let (id, catalog) = (what.id.clone(), catalog(vec![what], policies));
        let (grants, principal) = (Grants::at(grants, noon()), Principal::from(who));
        Rulebook::new(&catalog, &grants, &principal).decide(&catalog.products[&id])
    }

    fn access(who: &User, what: Product, policies: Vec<Policy>, grants: Vec<Grant>) -> Access {
        decision(who, what, policies, grants).access
    }

    fn orders(change: impl FnOnce(&mut Product)) -> Product {
        let mut changed = product("sales.orders");
        change(&mut changed);
        changed
    }

    #[test]
    fn a_grant_holds_for_its_grantee_alone_and_on_its_object_alone() {
        let bob = user("bob", &["analysts"]);
        for (grantee, object, expected) in [
            (to_user("bob"), "sales.orders", Access::Read(Box::default())),
            (to_user("analysts"), "sales.orders", Access::Hidden),
            (to_user("bobby"), "sales.orders", Access::Hidden),
            (to_user("bob"), "sales.others", Access::Hidden),
            (to_user("bob"), "sales", Access::DiscoverOnly),
            (to_user("bob"), "marketing", Access::Hidden),
            (Grantee::Group("analysts".to_owned()), "sales.orders", Access::Read(Box::default())),
            (Grantee::Group("bob".to_owned()), "sales.orders", Access::Hidden),
            (Grantee::Public, "sales.orders", Access::Read(Box::default())),
            (Grantee::Public, "sales", Access::DiscoverOnly),
        ] {
            let given = vec![grant(7, grantee.clone(), object)];
            assert_eq!(access(&bob, orders(|_| ()), Vec::new(), given), expected, "{grantee:?} {object}");
        }
        assert_eq!(access(&bob, orders(|_| ()), Vec::new(), Vec::new()), Access::Hidden);
    }

    #[test]
    fn a_grant_opens_a_restricted_product() {
        let restricted = || orders(|p| p.governance.access_policy = AccessPolicy::Restricted);
        let member = user("ann", &["sales"]);
        assert_eq!(access(&member, restricted(), Vec::new(), Vec::new()), Access::DiscoverOnly);
        let on_domain = vec![grant(7, to_user("ann"), "sales")];
        assert_eq!(access(&member, restricted(), Vec::new(), on_domain), Access::DiscoverOnly);
        let given = vec![grant(7, to_user("ann"), "sales.orders")];
        assert!(access(&member, restricted(), Vec::new(), given).is_readable());
    }

    #[test]
    fn any_deny_wins_over_a_grant() {
        let bob = user("bob", &[]);
        let deny = |discover| {
            let mut deny = rule(Effect::Deny, vec![vec![condition("resource.domain", Test::Includes, &["sales"])]]);
            deny.discover = discover;
            vec![policy("deny", vec![deny])]
        };
        let given = || vec![grant(7, to_user("bob"), "sales.orders")];
        assert_eq!(access(&bob, orders(|_| ()), deny(true), given()), Access::Hidden);
        assert_eq!(access(&bob, orders(|_| ()), deny(false), given()), Access::DiscoverOnly);
        let mut broken = policy("broken", Vec::new());
        broken.rules = None;
        assert_eq!(access(&bob, orders(|_| ()), vec![broken], given()), Access::Hidden);
    }

    #[test]
    fn row_filters_and_masks_of_the_contract_bind_who_reads_by_a_grant() {
        let governed = orders(|p| {
            p.governance.row_domain_column = Some("owning_domain".to_owned());
            p.governance.row_filter = Some("id > 0".to_owned());
            p.governance.masks = vec![mask("email", &[])];
        });
        let by_membership = access(&user("ann", &["sales"]), governed.clone(), Vec::new(), Vec::new());
        let given = vec![grant(7, to_user("bob"), "sales.orders")];
        let by_grant = access(&user("bob", &[]), governed, Vec::new(), given);
        assert_eq!(by_grant, by_membership);
        let Access::Read(scope) = by_grant else { panic!("{by_grant:?}") };
        assert_eq!(scope.row_rules.len(), 2);
        assert_eq!(scope.row_rules[1], RowRule::Filter { text: "id > 0".to_owned() });
        assert!(!scope.is_whole());
    }

    #[test]
    fn a_decision_names_the_grants_that_it_comes_from() {
        let given = vec![grant(7, to_user("bob"), "sales.orders"), grant(8, Grantee::Public, "sales")];
        let decision = decision(&user("bob", &[]), orders(|_| ()), Vec::new(), given);
        let labels: Vec<String> = decision.reasons.iter().map(|reason| reason.cause.label()).collect();
        assert_eq!(labels, ["grant:7", "grant:8"]);
        assert_eq!(decision.reasons[0].cause, Cause::Grant { id: 7 });
        assert_eq!(decision.reasons.iter().map(|reason| reason.read).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_grant_ends_at_its_instant() {
        let until = |id, seconds| {
            let mut ending = grant(id, Grantee::Public, "sales.orders");
            ending.expires_at = Some(noon() + TimeDelta::seconds(seconds));
            ending
        };
        let given = vec![until(1, 5), grant(2, Grantee::Public, "sales.orders"), until(3, 10)];
        let at = |seconds| Grants::at(given.clone(), noon() + TimeDelta::seconds(seconds));
        let ids = |grants: &Grants| grants.active().iter().map(|grant| grant.id).collect::<Vec<_>>();
        let change = |grants: &Grants| grants.next_change().map(|change| (change - noon()).num_seconds());
        for (seconds, expected, next) in [
            (0, &[2, 3, 1][..], Some(5)),
            (4, &[2, 3, 1], Some(5)),
            (5, &[2, 3], Some(10)),
            (9, &[2, 3], Some(10)),
            (10, &[2], None),
        ] {
            let grants = at(seconds);
            assert_eq!((ids(&grants).as_slice(), change(&grants)), (expected, next), "after {seconds} s");
        }
    }

    #[test]
    fn owners_by_name_by_email_and_by_group() {
        let mut by_email = user("olga", &[]);
        by_email.attributes.insert("email".to_owned(), "sales@company.com".to_owned());
        let mut by_other = user("otto", &[]);
        by_other.attributes.insert("mail".to_owned(), "sales@company.com".to_owned());
        let mut nameless = user("nina", &[]);
        nameless.attributes.insert("email".to_owned(), String::new());
        let mut admin = user("root", &[]);
        admin.roles = vec![Role::MeshAdmin];
        let mut auditor = user("audit", &[]);
        auditor.roles = vec![Role::Auditor];
        let with_owner = |owner: &str| orders(|p| p.owner = owner.to_owned());
        let may = |who: &User, owner: &str| {
            let mesh = catalog(vec![with_owner(owner)], Vec::new());
            let product = mesh.products.values().next().unwrap();
            let (who, domain) = (Principal::from(who), &product.domain);
            (may_grant_on_product(&mesh, &who, product), may_grant_on_domain(&mesh, &who, domain))
        };
        for (name, who, owner, expected) in [
            ("by email", &by_email, "sales@company.com", (true, true)),
            ("the domain's owner owns its products", &by_email, "somebody", (true, true)),
            ("by name, the product only", &user("bob", &[]), "bob", (true, false)),
            ("by group, the product only", &user("bob", &["stewards"]), "stewards", (true, false)),
            ("a member is no owner", &user("ann", &["sales"]), "somebody", (false, false)),
            ("another attribute", &by_other, "sales@company.com", (false, false)),
            ("nobody is nobody", &nameless, "", (false, false)),
            ("the administrator", &admin, "somebody", (true, true)),
            ("the auditor", &auditor, "somebody", (false, false)),
        ] {
            assert_eq!(may(who, owner), expected, "{name}");
        }
    }
}
