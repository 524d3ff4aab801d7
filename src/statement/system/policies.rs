//! `data_catalog.policies`: everything that decides who sees what, for mesh_admin and auditor alone: the rules of all
//! policies, and the row filters and masks of contracts.

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::access::principal::Principal;
use crate::catalog::model::{
    Attribute, Catalog, Condition, DecisionRule, Effect, Mask, MaskMethod, Mode, Policy, PolicyScope, Product, Role,
    Test,
};
use crate::error::Result;
use crate::statement::context::Context;

/// Whether the principal may see how the mesh is governed.
pub fn sees_governance(principal: &Principal) -> bool {
    principal.has_role(Role::MeshAdmin) || principal.has_role(Role::Auditor)
}

#[derive(Default)]
struct Row<'a> {
    name: &'a str,
    kind: &'static str,
    scope: String,
    effect: &'static str,
    /// `None`: a policy that could not be understood.
    mode: Option<&'static str>,
    dnf: Option<String>,
    to_principals: Option<String>,
    filter: Option<String>,
    masks: Option<String>,
    description: Option<&'a str>,
}

pub fn rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let rows = if sees_governance(&context.principal) { all(catalog) } else { Vec::new() };
    Columns::new()
        .text("policy_name", rows.iter().map(|row| Some(row.name)))
        .text("policy_type", rows.iter().map(|row| Some(row.kind)))
        .text("scope", rows.iter().map(|row| Some(&row.scope)))
        .text("effect", rows.iter().map(|row| Some(row.effect)))
        .text("dnf_condition", rows.iter().map(|row| row.dnf.as_ref()))
        .text("to_principals", rows.iter().map(|row| row.to_principals.as_ref()))
        .text("row_filter", rows.iter().map(|row| row.filter.as_ref()))
        .text("description", rows.iter().map(|row| row.description))
        .text("mode", rows.iter().map(|row| row.mode))
        .text("masks", rows.iter().map(|row| row.masks.as_ref()))
        .finish()
}

fn all(catalog: &Catalog) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for policy in &catalog.policies {
        match &policy.rules {
            Some(rules) => rows.extend(rules.iter().map(|rule| of_rule(policy, rule))),
            // It denies all of its scope.
            None => rows.push(Row { kind: "UNREADABLE", effect: "Deny", ..of_policy(policy) }),
        }
    }
    rows.extend(catalog.products.values().flat_map(of_contract));
    rows
}

fn of_policy(policy: &Policy) -> Row<'_> {
    Row {
        name: &policy.name,
        scope: scope(&policy.scope),
        description: policy.description.as_deref(),
        ..Row::default()
    }
}

fn of_rule<'a>(policy: &'a Policy, rule: &'a DecisionRule) -> Row<'a> {
    Row {
        kind: rule_kind(rule),
        effect: match rule.effect {
            Effect::Permit => "Permit",
            Effect::Deny => "Deny",
        },
        mode: Some(match rule.mode {
            Mode::Permissive => "permissive",
            Mode::Restrictive => "restrictive",
        }),
        dnf: Some(dnf(&rule.dnf)),
        to_principals: Some(to_principals(rule)),
        filter: rule.row_filter.clone(),
        masks: masks(&rule.masks),
        ..of_policy(policy)
    }
}

fn rule_kind(rule: &DecisionRule) -> &'static str {
    if rule.row_filter.is_some() {
        "ROW FILTER"
    } else if rule.masks.is_empty() {
        "ACCESS"
    } else {
        "COLUMN MASK"
    }
}

/// What the contract itself holds back binds everyone, within the groups that its masks name.
fn of_contract(product: &Product) -> impl Iterator<Item = Row<'_>> {
    let governance = &product.governance;
    let row = |kind| Row {
        name: &product.id.0,
        kind,
        scope: format!("product:{}", product.id),
        effect: "Permit",
        mode: Some("restrictive"),
        to_principals: Some("*".to_owned()),
        ..Row::default()
    };
    let domain = governance.row_domain_column.as_ref().map(|column| Row {
        filter: Some(format!("{column} IN (SELECT domain FROM user_domain_access WHERE privilege = 'read')")),
        ..row("ROW DOMAIN")
    });
    let filter = governance.row_filter.clone().map(|text| Row { filter: Some(text), ..row("ROW FILTER") });
    let masks = masks(&governance.masks).map(|masks| Row { masks: Some(masks), ..row("COLUMN MASK") });
    [domain, filter, masks].into_iter().flatten()
}

/// `email: hash unless pii-readers; phone: partial(1, 0)`.
fn masks(masks: &[Mask]) -> Option<String> {
    let one = |mask: &Mask| {
        let method = match &mask.using {
            MaskMethod::Partial { first, last } => format!("partial({first}, {last})"),
            MaskMethod::Expression(text) => text.clone(),
            method => method.as_str().to_owned(),
        };
        let unless = if mask.unless_groups.is_empty() {
            String::new()
        } else {
            format!(" unless {}", mask.unless_groups.join(", "))
        };
        format!("{}: {method}{unless}", mask.column)
    };
    (!masks.is_empty()).then(|| masks.iter().map(one).collect::<Vec<_>>().join("; "))
}

fn scope(scope: &PolicyScope) -> String {
    match scope {
        PolicyScope::Mesh => "mesh".to_owned(),
        PolicyScope::Domain(domain) => format!("domain:{domain}"),
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
