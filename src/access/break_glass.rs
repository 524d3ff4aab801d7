//! What break-glass lifts, and what not: policies, grants, row filters and masks go, `row_domain_column` stays, which
//! binds everyone. Who may break it, and how that is recorded, is no business of this file.

use super::decide::{Access, Cause, Decision, ReadScope, Reason, RowRule};
use crate::catalog::model::{Effect, Product};

/// The decision for a principal with break-glass on.
pub(super) fn decision(product: &Product) -> Decision {
    let domain_column = product.governance.row_domain_column.iter();
    let row_rules = domain_column.map(|column| RowRule::DomainColumn { column: column.clone() }).collect();
    let reason = Reason { effect: Effect::Permit, discover: true, read: true, cause: Cause::BreakGlass };
    Decision { access: Access::Read(Box::new(ReadScope { row_rules, ..ReadScope::default() })), reasons: vec![reason] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::decide::decide;
    use crate::access::grants::Grants;
    use crate::access::principal::Principal;
    use crate::access::testing::{catalog, mask, policy, product, rule, user};
    use crate::catalog::model::{AccessPolicy, Role};

    #[test]
    fn break_glass_lifts_everything_but_the_row_domain() {
        let mut broken = policy("broken", Vec::new());
        broken.rules = None;
        let policies = vec![broken, policy("no", vec![rule(Effect::Deny, vec![vec![]])])];
        let mut product = product("sales.orders");
        product.governance.access_policy = AccessPolicy::Restricted;
        product.governance.row_domain_column = Some("domain".to_owned());
        product.governance.row_filter = Some("false".to_owned());
        product.governance.masks = vec![mask("email", &[])];
        let mut ann = user("ann", &[]);
        ann.roles = vec![Role::BreakGlass];
        let catalog = catalog(vec![product.clone()], policies);
        let before = decide(&catalog, &Grants::default(), &Principal::from(&ann), &product);
        assert_eq!(before.access, Access::Hidden, "the role alone does nothing");
        let ann = Principal::with_broken_glass(&ann).unwrap();
        let decision = decide(&catalog, &Grants::default(), &ann, &product);
        let Access::Read(scope) = decision.access else { panic!("{:?}", decision.access) };
        let expected = ReadScope {
            row_rules: vec![RowRule::DomainColumn { column: "domain".to_owned() }],
            ..ReadScope::default()
        };
        assert_eq!(*scope, expected);
        assert_eq!(
            decision.reasons.iter().map(|reason| reason.cause.label()).collect::<Vec<_>>(),
            ["role:break_glass"]
        );
    }
}
