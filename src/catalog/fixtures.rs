//! Contracts for the tests of every room: the least that a product, a column and a port can say.

use std::path::PathBuf;

use super::model::{
    AccessPolicy, Column, Dialect, Discoverable, DomainName, Gate, Governance, Location, OutputPort, Product,
    ProductId, Sla, SourcePlace,
};

/// `id` is `domain.name`. The product is domain-internal, discoverable in its domain, and has neither columns nor ports.
pub(crate) fn product(id: &str) -> Product {
    let (domain, name) = id.split_once('.').unwrap();
    Product {
        id: ProductId(id.to_owned()),
        name: name.to_owned(),
        domain: DomainName(domain.to_owned()),
        owner: "owner@company.com".to_owned(),
        description: None,
        version: None,
        status: "active".to_owned(),
        classification: None,
        tags: Vec::new(),
        sla: Sla::default(),
        columns: Vec::new(),
        relationships: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        quality_checks: Vec::new(),
        governance: Governance {
            discoverable: Discoverable::Domain,
            access_policy: AccessPolicy::DomainInternal,
            row_domain_column: None,
            row_filter: None,
            masks: Vec::new(),
            gate: Gate::Warn,
            retention: None,
            place: SourcePlace::default(),
        },
        dialect: Dialect::DataMeshV1,
        contract_path: PathBuf::from(format!("catalog/{domain}/{name}/data_product.yaml")),
        contract_sha256: "0".to_owned(),
    }
}

/// A nullable column of no type.
pub(crate) fn column(name: &str) -> Column {
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
        classification: None,
        place: SourcePlace::default(),
    }
}

/// The port of a Delta table.
pub(crate) fn delta_port(url: String) -> OutputPort {
    OutputPort {
        name: "delta".to_owned(),
        version: None,
        port_type: None,
        contract_id: None,
        format: "delta".to_owned(),
        location: Some(Location { url, credentials: None }),
        endpoint: None,
        place: SourcePlace::default(),
    }
}
