//! A small mesh for the tests of this room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::catalog::fixtures;
use crate::catalog::model::{
    Attribute, Catalog, Column, Condition, DecisionRule, Defaults, Domain, DomainName, Effect, Mask, MaskMethod, Mesh,
    Mode, Policy, PolicyScope, Product, SourcePlace, Test, User,
};

pub(super) fn user(name: &str, groups: &[&str]) -> User {
    User {
        name: name.to_owned(),
        scram: None,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        attributes: BTreeMap::new(),
        roles: Vec::new(),
    }
}

/// Domains `sales` (members: group sales), `marketing` (group marketing) and `customer-success` (group cs).
pub(super) fn catalog(products: Vec<Product>, policies: Vec<Policy>) -> Catalog {
    let domain = |name: &str, group: &str| Domain {
        name: DomainName(name.to_owned()),
        owner: format!("{name}@company.com"),
        description: None,
        member_groups: vec![group.to_owned()],
    };
    let domains = [domain("sales", "sales"), domain("marketing", "marketing"), domain("customer-success", "cs")];
    Catalog {
        mesh: Mesh { name: "mesh".to_owned(), description: None, defaults: Defaults::default() },
        domains: domains.into_iter().map(|domain| (domain.name.clone(), domain)).collect(),
        products: products.into_iter().map(|product| (product.id.clone(), product)).collect(),
        policies,
        users: BTreeMap::new(),
        groups: BTreeSet::new(),
    }
}

/// `id` is `domain.name`; domain-internal, discoverable in the domain, classified `internal`, with a Delta port.
pub(super) fn product(id: &str) -> Product {
    Product {
        classification: Some("internal".to_owned()),
        outputs: vec![fixtures::delta_port(format!("file:///{id}"))],
        ..fixtures::product(id)
    }
}

pub(super) fn column(name: &str, classification: Option<&str>) -> Column {
    Column { classification: classification.map(str::to_owned), ..fixtures::column(name) }
}

pub(super) fn mask(column: &str, unless_groups: &[&str]) -> Mask {
    let unless_groups = unless_groups.iter().map(|&group| group.to_owned()).collect();
    Mask { column: column.to_owned(), using: MaskMethod::Hash, unless_groups }
}

pub(super) fn condition(attribute: &str, test: Test, values: &[&str]) -> Condition {
    let attribute = match attribute {
        "resource.domain" => Attribute::ResourceDomain,
        "resource.product" => Attribute::ResourceProduct,
        "resource.classification" => Attribute::ResourceClassification,
        "resource.tag" => Attribute::ResourceTag,
        "principal.name" => Attribute::PrincipalName,
        "principal.group" => Attribute::PrincipalGroup,
        other => Attribute::PrincipalAttribute(other.strip_prefix("principal.attribute.").unwrap().to_owned()),
    };
    Condition { attribute, test, values: values.iter().map(|&value| value.to_owned()).collect() }
}

/// A rule for both actions, without filter or masks.
pub(super) fn rule(effect: Effect, dnf: Vec<Vec<Condition>>) -> DecisionRule {
    DecisionRule {
        effect,
        dnf,
        discover: true,
        read: true,
        mode: Mode::Permissive,
        row_filter: None,
        masks: Vec::new(),
        place: SourcePlace::default(),
    }
}

pub(super) fn policy(name: &str, rules: Vec<DecisionRule>) -> Policy {
    Policy {
        name: name.to_owned(),
        description: None,
        scope: PolicyScope::Mesh,
        rules: Some(rules),
        path: PathBuf::new(),
    }
}
