//! Functions as PostgreSQL has them: several of one name, chosen by the kinds of their arguments, each a plain function
//! of values.
//!
//! It owns the choice (PostgreSQL, section 10.3 "Functions") and the way from a batch to rows and back. It refuses to know
//! what any function does.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::casts;
use super::kind::{Column, Datum, Kind, array_of};
use crate::error::{Error, SqlState};
use crate::pgtype;
use crate::settings::time_zone::TimeZone;

/// What a function may know besides its arguments.
pub struct Env {
    pub zone: TimeZone,
}

impl Env {
    pub fn of(options: &ConfigOptions) -> Self {
        let zone = options.execution.time_zone.as_deref().and_then(TimeZone::parse);
        Self { zone: zone.unwrap_or(TimeZone::UTC) }
    }
}

/// What a plain function looks like: all arguments are there, none is NULL unless the overload says so.
pub type Call = for<'a> fn(&[Datum<'a>], &Env) -> crate::error::Result<Datum<'a>>;

/// The type that an overload gives, where it is not its kind's: from the arguments' types and constant values.
pub type Typed = fn(&[FieldRef], &[Option<&ScalarValue>]) -> Option<DataType>;

/// A whole batch at once, where that is quicker; `None` leaves it to the rows.
pub type Vectorised = fn(&[ColumnarValue]) -> Option<crate::error::Result<ColumnarValue>>;

/// One function of a name.
pub struct Overload {
    pub args: &'static [Kind],
    /// The kind of any further arguments.
    pub variadic: Option<Kind>,
    pub returns: Kind,
    pub call: Call,
    /// Whether a NULL among the arguments is the result.
    pub strict: bool,
    pub typed: Option<Typed>,
    pub vectorised: Option<Vectorised>,
}

/// An overload that gives NULL for NULL.
pub const fn on(args: &'static [Kind], returns: Kind, call: Call) -> Overload {
    Overload { args, variadic: None, returns, call, strict: true, typed: None, vectorised: None }
}

impl Overload {
    /// Sees NULLs too.
    pub const fn with_nulls(self) -> Self {
        Self { strict: false, ..self }
    }

    pub const fn typed(self, typed: Typed) -> Self {
        Self { typed: Some(typed), ..self }
    }

    pub const fn vectorised(self, vectorised: Vectorised) -> Self {
        Self { vectorised: Some(vectorised), ..self }
    }

    pub const fn and_more(self, variadic: Kind) -> Self {
        Self { variadic: Some(variadic), ..self }
    }

    fn parameter(&self, position: usize) -> Option<Kind> {
        self.args.get(position).copied().or(self.variadic)
    }

    fn distance(&self, kinds: &[Option<Kind>]) -> Option<u32> {
        if kinds.len() < self.args.len() || (kinds.len() > self.args.len() && self.variadic.is_none()) {
            return None;
        }
        let mut sum = 0;
        for (position, kind) in kinds.iter().enumerate() {
            sum += match kind {
                Some(kind) => kind.distance(self.parameter(position)?)?,
                None => 0,
            };
        }
        Some(sum)
    }
}

/// All functions of a name.
pub struct Function {
    pub name: &'static str,
    pub volatility: Volatility,
    pub overloads: &'static [Overload],
}

/// Functions whose result depends on nothing but arguments and settings.
pub const fn function(name: &'static str, overloads: &'static [Overload]) -> Function {
    Function { name, volatility: Volatility::Immutable, overloads }
}

impl Function {
    pub const fn volatile(self) -> Self {
        Self { volatility: Volatility::Volatile, ..self }
    }

    /// The overload for arguments of these types: the nearest, the first of equals.
    pub fn resolve(&self, types: &[DataType]) -> Option<&'static Overload> {
        let mut kinds = Vec::with_capacity(types.len());
        for data_type in types {
            kinds.push(match data_type {
                DataType::Null => None,
                known => Some(Kind::of(known)?),
            });
        }
        let found = self.overloads.iter().filter_map(|overload| Some((overload.distance(&kinds)?, overload)));
        found.min_by_key(|(distance, _)| *distance).map(|(_, overload)| overload)
    }
}

/// A [`Function`] as the engine calls it.
pub struct Udf {
    function: &'static Function,
    signature: Signature,
}

impl Udf {
    pub fn shared(function: &'static Function) -> Arc<ScalarUDF> {
        let nullary = function.overloads.iter().any(|overload| overload.args.is_empty());
        let some = function.overloads.iter().any(|overload| !overload.args.is_empty() || overload.variadic.is_some());
        let signature = match (nullary, some) {
            (true, true) => {
                Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::UserDefined], function.volatility)
            }
            (true, false) => Signature::nullary(function.volatility),
            _ => Signature::user_defined(function.volatility),
        };
        Arc::new(ScalarUDF::new_from_impl(Self { function, signature }))
    }

    fn resolve(&self, types: &[DataType]) -> Result<&'static Overload> {
        self.function.resolve(types).ok_or_else(|| {
            let types: Vec<String> = types.iter().map(type_name).collect();
            let message = format!("function {}({}) does not exist", self.function.name, types.join(", "));
            let error = Error::new(SqlState::UNDEFINED_FUNCTION, message).hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            );
            DataFusionError::External(Box::new(error))
        })
    }
}

fn type_name(data_type: &DataType) -> String {
    Kind::of(data_type).map_or_else(
        || if data_type.is_null() { "unknown".to_owned() } else { data_type.to_string().to_lowercase() },
        |kind| kind.name().to_owned(),
    )
}

impl std::fmt::Debug for Udf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.resolve(arg_types)?.returns.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let overload = self.resolve(&types)?;
        let own = overload.typed.and_then(|own| own(args.arg_fields, args.scalar_arguments));
        let data_type = own.unwrap_or_else(|| overload.returns.data_type());
        Ok(Arc::new(Field::new(self.function.name, data_type, true)))
    }

    /// Arguments come as they are: [`Argument`] reads them as what the overload takes, texts as PostgreSQL reads them.
    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.resolve(arg_types)?;
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let overload = self.resolve(&types)?;
        let external = |error: Error| DataFusionError::External(Box::new(error));
        if let Some(vectorised) = overload.vectorised
            && let Some(done) = vectorised(&args.args)
        {
            return done.map_err(external);
        }
        let constant = self.function.volatility != Volatility::Volatile
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let env = Env::of(&args.config_options);
        let columns = args
            .args
            .iter()
            .enumerate()
            .map(|(position, arg)| Argument::new(arg, overload.parameter(position), &env).map_err(external));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut row_values = Vec::with_capacity(columns.len());
        let values = (0..rows).map(|row| {
            row_values.clear();
            for column in &columns {
                let value = column.get(row, &env)?;
                if value.is_null() && overload.strict {
                    return Ok(Datum::Null);
                }
                row_values.push(value);
            }
            (overload.call)(&row_values, &env)
        });
        let array = array_of(overload.returns, args.return_field.data_type(), values).map_err(external)?;
        if constant {
            return Ok(ColumnarValue::Scalar(pgtype::constant(&array)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// One argument: a column, or one value for all rows.
enum Argument {
    Column { column: Column, wanted: Option<Kind> },
    Constant(Datum<'static>),
}

impl Argument {
    fn new(value: &ColumnarValue, wanted: Option<Kind>, env: &Env) -> crate::error::Result<Self> {
        match value {
            ColumnarValue::Array(array) => Ok(Self::Column { column: Column::new(array)?, wanted }),
            ColumnarValue::Scalar(scalar) if scalar.is_null() => Ok(Self::Constant(Datum::Null)),
            ColumnarValue::Scalar(scalar) => {
                let one: ArrayRef = scalar.to_array_of_size(1).map_err(Error::internal)?;
                let column = Column::new(&one)?;
                Ok(Self::Constant(as_wanted(column.get(0), &column, wanted, env)?.into_owned()))
            }
        }
    }

    fn get(&self, row: usize, env: &Env) -> crate::error::Result<Datum<'_>> {
        match self {
            Self::Column { column, wanted } => as_wanted(column.get(row), column, *wanted, env),
            Self::Constant(value) => Ok(value.borrowed()),
        }
    }
}

fn as_wanted<'a>(
    value: Datum<'a>,
    column: &Column,
    wanted: Option<Kind>,
    env: &Env,
) -> crate::error::Result<Datum<'a>> {
    match (column.kind(), wanted) {
        (Some(kind), Some(wanted)) if kind != wanted && !value.is_null() => casts::cast_value(value, kind, wanted, env),
        _ => Ok(value),
    }
}
