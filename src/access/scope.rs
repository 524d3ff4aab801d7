//! A decision bound to a table: the row filter and the masks as expressions over the table's columns.
//!
//! What cannot be bound is refused, and whoever asks treats the table as one that may not be read: a filter over a column
//! that is gone, a mask on a column that was renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions::Column;

use super::decide::{ColumnMask, ReadScope, RowRule};
use super::filter::{Compiler, RowFilter};
use super::mask::{self, MaskKey};
use super::principal::Principal;
use crate::catalog::model::{DomainName, MaskMethod};

/// Who reads: what a scope is bound to beside the table.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub principal: &'a Principal,
    /// The domains whose rows `row_domain_column` admits.
    pub readable_domains: &'a BTreeSet<DomainName>,
    /// `None`: the key cannot be had, so nothing that is hashed can be read.
    pub mask_key: Option<&'a MaskKey>,
}

/// A [`ReadScope`] bound to a table's schema: what [`SecuredTable`](super::SecuredTable) enforces.
#[derive(Clone, Debug)]
pub struct CompiledScope {
    /// The table's own schema.
    pub(super) schema: SchemaRef,
    /// `None`: every row.
    pub(super) row_filter: Option<RowFilter>,
    /// By position in `schema`: what is shown instead of the column, of the same type.
    pub(super) masks: BTreeMap<usize, Arc<dyn PhysicalExpr>>,
    /// Positions in `schema` of the columns that exist for the principal.
    pub(super) visible: Vec<usize>,
}

impl CompiledScope {
    /// Binds `scope` to the schema of the product's table. `Err` says for the log, never for the client, why the scope
    /// cannot be enforced; the table must then not be read at all.
    pub fn compile(scope: &ReadScope, reader: &Reader<'_>, schema: &SchemaRef) -> Result<Self, String> {
        Self::compile_as_known(scope, reader, schema, schema)
    }

    /// The same where policies know the columns by other names than the table has now: `known` has the same columns at
    /// the same places under the names that policies mean. A mask binds to a column by either name.
    pub fn compile_as_known(
        scope: &ReadScope,
        reader: &Reader<'_>,
        schema: &SchemaRef,
        known: &SchemaRef,
    ) -> Result<Self, String> {
        let compiler = Compiler::new(reader.principal, reader.readable_domains, known)?;
        let row_filter = compiler.row_rules(&scope.row_rules)?.map(|filter| filter.renamed(known, schema));
        let row_filter = row_filter.transpose()?;
        let mut masks = BTreeMap::new();
        for (index, method) in mask_positions(&scope.masks, schema, known)? {
            let masked = mask::expression(&method, known.field(index), &compiler, reader.mask_key)?;
            masks.insert(index, renamed(masked, schema)?);
        }
        let visible = (0..schema.fields().len()).collect();
        Ok(Self { schema: Arc::clone(schema), row_filter, masks, visible })
    }

    /// Everything. `Err` as in [`compile`](Self::compile).
    pub fn whole(schema: &SchemaRef) -> Result<Self, String> {
        Self::compile(
            &ReadScope::default(),
            &Reader { principal: &anyone(), readable_domains: &BTreeSet::new(), mask_key: None },
            schema,
        )
    }

    /// Every column of the rows whose `column`, a text, is one of `values`. `Err` as in [`compile`](Self::compile).
    pub fn with_values(column: &str, values: &BTreeSet<String>, schema: &SchemaRef) -> Result<Self, String> {
        let anyone = anyone();
        let no_domains = BTreeSet::new();
        let compiler = Compiler::new(&anyone, &no_domains, schema)?;
        let row_filter = compiler.one_of(column, values.iter().map(String::as_str))?;
        Ok(Self { row_filter, ..Self::whole(schema)? })
    }

    /// Without the columns that `exists` does not know: they do not exist for the principal.
    #[must_use]
    pub fn without_columns(mut self, exists: impl Fn(&str) -> bool) -> Self {
        self.visible.retain(|&index| exists(self.schema.field(index).name()));
        self
    }

    /// Every row and every column as it is: the fence costs nothing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.row_filter.is_none() && self.masks.is_empty() && self.visible.len() == self.schema.fields().len()
    }

    /// The names of the masked columns, in the table's order.
    pub fn masked_names(&self) -> impl Iterator<Item = &str> {
        self.masks.keys().map(|&index| self.schema.field(index).name().as_str())
    }

    /// The names of the columns that do not exist for the principal, in the table's order.
    pub fn hidden_names(&self) -> impl Iterator<Item = &str> {
        let hidden = self.schema.fields().iter().enumerate().filter(|(index, _)| !self.visible.contains(index));
        hidden.map(|(_, field)| field.name().as_str())
    }

    /// What the principal sees of the table. A masked column may be NULL, whatever the table says.
    pub(super) fn output_schema(&self, columns: &[usize]) -> Schema {
        let fields = columns.iter().map(|&index| {
            let field = self.schema.field(index).clone();
            if self.masks.contains_key(&index) { field.with_nullable(true) } else { field }
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// The visible columns whose values are the table's own, as a user's predicate may name them.
    pub(super) fn unmasked_schema(&self) -> Schema {
        let unmasked = self.visible.iter().filter(|index| !self.masks.contains_key(index));
        Schema::new(unmasked.map(|&index| self.schema.field(index).clone()).collect::<Vec<_>>())
    }
}

/// Checks one row rule against a table's schema, for validation: `Err` says why it is refused.
pub fn check_row_rule(rule: &RowRule, schema: &SchemaRef) -> Result<(), String> {
    check(&ReadScope { row_rules: vec![rule.clone()], masks: Vec::new() }, schema)
}

/// The same of a mask.
pub fn check_mask(mask: &ColumnMask, schema: &SchemaRef) -> Result<(), String> {
    check(&ReadScope { row_rules: Vec::new(), masks: vec![mask.clone()] }, schema)
}

fn check(scope: &ReadScope, schema: &SchemaRef) -> Result<(), String> {
    let anyone = anyone();
    let key = MaskKey::new([0; 32]);
    let reader = Reader { principal: &anyone, readable_domains: &BTreeSet::new(), mask_key: Some(&key) };
    CompiledScope::compile(scope, &reader, schema).map(drop)
}

fn anyone() -> Principal {
    Principal { name: String::new(), groups: Vec::new(), attributes: BTreeMap::new(), roles: Vec::new() }
}

/// Where the masks apply. A masked column that the table does not have may have been renamed: refused, so that a rename
/// unmasks nothing. Of a nested column the whole top-level column is masked.
fn mask_positions(
    masks: &[ColumnMask],
    schema: &SchemaRef,
    known: &SchemaRef,
) -> Result<BTreeMap<usize, MaskMethod>, String> {
    let mut found: BTreeMap<usize, MaskMethod> = BTreeMap::new();
    for ColumnMask { column, method, must_exist } in masks {
        let mut is_here = false;
        for (index, (now, then)) in schema.fields().iter().zip(known.fields()).enumerate() {
            let (name, then) = (now.name(), then.name());
            if !is_about(column, name) && !is_about(column, then) {
                continue;
            }
            is_here = true;
            let whole = name.eq_ignore_ascii_case(column) || then.eq_ignore_ascii_case(column);
            let method = if whole { method.clone() } else { MaskMethod::Null };
            if found.insert(index, method.clone()).is_some_and(|other| other != method) {
                return Err(format!("two masks contradict each other in column {name:?}"));
            }
        }
        if !is_here && *must_exist {
            return Err(format!("the table has no column {column:?}, which a mask names"));
        }
    }
    Ok(found)
}

/// A table's columns under the names by which policies know them. `ids` are the columns' ids now, `known` the names of
/// ids when the contract was first read: a column that was renamed since keeps its old name here, and one that took
/// such a name has none that anybody could write.
#[must_use]
pub fn known_names(schema: &SchemaRef, ids: &BTreeMap<String, i64>, known: &BTreeMap<i64, String>) -> SchemaRef {
    let taken: BTreeSet<&str> = known.values().map(String::as_str).collect();
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        let name = field.name();
        let known_as = match ids.get(name).and_then(|id| known.get(id)) {
            Some(known) => known.clone(),
            None if taken.contains(name.as_str()) => format!("\0{index} {name}"),
            None => name.clone(),
        };
        field.as_ref().clone().with_name(known_as)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The expression with the names that the table has now; positions stay.
pub(super) fn renamed(expr: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>, String> {
    let renamed = expr.transform_up(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        let name = schema.field(column.index()).name();
        Ok(Transformed::yes(Arc::new(Column::new(name, column.index())) as Arc<dyn PhysicalExpr>))
    });
    renamed.map(|renamed| renamed.data).map_err(|error| error.strip_backtrace())
}

/// Whether a mask on `mask` masks the column `name`: of a part, `address.city`, the whole column is masked.
pub(super) fn is_about(mask: &str, name: &str) -> bool {
    let top_level = mask.split('.').next().unwrap_or(mask);
    name.eq_ignore_ascii_case(mask) || name.eq_ignore_ascii_case(top_level)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    fn schema() -> SchemaRef {
        let address = DataType::Struct(vec![Field::new("city", DataType::Utf8, true)].into());
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("Email", DataType::Utf8, false),
            Field::new("address", address, true),
        ]))
    }

    fn mask(column: &str, method: MaskMethod) -> ColumnMask {
        ColumnMask { column: column.to_owned(), method, must_exist: true }
    }

    fn compile(masks: &[ColumnMask], mask_key: Option<&MaskKey>) -> Result<CompiledScope, String> {
        let principal = Principal::from(&crate::access::testing::user("ann", &[]));
        let reader = Reader { principal: &principal, readable_domains: &BTreeSet::new(), mask_key };
        let scope = ReadScope { row_rules: Vec::new(), masks: masks.to_vec() };
        CompiledScope::compile(&scope, &reader, &schema())
    }

    #[test]
    fn masks_find_their_columns_whatever_the_case() {
        let masked = |column: &str| {
            let compiled = compile(&[mask(column, MaskMethod::Null)], None)?;
            assert!(!compiled.is_whole());
            Ok::<_, String>(compiled.masked_names().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(masked("email"), Ok(vec!["Email".to_owned()]));
        assert_eq!(masked("ADDRESS"), Ok(vec!["address".to_owned()]));
        assert_eq!(masked("address.city"), Ok(vec!["address".to_owned()]));
        assert!(masked("renamed").is_err(), "a rename unmasks nothing");
        let elsewhere = ColumnMask { must_exist: false, ..mask("elsewhere", MaskMethod::Null) };
        assert!(compile(&[elsewhere], None).unwrap().is_whole(), "a column of other products");
        assert!(compile(&[], None).unwrap().is_whole());
    }

    #[test]
    fn masks_of_one_column_must_agree() {
        let (null, redact) = (MaskMethod::Null, MaskMethod::Redact);
        assert!(compile(&[mask("email", null.clone()), mask("EMAIL", null.clone())], None).is_ok());
        assert!(compile(&[mask("email", null.clone()), mask("EMAIL", redact)], None).is_err());
        assert!(compile(&[mask("address.city", MaskMethod::Hash), mask("address", null)], None).is_ok());
    }

    #[test]
    fn what_is_hashed_cannot_be_read_without_the_key() {
        let hash = [mask("email", MaskMethod::Hash)];
        assert!(compile(&hash, None).is_err());
        assert!(compile(&hash, Some(&MaskKey::new([1; 32]))).is_ok());
    }

    /// `email` was renamed to `mail`, and `id` to `email`: the policy still means the column that was `email` then.
    #[test]
    fn policies_follow_a_renamed_column_by_its_id() {
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        let now: SchemaRef = Arc::new(Schema::new(vec![field("email"), field("mail"), field("added"), field("id")]));
        let ids =
            BTreeMap::from([("email", 1), ("mail", 2), ("added", 3), ("id", 4)].map(|(n, id)| (n.to_owned(), id)));
        let known = BTreeMap::from([(1, "id".to_owned()), (2, "email".to_owned())]);
        let known = known_names(&now, &ids, &known);
        let names: Vec<&str> = known.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["id", "email", "added", format!("\0{} id", 3).as_str()]);
        let principal = Principal::from(&crate::access::testing::user("ann", &[]));
        let reader = Reader { principal: &principal, readable_domains: &BTreeSet::new(), mask_key: None };
        let scope = |filter: &str, column: &str| ReadScope {
            row_rules: vec![RowRule::Filter { text: filter.to_owned() }],
            masks: vec![mask(column, MaskMethod::Expression("left(email, 1)".to_owned()))],
        };
        let compile = |scope: ReadScope| CompiledScope::compile_as_known(&scope, &reader, &now, &known);
        let compiled = compile(scope("email = 'a' and id = 'b'", "email")).unwrap();
        assert_eq!(compiled.masked_names().collect::<Vec<_>>(), ["email", "mail"], "by the old name and by the new");
        let filter = compiled.row_filter.unwrap();
        assert_eq!(filter.logical.to_string(), "mail = Utf8(\"a\") AND email = Utf8(\"b\")");
        assert_eq!(filter.physical.to_string(), "mail@1 = a AND email@0 = b");
        assert_eq!(compiled.masks[&1].to_string(), "left(mail@1, 1)");
        assert!(compile(scope("mail = 'a'", "email")).is_err(), "a filter means what the contract knew");
    }

    #[test]
    fn a_masked_column_may_be_null_and_is_nothing_to_filter_by() {
        let compiled = compile(&[mask("email", MaskMethod::Redact)], None).unwrap();
        let output = compiled.output_schema(&[0, 1]);
        assert!(!output.field(0).is_nullable() && output.field(1).is_nullable());
        let names: Vec<String> = compiled.unmasked_schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["id", "address"]);
        let fewer = compiled.without_columns(|name| name != "id");
        assert_eq!(fewer.visible, [1, 2]);
        assert!(!compile(&[], None).unwrap().without_columns(|name| name != "id").is_whole());
    }
}
