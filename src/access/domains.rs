//! What a principal may do with whole domains: the rows of `data_catalog.user_domain_access`, and the domains whose
//! rows `row_domain_column` admits.

use std::collections::HashSet;

use super::decide::Rulebook;
use crate::catalog::model::{Catalog, DomainName, Effect, Product};

/// One right on one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainAccess {
    pub domain: DomainName,
    pub privilege: Privilege,
    /// What gives the right, for example `group:sales` or `policy:analytics`.
    pub granted_via: String,
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
/// and the principal, unless such a rule denies it. `None` when it may not; else what gives the right.
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
/// with the first product in it that is.
pub(super) fn domain_access_where(
    catalog: &Catalog,
    rulebook: &Rulebook<'_>,
    is_discoverable: impl Fn(usize, &Product) -> bool,
) -> Vec<DomainAccess> {
    let mut known: HashSet<&DomainName> = HashSet::new();
    let mut discover: Vec<DomainAccess> = Vec::new();
    for (position, product) in catalog.products.values().enumerate() {
        if !known.contains(&product.domain) && is_discoverable(position, product) {
            known.insert(&product.domain);
            let reasons = rulebook.decide(product).reasons;
            let via = reasons.iter().find(|reason| reason.effect == Effect::Permit && reason.discover);
            discover.push(DomainAccess {
                domain: product.domain.clone(),
                privilege: Privilege::Discover,
                granted_via: via.map(|reason| reason.cause.label()).unwrap_or_default(),
            });
        }
    }
    let read = catalog.domains.keys().filter_map(|domain| {
        let granted_via = readable_via(rulebook, domain)?;
        Some(DomainAccess { domain: domain.clone(), privilege: Privilege::Read, granted_via })
    });
    let mut rows: Vec<DomainAccess> = read.chain(discover).collect();
    rows.sort_by(|a, b| a.domain.cmp(&b.domain).then(b.privilege.cmp(&a.privilege)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let visible = Visible::new(&catalog, 1, Arc::new(Principal::from(who)));
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
            let alone = domain_access(&catalog, &Rulebook::new(&catalog, &principal));
            assert!(!alone.is_empty());
            assert_eq!(alone, Visible::new(&catalog, 1, principal).domain_access(), "{groups:?}");
        }
    }

    /// Products of a domain that is known already are not decided about.
    #[test]
    fn the_first_discoverable_product_settles_its_domain() {
        let catalog = catalog(["sales.a", "sales.b", "sales.c"].map(product).to_vec(), Vec::new());
        let principal = Principal::from(&user("ann", &["sales"]));
        let asked = std::cell::RefCell::new(Vec::new());
        let rows = domain_access_where(&catalog, &Rulebook::new(&catalog, &principal), |position, _| {
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
