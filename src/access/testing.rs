//! A small mesh for the tests of this room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::catalog::model::{
    AccessPolicy, Attribute, Catalog, Column, Condition, DecisionRule, Defaults, Dialect, Discoverable, Domain,
    DomainName, Effect, Gate, Governance, Location, Mask, MaskMethod, Mesh, OutputPort, Policy, PolicyScope, Product,
    ProductId, Sla, SourcePlace, Test, User,
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
    let (domain, name) = id.split_once('.').unwrap();
    let port = OutputPort {
        name: "delta".to_owned(),
        version: None,
        port_type: None,
        contract_id: None,
        format: "delta".to_owned(),
        location: Some(Location { url: format!("file:///{id}"), credentials: None }),
        endpoint: None,
        place: SourcePlace::default(),
    };
    Product {
        id: ProductId(id.to_owned()),
        name: name.to_owned(),
        domain: DomainName(domain.to_owned()),
        owner: "owner@company.com".to_owned(),
        description: None,
        version: None,
        status: "active".to_owned(),
        classification: Some("internal".to_owned()),
        tags: Vec::new(),
        sla: Sla::default(),
        columns: Vec::new(),
        inputs: Vec::new(),
        outputs: vec![port],
        quality_checks: Vec::new(),
        governance: Governance {
            discoverable: Discoverable::Domain,
            access_policy: AccessPolicy::DomainInternal,
            row_domain_column: None,
            row_filter: None,
            masks: Vec::new(),
            gate: Gate::Warn,
            retention: None,
        },
        dialect: Dialect::DataMeshV1,
        contract_path: PathBuf::new(),
        contract_sha256: String::new(),
    }
}

pub(super) fn column(name: &str, classification: Option<&str>) -> Column {
    Column {
        name: name.to_owned(),
        logical_type: None,
        physical_type: None,
        required: false,
        primary_key: false,
        unique: false,
        description: None,
        business_name: None,
        synonyms: Vec::new(),
        pii: false,
        classification: classification.map(str::to_owned),
        place: SourcePlace::default(),
    }
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
    DecisionRule { effect, dnf, discover: true, read: true, row_filter: None, masks: Vec::new() }
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
