//! What contracts of all dialects can say about governance: the same words, under the founding dialect's keys or as
//! `pgmesh.…` custom properties of the Bitol standards. It reads, and decides nothing.

use crate::catalog::model::{AccessPolicy, Defaults, Governance, Mask, MaskMethod};
use crate::catalog::yaml::{Field, Findings, Map, Text};

use super::draft::{Claim, DISCOVERABLE, GATE, default_governance, expression_columns};

const ACCESS: &[(&str, AccessPolicy)] = &[
    ("domain-internal", AccessPolicy::DomainInternal),
    ("mesh-internal", AccessPolicy::MeshInternal),
    ("restricted", AccessPolicy::Restricted),
];

const METHODS: &[(&str, MaskMethod)] = &[
    ("hash", MaskMethod::Hash),
    ("null", MaskMethod::Null),
    ("redact", MaskMethod::Redact),
    ("partial", MaskMethod::PARTIAL),
];

const MASK_KEYS: &[&str] =
    &["column", "using", "expression", "show_first", "show_last", "unless_groups", "unlessGroups"];

/// The most characters that `using: partial` may show at each end.
const PARTIAL_SHOWN_MAX: u8 = 16;

/// The prefix of our own custom properties in ODPS and ODCS files.
const PREFIX: &str = "pgmesh.";

/// Our custom properties on a product or contract.
const PROPERTIES: [&str; 8] = [
    "pgmesh.rowFilter",
    "pgmesh.accessPolicy",
    "pgmesh.discoverable",
    "pgmesh.rowDomainColumn",
    "pgmesh.gate",
    "pgmesh.masks",
    "pgmesh.retention",
    CLASSIFICATION,
];

/// The product's classification, for which the standards have no key at this level.
const CLASSIFICATION: &str = "pgmesh.classification";

/// `spec.governance` of the founding dialect.
pub fn from_map(map: &Map<'_>, defaults: &Defaults) -> (Governance, Vec<Claim>) {
    read(|key| map.get_filled(key), defaults)
}

/// `customProperties` of a Bitol file: `pgmesh.rowFilter` is `row_filter`, and so on.
pub fn from_properties(properties: &Properties<'_>, defaults: &Defaults) -> (Governance, Vec<Claim>) {
    read(|key| properties.get(&format!("{PREFIX}{}", camel_case(key))), defaults)
}

fn read<'a>(get: impl Fn(&str) -> Option<Field<'a>>, defaults: &Defaults) -> (Governance, Vec<Claim>) {
    let mut claims = Vec::new();
    let mut governance = default_governance(defaults);
    if let Some(value) = get("discoverable").and_then(|field| field.choice(DISCOVERABLE)) {
        governance.discoverable = value;
    }
    if let Some(value) = get("access_policy").and_then(|field| field.choice(ACCESS)) {
        governance.access_policy = value;
    }
    if let Some(value) = get("gate").and_then(|field| field.choice(GATE)) {
        governance.gate = value;
    }
    governance.retention = get("retention").and_then(|field| field.text()).map(|text| text.text);
    // Its expressions are told of at the first of them that is there.
    if let Some(first) = ["row_filter", "masks", "row_domain_column"].iter().find_map(|key| get(key)) {
        governance.place = first.findings().place(first.mark()).into();
    }
    if let Some((field, text)) = get("row_domain_column").and_then(|field| Some((field, field.text()?))) {
        claims.push(claim(field.findings(), &text, "row_domain_column"));
        governance.row_domain_column = Some(text.text);
    }
    if let Some(field) = get("row_filter")
        && let Some((text, columns)) = row_filter(field)
    {
        let at = field.findings().place(field.mark());
        claims.extend(columns.into_iter().map(|column| Claim { column, who: "row_filter", at: at.clone() }));
        governance.row_filter = Some(text);
    }
    if let Some(field) = get("masks") {
        let (masks, named) = masks(field);
        governance.masks = masks;
        claims.extend(named);
    }
    (governance, claims)
}

/// A SQL expression with the columns that it names.
pub fn row_filter(field: Field<'_>) -> Option<(String, Vec<String>)> {
    let text = field.text()?;
    match expression_columns(&text.text) {
        Ok(columns) => Some((text.text, columns)),
        Err(message) => {
            field.error(format!("`{}` is no SQL expression: {message}", field.name()));
            None
        }
    }
}

/// A list of `{column, using, unless_groups}`; `expression` in place of `using` computes the masked value, and
/// `show_first` and `show_last` say how much `partial` shows.
pub fn masks(field: Field<'_>) -> (Vec<Mask>, Vec<Claim>) {
    let mut masks = Vec::new();
    let mut claims = Vec::new();
    for item in field.list() {
        let Some(map) = item.map(MASK_KEYS) else { continue };
        let column = map.required("column").and_then(|field| field.text());
        let using = method(&map, &mut claims);
        let mut unless_groups = map.texts("unless_groups");
        unless_groups.extend(map.texts("unlessGroups"));
        if let (Some(column), Some(using)) = (column, using) {
            claims.push(claim(field.findings(), &column, "mask"));
            masks.push(Mask { column: column.text, using, unless_groups });
        }
    }
    (masks, claims)
}

fn method(map: &Map<'_>, claims: &mut Vec<Claim>) -> Option<MaskMethod> {
    let shown = ["show_first", "show_last"].map(|key| map.get_filled(key));
    let using = if let Some(field) = map.get_filled("expression") {
        if let Some(using) = map.get_filled("using") {
            using.error("a mask has either `using` or `expression`");
        }
        let (text, columns) = row_filter(field)?;
        let at = field.findings().place(field.mark());
        claims.extend(columns.into_iter().map(|column| Claim { column, who: "mask", at: at.clone() }));
        MaskMethod::Expression(text)
    } else {
        // `using: null` means the method of that name, although YAML reads the bare word as nothing.
        map.get_or_null("using").or_else(|| map.required("using"))?.choice(METHODS)?
    };
    let MaskMethod::Partial { first, last } = using else {
        shown.into_iter().flatten().for_each(|field| field.error("only `using: partial` shows a part"));
        return Some(using);
    };
    let [first, last] = [(0, first), (1, last)].map(|(which, default)| {
        let Some(field) = shown.get(which).copied().flatten() else { return Some(default) };
        let count = field.scalar()?.text.parse().ok().filter(|count| *count <= PARTIAL_SHOWN_MAX);
        if count.is_none() {
            field.error(format!("`{}` is a number from 0 to {PARTIAL_SHOWN_MAX}", field.name()));
        }
        count
    });
    Some(MaskMethod::Partial { first: first?, last: last? })
}

fn claim(findings: &Findings, column: &Text, who: &'static str) -> Claim {
    Claim { column: column.text.clone(), who, at: findings.place(column.mark) }
}

/// `row_filter` → `rowFilter`.
fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut text, word| {
        let mut chars = word.chars();
        text.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        text.push_str(chars.as_str());
        text
    })
}

/// A list of `{property, value}`, as the Bitol standards extend themselves.
#[derive(Default)]
pub struct Properties<'a> {
    values: Vec<(String, Field<'a>)>,
}

impl<'a> Properties<'a> {
    /// Reads `customProperties`; `own` are the `pgmesh.…` names that are known here, others of that prefix are errors.
    pub fn read(map: &Map<'a>, own: &[&str]) -> Self {
        let mut values: Vec<(String, Field<'a>)> = Vec::new();
        for item in map.list("customProperties") {
            let Some(entry) = item.map(&["id", "property", "value", "description", "vendor"]) else { continue };
            let Some(property) = entry.required("property").and_then(|field| field.text()) else { continue };
            if property.text.starts_with(PREFIX) && !own.contains(&property.text.as_str()) {
                let suggestion = crate::catalog::yaml::suggest(&property.text, own.iter().copied())
                    .or_else(|| (!own.is_empty()).then(|| format!("known: {}", own.join(", "))));
                let message = format!("unknown custom property `{}`", property.text);
                item.findings().error_with(property.mark, message, suggestion);
                continue;
            }
            if values.iter().any(|(name, _)| *name == property.text) {
                item.findings().error(property.mark, format!("duplicate custom property `{}`", property.text));
                continue;
            }
            let value = if property.text.starts_with(PREFIX) { entry.required("value") } else { entry.get("value") };
            if let Some(value) = value {
                values.push((property.text, value));
            }
        }
        Self { values }
    }

    /// The properties of a product or contract.
    pub fn of_product(map: &Map<'a>) -> Self {
        Self::read(map, &PROPERTIES)
    }

    pub fn get(&self, name: &str) -> Option<Field<'a>> {
        self.values.iter().find(|(property, _)| property == name).map(|(_, field)| *field)
    }

    pub fn classification(&self) -> Option<String> {
        self.get(CLASSIFICATION)?.text().map(|text| text.text)
    }

    /// Whether any of our own governance properties is set.
    pub fn governs(&self) -> bool {
        self.values.iter().any(|(property, _)| property.starts_with(PREFIX) && property != CLASSIFICATION)
    }
}
