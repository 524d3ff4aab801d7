//! `pg_policy` and `pg_policies`: on which tables rows are held back from the principal. What a filter says may itself tell
//! of rows that are held back, so its text is for those who govern the mesh.

use datafusion::arrow::array::RecordBatch;

use super::filled::Filled;
use crate::access::decide::RowRule;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part, Relation};
use crate::statement::system::policies::sees_governance;

/// All that holds rows of a table back goes by one name.
const NAME: &str = "row_filter";

/// Tables with the filter, where the principal may see it.
fn all(context: &Context, part: Part) -> Result<Vec<(Relation<'_>, Option<String>)>> {
    let shows_text = sees_governance(&context.principal);
    let restricted = objects::relations(context, part)?.into_iter().filter_map(|relation| {
        let rules = &relation.scope()?.row_rules;
        let text = shows_text.then(|| all_of(rules));
        (!rules.is_empty()).then_some((relation, text))
    });
    Ok(restricted.collect())
}

fn all_of(rules: &[RowRule]) -> String {
    rules.iter().map(text).collect::<Vec<_>>().join(" AND ")
}

fn text(rule: &RowRule) -> String {
    match rule {
        RowRule::DomainColumn { column } => {
            format!("({column} IN (SELECT domain FROM user_domain_access WHERE privilege = 'read'))")
        }
        RowRule::Filter { text } => format!("({text})"),
        RowRule::AnyOf(rules) => format!("({})", rules.iter().map(text).collect::<Vec<_>>().join(" OR ")),
    }
}

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let own = objects::own_role(context);
    let policy = |(relation, _): &(Relation<'_>, _)| relation.product().map_or(0, |(_, oids)| oids.policy);
    Filled::catalog("pg_policy", rows.len())?
        .oids("oid", rows.iter().map(policy))
        .names("polname", rows.iter().map(|_| NAME))
        .oids("polrelid", rows.iter().map(|(relation, _)| relation.oid))
        .all("polcmd", "r")
        .all("polpermissive", "t")
        .oid_lists("polroles", rows.iter().map(|_| Some(vec![own])))
        .texts("polqual", rows.iter().map(|(_, text)| text.as_ref()))
        .finish()
}

pub fn view_rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    Filled::catalog("pg_policies", rows.len())?
        .names("schemaname", rows.iter().map(|(relation, _)| &relation.schema))
        .names("tablename", rows.iter().map(|(relation, _)| relation.name))
        .all("policyname", NAME)
        .all("permissive", "PERMISSIVE")
        .text_lists("roles", rows.iter().map(|_| Some(vec![context.principal.name.clone()])))
        .all("cmd", "SELECT")
        .texts("qual", rows.iter().map(|(_, text)| text.as_ref()))
        .finish()
}
