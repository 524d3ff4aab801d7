//! `principals.yaml`: users with their verifiers, groups, attributes and roles. A user with an error is left out.

use std::collections::BTreeMap;

use crate::catalog::credentials::{parse_verifier, refuse_user_name};
use crate::catalog::model::{Role, User};
use crate::catalog::yaml::{Field, suggest};

use super::draft::Parsed;
use super::mesh::header;

const ROLES: &[(&str, Role)] =
    &[("mesh_admin", Role::MeshAdmin), ("auditor", Role::Auditor), ("break_glass", Role::BreakGlass)];
/// How many users a mesh may declare.
const USERS_MAX: usize = 100_000;

/// Reads the file into `parsed.users` and `parsed.groups`.
pub fn principals(root: Field<'_>, parsed: &mut Parsed) {
    let Some(map) = root.map(&["apiVersion", "kind", "users", "groups"]) else { return };
    header(&map, "Principals");
    let groups_declared = map.get("groups").is_some();
    for item in map.list("groups") {
        let Some(group) = item.map(&["name", "description"]) else { continue };
        let Some(name) = group.required("name").and_then(|field| field.text()) else { continue };
        if parsed.groups.contains(&name.text) {
            item.findings().error(name.mark, format!("duplicate group `{}`", name.text));
        } else {
            parsed.groups.push(name.text);
        }
    }
    let users = map.required("users").map(|field| field.list()).unwrap_or_default();
    if users.len() > USERS_MAX {
        map.findings().error(map.mark(), format!("the file declares more than {USERS_MAX} users"));
    }
    for item in users.into_iter().take(USERS_MAX) {
        let errors_before = item.findings().errors();
        if let Some(user) = user(item, groups_declared.then_some(&parsed.groups)) {
            if parsed.users.contains_key(&user.name) {
                item.findings().error(item.mark(), format!("duplicate user `{}`", user.name));
            } else if item.findings().errors() == errors_before {
                parsed.users.insert(user.name.clone(), user);
            }
        }
    }
}

fn user(item: Field<'_>, groups: Option<&Vec<String>>) -> Option<User> {
    let findings = item.findings();
    let map = item.map(&["name", "description", "scram", "groups", "attributes", "roles"])?;
    let name_field = map.required("name")?;
    let name = name_field.text()?;
    if let Some(reason) = refuse_user_name(&name.text) {
        name_field.error(format!("no user can be called `{}`: {reason}", name.text));
        return None;
    }
    let mut scram = None;
    match map.get("scram") {
        None => findings.warn(
            name.mark,
            format!("the user `{}` has no verifier and cannot log in", name.text),
            Some("set a password with `pgmesh user passwd`".to_owned()),
        ),
        Some(field) => {
            if let Some(text) = field.text() {
                match parse_verifier(&text.text) {
                    Ok(verifier) => scram = Some(verifier),
                    // the text itself stays out of the message: it may be a password
                    Err(error) => field.error(format!("`scram` is no verifier: {error}")),
                }
            }
        }
    }
    let member_of = map.get("groups").map(|field| field.texts()).unwrap_or_default();
    for group in &member_of {
        if let Some(groups) = groups
            && !groups.contains(&group.text)
        {
            let suggestion = suggest(&group.text, groups.iter().map(String::as_str));
            findings.warn(group.mark, format!("the group `{}` is not declared under `groups`", group.text), suggestion);
        }
    }
    let attributes: BTreeMap<String, String> = map
        .get("attributes")
        .and_then(|field| field.open_map())
        .into_iter()
        .flat_map(|attributes| attributes.fields())
        .filter_map(|field| Some((field.name().to_owned(), field.scalar()?.text)))
        .collect();
    let roles = map.list("roles").iter().filter_map(|field| field.choice(ROLES)).collect();
    let groups = member_of.into_iter().map(|group| group.text).collect();
    Some(User { name: name.text, scram, groups, attributes, roles })
}
