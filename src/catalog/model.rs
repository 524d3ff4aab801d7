//! The nouns of the mesh as contracts and policies describe them: plain data, no I/O, no decisions.
//!
//! Everything here is immutable once a [`Snapshot`](super::snapshot::Snapshot) holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of a domain as its `domain.yaml` writes it, for example `customer-success`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(pub String);

impl DomainName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The schema that holds the domain's tables in SQL: `customer-success` becomes `customer_success`.
    #[must_use]
    pub fn schema_name(&self) -> String {
        sql_name(&self.0)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A contract's name as an unquoted SQL identifier: lower case, everything but letters, digits and `_` becomes `_`.
#[must_use]
pub fn sql_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// `<domain>.<product>`, unique in a mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductId(pub String);

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `mesh.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    /// Also the name of the database that clients connect to.
    pub name: String,
    pub description: Option<String>,
    pub defaults: Defaults,
}

/// What a contract leaves unsaid (`mesh.yaml`, `spec.defaults`).
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    pub discoverable: Discoverable,
    /// How old the Delta version that a statement reads may be; zero asks the log before every statement.
    pub max_staleness: Duration,
    pub gate: Gate,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { discoverable: Discoverable::Domain, max_staleness: Duration::from_secs(1), gate: Gate::Warn }
    }
}

/// Who may see a product's catalog row without a policy or a right to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discoverable {
    /// Members of the owning domain.
    Domain,
    /// Every authenticated principal.
    Mesh,
}

/// What an INVALID quality status does to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Block,
    Warn,
    Off,
}

/// Who may read a product without a grant or an explicit policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessPolicy {
    /// Members of the owning domain.
    DomainInternal,
    /// Every authenticated principal, within row filters and masks.
    MeshInternal,
    /// Nobody.
    Restricted,
}

/// `<domain>/domain.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    pub name: DomainName,
    pub owner: String,
    pub description: Option<String>,
    /// Principals in any of these groups are members.
    pub member_groups: Vec<String>,
}

/// A data product: the one model behind the three contract dialects.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    pub id: ProductId,
    /// As the contract writes it, for example `customer-360`.
    pub name: String,
    pub domain: DomainName,
    pub owner: String,
    pub description: Option<String>,
    pub version: Option<String>,
    /// ODPS/ODCS lifecycle: proposed, draft, active, deprecated, retired.
    pub status: String,
    pub classification: Option<String>,
    pub tags: Vec<String>,
    pub sla: Sla,
    /// In the contract's order.
    pub columns: Vec<Column>,
    /// In the contract's order.
    pub relationships: Vec<Relationship>,
    pub inputs: Vec<InputPort>,
    pub outputs: Vec<OutputPort>,
    pub quality_checks: Vec<QualityCheck>,
    pub governance: Governance,
    pub dialect: Dialect,
    /// Relative to the folder that holds `catalog/`.
    pub contract_path: PathBuf,
    /// Lower-case hexadecimal, of the contract file's bytes.
    pub contract_sha256: String,
}

impl Product {
    /// Schema and table name in SQL.
    #[must_use]
    pub fn table_name(&self) -> String {
        sql_name(&self.name)
    }

    /// The output port whose Delta table SQL reads: the first with format `delta`.
    #[must_use]
    pub fn delta_port(&self) -> Option<&OutputPort> {
        self.outputs.iter().find(|port| port.format == "delta" && port.location.is_some())
    }

    /// Whether the contract declares the column, or the column of which `name` is a part.
    #[must_use]
    pub fn declares(&self, name: &str) -> bool {
        let top_level = name.split('.').next().unwrap_or(name);
        self.columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name) || column.name.eq_ignore_ascii_case(top_level))
    }

    /// All classifications that the product carries: its own and those of its columns.
    pub fn classifications(&self) -> impl Iterator<Item = &str> {
        self.classification
            .as_deref()
            .into_iter()
            .chain(self.columns.iter().filter_map(|c| c.classification.as_deref()))
    }
}

/// The pair (`kind`, `apiVersion`) that a contract was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `DataProduct`, `datamesh.azure.com/v1`: the founding dialect.
    DataMeshV1,
    /// `DataProduct`, `v1.x`: Bitol ODPS (with its ODCS contracts).
    Odps,
    /// `DataContract`, `v3.x`: Bitol ODCS.
    Odcs,
}

/// Service levels as promised; measured values live elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sla {
    /// As the contract writes it, for example `1 hour`.
    pub freshness: Option<String>,
    /// The same, parsed.
    pub freshness_limit: Option<Duration>,
    /// As the contract writes it, for example `99.9%`.
    pub availability: Option<String>,
    /// In `[0, 1]`.
    pub quality_score: Option<f64>,
}

/// Where something is written in the catalog's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlace {
    /// Relative to the folder that holds `catalog/`.
    pub path: Arc<Path>,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    /// From 1, in characters; 0 where the whole line or file is meant.
    pub column: usize,
}

impl Default for SourcePlace {
    /// Nowhere: for what no file says.
    fn default() -> Self {
        Self { path: Arc::from(Path::new("")), line: 0, column: 0 }
    }
}

/// A column as the contract declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    /// ODCS logical type: string, integer, number, boolean, date, timestamp, time, array, object; or the founding
    /// dialect's type name.
    pub logical_type: Option<String>,
    /// Type in the store, for example `decimal(18,2)`.
    pub physical_type: Option<String>,
    pub required: bool,
    pub primary_key: bool,
    pub unique: bool,
    pub description: Option<String>,
    pub business_name: Option<String>,
    pub synonyms: Vec<String>,
    pub pii: bool,
    pub classification: Option<String>,
    pub place: SourcePlace,
}

/// Columns whose values are those of another product's, as the contract says (ODCS, `relationships` of type `foreignKey`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relationship {
    pub columns: Vec<String>,
    /// The product that is referred to; it need not be served.
    pub product: ProductId,
    /// As many as `columns`.
    pub referenced: Vec<String>,
}

/// Where a product's data comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct InputPort {
    pub name: String,
    pub version: Option<String>,
    pub contract_id: Option<String>,
    /// Founding dialect: `source`, for example `bronze.crm.customers`, or the id of a product.
    pub source: Option<String>,
    pub domain: Option<DomainName>,
    /// The product of this mesh that the port names, if it names one.
    pub product: Option<ProductId>,
}

/// Where a product's data lies.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputPort {
    pub name: String,
    pub version: Option<String>,
    /// ODPS `type`, for example `tables`.
    pub port_type: Option<String>,
    pub contract_id: Option<String>,
    /// Lower case: delta, rest, …
    pub format: String,
    pub location: Option<Location>,
    /// Founding dialect: `endpoint` of a REST port.
    pub endpoint: Option<String>,
    pub place: SourcePlace,
}

/// A place in a store. Equal locations share one open table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Absolute URL: `file:///…`, `s3://…`, `abfss://…`, `az://…`, `gs://…`.
    pub url: String,
    /// Name of the credentials that open it, never the secret itself; `None` uses the environment's own.
    pub credentials: Option<String>,
}

/// One data quality check of a contract.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityCheck {
    pub name: String,
    pub kind: CheckKind,
    /// `None`: the check is about the whole table.
    pub column: Option<String>,
    /// Score in `[0, 1]` that must be reached.
    pub threshold: Option<f64>,
    pub severity: CheckSeverity,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// Share of values that are not NULL (ODCS `nullValues`).
    Completeness,
    /// Share of distinct values (ODCS `duplicateValues`).
    Uniqueness,
    /// Anything else, kept with its own name: listed, and unevaluated until it can be run.
    Other(String),
}

impl CheckKind {
    /// The ODCS quality dimension that the check belongs to.
    #[must_use]
    pub fn dimension(&self) -> &'static str {
        match self {
            Self::Completeness => "completeness",
            Self::Uniqueness => "uniqueness",
            Self::Other(_) => "conformity",
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Completeness => "completeness",
            Self::Uniqueness => "uniqueness",
            Self::Other(name) => name,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckSeverity {
    Error,
    Warning,
    Info,
}

/// `spec.governance` of the founding dialect, and its equivalents.
#[derive(Clone, Debug, PartialEq)]
pub struct Governance {
    pub discoverable: Discoverable,
    pub access_policy: AccessPolicy,
    /// Rows are visible only where this column is a domain that the principal may read.
    pub row_domain_column: Option<String>,
    /// A boolean SQL expression over the row and the principal.
    pub row_filter: Option<String>,
    pub masks: Vec<Mask>,
    pub gate: Gate,
    pub retention: Option<String>,
    /// Where its row filters and masks are written.
    pub place: SourcePlace,
}

/// A column mask as a contract or a policy declares it. Whoever it binds sees the masked value wherever the column stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    pub column: String,
    pub using: MaskMethod,
    /// Principals in any of these groups see the value itself.
    pub unless_groups: Vec<String>,
}

/// How a value is masked. Every method keeps the column's type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaskMethod {
    /// A keyed hash, the same for equal values everywhere in the mesh: text, bytes and integers of 32 and 64 bits. NULL
    /// stays NULL.
    Hash,
    /// NULL, of any type.
    Null,
    /// One constant for every value, NULL included.
    Redact,
    /// Text: some characters at both ends, the middle as four asterisks whatever its length. A text that would be shown
    /// whole is not shown at all. NULL stays NULL.
    Partial { first: u8, last: u8 },
    /// A SQL expression over the row and the principal, of the same list as row filters with some functions over text.
    Expression(String),
}

impl MaskMethod {
    /// What `using: partial` shows where it says nothing else.
    pub const PARTIAL: Self = Self::Partial { first: 1, last: 0 };

    /// The word that contracts use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Null => "null",
            Self::Redact => "redact",
            Self::Partial { .. } => "partial",
            Self::Expression(_) => "expression",
        }
    }
}

/// A policy file, or a policy inside a `domain.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub name: String,
    pub description: Option<String>,
    pub scope: PolicyScope,
    /// `None`: the file could not be understood, so nothing in its scope can be decided and all of it is denied.
    pub rules: Option<Vec<DecisionRule>>,
    pub path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyScope {
    Mesh,
    /// The policy speaks about this domain's products only, whatever its conditions say.
    Domain(DomainName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Permit,
    Deny,
}

/// One rule of a policy (the founding, Purview form).
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRule {
    pub effect: Effect,
    /// An OR of ANDs. An empty AND holds always; an empty OR holds never.
    pub dnf: Vec<Vec<Condition>>,
    pub discover: bool,
    pub read: bool,
    pub mode: Mode,
    pub row_filter: Option<String>,
    pub masks: Vec<Mask>,
    pub place: SourcePlace,
}

/// How the filters and masks of a Permit combine with those of others (PostgreSQL 15, CREATE POLICY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One of the permissive rules must admit a row.
    #[default]
    Permissive,
    /// Opens nothing: where it applies, its filter must admit a row as well, and its masks bind.
    Restrictive,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub attribute: Attribute,
    pub test: Test,
    /// Patterns; `*` stands for any run of characters.
    pub values: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    ResourceDomain,
    ResourceProduct,
    ResourceClassification,
    ResourceTag,
    PrincipalName,
    PrincipalGroup,
    PrincipalAttribute(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// One of the attribute's values is the given value (`attributeValueIncludes`).
    Includes,
    /// One of the attribute's values is among the given values (`attributeValueIncludedIn`).
    IncludedIn,
    /// None of the attribute's values is among the given values (`attributeValueExcludes`).
    Excludes,
}

/// A user of `principals.yaml`.
#[derive(Clone, PartialEq)]
pub struct User {
    pub name: String,
    pub scram: Option<ScramVerifier>,
    pub groups: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    pub roles: Vec<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    MeshAdmin,
    Auditor,
    /// May read everything in an emergency, once the session says why, and is recorded at every step.
    BreakGlass,
}

impl Role {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MeshAdmin => "mesh_admin",
            Self::Auditor => "auditor",
            Self::BreakGlass => "break_glass",
        }
    }
}

/// A SCRAM-SHA-256 verifier in PostgreSQL's form (`pg_authid.rolpassword`).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    pub iterations: u32,
    pub salt: Vec<u8>,
    /// 32 bytes.
    pub stored_key: Vec<u8>,
    /// 32 bytes.
    pub server_key: Vec<u8>,
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(…)")
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("groups", &self.groups).finish_non_exhaustive()
    }
}

/// Everything that one load of the catalog folder yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    pub mesh: Mesh,
    /// By name.
    pub domains: BTreeMap<DomainName, Domain>,
    /// By id.
    pub products: BTreeMap<ProductId, Product>,
    /// Mesh policies first, then those of domains, in the order of their files.
    pub policies: Vec<Policy>,
    /// By name.
    pub users: BTreeMap<String, User>,
    /// Those that `principals.yaml` declares and those that its users are in.
    pub groups: BTreeSet<String>,
}

/// How much a [`Problem`] weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemSeverity {
    Warning,
    Error,
}

/// Something that validation found, with the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: ProblemSeverity,
    /// Relative to the folder that holds `catalog/`.
    pub path: PathBuf,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    /// From 1, in characters; 0 where the whole line or file is meant.
    pub column: usize,
    pub message: String,
    /// What to write instead, where that can be guessed.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            ProblemSeverity::Warning => "warning",
            ProblemSeverity::Error => "error",
        };
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column.max(1))?;
        }
        write!(f, ": {severity}: {}", self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " ({suggestion})")?;
        }
        Ok(())
    }
}
