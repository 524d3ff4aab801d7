//! Roles: the principal itself, the groups that it is in, the owners of what it may discover; for those who govern the
//! mesh all users and groups. `pg_authid` itself is for superusers alone, as in PostgreSQL, and there are none.

use datafusion::arrow::array::RecordBatch;

use super::facts::Cells;
use super::filled::Filled;
use crate::catalog::model::Role as MeshRole;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part, SERVER_ROLE_OID};

/// What `pg_roles` and `pg_user` show in place of a password.
const NO_PASSWORD: &str = "********";

struct Row {
    oid: u32,
    name: String,
    is_super: bool,
    can_login: bool,
}

/// PostgreSQL's own roles, then those of the mesh.
fn all(context: &Context) -> Vec<Row> {
    let cells = Cells::of("pg_authid");
    let own = cells.rows().filter_map(|row| {
        let oid = cells.value(row, "oid")?.parse().ok()?;
        let name = cells.value(row, "rolname")?.into_owned();
        // nobody logs in as the role that owns the catalog
        Some(Row { oid, name, is_super: oid == SERVER_ROLE_OID, can_login: false })
    });
    let visible = objects::roles(context);
    let visible = visible.iter().map(|role| Row {
        oid: role.oid,
        name: role.name.to_owned(),
        is_super: false,
        can_login: role.can_login,
    });
    own.chain(visible).collect()
}

pub fn roles(context: &Context, _: Part) -> Result<RecordBatch> {
    let rows = all(context);
    Filled::catalog("pg_roles", rows.len())?
        .names("rolname", rows.iter().map(|row| &row.name))
        .bools("rolsuper", rows.iter().map(|row| row.is_super))
        .all("rolinherit", "t")
        .bools("rolcreaterole", rows.iter().map(|row| row.is_super))
        .bools("rolcreatedb", rows.iter().map(|row| row.is_super))
        .bools("rolcanlogin", rows.iter().map(|row| row.can_login))
        .all("rolreplication", "f")
        .all("rolconnlimit", "-1")
        .all("rolpassword", NO_PASSWORD)
        .bools("rolbypassrls", rows.iter().map(|row| row.is_super))
        .oids("oid", rows.iter().map(|row| row.oid))
        .finish()
}

/// Roles that can log in.
pub fn users(context: &Context, _: Part) -> Result<RecordBatch> {
    let rows: Vec<Row> = all(context).into_iter().filter(|row| row.can_login).collect();
    Filled::catalog("pg_user", rows.len())?
        .names("usename", rows.iter().map(|row| &row.name))
        .oids("usesysid", rows.iter().map(|row| row.oid))
        .all("usecreatedb", "f")
        .all("usesuper", "f")
        .all("userepl", "f")
        .all("usebypassrls", "f")
        .all("passwd", NO_PASSWORD)
        .finish()
}

/// Roles that cannot log in, with those of their members that the principal may know of.
pub fn groups(context: &Context, _: Part) -> Result<RecordBatch> {
    let rows: Vec<Row> = all(context).into_iter().filter(|row| !row.can_login).collect();
    let memberships = memberships(context);
    let members = |row: &Row| {
        Some(memberships.iter().filter(|(group, _)| *group == row.oid).map(|(_, member)| *member).collect())
    };
    Filled::catalog("pg_group", rows.len())?
        .names("groname", rows.iter().map(|row| &row.name))
        .oids("grosysid", rows.iter().map(|row| row.oid))
        .oid_lists("grolist", rows.iter().map(members))
        .finish()
}

/// Group and member.
fn memberships(context: &Context) -> Vec<(u32, u32)> {
    let oids = context.snapshot.oids();
    let roles = objects::roles(context);
    let of = |role: &objects::Role<'_>| {
        let groups: Vec<_> = role.groups.iter().filter_map(|group| Some((oids.role(group)?, role.oid))).collect();
        groups
    };
    roles.iter().flat_map(of).collect()
}

pub fn members(context: &Context, _: Part) -> Result<RecordBatch> {
    let rows = memberships(context);
    // who manages the mesh decides who is in a group
    let is_admin = context.principal.has_role(MeshRole::MeshAdmin);
    let own = objects::own_role(context);
    Filled::catalog("pg_auth_members", rows.len())?
        .oids("roleid", rows.iter().map(|(group, _)| *group))
        .oids("member", rows.iter().map(|(_, member)| *member))
        .oids("grantor", rows.iter().map(|_| SERVER_ROLE_OID))
        .bools("admin_option", rows.iter().map(|(_, member)| is_admin && *member == own))
        .finish()
}
