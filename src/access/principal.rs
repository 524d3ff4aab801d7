//! An authenticated user as decisions see it: name, groups, attributes, roles. Knows nothing of passwords or sessions.

use std::collections::BTreeMap;

use super::fingerprint::{Fingerprint, Fingerprinter};
use crate::catalog::model::{Role, User};

/// Who asks. Made from the catalog's user after authentication, never from anything that a client sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    pub name: String,
    /// Sorted, without duplicates.
    pub groups: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    /// In the order mesh_admin, auditor, break_glass, without duplicates. The last one stands for break-glass that is on.
    pub roles: Vec<Role>,
}

impl From<&User> for Principal {
    fn from(user: &User) -> Self {
        let mut groups = user.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        let roles = [Role::MeshAdmin, Role::Auditor].into_iter().filter(|role| user.roles.contains(role)).collect();
        Self { name: user.name.clone(), groups, attributes: user.attributes.clone(), roles }
    }
}

impl Principal {
    /// The user while break-glass is on; `None` for one who may not break it. To have the role does nothing by itself.
    #[must_use]
    pub fn with_broken_glass(user: &User) -> Option<Self> {
        let may = user.roles.contains(&Role::BreakGlass);
        let mut principal = may.then(|| Self::from(user))?;
        principal.roles.push(Role::BreakGlass);
        Some(principal)
    }

    #[must_use]
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// Covers everything that a decision or a row filter may ask of a principal.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut parts = Fingerprinter::new("principal");
        parts.text(&self.name);
        parts.count(self.groups.len());
        self.groups.iter().for_each(|group| parts.text(group));
        parts.count(self.attributes.len());
        for (name, value) in &self.attributes {
            parts.text(name);
            parts.text(value);
        }
        parts.count(self.roles.len());
        self.roles.iter().for_each(|role| parts.text(role.as_str()));
        parts.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::testing::user;

    #[test]
    fn order_and_repetition_in_the_file_do_not_matter() {
        let mut one = user("ann", &["b", "a", "a"]);
        one.roles = vec![Role::Auditor, Role::MeshAdmin];
        let mut two = user("ann", &["a", "b"]);
        two.roles = vec![Role::MeshAdmin, Role::Auditor, Role::Auditor];
        assert_eq!(Principal::from(&one), Principal::from(&two));
        assert_eq!(Principal::from(&one).fingerprint(), Principal::from(&two).fingerprint());
    }

    #[test]
    fn glass_is_broken_by_those_who_may_and_only_when_they_do() {
        let mut may = user("ann", &["a"]);
        may.roles = vec![Role::BreakGlass, Role::Auditor];
        let (before, during) = (Principal::from(&may), Principal::with_broken_glass(&may).unwrap());
        assert!(!before.has_role(Role::BreakGlass) && before.has_role(Role::Auditor));
        assert!(during.has_role(Role::BreakGlass) && during.has_role(Role::Auditor));
        assert_ne!(before.fingerprint(), during.fingerprint(), "nothing that is kept for one serves the other");
        assert_eq!(Principal::with_broken_glass(&user("bob", &["a"])), None);
    }

    #[test]
    fn every_part_counts() {
        let base = user("ann", &["a"]);
        let fingerprint = |change: &dyn Fn(&mut User)| {
            let mut changed = base.clone();
            change(&mut changed);
            Principal::from(&changed).fingerprint()
        };
        let same = fingerprint(&|_| ());
        assert_ne!(same, fingerprint(&|u| u.name = "anna".into()));
        assert_ne!(same, fingerprint(&|u| u.groups.push("b".into())));
        assert_ne!(same, fingerprint(&|u| u.groups.clear()));
        assert_ne!(same, fingerprint(&|u| u.roles.push(Role::Auditor)));
        assert_ne!(same, fingerprint(&|u| drop(u.attributes.insert("region".into(), "EU".into()))));
    }
}
