//! From policies, contract and principal to a decision about one product. Pure: same arguments, same answer.
//!
//! Default deny. Permits, grants among them, OR together, any Deny wins for the actions that it names, and a policy that could not be
//! understood denies everything in its scope (design, section 5).

use super::fingerprint::{Fingerprint, Fingerprinter};
use super::grants::{GrantObject, Grants, GrantsTo};
use super::principal::Principal;
use super::{break_glass, glob};
use crate::catalog::model::{
    AccessPolicy, Attribute, Catalog, Condition, DecisionRule, Discoverable, DomainName, Effect, Mask, MaskMethod,
    Mode, PolicyScope, Product, Role, Test,
};

/// Decides about one product. For many products and one principal, keep a [`Rulebook`].
#[must_use]
pub fn decide(catalog: &Catalog, grants: &Grants, principal: &Principal, product: &Product) -> Decision {
    Rulebook::new(catalog, grants, principal).decide(product)
}

/// What a principal may do with a product, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub access: Access,
    /// Everything that spoke for or against, in the order of evaluation: contract and membership, policies, grants.
    pub reasons: Vec<Reason>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// The product does not exist for this principal.
    Hidden,
    /// The catalog row is visible; reading answers 42501.
    DiscoverOnly,
    Read(Box<ReadScope>),
}

impl Access {
    #[must_use]
    pub fn is_discoverable(&self) -> bool {
        !matches!(self, Self::Hidden)
    }

    #[must_use]
    pub fn is_readable(&self) -> bool {
        matches!(self, Self::Read(_))
    }

    /// Names what is enforced: equal fingerprints, equal rows and columns for the same principal and catalog.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut parts = Fingerprinter::new("access");
        match self {
            Self::Hidden => parts.text("hidden"),
            Self::DiscoverOnly => parts.text("discover"),
            Self::Read(scope) => {
                parts.text("read");
                add_rules(&mut parts, &scope.row_rules);
                parts.count(scope.masks.len());
                scope.masks.iter().for_each(|mask| add_mask(&mut parts, mask));
            }
        }
        parts.finish()
    }
}

fn add_rules(parts: &mut Fingerprinter, rules: &[RowRule]) {
    parts.count(rules.len());
    for rule in rules {
        match rule {
            RowRule::DomainColumn { column } => {
                parts.text("domain");
                parts.text(column);
            }
            RowRule::Filter { text } => {
                parts.text("filter");
                parts.text(text);
            }
            RowRule::AnyOf(rules) => {
                parts.text("any");
                add_rules(parts, rules);
            }
        }
    }
}

fn add_mask(parts: &mut Fingerprinter, mask: &ColumnMask) {
    parts.text(&mask.column);
    parts.text(mask.method.as_str());
    match &mask.method {
        MaskMethod::Hash | MaskMethod::Null | MaskMethod::Redact => {}
        MaskMethod::Partial { first, last } => {
            parts.count(usize::from(*first));
            parts.count(usize::from(*last));
        }
        MaskMethod::Expression(text) => parts.text(text),
    }
}

/// The part of a product's table that a principal may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReadScope {
    /// All of them must admit a row.
    pub row_rules: Vec<RowRule>,
    /// The masks that bind the principal, sorted, one for each column.
    pub masks: Vec<ColumnMask>,
}

/// What a principal sees of a column instead of its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnMask {
    /// As the contract or the policy names it.
    pub column: String,
    pub method: MaskMethod,
    /// The contract speaks of the column, so a table without it has renamed it, and is not read. A policy about many
    /// products may name columns that only some of them have.
    pub must_exist: bool,
}

impl ReadScope {
    /// Every row and every column.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.row_rules.is_empty() && self.masks.is_empty()
    }
}

/// What a row must satisfy to be seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowRule {
    /// The column's value is a domain that the principal may read; NULL is hidden.
    DomainColumn { column: String },
    /// A boolean SQL expression over the row and the principal.
    Filter { text: String },
    /// One of these holds: permits with different row filters.
    AnyOf(Vec<RowRule>),
}

/// One voice in a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    pub effect: Effect,
    pub discover: bool,
    pub read: bool,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// The principal is in this group, which belongs to the owning domain.
    Membership { group: String },
    /// The contract says `discoverable: mesh`.
    DiscoverableInMesh,
    /// The contract says `access_policy: mesh-internal`.
    MeshInternal,
    /// mesh_admin manages every product, and reads none for it.
    Administrator,
    /// A rule of a policy, counted from 0.
    Rule { policy: String, rule: usize },
    /// A restrictive rule of a policy, which opens nothing and holds back rows or values.
    Restriction { policy: String, rule: usize },
    /// The policy could not be understood, so everything in its scope is denied.
    UnreadablePolicy { policy: String },
    /// Break-glass is on.
    BreakGlass,
    /// An owner or mesh_admin granted it.
    Grant { id: u32 },
    /// Two masks of different methods bind the principal in this column, so nothing is read.
    MaskConflict { column: String },
}

impl Cause {
    /// As `user_domain_access.granted_via` shows it, for example `group:sales`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Membership { group } => format!("group:{group}"),
            Self::DiscoverableInMesh => "discoverable:mesh".to_owned(),
            Self::MeshInternal => "access_policy:mesh-internal".to_owned(),
            Self::Administrator => format!("role:{}", Role::MeshAdmin.as_str()),
            Self::BreakGlass => format!("role:{}", Role::BreakGlass.as_str()),
            Self::Rule { policy, .. } | Self::Restriction { policy, .. } | Self::UnreadablePolicy { policy } => {
                format!("policy:{policy}")
            }
            Self::MaskConflict { column } => format!("mask-conflict:{column}"),
            Self::Grant { id } => format!("grant:{id}"),
        }
    }
}

/// A catalog's policies with everything that they ask of one principal already answered, so that deciding about ten
/// thousand products asks each only about the products.
pub struct Rulebook<'a> {
    catalog: &'a Catalog,
    principal: &'a Principal,
    pub(super) grants: GrantsTo<'a>,
    rules: Vec<Applicable<'a>>,
}

/// A rule that may hold for the principal.
pub(super) struct Applicable<'a> {
    policy: &'a str,
    scope: &'a PolicyScope,
    index: usize,
    /// `None`: an unreadable policy.
    rule: Option<&'a DecisionRule>,
    /// The ANDs whose conditions on the principal hold, with their conditions on the resource.
    conjunctions: Vec<Vec<&'a Condition>>,
}

impl<'a> Rulebook<'a> {
    #[must_use]
    pub fn new(catalog: &'a Catalog, grants: &'a Grants, principal: &'a Principal) -> Self {
        let mut rules = Vec::new();
        for policy in &catalog.policies {
            let applicable = |index, rule, conjunctions| Applicable {
                policy: &policy.name,
                scope: &policy.scope,
                index,
                rule,
                conjunctions,
            };
            let Some(decision_rules) = &policy.rules else {
                rules.push(applicable(0, None, vec![Vec::new()]));
                continue;
            };
            for (index, rule) in decision_rules.iter().enumerate() {
                let conjunctions: Vec<_> =
                    rule.dnf.iter().filter_map(|conditions| for_resource(conditions, principal)).collect();
                if !conjunctions.is_empty() {
                    rules.push(applicable(index, Some(rule), conjunctions));
                }
            }
        }
        Self { catalog, principal, grants: grants.to(principal), rules }
    }

    #[must_use]
    pub fn principal(&self) -> &'a Principal {
        self.principal
    }

    pub(super) fn rules(&self) -> &[Applicable<'a>] {
        &self.rules
    }

    /// The group that makes the principal a member of the domain.
    pub(super) fn membership(&self, domain: &DomainName) -> Option<&'a str> {
        let groups = &self.catalog.domains.get(domain)?.member_groups;
        groups.iter().find(|group| self.principal.is_in(group)).map(String::as_str)
    }

    #[must_use]
    pub fn decide(&self, product: &Product) -> Decision {
        if self.principal.has_role(Role::BreakGlass) {
            return break_glass::decision(product);
        }
        let mut tally = Tally::default();
        self.hear_contract(product, &mut tally);
        self.rules.iter().for_each(|rule| rule.speak(product, &mut tally));
        for grant in self.grants.on(product) {
            let read = matches!(grant.object, GrantObject::Product(_));
            tally.permit(true, read, None, &[], || Cause::Grant { id: grant.id });
        }
        let access = tally.access(product, self.principal);
        Decision { access, reasons: tally.reasons }
    }

    /// What follows from the contract and from membership alone.
    fn hear_contract<'p>(&self, product: &'p Product, tally: &mut Tally<'p>)
    where
        'a: 'p,
    {
        let governance = &product.governance;
        if let Some(group) = self.membership(&product.domain) {
            let read = governance.access_policy != AccessPolicy::Restricted;
            tally.permit(true, read, None, &[], || Cause::Membership { group: group.to_owned() });
        }
        if governance.discoverable == Discoverable::Mesh {
            tally.permit(true, false, None, &[], || Cause::DiscoverableInMesh);
        }
        if governance.access_policy == AccessPolicy::MeshInternal {
            tally.permit(true, true, None, &[], || Cause::MeshInternal);
        }
        if self.principal.has_role(Role::MeshAdmin) {
            tally.permit(true, false, None, &[], || Cause::Administrator);
        }
    }
}

impl<'a> Applicable<'a> {
    fn speak<'p>(&self, product: &'p Product, tally: &mut Tally<'p>)
    where
        'a: 'p,
    {
        if !self.covers(&product.domain) {
            return;
        }
        let cause = || self.cause();
        let Some(rule) = self.rule else {
            tally.deny(true, true, cause);
            return;
        };
        let mut holding = self.conjunctions.iter().filter(|conditions| all_hold(conditions, product)).peekable();
        if holding.peek().is_none() {
            return;
        }
        match rule.effect {
            // A row filter or a mask on a Deny is not understood as "deny these rows only": the whole product is denied.
            Effect::Deny => tally.deny(rule.discover, rule.read, cause),
            Effect::Permit if rule.mode == Mode::Restrictive => {
                tally.restrict(rule.row_filter.as_deref(), &rule.masks, || Cause::Restriction {
                    policy: self.policy.to_owned(),
                    rule: self.index,
                });
            }
            Effect::Permit => {
                let may_open = product.governance.access_policy != AccessPolicy::Restricted
                    || holding.any(|conditions| names_product(conditions, product));
                let read = rule.read && may_open;
                tally.permit(rule.discover, read, rule.row_filter.as_deref(), &rule.masks, cause);
            }
        }
    }

    pub(super) fn cause(&self) -> Cause {
        let policy = self.policy.to_owned();
        match self.rule {
            Some(_) => Cause::Rule { policy, rule: self.index },
            None => Cause::UnreadablePolicy { policy },
        }
    }

    /// Whether the policy speaks about the domain at all.
    pub(super) fn covers(&self, domain: &DomainName) -> bool {
        match self.scope {
            PolicyScope::Mesh => true,
            PolicyScope::Domain(own) => own == domain,
        }
    }

    /// What the rule says about a domain as a whole: the effect of an AND that speaks of `resource.domain` and the
    /// principal only. A permit with a row filter opens no domain as a whole.
    pub(super) fn on_domain(&self, domain: &DomainName) -> Option<Effect> {
        if !self.covers(domain) {
            return None;
        }
        let Some(rule) = self.rule else { return Some(Effect::Deny) };
        let holds = self.conjunctions.iter().any(|conditions| {
            conditions.iter().all(|condition| {
                condition.attribute == Attribute::ResourceDomain && test(condition, &[domain.as_str()])
            })
        });
        match rule.effect {
            // Denying discover denies read with it.
            Effect::Deny if holds && (rule.read || rule.discover) => Some(Effect::Deny),
            Effect::Permit if rule.mode == Mode::Restrictive => None,
            Effect::Permit if holds && rule.read && rule.row_filter.is_none() => Some(Effect::Permit),
            _ => None,
        }
    }
}

/// The votes about one product.
#[derive(Default)]
struct Tally<'p> {
    discover: bool,
    discover_denied: bool,
    read_denied: bool,
    reads: Vec<PermittedRead<'p>>,
    /// What restrictive rules hold back from whoever reads.
    restrictions: Vec<PermittedRead<'p>>,
    reasons: Vec<Reason>,
}

/// What one permit to read, or one restriction, holds back.
struct PermittedRead<'p> {
    row_filter: Option<&'p str>,
    masks: &'p [Mask],
}

impl<'p> Tally<'p> {
    fn permit(
        &mut self,
        discover: bool,
        read: bool,
        row_filter: Option<&'p str>,
        masks: &'p [Mask],
        cause: impl FnOnce() -> Cause,
    ) {
        if !discover && !read {
            return;
        }
        self.discover |= discover;
        if read {
            self.reads.push(PermittedRead { row_filter, masks });
        }
        self.reasons.push(Reason { effect: Effect::Permit, discover: discover || read, read, cause: cause() });
    }

    fn deny(&mut self, discover: bool, read: bool, cause: impl FnOnce() -> Cause) {
        if !discover && !read {
            return;
        }
        self.discover_denied |= discover;
        self.read_denied |= discover || read;
        self.reasons.push(Reason { effect: Effect::Deny, discover, read: discover || read, cause: cause() });
    }

    fn restrict(&mut self, row_filter: Option<&'p str>, masks: &'p [Mask], cause: impl FnOnce() -> Cause) {
        self.restrictions.push(PermittedRead { row_filter, masks });
        self.reasons.push(Reason { effect: Effect::Permit, discover: false, read: false, cause: cause() });
    }

    fn access(&mut self, product: &Product, principal: &Principal) -> Access {
        if self.discover_denied {
            return Access::Hidden;
        }
        if self.read_denied || self.reads.is_empty() {
            return if self.discover { Access::DiscoverOnly } else { Access::Hidden };
        }
        let masks = self.masks(product, principal);
        let conflict = masks.windows(2).find(|pair| pair[0].column.eq_ignore_ascii_case(&pair[1].column));
        if let Some([mask, _]) = conflict {
            let column = mask.column.clone();
            self.deny(false, true, || Cause::MaskConflict { column });
            return Access::DiscoverOnly;
        }
        Access::Read(Box::new(ReadScope { row_rules: self.row_rules(product), masks }))
    }

    /// The contract's own rules bind everyone, restrictions whom they are about; those of permits are alternatives.
    fn row_rules(&self, product: &Product) -> Vec<RowRule> {
        let governance = &product.governance;
        let mut rules = Vec::new();
        if let Some(column) = &governance.row_domain_column {
            rules.push(RowRule::DomainColumn { column: column.clone() });
        }
        if let Some(text) = &governance.row_filter {
            rules.push(RowRule::Filter { text: text.clone() });
        }
        for text in self.restrictions.iter().filter_map(|restriction| restriction.row_filter) {
            let rule = RowRule::Filter { text: text.to_owned() };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        let mut alternatives: Vec<RowRule> = Vec::new();
        for read in &self.reads {
            // A permit without a filter admits every row, whatever the others ask.
            let Some(text) = read.row_filter else { return rules };
            let rule = RowRule::Filter { text: text.to_owned() };
            if !alternatives.contains(&rule) {
                alternatives.push(rule);
            }
        }
        if alternatives.len() > 1 {
            rules.push(RowRule::AnyOf(alternatives));
        } else {
            rules.append(&mut alternatives);
        }
        rules
    }

    /// Masks of the contract and of restrictions bind everyone they are about. A permit's mask binds unless another
    /// permit shows that column of every row: then the principal may see the value anyway.
    fn masks(&self, product: &Product, principal: &Principal) -> Vec<ColumnMask> {
        let binds = |mask: &&Mask| !mask.unless_groups.iter().any(|group| principal.is_in(group));
        let masks_column = |read: &PermittedRead<'_>, column: &str| {
            read.masks.iter().filter(binds).any(|mask| mask.column.eq_ignore_ascii_case(column))
        };
        let shown_by_another =
            |column: &str| self.reads.iter().any(|read| read.row_filter.is_none() && !masks_column(read, column));
        let by_contract = product.governance.masks.iter().filter(binds);
        let by_restrictions = self.restrictions.iter().flat_map(|restriction| restriction.masks.iter().filter(binds));
        let by_permits = self.reads.iter().flat_map(|read| read.masks.iter().filter(binds));
        let bound = |mask: &Mask, must_exist| ColumnMask {
            column: mask.column.clone(),
            method: mask.using.clone(),
            must_exist,
        };
        let by_policies = by_restrictions.chain(by_permits.filter(|mask| !shown_by_another(&mask.column)));
        let mut masks: Vec<ColumnMask> = by_contract
            .map(|mask| bound(mask, true))
            .chain(by_policies.map(|mask| bound(mask, product.declares(&mask.column))))
            .collect();
        // Names that differ in case only are one column.
        masks.sort_by_cached_key(|mask| (mask.column.to_ascii_lowercase(), mask.method.clone(), !mask.must_exist));
        masks.dedup_by(|b, a| a.column.eq_ignore_ascii_case(&b.column) && a.method == b.method);
        masks
    }
}

/// The conditions on the resource, if those on the principal hold.
fn for_resource<'a>(conditions: &'a [Condition], principal: &Principal) -> Option<Vec<&'a Condition>> {
    let mut rest = Vec::new();
    for condition in conditions {
        let holds = match &condition.attribute {
            Attribute::PrincipalName => test(condition, &[&principal.name]),
            Attribute::PrincipalGroup => test(condition, &principal.groups),
            Attribute::PrincipalAttribute(name) => test(condition, principal.attributes.get(name).as_slice()),
            Attribute::ResourceDomain
            | Attribute::ResourceProduct
            | Attribute::ResourceClassification
            | Attribute::ResourceTag => {
                rest.push(condition);
                true
            }
        };
        if !holds {
            return None;
        }
    }
    Some(rest)
}

/// Whether the conditions on the resource hold; those on the principal are taken to.
pub(super) fn all_hold(conditions: &[&Condition], product: &Product) -> bool {
    conditions.iter().all(|condition| match &condition.attribute {
        Attribute::ResourceDomain => test(condition, &[product.domain.as_str()]),
        Attribute::ResourceProduct => test(condition, &[product.name.as_str(), product.id.0.as_str()]),
        Attribute::ResourceClassification => test(condition, &product.classifications().collect::<Vec<_>>()),
        Attribute::ResourceTag => test(condition, &product.tags),
        // Answered before, by `for_resource`.
        Attribute::PrincipalName | Attribute::PrincipalGroup | Attribute::PrincipalAttribute(_) => true,
    })
}

/// An attribute has any number of values; without one, `Excludes` holds and the others do not.
fn test(condition: &Condition, values: &[impl AsRef<str>]) -> bool {
    let found =
        values.iter().any(|value| condition.values.iter().any(|pattern| glob::matches(pattern, value.as_ref())));
    match condition.test {
        Test::Includes | Test::IncludedIn => found,
        Test::Excludes => !found,
    }
}

/// Whether the AND speaks of this product by name. `*`, and `sales.*` for the whole of a domain, name no product.
fn names_product(conditions: &[&Condition], product: &Product) -> bool {
    conditions.iter().any(|condition| {
        condition.attribute == Attribute::ResourceProduct
            && condition.test != Test::Excludes
            && condition.values.iter().any(|pattern| {
                let name = pattern.rsplit('.').next().unwrap_or_default();
                name.contains(|c| c != '*')
                    && (glob::matches(pattern, &product.name) || glob::matches(pattern, &product.id.0))
            })
    })
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
