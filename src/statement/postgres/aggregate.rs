//! `sum`, `avg`, `stddev` and `variance` over integers, numerics and intervals: exact, with PostgreSQL's types and scales
//! (section 9.21 "Aggregate Functions"). Sums and averages of floats are the engine's own.
//!
//! It owns their types and how they add up. Sums of integers and of decimals of 128 bits go group by group without a detour.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion::common::{Result, exec_err};
use datafusion::functions_aggregate::{average, stddev, sum, variance};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use super::exact::{Distinct, ExactGroups, ExactSum, FloatMoments, IntervalSum, Moments, NumericSum, WIDE_SUM};
use super::kind::Kind;
use crate::pgtype::numeric as any_numeric;

/// What is made of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    Sum,
    Average,
    Variance { sample: bool },
    Deviation { sample: bool },
}

/// Names and what they measure.
const NAMES: [(&str, Measure); 8] = [
    ("sum", Measure::Sum),
    ("avg", Measure::Average),
    ("variance", Measure::Variance { sample: true }),
    ("var_samp", Measure::Variance { sample: true }),
    ("var_pop", Measure::Variance { sample: false }),
    ("stddev", Measure::Deviation { sample: true }),
    ("stddev_samp", Measure::Deviation { sample: true }),
    ("stddev_pop", Measure::Deviation { sample: false }),
];

/// Every aggregate of this file, by name.
pub fn all() -> impl Iterator<Item = (&'static str, Arc<AggregateUDF>)> {
    NAMES.into_iter().map(|(name, measure)| (name, Arc::new(AggregateUDF::new_from_impl(Exact::new(name, measure)))))
}

#[derive(Debug)]
struct Exact {
    name: &'static str,
    measure: Measure,
    signature: Signature,
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Exact {}

impl Hash for Exact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Exact {
    fn new(name: &'static str, measure: Measure) -> Self {
        Self { name, measure, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The engine's own aggregate, for sums and averages of floats.
    fn of_engine(&self, input: &DataType) -> Option<Arc<AggregateUDF>> {
        match self.measure {
            Measure::Sum if is_float(input) => Some(sum::sum_udaf()),
            Measure::Average if is_float(input) => Some(average::avg_udaf()),
            _ => None,
        }
    }

    fn is_moment(&self) -> bool {
        matches!(self.measure, Measure::Variance { .. } | Measure::Deviation { .. })
    }
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float64)
}

/// The scale of what adds up in 128 bits; `None` for other numbers.
fn narrow_scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(0),
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [arg] = arg_types else {
            return exec_err!("{} takes one argument", self.name);
        };
        let coerced = match (arg, Kind::of(arg)) {
            (DataType::Null, _) => DataType::Float64,
            (DataType::Int8 | DataType::UInt8, _) => DataType::Int16,
            (DataType::UInt16, _) => DataType::Int32,
            (DataType::UInt32, _) => DataType::Int64,
            (DataType::UInt64, _) => DataType::Decimal128(20, 0),
            (DataType::Decimal32(p, s) | DataType::Decimal64(p, s), _) => DataType::Decimal128(*p, *s),
            (DataType::Dictionary(_, values), Some(Kind::Numeric | Kind::Int2 | Kind::Int4 | Kind::Int8)) => {
                values.as_ref().clone()
            }
            (same, Some(Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric)) => same.clone(),
            (_, Some(Kind::Float4 | Kind::Float8)) => DataType::Float64,
            (_, Some(Kind::Interval | Kind::Time)) if !self.is_moment() => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            _ => {
                let name = Kind::of(arg).map_or_else(|| arg.to_string(), |kind| kind.name().to_owned());
                let message = format!("function {}({name}) does not exist", self.name);
                let error = crate::error::Error::new(crate::error::SqlState::UNDEFINED_FUNCTION, message).hint(
                    "No function matches the given name and argument types. You might need to add explicit type casts.",
                );
                return Err(datafusion::common::DataFusionError::External(Box::new(error)));
            }
        };
        Ok(vec![coerced])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let arg = &arg_types[0];
        Ok(match (self.measure, arg) {
            (_, DataType::Float64 | DataType::Float32) => DataType::Float64,
            (_, DataType::Interval(_)) => DataType::Interval(IntervalUnit::MonthDayNano),
            (Measure::Sum, DataType::Int16 | DataType::Int32) => DataType::Int64,
            (Measure::Sum, DataType::Int64) => DataType::Decimal128(WIDE_SUM, 0),
            (Measure::Sum, DataType::Decimal128(_, scale)) => DataType::Decimal128(WIDE_SUM, *scale),
            _ => any_numeric::data_type(),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let input = args.input_fields[0].data_type();
        if let Some(engine) = self.of_engine(input) {
            return engine.state_fields(args);
        }
        let field =
            |name: &str, data_type: DataType| Arc::new(Field::new(format!("{}[{name}]", args.name), data_type, true));
        if args.is_distinct {
            let item = Field::new_list_field(input.clone(), true);
            return Ok(vec![field("values", DataType::List(Arc::new(item)))]);
        }
        if self.is_moment() && is_float(input) {
            return Ok(["count", "sum", "squares"].map(|name| field(name, DataType::Float64)).to_vec());
        }
        let count = field("count", DataType::Int64);
        if self.is_moment() {
            return Ok(vec![count, field("sum", DataType::Utf8), field("squares", DataType::Utf8)]);
        }
        Ok(match (narrow_scale(input), input) {
            (Some(scale), _) => vec![count, field("sum", DataType::Decimal128(WIDE_SUM, scale))],
            (None, DataType::Interval(_)) => {
                vec![count, field("sum", DataType::Interval(IntervalUnit::MonthDayNano))]
            }
            (None, _) => vec![count, field("sum", DataType::Utf8)],
        })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let input = args.expr_fields[0].data_type().clone();
        if let Some(engine) = self.of_engine(&input) {
            return engine.accumulator(args);
        }
        if args.is_distinct {
            let inner = self.plain(&input, args.return_type());
            return Ok(Box::new(Distinct::new(inner, input)));
        }
        Ok(self.plain(&input, args.return_type()))
    }

    /// Over a frame that slides, floats leave as they came, which only the engine's own accumulators can.
    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let input = args.expr_fields[0].data_type();
        let engine = match self.measure {
            _ if !is_float(input) => return self.accumulator(args),
            Measure::Sum => sum::sum_udaf(),
            Measure::Average => average::avg_udaf(),
            Measure::Variance { sample: true } => variance::var_samp_udaf(),
            Measure::Variance { sample: false } => variance::var_pop_udaf(),
            Measure::Deviation { sample: true } => stddev::stddev_udaf(),
            Measure::Deviation { sample: false } => stddev::stddev_pop_udaf(),
        };
        engine.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        let input = args.expr_fields[0].data_type();
        if let Some(engine) = self.of_engine(input) {
            return engine.groups_accumulator_supported(args);
        }
        !args.is_distinct && !self.is_moment() && narrow_scale(input).is_some()
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let input = args.expr_fields[0].data_type();
        if let Some(engine) = self.of_engine(input) {
            return engine.create_groups_accumulator(args);
        }
        let scale = narrow_scale(input).unwrap_or(0);
        Ok(Box::new(ExactGroups::new(self.measure, scale, args.return_type().clone())))
    }
}

impl Exact {
    fn plain(&self, input: &DataType, output: &DataType) -> Box<dyn Accumulator> {
        if self.is_moment() {
            if is_float(input) {
                return Box::new(FloatMoments::new(self.measure));
            }
            return Box::new(Moments::new(self.measure));
        }
        match (narrow_scale(input), input) {
            (Some(scale), _) => Box::new(ExactSum::new(self.measure, scale, output.clone())),
            (None, DataType::Interval(_)) => Box::new(IntervalSum::new(self.measure)),
            (None, _) => Box::new(NumericSum::new(self.measure, output.clone())),
        }
    }
}
