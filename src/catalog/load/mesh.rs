//! `mesh.yaml` and `domain.yaml`: what the mesh is called and who its domains belong to.

use crate::catalog::model::{Defaults, Domain, DomainName, Mesh, PolicyScope};
use crate::catalog::units::parse_duration;
use crate::catalog::yaml::{Field, Map};

use super::draft::{self, DISCOVERABLE, GATE, NAME_BYTES_MAX};
use super::{DomainDraft, PolicyDraft, default_mesh, policy};

/// The version of our own file forms.
const API_VERSION: &str = "pgmesh/v1";

/// Reads `mesh.yaml`; what is wrong in it falls back to a default.
pub fn mesh(root: Field<'_>) -> Option<Mesh> {
    let mut mesh = default_mesh();
    let map = root.map(&["apiVersion", "kind", "metadata", "spec"])?;
    header(&map, "Mesh");
    if let Some(metadata) = map.required("metadata").and_then(|field| field.map(&["name", "description"])) {
        if let Some(field) = metadata.required("name")
            && let Some(name) = field.text()
        {
            if name.text.len() > NAME_BYTES_MAX || name.text.contains(char::is_control) {
                field.error(format!("a database name has at most {NAME_BYTES_MAX} bytes and no control characters"));
            } else {
                mesh.name = name.text;
            }
        }
        mesh.description = metadata.text("description");
    }
    if let Some(spec) = map.get("spec").and_then(|field| field.map(&["description", "defaults", "price_list"])) {
        mesh.description = spec.text("description").or(mesh.description);
        if let Some(defaults) = spec.get("defaults") {
            mesh.defaults = self::defaults(defaults);
        }
    }
    Some(mesh)
}

fn defaults(field: Field<'_>) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(map) = field.map(&["discoverable", "max_staleness", "gate"]) else { return defaults };
    if let Some(value) = map.get("discoverable").and_then(|field| field.choice(DISCOVERABLE)) {
        defaults.discoverable = value;
    }
    if let Some(value) = map.get("gate").and_then(|field| field.choice(GATE)) {
        defaults.gate = value;
    }
    if let Some(field) = map.get("max_staleness")
        && let Some(text) = field.scalar()
    {
        match parse_duration(&text.text) {
            Some(duration) => defaults.max_staleness = duration,
            None => field.findings().error_with(
                field.mark(),
                format!("`max_staleness` cannot be `{}`", text.text),
                Some("write a duration such as 1s".to_owned()),
            ),
        }
    }
    defaults
}

/// Reads `domain.yaml`. Its policies go to `policies`; an error in one of them does not take the domain away, but denies it.
pub fn domain(root: Field<'_>, folder: &str, policies: &mut Vec<PolicyDraft>) -> DomainDraft {
    let findings = root.findings();
    let mut draft = DomainDraft::broken(folder, findings.place(root.mark()));
    let Some(map) = root.map(&["apiVersion", "kind", "metadata", "spec"]) else { return draft };
    header(&map, "Domain");
    let metadata = map.required("metadata").and_then(|field| field.map(&["name", "owner", "description"]));
    let spec = map.get("spec").and_then(|field| field.map(&["description", "member_groups", "policies"]));
    let name = metadata.and_then(|metadata| metadata.required("name")).and_then(draft::name);
    let owner = metadata.and_then(|metadata| metadata.required("owner")).and_then(|field| field.text());
    let groups = spec.and_then(|spec| spec.get("member_groups")).map(|field| field.texts()).unwrap_or_default();
    if let Some(name) = name {
        draft.name_at = findings.place(name.mark);
        draft.domain.name = DomainName(name.text);
    }
    draft.domain = Domain {
        name: draft.domain.name.clone(),
        owner: owner.map(|owner| owner.text).unwrap_or_default(),
        description: spec
            .and_then(|spec| spec.text("description"))
            .or_else(|| metadata.and_then(|metadata| metadata.text("description"))),
        member_groups: groups.iter().map(|group| group.text.clone()).collect(),
    };
    draft.groups_at = groups.iter().map(|group| findings.place(group.mark)).collect();
    let rules = spec.and_then(|spec| spec.get("policies"));
    let items = rules.map(|field| field.list()).unwrap_or_default();
    draft.failed = findings.errors() > 0;
    for (index, item) in items.into_iter().enumerate() {
        let scope = PolicyScope::Domain(draft.domain.name.clone());
        let fallback = format!("{}-{}", draft.domain.name, index + 1);
        policies.push(policy::policy(item, &fallback, scope));
    }
    draft
}

/// Checks `apiVersion` and `kind` of our own files.
pub fn header(map: &Map<'_>, kind: &str) {
    for (key, expected) in [("apiVersion", API_VERSION), ("kind", kind)] {
        if let Some(field) = map.required(key) {
            field.choice(&[(expected, ())]);
        }
    }
}
