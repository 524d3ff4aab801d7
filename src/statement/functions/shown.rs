//! How values of `regclass` and its kin, and arrays of them, leave a statement or become texts.
//!
//! PostgreSQL 15, section 8.19 "Object Identifier Types". In a plan a value is its OID. What leaves the statement has its
//! name, too, since a client may ask for either form.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StringBuilder, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::{Column, Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use super::super::context::Context;
use super::super::told::Told;
use super::call::named_type;
use super::known::Known;
use super::reg::{self, Reg};

/// The plan whose columns of objects and of arrays of them, by what is told of them, have the names beside the OIDs.
///
/// # Errors
/// When the engine cannot plan the columns.
pub fn with_names(plan: LogicalPlan, told: &[Told], context: &Context) -> Result<LogicalPlan> {
    if told.iter().all(|told| told.object().is_none()) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().zip(told).map(|((qualifier, field), told)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        let held = match field.data_type() {
            DataType::List(item) => item.data_type().is_integer(),
            data_type => data_type.is_integer(),
        };
        match told.object().and_then(Reg::of_type).filter(|_| held) {
            Some(kind) => {
                let shown = Shown::function(kind, Form::Both, context).call(vec![column]);
                shown.alias_qualified(qualifier.cloned(), field.name())
            }
            None => column,
        }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// From an array of OIDs of such a type to an array of texts.
pub fn names(kind: Reg, context: &Context) -> ScalarUDF {
    Shown::function(kind, Form::Name, context)
}

/// What stands for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// A record of its OID and its name.
    Both,
    Name,
}

/// From an OID to what stands for the object, or from an array of the former to one of the latter.
struct Shown {
    kind: Reg,
    form: Form,
    known: Known,
    signature: Signature,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({:?}, {:?})", self.kind, self.form)
    }
}

impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.form) == (other.kind, other.form) && self.known.facts.pid == other.known.facts.pid
    }
}

impl Eq for Shown {}

impl Hash for Shown {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, self.form, self.known.facts.pid).hash(state);
    }
}

fn fields() -> Fields {
    Fields::from(vec![Field::new("oid", DataType::Int64, true), Field::new("name", DataType::Utf8, true)])
}

impl ScalarUDFImpl for Shown {
    fn name(&self) -> &'static str {
        "shown"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types {
            [DataType::List(_)] => DataType::List(Arc::new(self.field(Field::LIST_FIELD_DEFAULT_NAME))),
            _ => self.data_type(),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(self.field(self.name()).with_data_type(self.return_type(&types)?)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(oids) = args.args.first() else { return exec_err!("an object is shown") };
        let oids = oids.to_array(args.number_rows)?;
        let Some(lists) = oids.as_list_opt::<i32>() else { return Ok(ColumnarValue::Array(self.named(&oids)?)) };
        let (_, offsets, oids, nulls) = lists.clone().into_parts();
        let item = Arc::new(self.field(Field::LIST_FIELD_DEFAULT_NAME));
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(item, offsets, self.named(&oids)?, nulls)?)))
    }
}

impl Shown {
    fn function(kind: Reg, form: Form, context: &Context) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Stable);
        ScalarUDF::new_from_impl(Self { kind, form, known: Known::new(context), signature })
    }

    fn data_type(&self) -> DataType {
        match self.form {
            Form::Both => DataType::Struct(fields()),
            Form::Name => DataType::Utf8,
        }
    }

    fn field(&self, name: &str) -> Field {
        let field = Field::new(name, self.data_type(), true);
        match self.form {
            Form::Both => field.with_metadata(named_type(self.kind.name())),
            Form::Name => field,
        }
    }

    fn named(&self, oids: &ArrayRef) -> Result<ArrayRef> {
        let oids = cast(oids, &DataType::Int64)?;
        let mut names = StringBuilder::new();
        for oid in oids.as_primitive::<Int64Type>() {
            names.append_option(oid.map(|oid| match u32::try_from(oid) {
                Ok(oid) => reg::output(self.kind, &self.known, oid),
                Err(_) => oid.to_string(),
            }));
        }
        let nulls = oids.nulls().cloned();
        let names: ArrayRef = Arc::new(names.finish());
        if self.form == Form::Name {
            return Ok(names);
        }
        Ok(Arc::new(StructArray::try_new(fields(), vec![oids, names], nulls)?))
    }
}
