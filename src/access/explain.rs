//! A decision in words, for the people who govern: who speaks for and against, and what is held back. Never for clients.

use super::decide::{Access, Cause, Decision, Reason, RowRule};
use crate::catalog::model::{Effect, MaskMethod};

/// The decision in lines: the outcome, then each voice that was heard, then row filters and masks.
#[must_use]
pub fn explain(decision: &Decision) -> Vec<String> {
    let mut lines = vec![outcome(&decision.access).to_owned()];
    if decision.reasons.is_empty() {
        lines.push("  nothing permits anything: no membership, no open product, no policy, no grant".to_owned());
    }
    lines.extend(decision.reasons.iter().map(|reason| format!("  {}", voice(reason))));
    if let Access::Read(scope) = &decision.access {
        lines.extend(scope.row_rules.iter().map(|rule| format!("  rows: {}", row_rule(rule))));
        lines.extend(
            scope.masks.iter().map(|mask| format!("  mask: {} is shown as {}", mask.column, method(&mask.method))),
        );
    }
    lines
}

fn outcome(access: &Access) -> &'static str {
    match access {
        Access::Hidden => "does not exist for this principal",
        Access::DiscoverOnly => "may be discovered, not read",
        Access::Read(scope) if scope.is_whole() => "may be read whole",
        Access::Read(_) => "may be read in part",
    }
}

fn voice(reason: &Reason) -> String {
    let rights = match (reason.discover, reason.read) {
        (true, true) => "discover and read",
        (true, false) => "discover",
        (false, true) => "read",
        (false, false) => "",
    };
    let because = cause(&reason.cause);
    match (&reason.cause, reason.effect) {
        (Cause::Restriction { .. }, _) => format!("holds back: {because}"),
        (_, Effect::Permit) => format!("permits {rights}: {because}"),
        (_, Effect::Deny) => format!("denies {rights}: {because}"),
    }
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Membership { group } => format!("the group `{group}` belongs to the domain"),
        Cause::DiscoverableInMesh => "the contract says `discoverable: mesh`".to_owned(),
        Cause::MeshInternal => "the contract says `access_policy: mesh-internal`".to_owned(),
        Cause::BreakGlass => "the session broke the glass, which is recorded".to_owned(),
        Cause::Administrator => "mesh_admin manages every product".to_owned(),
        Cause::Rule { policy, rule } | Cause::Restriction { policy, rule } => {
            format!("rule {} of the policy `{policy}`", rule + 1)
        }
        Cause::UnreadablePolicy { policy } => format!("the policy `{policy}` cannot be understood"),
        Cause::Grant { id } => format!("the grant {id}"),
        Cause::MaskConflict { column } => format!("two masks contradict each other in `{column}`"),
    }
}

fn row_rule(rule: &RowRule) -> String {
    match rule {
        RowRule::DomainColumn { column } => format!("`{column}` is a domain that the principal may read"),
        RowRule::Filter { text } => text.clone(),
        RowRule::AnyOf(rules) => {
            rules.iter().map(|rule| format!("({})", row_rule(rule))).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn method(method: &MaskMethod) -> String {
    match method {
        MaskMethod::Partial { first, last } => format!("its first {first} and last {last} characters"),
        MaskMethod::Expression(text) => text.clone(),
        MaskMethod::Hash | MaskMethod::Null | MaskMethod::Redact => method.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::testing::{catalog, condition, mask, policy, product, rule, user};
    use crate::access::{Grants, Principal, decide};
    use crate::catalog::model::{Mode, Test};

    #[test]
    fn each_voice_is_heard() {
        let mut orders = product("sales.orders");
        orders.governance.row_domain_column = Some("owner".to_owned());
        orders.governance.masks = vec![mask("email", &[])];
        let mut narrow = rule(Effect::Permit, vec![vec![]]);
        (narrow.mode, narrow.row_filter) = (Mode::Restrictive, Some("region = 'EU'".to_owned()));
        let leavers = vec![vec![condition("principal.group", Test::Includes, &["leavers"])]];
        let policies = vec![policy("regions", vec![rule(Effect::Deny, leavers), narrow])];
        let catalog = catalog(vec![orders.clone()], policies);
        let said = |groups: &[&str]| {
            explain(&decide(&catalog, &Grants::default(), &Principal::from(&user("ann", groups)), &orders))
        };
        assert_eq!(
            said(&["sales"]),
            [
                "may be read in part",
                "  permits discover and read: the group `sales` belongs to the domain",
                "  holds back: rule 2 of the policy `regions`",
                "  rows: `owner` is a domain that the principal may read",
                "  rows: region = 'EU'",
                "  mask: email is shown as hash",
            ]
        );
        assert_eq!(
            said(&["sales", "leavers"])[..2],
            ["does not exist for this principal", said(&["sales"])[1].as_str()]
        );
        assert!(said(&["sales", "leavers"])[2].starts_with("  denies discover and read: rule 1"));
        let nobody = said(&[]);
        assert_eq!(nobody[0], "does not exist for this principal");
    }

    #[test]
    fn who_is_not_spoken_of_is_told_so() {
        let orders = product("sales.orders");
        let catalog = catalog(vec![orders.clone()], Vec::new());
        let said = explain(&decide(&catalog, &Grants::default(), &Principal::from(&user("bob", &[])), &orders));
        assert_eq!(said.len(), 2);
        assert!(said[1].contains("nothing permits anything"));
    }
}
