//! The founding dialect: `DataProduct`, `datamesh.azure.com/v1`.

use crate::catalog::model::{
    CheckKind, CheckSeverity, Column, Dialect, DomainName, InputPort, OutputPort, QualityCheck, Sla,
};
use crate::catalog::units::{parse_duration, parse_share};
use crate::catalog::yaml::{Field, Map};

use super::draft::{Claim, Context, Draft, InputPlace, blank, name};
use super::{governance, location};

pub const KEYS: &[&str] = &["apiVersion", "kind", "metadata", "spec"];
const METADATA_KEYS: &[&str] = &["name", "domain", "owner", "version", "status", "tags"];
const SPEC_KEYS: &[&str] =
    &["description", "version", "status", "tags", "classification", "sla", "schema", "inputs", "outputs", "governance"];
const COLUMN_KEYS: &[&str] = &[
    "name",
    "type",
    "logical_type",
    "physical_type",
    "description",
    "business_name",
    "synonyms",
    "pii",
    "classification",
    "required",
    "primary_key",
    "unique",
];
const GOVERNANCE_KEYS: &[&str] = &[
    "retention",
    "access_policy",
    "quality_checks",
    "discoverable",
    "row_domain_column",
    "row_filter",
    "masks",
    "gate",
];
pub const SEVERITIES: &[(&str, CheckSeverity)] =
    &[("error", CheckSeverity::Error), ("warning", CheckSeverity::Warning), ("info", CheckSeverity::Info)];

/// Reads a contract. `None`: it has no name, so nothing can be said about it but its errors.
pub fn product(map: &Map<'_>, context: &Context<'_>) -> Option<Draft> {
    let metadata = map.required("metadata").and_then(|field| field.map(METADATA_KEYS));
    let spec = map.required("spec").and_then(|field| field.map(SPEC_KEYS));
    let metadata = metadata?;
    let product_name = metadata.required("name").and_then(name);
    let domain = metadata.required("domain").and_then(name);
    let owner = metadata.required("owner").and_then(|field| field.text());
    let (product_name, domain) = (product_name?, domain?);
    let mut draft = blank(Dialect::DataMeshV1, &product_name, &domain, map, context);
    if let Some(owner) = owner {
        draft.product.owner = owner.text;
    }
    draft.product.version = metadata.scalar("version");
    draft.product.tags = metadata.texts("tags");
    if let Some(status) = metadata.text("status") {
        draft.product.status = status;
    }
    if let Some(spec) = spec {
        self::spec(&spec, &mut draft, context);
    }
    draft.failed = map.findings().errors() > 0;
    Some(draft)
}

fn spec(map: &Map<'_>, draft: &mut Draft, context: &Context<'_>) {
    let product = &mut draft.product;
    product.description = map.text("description");
    product.classification = map.text("classification");
    product.version = map.scalar("version").or(product.version.take());
    product.tags.extend(map.texts("tags"));
    if let Some(status) = map.text("status") {
        product.status = status;
    }
    if let Some(sla) = map.get("sla") {
        product.sla = self::sla(sla);
    }
    for item in map.list("schema") {
        if let Some(column) = column(item) {
            draft.columns_at.push(item.findings().place(item.mark()));
            draft.product.columns.push(column);
        }
    }
    for item in map.list("inputs") {
        input(item, draft);
    }
    draft.product.outputs = map.list("outputs").into_iter().filter_map(|item| output(item, context)).collect();
    if let Some(governance) = map.get("governance").and_then(|field| field.map(GOVERNANCE_KEYS)) {
        let (read, claims) = governance::from_map(&governance, &context.defaults);
        draft.product.governance = read;
        draft.claims.extend(claims);
        for item in governance.list("quality_checks") {
            check(item, draft);
        }
    }
}

fn sla(field: Field<'_>) -> Sla {
    let Some(map) = field.map(&["freshness", "availability", "quality_score"]) else { return Sla::default() };
    let freshness = map.get("freshness").and_then(|field| Some((field, field.text()?)));
    let freshness_limit = freshness.as_ref().and_then(|(field, text)| {
        let limit = parse_duration(&text.text);
        if limit.is_none() {
            let suggestion = Some("write a duration such as `1 hour`".to_owned());
            let message = format!("the freshness `{}` cannot be measured", text.text);
            field.findings().warn(text.mark, message, suggestion);
        }
        limit
    });
    let availability = map.get("availability").and_then(|field| field.scalar());
    Sla {
        freshness: freshness.map(|(_, text)| text.text),
        freshness_limit,
        availability: availability.map(|text| text.text),
        quality_score: map.get("quality_score").and_then(share),
    }
}

/// A number in `[0, 1]`, or a percentage.
pub fn share(field: Field<'_>) -> Option<f64> {
    let text = field.scalar()?;
    let share = parse_share(&text.text);
    if share.is_none() {
        field.error(format!("`{}` must lie between 0 and 1, not `{}`", field.name(), text.text));
    }
    share
}

fn column(field: Field<'_>) -> Option<Column> {
    let map = field.map(COLUMN_KEYS)?;
    let name = map.required("name").and_then(|field| field.text());
    let logical_type = map.text("logical_type");
    let column_type = map.text("type");
    if column_type.is_none() && logical_type.is_none() && map.get("physical_type").is_none() {
        map.required("type");
    }
    Some(Column {
        name: name?.text,
        logical_type: logical_type.or(column_type),
        physical_type: map.text("physical_type"),
        required: map.flag("required"),
        primary_key: map.flag("primary_key"),
        unique: map.flag("unique"),
        description: map.text("description"),
        business_name: map.text("business_name"),
        synonyms: map.texts("synonyms"),
        pii: map.flag("pii"),
        classification: map.text("classification"),
        place: map.findings().place(map.mark()).into(),
    })
}

/// `source` is a table anywhere, or `<domain>.<product>` of this mesh; `product` is always of this mesh.
fn input(field: Field<'_>, draft: &mut Draft) {
    let keys = ["name", "source", "product", "domain", "version", "contract_id", "description"];
    let Some(map) = field.map(&keys) else { return };
    let source = map.get("source").and_then(|field| field.text());
    let product = map.get("product").and_then(|field| field.text());
    let (text, must_exist) = match (source, product) {
        (Some(source), None) => (source, false),
        (None, Some(product)) => (product, true),
        (Some(_), Some(product)) => {
            return field.findings().error(product.mark, "an input has either `source` or `product`, not both");
        }
        (None, None) => {
            if map.get("source").is_none() && map.get("product").is_none() {
                map.required("source");
            }
            return;
        }
    };
    draft.inputs_at.push(InputPlace { at: field.findings().place(text.mark), must_exist });
    draft.product.inputs.push(InputPort {
        name: map.text("name").unwrap_or_else(|| text.text.clone()),
        version: map.scalar("version"),
        contract_id: map.text("contract_id"),
        source: Some(text.text),
        domain: map.text("domain").map(DomainName),
        product: None,
    });
}

fn output(field: Field<'_>, context: &Context<'_>) -> Option<OutputPort> {
    let keys =
        ["name", "format", "location", "endpoint", "credentials", "version", "type", "contract_id", "description"];
    let map = field.map(&keys)?;
    let name = map.required("name").and_then(|field| field.text());
    let format = map.required("format").and_then(|field| field.text()).map(|text| text.text.to_lowercase());
    let credentials = map.text("credentials");
    let location = match map.get("location") {
        Some(field) if format.as_deref() == Some("delta") => location::location(field, context.base, credentials),
        Some(field) => location::any_location(field, context.base, credentials),
        None => {
            if format.as_deref() == Some("delta") {
                map.required("location");
            }
            None
        }
    };
    Some(OutputPort {
        name: name?.text,
        version: map.scalar("version"),
        port_type: map.text("type"),
        contract_id: map.text("contract_id"),
        format: format?,
        location,
        endpoint: map.get("endpoint").and_then(location::endpoint),
        place: map.findings().place(map.mark()).into(),
    })
}

fn check(field: Field<'_>, draft: &mut Draft) {
    let Some(map) = field.map(&["name", "type", "column", "threshold", "severity", "description"]) else { return };
    let Some(name) = map.required("name").and_then(|field| field.text()) else { return };
    let word = map.text("type").unwrap_or_else(|| name.text.clone());
    let kind = match word.as_str() {
        "completeness" => CheckKind::Completeness,
        "uniqueness" => CheckKind::Uniqueness,
        _ => CheckKind::Other(word),
    };
    let column = map.get("column").and_then(|field| field.text());
    if let Some(column) = &column {
        let at = field.findings().place(column.mark);
        draft.claims.push(Claim { column: column.text.clone(), who: "quality check", at });
    }
    draft.product.quality_checks.push(QualityCheck {
        name: name.text,
        kind,
        column: column.map(|column| column.text),
        threshold: map.get("threshold").and_then(share),
        severity: map.get("severity").and_then(|field| field.choice(SEVERITIES)).unwrap_or(CheckSeverity::Error),
    });
}
