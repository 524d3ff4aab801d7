//! What could bind someone in reading a product, whoever asks: for validation, which must find what is wrong with a rule
//! before the first principal meets it.

use super::decide::{ColumnMask, RowRule, all_hold};
use crate::catalog::model::{Catalog, DecisionRule, Effect, Mask, Policy, PolicyScope, Product, SourcePlace};

/// Rows and values that one contract or one rule holds back.
#[derive(Clone, Debug, PartialEq)]
pub struct Restraint<'a> {
    /// `None`: the contract itself.
    pub policy: Option<&'a str>,
    /// Where it is written, if that is known.
    pub place: &'a SourcePlace,
    pub row_rules: Vec<RowRule>,
    pub masks: Vec<ColumnMask>,
}

/// The restraints of a product's contract and of every rule whose conditions on the resource hold for it.
#[must_use]
pub fn restraints<'a>(catalog: &'a Catalog, product: &'a Product) -> Vec<Restraint<'a>> {
    let rules = catalog.policies.iter().filter(|policy| covers(policy, product)).flat_map(|policy| {
        let rules = policy.rules.iter().flatten().filter(|rule| is_about(rule, product));
        rules.map(|rule| of_rule(policy, rule, product))
    });
    let all = std::iter::once(of_contract(product)).chain(rules);
    all.filter(|restraint| !restraint.row_rules.is_empty() || !restraint.masks.is_empty()).collect()
}

fn covers(policy: &Policy, product: &Product) -> bool {
    match &policy.scope {
        PolicyScope::Mesh => true,
        PolicyScope::Domain(domain) => *domain == product.domain,
    }
}

/// Whether the rule's conditions could hold for some principal.
fn is_about(rule: &DecisionRule, product: &Product) -> bool {
    let holds = |conditions: &Vec<_>| all_hold(&conditions.iter().collect::<Vec<_>>(), product);
    rule.effect == Effect::Permit && rule.dnf.iter().any(holds)
}

fn of_contract(product: &Product) -> Restraint<'_> {
    let governance = &product.governance;
    let domain = governance.row_domain_column.iter().map(|column| RowRule::DomainColumn { column: column.clone() });
    let filter = governance.row_filter.iter().map(|text| RowRule::Filter { text: text.clone() });
    Restraint {
        policy: None,
        place: &governance.place,
        row_rules: domain.chain(filter).collect(),
        masks: governance.masks.iter().map(|mask| column_mask(mask, true)).collect(),
    }
}

fn of_rule<'a>(policy: &'a Policy, rule: &'a DecisionRule, product: &Product) -> Restraint<'a> {
    Restraint {
        policy: Some(&policy.name),
        place: &rule.place,
        row_rules: rule.row_filter.iter().map(|text| RowRule::Filter { text: text.clone() }).collect(),
        masks: rule.masks.iter().map(|mask| column_mask(mask, product.declares(&mask.column))).collect(),
    }
}

fn column_mask(mask: &Mask, must_exist: bool) -> ColumnMask {
    ColumnMask { column: mask.column.clone(), method: mask.using.clone(), must_exist }
}

/// Pairs of restraints that mask one column in different ways: whoever both bind reads nothing.
#[must_use]
pub fn contradictions<'r, 'a>(restraints: &'r [Restraint<'a>]) -> Vec<(&'r Restraint<'a>, &'r Restraint<'a>, &'r str)> {
    let mut found = Vec::new();
    for (at, one) in restraints.iter().enumerate() {
        for other in restraints.iter().skip(at) {
            let clash = one.masks.iter().find(|mask| {
                let same_column = |m: &&ColumnMask| m.column.eq_ignore_ascii_case(&mask.column);
                other.masks.iter().filter(same_column).any(|m| m.method != mask.method)
            });
            found.extend(clash.map(|mask| (one, other, mask.column.as_str())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::testing::{catalog, condition, mask, policy, product, rule};
    use crate::catalog::model::{DomainName, MaskMethod, Test};

    #[test]
    fn rules_are_heard_for_the_products_that_they_could_be_about() {
        let about = |attribute: &str, value: &str, filter: &str| {
            let mut rule = rule(
                Effect::Permit,
                vec![vec![
                    condition(attribute, Test::Includes, &[value]),
                    condition("principal.group", Test::Includes, &["anyone"]),
                ]],
            );
            rule.row_filter = Some(filter.to_owned());
            rule
        };
        let mut foreign = policy("foreign", vec![about("resource.domain", "*", "foreign")]);
        foreign.scope = PolicyScope::Domain(DomainName("marketing".to_owned()));
        let mut deny = about("resource.domain", "*", "deny");
        deny.effect = Effect::Deny;
        let all = policy(
            "all",
            vec![
                about("resource.domain", "sales", "a"),
                about("resource.product", "other", "b"),
                about("resource.product", "*", "c"),
                deny,
            ],
        );
        let mut orders = product("sales.orders");
        orders.governance.row_domain_column = Some("owner".to_owned());
        let mesh = catalog(vec![orders.clone()], vec![foreign, all]);
        let found: Vec<_> = restraints(&mesh, &orders).into_iter().map(|r| (r.policy, r.row_rules)).collect();
        let filter = |text: &str| vec![RowRule::Filter { text: text.to_owned() }];
        let own = vec![RowRule::DomainColumn { column: "owner".to_owned() }];
        assert_eq!(found, [(None, own), (Some("all"), filter("a")), (Some("all"), filter("c"))]);
        assert_eq!(restraints(&mesh, &product("sales.plain")).len(), 2);
    }

    #[test]
    fn different_masks_of_one_column_contradict_each_other() {
        let mut orders = product("sales.orders");
        orders.governance.masks = vec![mask("email", &[])];
        let masked = |masks| {
            let mut rule = rule(Effect::Permit, vec![vec![]]);
            rule.masks = masks;
            rule
        };
        let null = |column: &str| Mask { using: MaskMethod::Null, ..mask(column, &[]) };
        let found = |rules| {
            let mesh = catalog(vec![orders.clone()], vec![policy("p", rules)]);
            let restraints = restraints(&mesh, &orders);
            contradictions(&restraints).into_iter().map(|(_, _, column)| column.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(vec![masked(vec![mask("EMAIL", &[]), null("id")])]), [""; 0]);
        assert_eq!(found(vec![masked(vec![null("Email")])]), ["email"]);
        assert_eq!(found(vec![masked(vec![null("x"), mask("x", &[])])]), ["x"], "within one rule");
    }
}
