//! Policies in the founding (Purview) form: `decisionRules` with `effect` and `dnfCondition`, and our additions.
//!
//! It reads policies from YAML or JSON and decides nothing. A policy with any error has no rules at all, so that it denies:
//! half a policy could permit what the other half forbids.

use crate::catalog::model::{Attribute, Condition, DecisionRule, Effect, Mode, Policy, PolicyScope, Test};
use crate::catalog::yaml::{Field, Map, Place};

use super::PolicyDraft;
use super::governance;

const KEYS: &[&str] = &["apiVersion", "kind", "id", "version", "name", "description", "decisionRules"];
const RULE_KEYS: &[&str] =
    &["id", "kind", "description", "effect", "dnfCondition", "actions", "mode", "rowFilter", "masks"];
const CONDITION_KEYS: &[&str] =
    &["attributeName", "attributeValueIncludes", "attributeValueIncludedIn", "attributeValueExcludes"];
const EFFECTS: &[(&str, Effect)] = &[("Permit", Effect::Permit), ("Deny", Effect::Deny)];
const MODES: &[(&str, Mode)] = &[("permissive", Mode::Permissive), ("restrictive", Mode::Restrictive)];
const TESTS: [(&str, Test); 3] = [
    ("attributeValueIncludes", Test::Includes),
    ("attributeValueIncludedIn", Test::IncludedIn),
    ("attributeValueExcludes", Test::Excludes),
];
const ATTRIBUTES: &[(&str, Attribute)] = &[
    ("resource.domain", Attribute::ResourceDomain),
    ("resource.product", Attribute::ResourceProduct),
    ("resource.classification", Attribute::ResourceClassification),
    ("resource.tag", Attribute::ResourceTag),
    ("principal.name", Attribute::PrincipalName),
    ("principal.group", Attribute::PrincipalGroup),
];
const PRINCIPAL_ATTRIBUTE: &str = "principal.attribute.";

/// A name that a policy mentions, for comparison with what the mesh has.
pub struct Mention {
    pub attribute: Attribute,
    pub value: String,
    pub at: Place,
}

/// Reads one policy. `fallback_name` is its name where it says none.
pub fn policy(field: Field<'_>, fallback_name: &str, scope: PolicyScope) -> PolicyDraft {
    let findings = field.findings();
    let errors_before = findings.errors();
    let path = findings.path().to_path_buf();
    let mut mentions = Vec::new();
    let mut name = fallback_name.to_owned();
    let mut description = None;
    let mut rules = Vec::new();
    if let Some(map) = field.map(KEYS) {
        name = map.text("name").unwrap_or(name);
        description = map.text("description");
        if let Some(list) = map.required("decisionRules") {
            rules = list.list().iter().filter_map(|rule| decision_rule(*rule, &mut mentions)).collect();
        }
    }
    let understood = findings.errors() == errors_before;
    if !understood {
        let scope = match &scope {
            PolicyScope::Mesh => "the whole mesh".to_owned(),
            PolicyScope::Domain(domain) => format!("the domain `{domain}`"),
        };
        findings.warn(field.mark(), format!("until the policy `{name}` is right, {scope} is denied to everyone"), None);
    }
    PolicyDraft { policy: Policy { name, description, scope, rules: understood.then_some(rules), path }, mentions }
}

fn decision_rule(field: Field<'_>, mentions: &mut Vec<Mention>) -> Option<DecisionRule> {
    let map = field.map(RULE_KEYS)?;
    let effect = map.required("effect").and_then(|effect| effect.choice(EFFECTS));
    let dnf = map.required("dnfCondition").map(|dnf| disjunction(dnf, mentions));
    let (discover, read) = actions(&map);
    let row_filter = map.get_filled("rowFilter").and_then(governance::row_filter).map(|(text, _)| text);
    let masks = map.get_filled("masks").map(|masks| governance::masks(masks).0).unwrap_or_default();
    let effect = effect?;
    let holds_back = row_filter.is_some() || !masks.is_empty();
    if effect == Effect::Deny && holds_back {
        field.error("a Deny rule takes no rowFilter and no masks: it denies all rows");
    }
    let mode = map.get_filled("mode").map_or(Some(Mode::default()), |mode| mode.choice(MODES))?;
    if mode == Mode::Restrictive {
        restrictive(field, &map, effect, holds_back);
    }
    let place = field.findings().place(field.mark()).into();
    Some(DecisionRule { effect, dnf: dnf?, discover, read, mode, row_filter, masks, place })
}

/// A restrictive rule narrows what others permit, so without a filter or a mask it would say nothing.
fn restrictive(field: Field<'_>, map: &Map<'_>, effect: Effect, holds_back: bool) {
    if effect == Effect::Deny {
        field.error("a Deny rule has no mode: it wins over every Permit");
    } else if !holds_back {
        field.error("a restrictive rule needs a rowFilter or masks");
    }
    if let Some(actions) = map.get_filled("actions") {
        actions.error("a restrictive rule takes no actions: it is about reading");
    }
}

/// An OR of ANDs.
fn disjunction(field: Field<'_>, mentions: &mut Vec<Mention>) -> Vec<Vec<Condition>> {
    let mut dnf = Vec::new();
    for conjunction in field.list() {
        if !conjunction.is_list() {
            let suggestion = Some("write a list of lists: the outer is OR, the inner is AND".to_owned());
            let message = "`dnfCondition` must hold lists of conditions";
            field.findings().error_with(conjunction.mark(), message, suggestion);
            continue;
        }
        let conditions = conjunction.list();
        if conditions.is_empty() {
            conjunction.warn("this AND is empty, so it always holds");
        }
        dnf.push(conditions.iter().filter_map(|condition| self::condition(*condition, mentions)).collect());
    }
    if dnf.is_empty() {
        field.warn("this OR is empty, so the rule never applies");
    }
    dnf
}

fn condition(field: Field<'_>, mentions: &mut Vec<Mention>) -> Option<Condition> {
    let map = field.map(CONDITION_KEYS)?;
    let attribute = map.required("attributeName").and_then(attribute);
    let tests: Vec<(Test, Field<'_>)> =
        TESTS.iter().filter_map(|(key, test)| map.get(key).map(|value| (*test, value))).collect();
    let [(test, value)] = tests.as_slice() else {
        let message = if tests.is_empty() { "a condition needs a test" } else { "a condition has exactly one test" };
        let suggestion = Some(format!("one of {}", TESTS.map(|(key, _)| key).join(", ")));
        field.findings().error_with(field.mark(), message, suggestion);
        return None;
    };
    let values = value.text_or_texts();
    if values.is_empty() && value.is_list() {
        value.warn("this list is empty");
    }
    let attribute = attribute?;
    let at = |mark| field.findings().place(mark);
    mentions.extend(values.iter().map(|text| Mention {
        attribute: attribute.clone(),
        value: text.text.clone(),
        at: at(text.mark),
    }));
    Some(Condition { attribute, test: *test, values: values.into_iter().map(|text| text.text).collect() })
}

fn attribute(field: Field<'_>) -> Option<Attribute> {
    let text = field.text()?.text;
    if let Some((_, attribute)) = ATTRIBUTES.iter().find(|(name, _)| *name == text) {
        return Some(attribute.clone());
    }
    match text.strip_prefix(PRINCIPAL_ATTRIBUTE) {
        Some(name) if !name.is_empty() => Some(Attribute::PrincipalAttribute(name.to_owned())),
        _ => {
            let mut known: Vec<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
            known.push("principal.attribute.<name>");
            let suggestion = crate::catalog::yaml::suggest(&text, known.iter().copied())
                .or_else(|| Some(format!("known: {}", known.join(", "))));
            field.findings().error_with(field.mark(), format!("unknown attribute `{text}`"), suggestion);
            None
        }
    }
}

/// `actions`, both where it is absent.
fn actions(map: &Map<'_>) -> (bool, bool) {
    let Some(field) = map.get_filled("actions") else { return (true, true) };
    let (mut discover, mut read) = (false, false);
    for item in field.list() {
        match item.choice(&[("discover", true), ("read", false)]) {
            Some(true) => discover = true,
            Some(false) => read = true,
            None => {}
        }
    }
    if !discover && !read {
        field.error("`actions` names no action");
    }
    (discover, read)
}
