//! Bitol ODPS 1.x: `DataProduct`, `v1.0.0`, and its marriage with the ODCS contracts that lie beside it.

use crate::catalog::model::{Dialect, InputPort, OutputPort, Problem, ProblemSeverity};
use crate::catalog::yaml::{Map, Place, suggest};

use super::draft::{Context, Draft, InputPlace, blank, name};
use super::governance::{self, Properties};
use super::odcs::{domain, fundamentals};

pub const KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "id",
    "name",
    "version",
    "status",
    "domain",
    "tenant",
    "authoritativeDefinitions",
    "description",
    "customProperties",
    "tags",
    "inputPorts",
    "outputPorts",
    "managementPorts",
    "support",
    "team",
    "productCreatedTs",
];
const INPUT_KEYS: &[&str] =
    &["id", "name", "version", "contractId", "tags", "description", "customProperties", "authoritativeDefinitions"];
const OUTPUT_KEYS: &[&str] = &[
    "id",
    "name",
    "description",
    "type",
    "version",
    "contractId",
    "sbom",
    "inputContracts",
    "tags",
    "customProperties",
    "authoritativeDefinitions",
];

/// An ODPS product that still lacks what its contracts say.
pub struct ProductDraft {
    draft: Draft,
    ports: Vec<PortDraft>,
}

struct PortDraft {
    port: OutputPort,
    contract_at: Place,
}

/// Reads a product. `None`: it has no name.
pub fn product(map: &Map<'_>, context: &Context<'_>) -> Option<ProductDraft> {
    let id = map.required("id").and_then(|field| field.scalar());
    map.required("status");
    let product_name = match map.get("name") {
        Some(field) => name(field),
        None => map.get("id").and_then(name),
    };
    let domain = domain(map, context);
    let (product_name, domain) = (product_name?, domain?);
    let mut draft = blank(Dialect::Odps, &product_name, &domain, map, context);
    draft.contract_ids.extend(id.map(|id| id.text));
    fundamentals(map, &mut draft);
    for item in map.list("inputPorts") {
        let Some(port) = item.map(INPUT_KEYS) else { continue };
        let port_name = port.required("name").and_then(|field| field.text());
        let contract = port.required("contractId").and_then(|field| field.scalar());
        port.required("version");
        if let (Some(port_name), Some(contract)) = (port_name, contract) {
            draft.inputs_at.push(InputPlace { at: map.findings().place(contract.mark), must_exist: false });
            draft.product.inputs.push(InputPort {
                name: port_name.text,
                version: port.scalar("version"),
                contract_id: Some(contract.text),
                source: None,
                domain: None,
                product: None,
            });
        }
    }
    let ports = map.list("outputPorts").into_iter().filter_map(|item| output(&item.map(OUTPUT_KEYS)?)).collect();
    let properties = Properties::of_product(map);
    draft.governs = properties.governs();
    draft.product.classification = properties.classification();
    let (read, claims) = governance::from_properties(&properties, &context.defaults);
    draft.product.governance = read;
    draft.claims.extend(claims);
    draft.failed = map.findings().errors() > 0;
    Some(ProductDraft { draft, ports })
}

fn output(map: &Map<'_>) -> Option<PortDraft> {
    let port_name = map.required("name").and_then(|field| field.text());
    map.required("version");
    let contract = map.get("contractId").and_then(|field| field.scalar());
    let contract_at = map.findings().place(contract.as_ref().map_or(map.mark(), |text| text.mark));
    let port_type = map.text("type");
    let port = OutputPort {
        name: port_name?.text,
        version: map.scalar("version"),
        format: port_type.clone().unwrap_or_else(|| "unknown".to_owned()).to_lowercase(),
        port_type,
        contract_id: contract.map(|text| text.text),
        location: None,
        endpoint: None,
        place: map.findings().place(map.mark()).into(),
    };
    Some(PortDraft { port, contract_at })
}

/// Gives each product what the contracts of its output ports say; contracts without a product are products themselves.
///
/// All files lie in one folder. A contract that a product's port names must be there: without it nobody knows where the
/// data lies nor who may read it.
pub fn with_contracts(products: Vec<ProductDraft>, contracts: Vec<Draft>, problems: &mut Vec<Problem>) -> Vec<Draft> {
    if products.is_empty() {
        return contracts;
    }
    let mut used = vec![false; contracts.len()];
    let mut merged = Vec::with_capacity(products.len());
    for ProductDraft { mut draft, ports } in products {
        let mut served: Option<&Draft> = None;
        for PortDraft { mut port, contract_at } in ports {
            let Some(id) = port.contract_id.clone() else {
                draft.product.outputs.push(port);
                continue;
            };
            let Some(index) = contracts.iter().position(|contract| contract.contract_ids.contains(&id)) else {
                let known = contracts.iter().flat_map(|contract| contract.contract_ids.iter().map(String::as_str));
                let suggestion = suggest(&id, known).or_else(|| Some("write it beside as *.odcs.yaml".to_owned()));
                let message = format!("no contract with the id `{id}` lies in this folder");
                problems.push(contract_at.problem(ProblemSeverity::Error, message, suggestion));
                draft.failed = true;
                continue;
            };
            let contract = &contracts[index];
            used[index] = true;
            draft.failed |= contract.failed;
            draft.contract_ids.push(id);
            if let Some(server) = contract.product.delta_port().or(contract.product.outputs.first()) {
                port.format.clone_from(&server.format);
                port.location.clone_from(&server.location);
                port.endpoint.clone_from(&server.endpoint);
                port.place.clone_from(&server.place);
            }
            draft.product.outputs.push(port);
            // the table that SQL reads is the first with format delta
            let has_table = |draft: &Draft| draft.product.delta_port().is_some();
            if served.is_none_or(|before| !has_table(before) && has_table(contract)) {
                served = Some(contract);
            }
        }
        if let Some(contract) = served {
            adopt(&mut draft, contract, problems);
        }
        merged.push(draft);
    }
    for (contract, used) in contracts.iter().zip(used) {
        if !used {
            let message = "no output port of the product in this folder names this contract";
            let suggestion = contract.contract_ids.first().map(|id| format!("write `contractId: {id}` at a port"));
            problems.push(contract.name_at.problem(ProblemSeverity::Warning, message, suggestion));
        }
    }
    merged
}

/// What the contract of the served table says becomes the product's. Governance is said in one of the two files:
/// taking either would drop what the other protects.
fn adopt(draft: &mut Draft, contract: &Draft, problems: &mut Vec<Problem>) {
    let (product, from) = (&mut draft.product, &contract.product);
    product.columns.clone_from(&from.columns);
    product.sla.clone_from(&from.sla);
    product.quality_checks.clone_from(&from.quality_checks);
    if product.classification.is_none() {
        product.classification.clone_from(&from.classification);
    }
    if product.description.is_none() {
        product.description.clone_from(&from.description);
    }
    let tags: Vec<String> = from.tags.iter().filter(|tag| !product.tags.contains(tag)).cloned().collect();
    product.tags.extend(tags);
    draft.columns_at.clone_from(&contract.columns_at);
    draft.readers.clone_from(&contract.readers);
    draft.relationships.clone_from(&contract.relationships);
    if draft.governs && contract.governs {
        let message = format!("both this file and {} set pgmesh properties", contract.name_at.path.display());
        let suggestion = Some("keep them in one of the two".to_owned());
        problems.push(draft.name_at.problem(ProblemSeverity::Error, message, suggestion));
        draft.failed = true;
    }
    if !draft.governs {
        product.governance = from.governance.clone();
    }
    draft.claims.extend(contract.claims.iter().cloned());
}
