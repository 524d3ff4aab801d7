//! Bitol ODCS 3.0 to 3.2: `DataContract`. Keys follow the standard's JSON schema; what has no place in the model is
//! checked for its key and otherwise left to those who read the contract.

use crate::catalog::model::{
    Attribute, CheckKind, CheckSeverity, Column, Condition, DecisionRule, Dialect, Effect, Mode, OutputPort, Policy,
    PolicyScope, QualityCheck, SourcePlace, Test,
};
use crate::catalog::units::parse_duration;
use crate::catalog::yaml::{Field, Map, Place, Text};

use super::draft::{Claim, Context, Draft, RelationshipDraft, blank, name};
use super::founding::share;
use super::governance::{self, Properties};
use super::location;
use super::{Mention, PolicyDraft};

pub const KEYS: &[&str] = &[
    "version",
    "kind",
    "apiVersion",
    "id",
    "name",
    "tenant",
    "tags",
    "status",
    "servers",
    "dataProduct",
    "description",
    "domain",
    "context",
    "schema",
    "support",
    "price",
    "team",
    "roles",
    "slaDefaultElement",
    "slaProperties",
    "authoritativeDefinitions",
    "customProperties",
    "contractCreatedTs",
];
pub const DESCRIPTION_KEYS: &[&str] =
    &["usage", "purpose", "limitations", "authoritativeDefinitions", "customProperties"];
const OBJECT_KEYS: &[&str] = &[
    "id",
    "name",
    "physicalType",
    "description",
    "businessName",
    "deprecated",
    "synonyms",
    "authoritativeDefinitions",
    "tags",
    "customProperties",
    "logicalType",
    "physicalName",
    "dataGranularityDescription",
    "properties",
    "relationships",
    "quality",
    "context",
];
const PROPERTY_KEYS: &[&str] = &[
    "id",
    "name",
    "physicalType",
    "description",
    "businessName",
    "deprecated",
    "synonyms",
    "authoritativeDefinitions",
    "tags",
    "customProperties",
    "primaryKey",
    "primaryKeyPosition",
    "logicalType",
    "logicalTypeOptions",
    "physicalName",
    "required",
    "unique",
    "semanticType",
    "partitioned",
    "partitionKeyPosition",
    "classification",
    "encryptedName",
    "transformSourceObjects",
    "transformLogic",
    "transformDescription",
    "examples",
    "enum",
    "criticalDataElement",
    "relationships",
    "quality",
    "properties",
    "items",
    "map",
];
const RELATIONSHIP_KEYS: &[&str] = &["id", "type", "from", "to", "customProperties"];
const LOGICAL_TYPES: &[(&str, ())] = &[
    ("string", ()),
    ("date", ()),
    ("timestamp", ()),
    ("time", ()),
    ("number", ()),
    ("integer", ()),
    ("object", ()),
    ("array", ()),
    ("boolean", ()),
    ("map", ()),
    ("vector", ()),
];
const QUALITY_KEYS: &[&str] = &[
    "id",
    "authoritativeDefinitions",
    "businessImpact",
    "customProperties",
    "description",
    "dimension",
    "method",
    "name",
    "schedule",
    "scheduler",
    "severity",
    "tags",
    "type",
    "unit",
    "metric",
    "rule",
    "arguments",
    "query",
    "engine",
    "implementation",
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
    "validValues",
];
const ROLE_KEYS: &[&str] =
    &["id", "role", "description", "access", "firstLevelApprovers", "secondLevelApprovers", "customProperties"];
const TEAM_KEYS: &[&str] =
    &["id", "name", "description", "members", "tags", "customProperties", "authoritativeDefinitions"];
const MEMBER_KEYS: &[&str] = &[
    "id",
    "username",
    "name",
    "description",
    "role",
    "dateIn",
    "dateOut",
    "replacedByUsername",
    "tags",
    "customProperties",
    "authoritativeDefinitions",
];
const SLA_KEYS: &[&str] = &[
    "id",
    "property",
    "value",
    "valueExt",
    "unit",
    "element",
    "driver",
    "description",
    "scheduler",
    "schedule",
    "customProperties",
    "authoritativeDefinitions",
];
/// The keys of all server types together: which of them a type needs is the business of who opens it.
const SERVER_KEYS: &[&str] = &[
    "id",
    "server",
    "type",
    "description",
    "environment",
    "roles",
    "customProperties",
    "location",
    "path",
    "format",
    "encoding",
    "delimiter",
    "endpointUrl",
    "host",
    "port",
    "database",
    "schema",
    "catalog",
    "project",
    "dataset",
    "account",
    "warehouse",
    "stagingDir",
    "region",
    "regionName",
    "workgroup",
    "serviceName",
    "service",
    "topic",
    "stream",
];

/// Reads a contract. `None`: nothing in it can serve as a name.
pub fn contract(map: &Map<'_>, context: &Context<'_>) -> Option<Draft> {
    map.required("version");
    let id = map.required("id").and_then(|field| field.scalar());
    let objects = map.list("schema");
    let (product_name, domain) = (contract_name(map, &objects, id.as_ref()), domain(map, context));
    let (product_name, domain) = (product_name?, domain?);
    let mut draft = blank(Dialect::Odcs, &product_name, &domain, map, context);
    draft.contract_ids.extend(id.map(|id| id.text));
    fundamentals(map, &mut draft);
    let mut objects = objects.into_iter();
    if let Some(object) = objects.next() {
        schema_object(object, &mut draft);
    }
    for object in objects {
        object.warn("a product is one table: this and further schema objects are not served");
        schema_object(object, &mut blank(Dialect::Odcs, &product_name, &domain, map, context));
    }
    sla(map, &mut draft);
    draft.product.outputs =
        map.list("servers").into_iter().filter_map(|server| self::server(server, context)).collect();
    let properties = Properties::of_product(map);
    let (read, claims) = governance::from_properties(&properties, &context.defaults);
    draft.governs = properties.governs();
    draft.product.classification = properties.classification();
    draft.product.governance = read;
    draft.claims.extend(claims);
    roles(map, &mut draft);
    draft.failed = map.findings().errors() > 0;
    Some(draft)
}

/// `name`, or what an older contract has instead.
fn contract_name(map: &Map<'_>, objects: &[Field<'_>], id: Option<&Text>) -> Option<Text> {
    if let Some(field) = map.get("name").or_else(|| map.get("dataProduct")) {
        return name(field);
    }
    let object = objects.first().filter(|object| object.is_map()).and_then(Field::open_map);
    if let Some(field) = object.and_then(|object| object.get("name")) {
        return name(field);
    }
    if id.is_some() {
        return map.get("id").and_then(name);
    }
    None
}

/// `domain`, or the domain in whose folder the contract lies.
pub fn domain(map: &Map<'_>, context: &Context<'_>) -> Option<Text> {
    match map.get("domain") {
        Some(field) => name(field),
        None => Some(Text { text: context.domain.name.0.clone(), mark: map.mark() }),
    }
}

/// What ODCS and ODPS have in common at the first level.
pub fn fundamentals(map: &Map<'_>, draft: &mut Draft) {
    let product = &mut draft.product;
    product.version = map.scalar("version");
    product.tags = map.texts("tags");
    if let Some(status) = map.text("status") {
        product.status = status;
    }
    if let Some(description) = map.get("description").and_then(|field| field.map(DESCRIPTION_KEYS)) {
        product.description = description.text("purpose").or_else(|| description.text("usage"));
    }
    if let Some(team) = map.get("team")
        && let Some(owner) = owner(team)
    {
        product.owner = owner;
    }
}

/// The member with the role owner; else the team's name. ODCS 3.0 and ODPS write a list, ODCS 3.1 a mapping.
fn owner(team: Field<'_>) -> Option<String> {
    let (members, team_name) = if team.is_list() {
        (team.list(), None)
    } else {
        let map = team.map(TEAM_KEYS)?;
        (map.list("members"), map.text("name"))
    };
    let mut owner = None;
    for member in members {
        let Some(map) = member.map(MEMBER_KEYS) else { continue };
        let who = map.text("username").or_else(|| map.text("name"));
        let role = map.text("role").unwrap_or_default().to_lowercase();
        let left = map.get("dateOut").is_some();
        if owner.is_none()
            && !left
            && matches!(role.as_str(), "owner" | "data owner" | "product owner" | "data product owner")
        {
            owner = who;
        }
    }
    owner.or(team_name)
}

fn schema_object(field: Field<'_>, draft: &mut Draft) {
    let Some(map) = field.map(OBJECT_KEYS) else { return };
    map.required("name");
    if draft.product.description.is_none() {
        draft.product.description = map.text("description");
    }
    draft.product.tags.extend(map.texts("tags"));
    for property in map.list("properties") {
        if let Some(column) = column(property, draft) {
            draft.columns_at.push(property.findings().place(property.mark()));
            draft.product.columns.push(column);
        }
    }
    for rule in map.list("quality") {
        quality(rule, None, draft);
    }
    for field in map.list("relationships") {
        relationship(field, None, draft);
    }
}

/// A foreign key, of a property or of the whole table, which then says which columns refer (ODCS 3.1, "Relationships").
fn relationship(field: Field<'_>, column: Option<&str>, draft: &mut Draft) {
    let Some(map) = field.map(RELATIONSHIP_KEYS) else { return };
    if let Some(kind) = map.get("type") {
        kind.choice(&[("foreignKey", ())]);
    }
    let texts = |key: &str| map.required(key).map(|field| field.text_or_texts()).unwrap_or_default();
    let place = |text: &Text| map.findings().place(text.mark);
    let columns = match column {
        Some(column) => vec![column.to_owned()],
        None => texts("from")
            .into_iter()
            .map(|text| {
                // `<table>.<column>` of this very table
                let column = text.text.rsplit('.').next().unwrap_or_default().to_owned();
                draft.claims.push(Claim { column: column.clone(), who: "relationship", at: place(&text) });
                column
            })
            .collect(),
    };
    let to: Vec<String> = texts("to").into_iter().map(|text| text.text).collect();
    draft.relationships.push(RelationshipDraft { columns, to, at: map.findings().place(map.mark()) });
}

fn column(field: Field<'_>, draft: &mut Draft) -> Option<Column> {
    let map = field.map(PROPERTY_KEYS)?;
    let logical_name = map.required("name").and_then(|field| field.text())?;
    let physical_name = map.get("physicalName").and_then(|field| field.text());
    let mut synonyms: Vec<String> = map
        .list("synonyms")
        .iter()
        .filter_map(|item| {
            // 3.2 has objects; plain texts are what people write
            if !item.is_map() {
                return item.text().map(|text| text.text);
            }
            item.map(&["id", "synonym", "description", "locale", "source", "status", "customProperties"])?
                .required("synonym")?
                .text()
                .map(|text| text.text)
        })
        .collect();
    let column_name = match physical_name {
        Some(physical) if physical.text != logical_name.text => {
            synonyms.push(logical_name.text);
            physical.text
        }
        _ => logical_name.text,
    };
    if let Some(logical) = map.get("logicalType") {
        logical.choice(LOGICAL_TYPES);
    }
    for key in ["properties", "items", "map"] {
        nested(&map, key);
    }
    for rule in map.list("quality") {
        quality(rule, Some(&column_name), draft);
    }
    for field in map.list("relationships") {
        relationship(field, Some(&column_name), draft);
    }
    let properties = Properties::read(&map, &["pgmesh.pii"]);
    let tags = map.texts("tags");
    let pii = properties.get("pgmesh.pii").or_else(|| properties.get("pii")).and_then(|field| field.flag());
    Some(Column {
        name: column_name,
        logical_type: map.text("logicalType"),
        physical_type: map.text("physicalType"),
        required: map.flag("required"),
        primary_key: map.flag("primaryKey"),
        unique: map.flag("unique"),
        description: map.text("description"),
        business_name: map.text("businessName"),
        synonyms,
        pii: pii.unwrap_or_else(|| tags.iter().any(|tag| tag.eq_ignore_ascii_case("pii"))),
        classification: map.text("classification"),
        place: map.findings().place(map.mark()).into(),
    })
}

/// Checks the keys of nested properties; the model knows columns only. Depth is bounded by the reader's.
fn nested(map: &Map<'_>, key: &str) {
    let Some(field) = map.get(key) else { return };
    let children = match key {
        "properties" => field.list(),
        "items" => vec![field],
        _ => field.map(&["key", "value"]).into_iter().flat_map(|map| map.fields()).collect(),
    };
    for child in children {
        if let Some(child) = child.map(PROPERTY_KEYS) {
            for key in ["properties", "items", "map"] {
                nested(&child, key);
            }
        }
    }
}

/// One quality rule, of a column or of the whole table.
fn quality(field: Field<'_>, column: Option<&str>, draft: &mut Draft) {
    let Some(map) = field.map(QUALITY_KEYS) else { return };
    let metric_field = map.get("metric").or_else(|| map.get("rule"));
    let metric = metric_field.and_then(|field| field.text());
    let types = [("library", "library"), ("sql", "sql"), ("text", "text"), ("custom", "custom")];
    let rule_type = map.get("type").and_then(|field| field.choice(&types)).unwrap_or("library");
    let kind = match (rule_type, &metric) {
        ("library", Some(metric)) => match metric.text.as_str() {
            "nullValues" | "missingValues" | "nullCheck" => CheckKind::Completeness,
            "duplicateValues" | "duplicateCount" | "uniqueCheck" => CheckKind::Uniqueness,
            other => CheckKind::Other(other.to_owned()),
        },
        ("library", None) => {
            map.required("metric");
            return;
        }
        (other, _) => CheckKind::Other(other.to_owned()),
    };
    let column = column.map(str::to_owned).or_else(|| argument_column(&map, draft));
    let threshold = match kind {
        CheckKind::Completeness | CheckKind::Uniqueness => threshold(&map),
        CheckKind::Other(_) => None,
    };
    let fallback = metric.map_or_else(|| rule_type.to_owned(), |metric| metric.text);
    draft.product.quality_checks.push(QualityCheck {
        name: map.text("name").unwrap_or(fallback),
        kind,
        column,
        threshold,
        severity: severity(&map),
    });
}

/// A table rule that is about columns names them in `arguments.properties`; one column can be checked.
fn argument_column(map: &Map<'_>, draft: &mut Draft) -> Option<String> {
    let field = map.get("arguments")?.open_map()?.get("properties")?;
    let texts = field.text_or_texts();
    draft.claims.extend(texts.iter().map(|text| Claim {
        column: text.text.clone(),
        who: "quality check",
        at: field.findings().place(text.mark),
    }));
    match texts.as_slice() {
        [one] => Some(one.text.clone()),
        _ => None,
    }
}

/// How many values may be bad, as the share that must be good. A number of rows other than none says no share.
fn threshold(map: &Map<'_>) -> Option<f64> {
    let keys = ["mustBe", "mustBeLessThan", "mustBeLessOrEqualTo"];
    let (key, field) = keys.iter().find_map(|key| map.get(key).map(|field| (*key, field)))?;
    let bad = field.number()?;
    let percent = map.text("unit").is_some_and(|unit| matches!(unit.as_str(), "percent" | "%"));
    if percent && (0.0..=100.0).contains(&bad) {
        return Some(1.0 - bad / 100.0);
    }
    if percent {
        field.error(format!("`{key}` must lie between 0 and 100 percent"));
        return None;
    }
    // fewer than one bad row is none
    if bad <= 0.0 || (key == "mustBeLessThan" && bad <= 1.0) {
        return Some(1.0);
    }
    let suggestion = Some("write `unit: percent`".to_owned());
    field.findings().warn(field.mark(), "a number of rows sets no threshold for the score", suggestion);
    None
}

fn severity(map: &Map<'_>) -> CheckSeverity {
    match map.text("severity").map(|word| word.to_lowercase()).as_deref() {
        Some("info") => CheckSeverity::Info,
        Some("warning" | "warn") => CheckSeverity::Warning,
        // the standard leaves the word open; what is unknown weighs most
        Some(_) | None => CheckSeverity::Error,
    }
}

fn sla(map: &Map<'_>, draft: &mut Draft) {
    let mut freshness = None;
    let mut latency = None;
    for item in map.list("slaProperties") {
        let Some(entry) = item.map(SLA_KEYS) else { continue };
        let property = entry.required("property").and_then(|field| field.text());
        let value = entry.required("value");
        let (Some(property), Some(value)) = (property, value) else { continue };
        match property.text.to_lowercase().as_str() {
            "freshness" | "fr" => freshness = sla_text(&entry, value),
            "latency" | "ly" => latency = sla_text(&entry, value),
            "availability" | "av" => draft.product.sla.availability = availability(&entry, value),
            "qualityscore" | "quality_score" => draft.product.sla.quality_score = share(value),
            // retention, frequency, dates of support: listed in the contract, not measured here
            _ => {}
        }
    }
    if let Some(text) = freshness.or(latency) {
        draft.product.sla.freshness_limit = parse_duration(&text.text);
        if draft.product.sla.freshness_limit.is_none() {
            let suggestion = Some("write a number with a unit such as `h` or `minutes`".to_owned());
            let message = format!("the freshness `{}` cannot be measured", text.text);
            map.findings().warn(text.mark, message, suggestion);
        }
        draft.product.sla.freshness = Some(text.text);
    }
}

/// `value: 1`, `unit: hour` → `1 hour`.
fn sla_text(entry: &Map<'_>, value: Field<'_>) -> Option<Text> {
    let text = value.scalar()?;
    Some(match entry.text("unit") {
        Some(unit) => Text { text: format!("{} {unit}", text.text), mark: text.mark },
        None => text,
    })
}

fn availability(entry: &Map<'_>, value: Field<'_>) -> Option<String> {
    let text = value.scalar()?.text;
    let percent = entry.text("unit").is_some_and(|unit| matches!(unit.as_str(), "percent" | "%"));
    Some(if percent && !text.ends_with('%') { format!("{text}%") } else { text })
}

/// A server is where the data lies: an output port.
fn server(field: Field<'_>, context: &Context<'_>) -> Option<OutputPort> {
    let map = field.map(SERVER_KEYS)?;
    let server_name = map.required("server").and_then(|field| field.text());
    let server_type = map.required("type").and_then(|field| field.text());
    for role in map.list("roles") {
        role.map(ROLE_KEYS);
    }
    let properties = Properties::read(&map, &["pgmesh.credentials"]);
    let credentials = properties.get("pgmesh.credentials").or_else(|| properties.get("credentials"));
    let credentials = credentials.and_then(|field| field.text()).map(|text| text.text);
    let format = map.text("format").map(|format| format.to_lowercase());
    let format = format.or_else(|| server_type.as_ref().map(|text| text.text.to_lowercase()))?;
    let place = map.get("location").or_else(|| map.get("path"));
    let (location, endpoint) = match place {
        Some(place) if format == "delta" => (location::location(place, context.base, credentials), None),
        Some(place) if matches!(format.as_str(), "api" | "rest") => (None, location::endpoint(place)),
        Some(place) => (location::any_location(place, context.base, credentials), None),
        None => {
            if format == "delta" {
                map.required("location");
            }
            (None, None)
        }
    };
    Some(OutputPort {
        name: server_name?.text,
        version: None,
        port_type: server_type.map(|text| text.text),
        contract_id: None,
        format,
        location,
        endpoint,
        place: map.findings().place(map.mark()).into(),
    })
}

/// A role whose access is reading permits the group of its name to discover and read the product.
fn roles(map: &Map<'_>, draft: &mut Draft) {
    for item in map.list("roles") {
        let Some(entry) = item.map(ROLE_KEYS) else { continue };
        let Some(role) = entry.required("role").and_then(|field| field.text()) else { continue };
        let access = entry.text("access").unwrap_or_default().to_lowercase();
        if !matches!(access.as_str(), "read" | "r" | "readonly" | "read-only" | "select") {
            let message = format!("the role `{}` grants nothing here: its access is not `read`", role.text);
            map.findings().warn(role.mark, message, None);
        } else if role.text.contains('*') {
            map.findings().error(role.mark, "a role names one group; `*` would open the product to everyone");
        } else {
            draft.readers.push((role.text, map.findings().place(role.mark)));
        }
    }
}

/// What the roles of a product's contract grant, as a policy of its domain.
pub fn role_policy(draft: &Draft) -> Option<PolicyDraft> {
    if draft.failed || draft.readers.is_empty() {
        return None;
    }
    let product = &draft.product;
    let policy = Policy {
        name: format!("{} roles", product.id),
        description: Some("roles of the data contract".to_owned()),
        scope: PolicyScope::Domain(product.domain.clone()),
        rules: Some(draft.readers.iter().map(|(group, _)| permit_group(draft, group.clone())).collect()),
        path: product.contract_path.clone(),
    };
    let mention = |(group, at): &(String, Place)| Mention {
        attribute: Attribute::PrincipalGroup,
        value: group.clone(),
        at: at.clone(),
    };
    Some(PolicyDraft { policy, mentions: draft.readers.iter().map(mention).collect() })
}

fn permit_group(draft: &Draft, group: String) -> DecisionRule {
    let condition = |attribute, value| Condition { attribute, test: Test::Includes, values: vec![value] };
    DecisionRule {
        effect: Effect::Permit,
        dnf: vec![vec![
            condition(Attribute::ResourceDomain, draft.product.domain.0.clone()),
            condition(Attribute::ResourceProduct, draft.product.name.clone()),
            condition(Attribute::PrincipalGroup, group),
        ]],
        discover: true,
        read: true,
        mode: Mode::Permissive,
        row_filter: None,
        masks: Vec::new(),
        place: SourcePlace::default(),
    }
}
