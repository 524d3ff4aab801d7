//! `data_catalog.policies`: every decision rule of the mesh, for mesh_admin and auditor alone.

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::access::principal::Principal;
use crate::catalog::model::{Attribute, Condition, DecisionRule, Effect, Policy, PolicyScope, Role, Test};
use crate::error::Result;
use crate::statement::context::Context;

/// Whether the principal may see how the mesh is governed.
pub fn sees_governance(principal: &Principal) -> bool {
    principal.has_role(Role::MeshAdmin) || principal.has_role(Role::Auditor)
}

pub fn rows(context: &Context) -> Result<RecordBatch> {
    let policies = &context.snapshot.catalog.policies;
    let shown = if sees_governance(&context.principal) { policies.as_slice() } else { &[] };
    let mut rows: Vec<(&Policy, Option<&DecisionRule>)> = Vec::new();
    for policy in shown {
        match &policy.rules {
            Some(rules) => rows.extend(rules.iter().map(|rule| (policy, Some(rule)))),
            None => rows.push((policy, None)),
        }
    }
    Columns::new()
        .text("policy_name", rows.iter().map(|(p, _)| Some(&p.name)))
        .text("policy_type", rows.iter().map(|(_, r)| Some(policy_type(*r))))
        .text("scope", rows.iter().map(|(p, _)| Some(scope(&p.scope))))
        .text("effect", rows.iter().map(|(_, r)| Some(effect(*r))))
        .text("dnf_condition", rows.iter().map(|(_, r)| r.map(|rule| dnf(&rule.dnf))))
        .text("to_principals", rows.iter().map(|(_, r)| r.map(to_principals)))
        .text("row_filter", rows.iter().map(|(_, r)| r.and_then(|rule| rule.row_filter.as_ref())))
        .text("description", rows.iter().map(|(p, _)| p.description.as_ref()))
        .finish()
}

fn policy_type(rule: Option<&DecisionRule>) -> &'static str {
    match rule {
        None => "UNREADABLE",
        Some(rule) if rule.row_filter.is_some() => "ROW FILTER",
        Some(rule) if !rule.masks.is_empty() => "COLUMN MASK",
        Some(_) => "ACCESS",
    }
}

fn scope(scope: &PolicyScope) -> String {
    match scope {
        PolicyScope::Mesh => "mesh".to_owned(),
        PolicyScope::Domain(domain) => format!("domain:{domain}"),
    }
}

/// A policy that could not be understood denies.
fn effect(rule: Option<&DecisionRule>) -> &'static str {
    match rule.map(|rule| rule.effect) {
        Some(Effect::Permit) => "Permit",
        Some(Effect::Deny) | None => "Deny",
    }
}

fn dnf(dnf: &[Vec<Condition>]) -> String {
    let all_of = |conditions: &Vec<Condition>| {
        let parts: Vec<String> = conditions.iter().map(condition).collect();
        if parts.is_empty() { "true".to_owned() } else { parts.join(" AND ") }
    };
    let any_of: Vec<String> = dnf.iter().map(all_of).collect();
    match any_of.as_slice() {
        [] => "false".to_owned(),
        [one] => one.clone(),
        many => many.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" OR "),
    }
}

fn condition(condition: &Condition) -> String {
    let test = match condition.test {
        Test::Includes => "includes",
        Test::IncludedIn => "included in",
        Test::Excludes => "excludes",
    };
    format!("{} {test} [{}]", attribute(&condition.attribute), condition.values.join(", "))
}

fn attribute(attribute: &Attribute) -> String {
    match attribute {
        Attribute::ResourceDomain => "resource.domain".to_owned(),
        Attribute::ResourceProduct => "resource.product".to_owned(),
        Attribute::ResourceClassification => "resource.classification".to_owned(),
        Attribute::ResourceTag => "resource.tag".to_owned(),
        Attribute::PrincipalName => "principal.name".to_owned(),
        Attribute::PrincipalGroup => "principal.group".to_owned(),
        Attribute::PrincipalAttribute(name) => format!("principal.attribute.{name}"),
    }
}

/// The conditions of a rule that speak of principals, or `*`.
fn to_principals(rule: &DecisionRule) -> String {
    let about_principals = |c: &&Condition| {
        matches!(c.attribute, Attribute::PrincipalName | Attribute::PrincipalGroup | Attribute::PrincipalAttribute(_))
    };
    let parts: Vec<String> = rule.dnf.iter().flatten().filter(about_principals).map(condition).collect();
    if parts.is_empty() { "*".to_owned() } else { parts.join("; ") }
}
