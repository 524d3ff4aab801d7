//! What a principal may do with whole domains: the rows of `data_catalog.user_domain_access`, and the domains whose
//! rows `row_domain_column` admits.

use super::decide::{Access, Rulebook};
use crate::catalog::model::{Catalog, DomainName, Effect};

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

/// Rows in the order of domains, `read` before `discover`. `accesses` are the decisions about `catalog.products`, in
/// that order; a domain is discoverable with the first product in it that is.
pub(super) fn domain_access(catalog: &Catalog, rulebook: &Rulebook<'_>, accesses: &[Access]) -> Vec<DomainAccess> {
    let mut discover: Vec<DomainAccess> = Vec::new();
    for (product, access) in catalog.products.values().zip(accesses) {
        // Products are ordered by id, and so by domain in all but odd names: the search is short.
        let known = discover.iter().rev().any(|row| row.domain == product.domain);
        if access.is_discoverable() && !known {
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
