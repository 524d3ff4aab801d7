//! What is taken from users at once, while an error elsewhere in the folder holds back the rest of a change.
//!
//! A change is swapped in whole or not at all, so one team's broken contract would keep another's leaver logged in. What
//! `principals.yaml` no longer gives is therefore gone without waiting; what it newly gives waits with the rest, since the
//! policy that belongs to it may be what is broken.

use std::collections::BTreeMap;

use super::load::Loaded;
use super::model::{Catalog, ProblemSeverity, User};

/// The last good catalog with users as `changed` leaves them: without those that are gone, without groups, roles and
/// attributes that they no longer have, with their new passwords. `None` when nothing is taken from anybody, or when the
/// users of `changed` cannot be read.
pub fn without_revoked(last_good: &Catalog, changed: &Loaded) -> Option<Catalog> {
    let is_unreadable = changed.problems.iter().any(|problem| {
        problem.severity == ProblemSeverity::Error
            && problem.path.file_name().is_some_and(|name| name == "principals.yaml")
    });
    if is_unreadable {
        return None;
    }
    let remaining = last_good.users.iter().filter_map(|(name, user)| {
        let now = changed.catalog.users.get(name)?;
        Some((name.clone(), what_remains(user, now)))
    });
    let users: BTreeMap<String, User> = remaining.collect();
    (users != last_good.users).then(|| Catalog { users, ..last_good.clone() })
}

fn what_remains(user: &User, now: &User) -> User {
    let mut remains = user.clone();
    remains.scram.clone_from(&now.scram);
    remains.groups.retain(|group| now.groups.contains(group));
    remains.roles.retain(|role| now.roles.contains(role));
    remains.attributes.retain(|name, value| now.attributes.get(name) == Some(value));
    remains
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load::load;
    use std::path::Path;

    const USERS: &str = "  - {name: ann, groups: [a, b], attributes: {region: EU, team: x}, roles: [auditor]}\n  - {name: bob, groups: [a]}\n";
    const BROKEN: &str = "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {nme: sales}\n";

    fn loaded(folder: &Path, users: &str, domain: &str) -> Loaded {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("mesh.yaml", "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {}\n");
        write("principals.yaml", &format!("apiVersion: pgmesh/v1\nkind: Principals\nusers:\n{users}"));
        write("sales/domain.yaml", domain);
        load(folder)
    }

    #[test]
    fn what_is_taken_is_gone_and_what_is_given_waits() {
        let folder = tempfile::tempdir().unwrap();
        let domain = "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {name: sales, owner: o}\nspec: {}\n";
        let good = loaded(folder.path(), USERS, domain);
        assert!(!good.has_errors(), "{:?}", good.problems);
        let less = "  - {name: ann, groups: [b, c], attributes: {region: US, team: x}, roles: [mesh_admin]}\n  - {name: cat}\n";
        let changed = loaded(folder.path(), less, BROKEN);
        assert!(changed.has_errors());
        let left = without_revoked(&good.catalog, &changed).unwrap();
        assert_eq!(left.users.keys().collect::<Vec<_>>(), ["ann"], "bob is gone, and cat waits");
        let ann = &left.users["ann"];
        assert_eq!((ann.groups.as_slice(), ann.roles.len()), (&["b".to_owned()][..], 0));
        assert_eq!(ann.attributes.keys().collect::<Vec<_>>(), ["team"]);
        assert_eq!(left.domains, good.catalog.domains, "everything else stays");
        let same = loaded(folder.path(), USERS, BROKEN);
        assert_eq!(without_revoked(&good.catalog, &same), None);
        let unreadable = loaded(folder.path(), "  - {nme: ann}\n", BROKEN);
        assert_eq!(without_revoked(&good.catalog, &unreadable), None);
    }
}
