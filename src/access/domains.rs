//! What a principal may do with whole domains: the rows of `data_catalog.user_domain_access`, and the domains whose
//! rows `row_domain_column` admits.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::decide::{Cause, Rulebook};
use crate::catalog::model::{Catalog, DomainName, Effect, Product};

/// One right on one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainAccess {
    pub domain: DomainName,
    pub privilege: Privilege,
    /// What gives the right, for example `group:sales`, `policy:analytics` or `grant:7`.
    pub granted_via: String,
    /// When it was granted and when it ends. Membership and policies hold as long as the catalog says so: they were not
    /// granted at a moment, and do not end.
    pub granted_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

impl DomainAccess {
    /// Whether it is a grant that gives the right.
    fn is_granted(&self) -> bool {
        self.granted_at.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    Discover,
    Read,
}

impl Privilege {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Read => "read",
        }
    }
}

/// The domain as a whole may be read: by membership, or by a rule that permits reading and asks only about the domain
/// and the principal, unless such a rule denies it. No grant makes it so: a grant speaks of single products, and the rows
/// that other domains show to a domain's readers are not the owner's to give away. `None` when it may not; else what gives the right.
#[must_use]
pub fn readable_via(rulebook: &Rulebook<'_>, domain: &DomainName) -> Option<String> {
    let mut via = rulebook.membership(domain).map(|group| format!("group:{group}"));
    for rule in rulebook.rules() {
        match rule.on_domain(domain) {
            Some(Effect::Deny) => return None,
            Some(Effect::Permit) => via = via.or_else(|| Some(rule.cause().label())),
            None => {}
        }
    }
    via
}

/// What a principal may do with whole domains, for principals of whom nothing else is asked: in the order of domains,
/// `read` before `discover`. Keeps no decision, and makes none about products of a domain that is discoverable already.
#[must_use]
pub fn domain_access(catalog: &Catalog, rulebook: &Rulebook<'_>) -> Vec<DomainAccess> {
    domain_access_where(catalog, rulebook, |_, product| rulebook.decide(product).access.is_discoverable())
}

/// The same; `is_discoverable` answers for a product and its position in `catalog.products`. A domain is discoverable
/// with the first product in it that is; where only grants make it so, the row tells the one that lasts longest.
pub(super) fn domain_access_where(
    catalog: &Catalog,
    rulebook: &Rulebook<'_>,
    is_discoverable: impl Fn(usize, &Product) -> bool,
) -> Vec<DomainAccess> {
    let mut discover: HashMap<&DomainName, DomainAccess> = HashMap::new();
    for (position, product) in catalog.products.values().enumerate() {
        // what lasts as long as the catalog says so is shown rather than a grant
        let settled = discover.get(&product.domain).is_some_and(|known| !known.is_granted());
        if settled || !is_discoverable(position, product) {
            continue;
        }
        let reasons = rulebook.decide(product).reasons;
        let via = reasons.iter().find(|reason| reason.effect == Effect::Permit && reason.discover);
        let grant = via.and_then(|reason| match reason.cause {
            Cause::Grant { id } => rulebook.grants.find(product, id),
            _ => None,
        });
        let found = DomainAccess {
            domain: product.domain.clone(),
            privilege: Privilege::Discover,
            granted_via: via.map(|reason| reason.cause.label()).unwrap_or_default(),
            granted_at: grant.map(|grant| grant.granted_at),
            expires_at: grant.and_then(|grant| grant.expires_at),
        };
        let lasts_longer =
            |known: &DomainAccess| known.expires_at.is_some_and(|end| found.expires_at.is_none_or(|other| other > end));
        if discover.get(&product.domain).is_none_or(|known| !found.is_granted() || lasts_longer(known)) {
            discover.insert(&product.domain, found);
        }
    }
    let read = catalog.domains.keys().filter_map(|domain| {
        let granted_via = readable_via(rulebook, domain)?;
        let domain = domain.clone();
        Some(DomainAccess { domain, privilege: Privilege::Read, granted_via, granted_at: None, expires_at: None })
    });
    let mut rows: Vec<DomainAccess> = read.chain(discover.into_values()).collect();
    rows.sort_by(|a, b| a.domain.cmp(&b.domain).then(b.privilege.cmp(&a.privilege)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::grants::tests::{grant, to_user};
    use crate::access::grants::{Grant, Grantee, Grants};
    use crate::access::principal::Principal;
    use crate::access::testing::{catalog, condition, policy, product, rule, user};
    use crate::access::visible::Visible;
    use crate::catalog::model::{Condition, Discoverable, Policy, PolicyScope, Test, User};
    use Effect::{Deny, Permit};
    use std::sync::Arc;

    fn rows(who: &User, policies: Vec<Policy>) -> Vec<String> {
        let mut leads = product("marketing.leads");
        leads.governance.discoverable = Discoverable::Mesh;
        let catalog = catalog(vec![product("sales.orders"), leads], policies);
        let visible = Visible::new(&catalog, &Grants::default(), 1, Arc::new(Principal::from(who)));
        let row = |row: &DomainAccess| format!("{} {} {}", row.domain, row.privilege.as_str(), row.granted_via);
        visible.domain_access().iter().map(row).collect()
    }

    fn on_sales(effect: Effect, more: Vec<Condition>) -> Policy {
        let sales = condition("resource.domain", Test::Includes, &["sales"]);
        policy("p", vec![rule(effect, vec![[vec![sales], more].concat()])])
    }

    /// The two ways to the same rows: beside all decisions, and without keeping any.
    #[test]
    fn a_user_of_whom_only_domains_are_asked_gets_the_same_rows() {
        let mut leads = product("marketing.leads");
        leads.governance.discoverable = Discoverable::Mesh;
        let products = vec![product("sales.a"), product("sales.b"), leads, product("marketing.none")];
        let narrow = on_sales(Permit, vec![condition("resource.product", Test::Includes, &["b"])]);
        let catalog = catalog(products, vec![narrow]);
        for groups in [&[][..], &["sales"], &["marketing", "cs"], &["nobody"]] {
            let principal = Arc::new(Principal::from(&user("ann", groups)));
            let alone = domain_access(&catalog, &Rulebook::new(&catalog, &Grants::default(), &principal));
            assert!(!alone.is_empty());
            assert_eq!(alone, Visible::new(&catalog, &Grants::default(), 1, principal).domain_access(), "{groups:?}");
        }
    }

    /// Products of a domain that is known already are not decided about.
    #[test]
    fn the_first_discoverable_product_settles_its_domain() {
        let catalog = catalog(["sales.a", "sales.b", "sales.c"].map(product).to_vec(), Vec::new());
        let principal = Principal::from(&user("ann", &["sales"]));
        let asked = std::cell::RefCell::new(Vec::new());
        let rows =
            domain_access_where(&catalog, &Rulebook::new(&catalog, &Grants::default(), &principal), |position, _| {
                asked.borrow_mut().push(position);
                position == 1
            });
        assert_eq!(rows.len(), 2);
        assert_eq!(*asked.borrow(), [0, 1]);
    }

    const LEADS: &str = "marketing discover discoverable:mesh";

    #[test]
    fn members_read_their_domain() {
        let own = ["sales read group:sales", "sales discover group:sales"];
        assert_eq!(rows(&user("ann", &["sales"]), vec![]), [LEADS, own[0], own[1]]);
        assert_eq!(rows(&user("bob", &[]), vec![]), [LEADS]);
        let empty_domain = rows(&user("cat", &["cs"]), vec![]);
        assert_eq!(empty_domain, ["customer-success read group:cs", LEADS]);
    }

    #[test]
    fn a_permit_on_the_domain_as_a_whole_reads_it() {
        let bob = user("bob", &["eu"]);
        let group = |group| condition("principal.group", Test::Includes, &[group]);
        let read = ["sales read policy:p", "sales discover policy:p"];
        assert_eq!(rows(&bob, vec![on_sales(Permit, vec![group("eu")])]), [LEADS, read[0], read[1]]);
        assert_eq!(rows(&bob, vec![on_sales(Permit, vec![group("us")])]), [LEADS]);
        for attribute in ["resource.product", "resource.classification", "resource.tag"] {
            let narrow = on_sales(Permit, vec![condition(attribute, Test::Excludes, &["x"])]);
            assert_eq!(rows(&bob, vec![narrow]), [LEADS, read[1]], "{attribute}");
        }
        let mut filtered = on_sales(Permit, vec![]);
        filtered.rules.as_mut().unwrap()[0].row_filter = Some("id = 1".to_owned());
        assert_eq!(rows(&bob, vec![filtered]), [LEADS, read[1]]);
        let mut discover = on_sales(Permit, vec![]);
        discover.rules.as_mut().unwrap()[0].read = false;
        assert_eq!(rows(&bob, vec![discover]), [LEADS, read[1]]);
        let mut foreign = on_sales(Permit, vec![]);
        foreign.scope = PolicyScope::Domain(DomainName("marketing".to_owned()));
        assert_eq!(rows(&bob, vec![foreign]), [LEADS]);
    }

    #[test]
    fn a_grant_makes_a_domain_discoverable_and_never_readable_as_a_whole() {
        let mut open = product("marketing.open");
        open.governance.discoverable = Discoverable::Mesh;
        let products = vec![product("sales.a"), product("sales.b"), product("marketing.leads"), open];
        let catalog = catalog(products, Vec::new());
        let ending = |id, object, days| {
            let mut ending = grant(id, to_user("bob"), object);
            ending.expires_at = Some(ending.granted_at + chrono::TimeDelta::days(days));
            ending
        };
        let lasting = |id, object| grant(id, Grantee::Public, object);
        let rows = |given: Vec<Grant>| -> Vec<String> {
            let (start, principal) = (lasting(0, "sales").granted_at, Principal::from(&user("bob", &[])));
            let grants = Grants::at(given, start);
            let rows = domain_access(&catalog, &Rulebook::new(&catalog, &grants, &principal));
            let days = |row: &DomainAccess| row.expires_at.map(|end| (end - start).num_days());
            let row = |row: &DomainAccess| {
                let privilege = row.privilege.as_str();
                format!("{} {privilege} {} {} {:?}", row.domain, row.granted_via, row.is_granted(), days(row))
            };
            rows.iter().map(row).collect()
        };
        let leads = "marketing discover discoverable:mesh false None".to_owned();
        assert_eq!(rows(vec![ending(1, "marketing.leads", 1)]), ["marketing discover discoverable:mesh false None"]);
        for (given, shown) in [
            (vec![ending(1, "sales.a", 1)], "sales discover grant:1 true Some(1)"),
            (vec![ending(1, "sales", 1)], "sales discover grant:1 true Some(1)"),
            (vec![ending(1, "sales.a", 1), ending(2, "sales.b", 2)], "sales discover grant:2 true Some(2)"),
            (vec![ending(1, "sales.a", 2), ending(2, "sales.b", 1)], "sales discover grant:1 true Some(2)"),
            (vec![ending(1, "sales.a", 1), lasting(2, "sales.a")], "sales discover grant:2 true None"),
            (vec![lasting(1, "sales.a"), lasting(2, "sales.b")], "sales discover grant:1 true None"),
        ] {
            assert_eq!(rows(given.clone()), [leads.clone(), shown.to_owned()], "{given:?}");
        }
        let bob = Arc::new(Principal::from(&user("bob", &[])));
        let all = Grants::at(vec![lasting(1, "sales.a"), lasting(2, "sales.b"), lasting(3, "sales")], Utc::now());
        let visible = Visible::new(&catalog, &all, 1, bob);
        assert!(visible.readable_domains().is_empty(), "though every product of sales may be read");
        assert_eq!(visible.domains().len(), 2);
    }

    #[test]
    fn a_deny_on_the_domain_as_a_whole_takes_it_away() {
        let ann = user("ann", &["sales"]);
        assert_eq!(rows(&ann, vec![on_sales(Deny, vec![])]), [LEADS]);
        let mut read_only = on_sales(Deny, vec![]);
        read_only.rules.as_mut().unwrap()[0].discover = false;
        assert_eq!(rows(&ann, vec![read_only]), [LEADS, "sales discover group:sales"]);
        let narrow = on_sales(Deny, vec![condition("resource.tag", Test::Includes, &["x"])]);
        assert_eq!(rows(&ann, vec![narrow]).len(), 3);
        let mut broken = policy("broken", vec![]);
        broken.rules = None;
        assert_eq!(rows(&ann, vec![broken]), [""; 0]);
    }
}
