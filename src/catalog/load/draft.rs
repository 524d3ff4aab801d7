//! What the readers of single files hand to validation: the nouns of the mesh, each with the places it came from.
//!
//! It owns what all contract dialects share (which dialect a file is in, names, SQL expressions) and knows no dialect's keys.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::catalog::model::{
    AccessPolicy, Defaults, Dialect, Discoverable, Domain, DomainName, Gate, Governance, Mesh, Policy, Problem,
    Product, ProductId, Sla, SourcePlace, User, sql_name,
};
use crate::catalog::yaml::{Field, Map, Mark, Place, Text};

/// The longest name that SQL can say, in bytes (PostgreSQL's NAMEDATALEN less one).
pub const NAME_BYTES_MAX: usize = 63;

/// Everything that was read, before files are compared with each other.
#[derive(Default)]
pub struct Parsed {
    /// `None`: `mesh.yaml` is missing or broken.
    pub mesh: Option<Mesh>,
    pub domains: Vec<DomainDraft>,
    pub products: Vec<Draft>,
    pub policies: Vec<PolicyDraft>,
    pub users: BTreeMap<String, User>,
    /// Groups that `principals.yaml` declares.
    pub groups: Vec<String>,
    pub problems: Vec<Problem>,
}

/// A `domain.yaml`.
pub struct DomainDraft {
    pub domain: Domain,
    pub folder: String,
    pub name_at: Place,
    /// In the order of `member_groups`.
    pub groups_at: Vec<Place>,
    /// It has errors: neither the domain nor its products are served.
    pub failed: bool,
}

impl DomainDraft {
    pub fn broken(folder: &str, name_at: Place) -> Self {
        let domain = Domain {
            name: DomainName(folder.to_owned()),
            owner: String::new(),
            description: None,
            member_groups: Vec::new(),
        };
        Self { domain, folder: folder.to_owned(), name_at, groups_at: Vec::new(), failed: true }
    }
}

/// A policy with the names it mentions.
pub struct PolicyDraft {
    pub policy: Policy,
    pub mentions: Vec<super::Mention>,
}

/// A product as its contract says it.
pub struct Draft {
    pub product: Product,
    /// The contract has errors: the product is known, and not served.
    pub failed: bool,
    /// The domain in whose folder the contract lies.
    pub folder_domain: DomainName,
    pub name_at: Place,
    pub domain_at: Place,
    /// Names by which other contracts refer to this one: ODPS `id`, ODCS `id`.
    pub contract_ids: Vec<String>,
    /// In the order of `product.inputs`.
    pub inputs_at: Vec<InputPlace>,
    /// In the order of `product.columns`.
    pub columns_at: Vec<Place>,
    /// Columns that checks, masks and filters name, to be compared with the schema.
    pub claims: Vec<Claim>,
    /// References to columns of other products, as they are written.
    pub relationships: Vec<RelationshipDraft>,
    /// Groups that the contract's roles let read.
    pub readers: Vec<(String, Place)>,
    /// The contract says something of its own about governance.
    pub governs: bool,
}

pub struct InputPlace {
    pub at: Place,
    /// The contract says that this is a product of the mesh, so it must exist.
    pub must_exist: bool,
}

/// Columns, and the columns of another product that they refer to.
#[derive(Clone)]
pub struct RelationshipDraft {
    pub columns: Vec<String>,
    /// `<product>.<column>` or `<domain>.<product>.<column>`.
    pub to: Vec<String>,
    pub at: Place,
}

/// Somebody names a column.
#[derive(Clone)]
pub struct Claim {
    pub column: String,
    /// Who: `row_filter`, `mask`, …
    pub who: &'static str,
    pub at: Place,
}

/// What a contract's reader knows of its surroundings.
pub struct Context<'a> {
    pub defaults: Defaults,
    /// The folder that holds the catalog.
    pub base: &'a Path,
    /// The domain in whose folder the contract lies.
    pub domain: &'a Domain,
    pub sha256: &'a str,
}

/// The dialects by their readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Founding,
    Odps,
    Odcs,
}

/// Tells the dialect by `kind` and `apiVersion`, and checks the keys of the file's first level.
pub fn dialect(root: Field<'_>) -> Option<(Kind, Map<'_>)> {
    let open = root.open_map()?;
    let (kind, version) = (open.required("kind"), open.required("apiVersion"));
    let (kind, version) = (kind?.text()?, version?.text()?);
    let found = match (kind.text.as_str(), version.text.as_str()) {
        ("DataProduct", "datamesh.azure.com/v1") => Kind::Founding,
        ("DataProduct", v) if is_version(v, &["v1.0", "v1.1"]) => Kind::Odps,
        ("DataContract", v) if is_version(v, &["v3.0", "v3.1", "v3.2"]) => Kind::Odcs,
        (kind, v) => {
            let suggestion = match kind {
                "DataProduct" => "known for DataProduct: datamesh.azure.com/v1, v1.0.0".to_owned(),
                "DataContract" => "known for DataContract: v3.0.x, v3.1.x, v3.2.x".to_owned(),
                _ => "known kinds: DataProduct, DataContract".to_owned(),
            };
            let (mark, message) = if matches!(kind, "DataProduct" | "DataContract") {
                (version.mark, format!("unknown apiVersion `{v}`"))
            } else {
                let mark = open.get("kind").map_or(Mark::FILE, |field| field.mark());
                (mark, format!("unknown kind `{kind}`"))
            };
            root.findings().error_with(mark, message, Some(suggestion));
            return None;
        }
    };
    let keys = match found {
        Kind::Founding => super::founding::KEYS,
        Kind::Odps => super::odps::KEYS,
        Kind::Odcs => super::odcs::KEYS,
    };
    Some((found, root.map(keys)?))
}

/// `v3.1`, `v3.1.0`: one of the prefixes, then only digits and dots.
fn is_version(version: &str, known: &[&str]) -> bool {
    known.iter().any(|prefix| {
        version.strip_prefix(prefix).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('.').is_some_and(|patch| patch.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}

/// An empty product with a contract's defaults, to be filled by a dialect's reader.
pub fn blank(dialect: Dialect, name: &Text, domain: &Text, map: &Map<'_>, context: &Context<'_>) -> Draft {
    let findings = map.findings();
    let product = Product {
        id: ProductId(format!("{}.{}", domain.text, name.text)),
        name: name.text.clone(),
        domain: DomainName(domain.text.clone()),
        owner: context.domain.owner.clone(),
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
        governance: default_governance(&context.defaults),
        dialect,
        contract_path: findings.path().to_path_buf(),
        contract_sha256: context.sha256.to_owned(),
    };
    Draft {
        product,
        failed: false,
        folder_domain: context.domain.name.clone(),
        name_at: findings.place(name.mark),
        domain_at: findings.place(domain.mark),
        contract_ids: Vec::new(),
        inputs_at: Vec::new(),
        columns_at: Vec::new(),
        claims: Vec::new(),
        relationships: Vec::new(),
        readers: Vec::new(),
        governs: false,
    }
}

pub fn default_governance(defaults: &Defaults) -> Governance {
    Governance {
        discoverable: defaults.discoverable,
        access_policy: AccessPolicy::DomainInternal,
        row_domain_column: None,
        row_filter: None,
        masks: Vec::new(),
        gate: defaults.gate,
        retention: None,
        place: SourcePlace::default(),
    }
}

pub const DISCOVERABLE: &[(&str, Discoverable)] = &[("domain", Discoverable::Domain), ("mesh", Discoverable::Mesh)];
pub const GATE: &[(&str, Gate)] = &[("block", Gate::Block), ("warn", Gate::Warn), ("off", Gate::Off)];

/// A name of a domain or product: something that SQL, policies and messages can carry without surprises.
pub fn name(field: Field<'_>) -> Option<Text> {
    let text = field.text()?;
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    if !text.text.starts_with(char::is_alphanumeric) || !text.text.chars().all(allowed) {
        let message =
            format!("`{}` is no name: letters, digits, `-`, `_` and spaces, a letter or digit first", text.text);
        field.error(message);
        return None;
    }
    if sql_name(&text.text).len() > NAME_BYTES_MAX {
        field.error(format!("the name is longer than {NAME_BYTES_MAX} bytes"));
        return None;
    }
    Some(text)
}

/// The columns that a boolean SQL expression over a row names; an error where the text is no such expression.
pub fn expression_columns(text: &str) -> Result<Vec<String>, String> {
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).map_err(|error| error.to_string())?;
    let expression = parser.parse_expr().map_err(|error| error.to_string())?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(format!("sql parser error: expected the end, found {}", rest.token));
    }
    let mut columns = Columns::default();
    match expression.visit(&mut columns) {
        ControlFlow::Continue(()) => Ok(columns.found),
        ControlFlow::Break(refusal) => Err(refusal.to_owned()),
    }
}

#[derive(Default)]
struct Columns {
    found: Vec<String>,
}

impl Visitor for Columns {
    type Break = &'static str;

    fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<Self::Break> {
        ControlFlow::Break("a subquery is not allowed here")
    }

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<Self::Break> {
        match expression {
            ast::Expr::Identifier(ident) => self.found.push(column_name(ident)),
            ast::Expr::CompoundIdentifier(idents) => self.found.extend(idents.first().map(column_name)),
            ast::Expr::Wildcard(_) | ast::Expr::QualifiedWildcard(..) => {
                return ControlFlow::Break("`*` is not allowed here");
            }
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
                return ControlFlow::Break("a parameter is not allowed here");
            }
            // every other expression is visited through its parts
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// SQL folds names without quotes to lower case.
fn column_name(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_names_its_columns() {
        let columns = |text| expression_columns(text).unwrap();
        assert_eq!(columns("Region = principal_attribute('region')"), ["region"]);
        assert_eq!(columns("\"Region\" in ('EU', 'US') and address.city is not null"), ["Region", "address"]);
        assert_eq!(columns("current_user = 'x' or true"), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            "region =",
            "a = 1; select 1",
            "a = 1 b",
            "a in (select 1)",
            "exists (select 1)",
            "count(*) >",
            "$1 = a",
            "'x",
        ] {
            assert!(expression_columns(text).is_err(), "{text:?}");
        }
        assert!(expression_columns(&format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000))).is_err());
    }

    #[test]
    fn versions_are_matched_whole() {
        assert!(is_version("v3.1.0", &["v3.1"]) && is_version("v3.1", &["v3.1"]));
        for version in ["v3.10.0", "v3.1x", "v3", "3.1.0", "v3.1.0-preview"] {
            assert!(!is_version(version, &["v3.1"]), "{version}");
        }
    }
}
