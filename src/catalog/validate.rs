//! What only shows when files are compared: duplicates, names that point nowhere, cycles. Turns what was read into what is
//! served, and leaves out whatever an error touches.
//!
//! It does no I/O and reads no YAML. Whether a location holds a Delta table is not its question.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::load::{DomainDraft, Draft, Loaded, Parsed, PolicyDraft, RelationshipDraft};
use super::model::{
    Attribute, Catalog, Defaults, Domain, DomainName, Mesh, Policy, PolicyScope, Problem, ProblemSeverity, Product,
    ProductId, Relationship, sql_name,
};
use super::yaml::suggest;

/// Schemas that are the server's own.
const RESERVED_SCHEMAS: [&str; 4] = ["pg_catalog", "information_schema", "data_catalog", "public"];

/// Compares everything with everything and keeps what is valid.
pub fn validate(mut parsed: Parsed) -> Loaded {
    let mut problems = std::mem::take(&mut parsed.problems);
    domains(&mut parsed.domains, &parsed.groups, &mut problems);
    owners(&mut parsed, &mut problems);
    duplicates(&mut parsed.products, &mut problems);
    columns(&mut parsed.products, &mut problems);
    inputs(&mut parsed, &mut problems);
    relationships(&mut parsed, &mut problems);
    cycles(&mut parsed.products, &mut problems);
    policies(&parsed, &mut problems);
    problems.sort_by(|a, b| (&a.path, a.line, a.column, &a.message).cmp(&(&b.path, b.line, b.column, &b.message)));
    problems.dedup();
    Loaded { catalog: catalog(parsed), problems }
}

fn catalog(parsed: Parsed) -> Catalog {
    let domains: BTreeMap<DomainName, Domain> = parsed
        .domains
        .into_iter()
        .filter(|draft| !draft.failed)
        .map(|draft| (draft.domain.name.clone(), draft.domain))
        .collect();
    let products: BTreeMap<ProductId, Product> = parsed
        .products
        .into_iter()
        .filter(|draft| !draft.failed)
        .map(|draft| (draft.product.id.clone(), draft.product))
        .collect();
    let (mesh_wide, of_domains): (Vec<Policy>, Vec<Policy>) =
        parsed.policies.into_iter().map(|draft| draft.policy).partition(|policy| policy.scope == PolicyScope::Mesh);
    let of_users = parsed.users.values().flat_map(|user| user.groups.iter().cloned());
    let groups = parsed.groups.into_iter().chain(of_users).collect();
    let mesh = parsed.mesh.unwrap_or_else(|| Mesh {
        name: "mesh".to_owned(),
        description: None,
        defaults: Defaults::default(),
    });
    Catalog {
        mesh,
        domains,
        products,
        policies: mesh_wide.into_iter().chain(of_domains).collect(),
        users: parsed.users,
        groups,
    }
}

fn domains(drafts: &mut [DomainDraft], groups: &[String], problems: &mut Vec<Problem>) {
    let mut schemas: HashMap<String, String> = HashMap::new();
    for draft in drafts {
        let name = draft.domain.name.clone();
        let schema = name.schema_name();
        let mut fail = |message: String, suggestion: Option<String>| {
            problems.push(draft.name_at.problem(ProblemSeverity::Error, message, suggestion));
            draft.failed = true;
        };
        if draft.folder != name.as_str() {
            fail(
                format!("the domain `{name}` lies in the folder `{}`", draft.folder),
                Some(format!("call both `{name}`")),
            );
        }
        if RESERVED_SCHEMAS.contains(&schema.as_str()) || schema.starts_with("pg_") {
            fail(format!("no domain can be called `{name}`: the schema `{schema}` is the server's own"), None);
        } else if let Some(other) = schemas.get(&schema) {
            fail(format!("the domains `{other}` and `{name}` would share the schema `{schema}`"), None);
        } else {
            schemas.insert(schema, name.0.clone());
        }
        for (group, at) in draft.domain.member_groups.iter().zip(&draft.groups_at) {
            if !groups.is_empty() && !groups.contains(group) {
                let suggestion = suggest(group, groups.iter().map(String::as_str));
                let message = format!("the group `{group}` is not declared in principals.yaml");
                problems.push(at.problem(ProblemSeverity::Warning, message, suggestion));
            }
        }
    }
}

/// A product belongs to the domain in whose folder it lies.
fn owners(parsed: &mut Parsed, problems: &mut Vec<Problem>) {
    let known: BTreeSet<&str> = parsed.domains.iter().map(|draft| draft.domain.name.as_str()).collect();
    let served: HashSet<&str> =
        parsed.domains.iter().filter(|draft| !draft.failed).map(|draft| draft.domain.name.as_str()).collect();
    for draft in &mut parsed.products {
        let name = draft.product.domain.as_str();
        if !known.contains(name) {
            let suggestion = suggest(name, known.iter().copied());
            let message = format!("the domain `{name}` is unknown");
            problems.push(draft.domain_at.problem(ProblemSeverity::Error, message, suggestion));
            draft.failed = true;
        } else if draft.product.domain != draft.folder_domain {
            let message =
                format!("the contract of the domain `{name}` lies in the folder of `{}`", draft.folder_domain);
            problems.push(draft.domain_at.problem(ProblemSeverity::Error, message, None));
            draft.failed = true;
        } else if !served.contains(name) {
            let message = format!("not served until the domain `{name}` is right");
            problems.push(draft.name_at.problem(ProblemSeverity::Warning, message, None));
            draft.failed = true;
        }
    }
}

/// Two products that SQL could not tell apart: the first by path stays.
fn duplicates(drafts: &mut [Draft], problems: &mut Vec<Problem>) {
    let mut tables: HashMap<(String, String), String> = HashMap::new();
    for draft in drafts {
        let key = (draft.product.domain.schema_name(), draft.product.table_name());
        if let Some(first) = tables.get(&key) {
            let message = format!("the table {}.{} is already that of {first}", key.0, key.1);
            problems.push(draft.name_at.problem(ProblemSeverity::Error, message, None));
            draft.failed = true;
        } else {
            tables.insert(key, draft.name_at.describe());
        }
    }
}

/// Everything that names a column names one that the schema declares. A contract without a schema declares nothing to compare.
fn columns(drafts: &mut [Draft], problems: &mut Vec<Problem>) {
    for draft in drafts {
        let mut seen = HashSet::new();
        for (column, at) in draft.product.columns.iter().zip(&draft.columns_at) {
            if !seen.insert(column.name.as_str()) {
                let message = format!("duplicate column `{}`", column.name);
                problems.push(at.problem(ProblemSeverity::Error, message, None));
                draft.failed = true;
            }
        }
        if !draft.product.columns.is_empty() {
            for claim in draft.claims.iter().filter(|claim| !seen.contains(claim.column.as_str())) {
                let suggestion = suggest(&claim.column, seen.iter().copied());
                let message =
                    format!("the {} names the column `{}`, which the schema does not declare", claim.who, claim.column);
                problems.push(claim.at.problem(ProblemSeverity::Error, message, suggestion));
                draft.failed = true;
            }
        }
        // what is broken already need not be called odd
        if draft.failed {
            continue;
        }
        if draft.product.columns.is_empty() {
            let message = "the contract declares no columns";
            problems.push(draft.name_at.problem(ProblemSeverity::Warning, message, None));
        }
        if draft.product.delta_port().is_none() {
            let message = "no output port has the format delta, so there is no table to query";
            problems.push(draft.name_at.problem(ProblemSeverity::Warning, message, None));
        }
    }
}

/// Finds the product that each input names. Broken products count as known, so that one error does not cause others.
fn inputs(parsed: &mut Parsed, problems: &mut Vec<Problem>) {
    let names = Names::of(parsed);
    for draft in &mut parsed.products {
        for (input, place) in draft.product.inputs.iter_mut().zip(&draft.inputs_at) {
            let reference = Reference {
                text: input.source.as_deref().unwrap_or(&input.name),
                contract_id: input.contract_id.as_deref(),
                domain: input.domain.as_ref().map(DomainName::as_str),
                must_exist: place.must_exist,
            };
            match names.resolve(&reference) {
                Target::Product(id) => input.product = Some(id),
                Target::Outside => {
                    if let Some(domain) = reference.domain
                        && !names.schemas.contains_key(&sql_name(domain))
                        && let Some(suggestion) = suggest(domain, names.domains.iter().map(String::as_str))
                    {
                        let message = format!("the domain `{domain}` of this input is unknown");
                        problems.push(place.at.problem(ProblemSeverity::Warning, message, Some(suggestion)));
                    }
                }
                Target::Missing { message, suggestion } => {
                    problems.push(place.at.problem(ProblemSeverity::Error, message, suggestion));
                    draft.failed = true;
                }
            }
        }
    }
}

/// Finds the columns that relationships refer to. One that leads nowhere is left out: it restricts nobody.
fn relationships(parsed: &mut Parsed, problems: &mut Vec<Problem>) {
    let names = Names::of(parsed);
    let columns_of = |draft: &Draft| draft.product.columns.iter().map(|column| column.name.clone()).collect();
    let known: HashMap<ProductId, Vec<String>> =
        parsed.products.iter().map(|draft| (draft.product.id.clone(), columns_of(draft))).collect();
    for draft in &mut parsed.products {
        for written in &draft.relationships {
            match names.referred(written, &draft.product.domain, &known) {
                Ok((product, referenced)) => draft.product.relationships.push(Relationship {
                    columns: written.columns.clone(),
                    product,
                    referenced,
                }),
                Err((message, suggestion)) => {
                    problems.push(written.at.problem(ProblemSeverity::Warning, message, suggestion));
                }
            }
        }
    }
}

struct Reference<'a> {
    text: &'a str,
    contract_id: Option<&'a str>,
    domain: Option<&'a str>,
    must_exist: bool,
}

enum Target {
    Product(ProductId),
    /// A table that the mesh does not know and need not.
    Outside,
    Missing {
        message: String,
        suggestion: Option<String>,
    },
}

/// How contracts call domains and products.
struct Names {
    domains: Vec<String>,
    /// Schema name → table name → product.
    schemas: HashMap<String, HashMap<String, ProductId>>,
    contracts: HashMap<String, ProductId>,
}

impl Names {
    fn of(parsed: &Parsed) -> Self {
        let mut schemas: HashMap<String, HashMap<String, ProductId>> =
            parsed.domains.iter().map(|draft| (draft.domain.name.schema_name(), HashMap::new())).collect();
        let mut contracts = HashMap::new();
        for draft in &parsed.products {
            let product = &draft.product;
            let tables = schemas.entry(product.domain.schema_name()).or_default();
            tables.entry(product.table_name()).or_insert_with(|| product.id.clone());
            for id in &draft.contract_ids {
                contracts.entry(id.clone()).or_insert_with(|| product.id.clone());
            }
        }
        let domains = parsed.domains.iter().map(|draft| draft.domain.name.0.clone()).collect();
        Self { domains, schemas, contracts }
    }

    /// `<domain>.<product>` of a domain of this mesh must exist, as must a bare name with a domain of this mesh; any other
    /// text is a table outside, unless the contract insists.
    fn resolve(&self, reference: &Reference<'_>) -> Target {
        if let Some(id) = reference.contract_id.and_then(|id| self.contracts.get(id)) {
            return Target::Product(id.clone());
        }
        let text = reference.text;
        let (domain, product) = match (text.split_once('.'), reference.domain) {
            (Some((domain, product)), _) if self.schemas.contains_key(&sql_name(domain)) => (domain, product),
            (None, Some(domain)) if self.schemas.contains_key(&sql_name(domain)) => (domain, text),
            _ => {
                let known = self.schemas.values().flat_map(HashMap::values).map(|id| id.0.as_str());
                return if reference.must_exist {
                    Target::Missing {
                        message: format!("the mesh has no product `{text}`"),
                        suggestion: suggest(text, known).or_else(|| Some("write <domain>.<product>".to_owned())),
                    }
                } else {
                    Target::Outside
                };
            }
        };
        let tables = self.schemas.get(&sql_name(domain));
        if let Some(id) = tables.and_then(|tables| tables.get(&sql_name(product))) {
            return Target::Product(id.clone());
        }
        // a standard's input port may carry any name, also one with a dot in it
        if reference.contract_id.is_some() {
            return Target::Outside;
        }
        let known = tables.into_iter().flat_map(HashMap::values).map(|id| id.0.as_str());
        let wanted = format!("{domain}.{product}");
        Target::Missing {
            message: format!("the domain `{domain}` has no product `{product}`"),
            suggestion: suggest(&wanted, known),
        }
    }
}

impl Names {
    /// The product and its columns that a relationship refers to; or what is wrong with it, with a suggestion.
    fn referred(
        &self,
        written: &RelationshipDraft,
        own: &DomainName,
        known: &HashMap<ProductId, Vec<String>>,
    ) -> Result<(ProductId, Vec<String>), (String, Option<String>)> {
        if written.to.is_empty() || written.to.len() != written.columns.len() {
            let (from, to) = (written.columns.len(), written.to.len());
            return Err((format!("the relationship is from {from} columns to {to}"), None));
        }
        let (mut product, mut referenced) = (None, Vec::new());
        for to in &written.to {
            let Some((table, column)) = to.rsplit_once('.').filter(|_| !to.contains(['/', '#'])) else {
                let suggestion = Some("write <product>.<column>".to_owned());
                return Err((format!("the relationship's `{to}` is not followed"), suggestion));
            };
            let found = self.table(table, own).ok_or_else(|| {
                let tables = self.schemas.values().flat_map(HashMap::values).map(|id| id.0.as_str());
                (format!("the relationship refers to `{table}`, which the mesh does not know"), suggest(table, tables))
            })?;
            if product.as_ref().is_some_and(|before| *before != found) {
                return Err(("the relationship refers to several products".to_owned(), None));
            }
            let columns = known.get(&found).map(Vec::as_slice).unwrap_or_default();
            if !columns.is_empty() && !columns.iter().any(|known| known == column) {
                let suggestion = suggest(column, columns.iter().map(String::as_str));
                return Err((format!("the relationship refers to `{to}`, and {found} has no such column"), suggestion));
            }
            product = Some(found);
            referenced.push(column.to_owned());
        }
        let product = product.ok_or_else(|| ("the relationship refers to nothing".to_owned(), None))?;
        Ok((product, referenced))
    }

    /// A bare name is a product of the same domain, or a contract's id.
    fn table(&self, name: &str, own: &DomainName) -> Option<ProductId> {
        let in_domain = |domain: &str, table: &str| self.schemas.get(&sql_name(domain))?.get(&sql_name(table));
        let found = match name.split_once('.') {
            Some((domain, table)) => in_domain(domain, table),
            None => in_domain(own.as_str(), name).or_else(|| self.contracts.get(name)),
        };
        found.cloned()
    }
}

/// Products that are made from themselves. Every cycle is named once, at the input that closes it, and none of its products
/// is served.
fn cycles(drafts: &mut [Draft], problems: &mut Vec<Problem>) {
    let index: HashMap<ProductId, usize> =
        drafts.iter().enumerate().rev().map(|(index, draft)| (draft.product.id.clone(), index)).collect();
    let edges: Vec<Vec<(usize, usize)>> = drafts
        .iter()
        .map(|draft| {
            let inputs = draft.product.inputs.iter().enumerate();
            inputs.filter_map(|(port, input)| Some((*index.get(input.product.as_ref()?)?, port))).collect()
        })
        .collect();
    let mut seen: BTreeSet<Vec<usize>> = BTreeSet::new();
    for (cycle, closing_port) in find_cycles(&edges) {
        let mut key = cycle.clone();
        key.sort_unstable();
        if !seen.insert(key) {
            continue;
        }
        let names: Vec<&str> =
            cycle.iter().chain(cycle.first()).map(|member| drafts[*member].product.id.0.as_str()).collect();
        let Some(last) = cycle.last().map(|last| &drafts[*last]) else { continue };
        let Some(place) = last.inputs_at.get(closing_port) else { continue };
        let message = format!("cyclic inputs: {}", names.join(" <- "));
        problems.push(place.at.problem(ProblemSeverity::Error, message, None));
        for member in cycle {
            drafts[member].failed = true;
        }
    }
}

/// One cycle for every edge that leads back while walking depth first: each comes with the port that closes it. Iterative,
/// because 10,000 products may stand in one line.
fn find_cycles(edges: &[Vec<(usize, usize)>]) -> Vec<(Vec<usize>, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            let Some(&(target, port)) = edges[node].get(*next) else {
                state[node] = State::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match state[target] {
                State::New => {
                    state[target] = State::Open;
                    path.push((target, 0));
                }
                State::Open => {
                    let members = path.iter().map(|(member, _)| *member).skip_while(|member| *member != target);
                    found.push((members.collect(), port));
                }
                State::Done => {}
            }
        }
    }
    found
}

/// Names in policies that the mesh does not know: odd, for they never match, and perhaps a typing mistake.
fn policies(parsed: &Parsed, problems: &mut Vec<Problem>) {
    let domains: BTreeSet<&str> = parsed.domains.iter().map(|draft| draft.domain.name.as_str()).collect();
    let products: BTreeSet<&str> =
        parsed.products.iter().flat_map(|draft| [draft.product.name.as_str(), draft.product.id.0.as_str()]).collect();
    let users: BTreeSet<&str> = parsed.users.keys().map(String::as_str).collect();
    let of_users = parsed.users.values().flat_map(|user| user.groups.iter());
    let groups: BTreeSet<&str> = parsed.groups.iter().chain(of_users).map(String::as_str).collect();
    let mut policy_names = HashSet::new();
    for PolicyDraft { policy, mentions } in &parsed.policies {
        if !policy_names.insert(&policy.name) {
            problems.push(Problem {
                severity: ProblemSeverity::Warning,
                path: policy.path.clone(),
                line: 0,
                column: 0,
                message: format!("another policy is also called `{}`", policy.name),
                suggestion: None,
            });
        }
        for mention in mentions {
            let (what, known) = match &mention.attribute {
                Attribute::ResourceDomain => ("domain", &domains),
                Attribute::ResourceProduct => ("product", &products),
                Attribute::PrincipalGroup => ("group", &groups),
                Attribute::PrincipalName => ("user", &users),
                Attribute::ResourceClassification | Attribute::ResourceTag | Attribute::PrincipalAttribute(_) => {
                    continue;
                }
            };
            if mention.value.contains('*') || known.contains(mention.value.as_str()) {
                continue;
            }
            let suggestion = suggest(&mention.value, known.iter().copied());
            let message = format!("the {what} `{}` is unknown", mention.value);
            problems.push(mention.at.problem(ProblemSeverity::Warning, message, suggestion));
        }
    }
}
