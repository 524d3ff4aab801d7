//! Ordered-set aggregates (PostgreSQL 15, table 9.61): `percentile_cont`, `percentile_disc` and `mode`.
//!
//! It owns what they make of the sorted values. All values are kept until the end, as in PostgreSQL.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{SortOptions, concat, sort};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::kind::Kind;
use crate::error::{Error, SqlState};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Choice {
    /// Between two values, a value in proportion.
    Continuous,
    /// The first value at or behind the fraction.
    Discrete,
    /// The most frequent value, the first of equals.
    Mode,
}

const NAMES: [(&str, Choice); 3] =
    [("percentile_cont", Choice::Continuous), ("percentile_disc", Choice::Discrete), ("mode", Choice::Mode)];

/// Every aggregate of this file, by name.
pub fn all() -> impl Iterator<Item = (&'static str, Arc<AggregateUDF>)> {
    NAMES.into_iter().map(|(name, choice)| {
        let signature = Signature::user_defined(Volatility::Immutable);
        (name, Arc::new(AggregateUDF::new_from_impl(Ordered { name, choice, signature })))
    })
}

#[derive(Debug)]
struct Ordered {
    name: &'static str,
    choice: Choice,
    signature: Signature,
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Ordered {}

impl Hash for Ordered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

impl AggregateUDFImpl for Ordered {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let value = |own: &DataType| match (self.choice, Kind::of(own)) {
            (
                Choice::Continuous,
                Some(Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric | Kind::Float4 | Kind::Float8),
            ) => Ok(DataType::Float64),
            (Choice::Continuous, _) => exec_err!("{} takes numbers", self.name),
            _ => Ok(own.clone()),
        };
        match (self.choice, arg_types) {
            (Choice::Mode, [own]) => Ok(vec![value(own)?]),
            (Choice::Continuous | Choice::Discrete, [own, fraction]) => {
                let fraction = if is_list(fraction) { list_of(DataType::Float64) } else { DataType::Float64 };
                Ok(vec![value(own)?, fraction])
            }
            _ => exec_err!("{} is called as {}(…) WITHIN GROUP (ORDER BY …)", self.name, self.name),
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let value = arg_types[0].clone();
        Ok(if arg_types.get(1).is_some_and(is_list) { list_of(value) } else { value })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type| Arc::new(Field::new(format!("{}[{name}]", args.name), data_type, true));
        let values = field("values", list_of(args.input_fields[0].data_type().clone()));
        Ok(vec![values, field("fractions", list_of(DataType::Float64))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let fractions_are_list = args.expr_fields.get(1).is_some_and(|field| is_list(field.data_type()));
        Ok(Box::new(Collected {
            choice: self.choice,
            value_type: args.expr_fields[0].data_type().clone(),
            descending: args.order_bys.first().is_some_and(|order| order.options.descending),
            is_list: fractions_are_list,
            values: Vec::new(),
            fractions: None,
        }))
    }
}

#[derive(Debug)]
struct Collected {
    choice: Choice,
    value_type: DataType,
    descending: bool,
    is_list: bool,
    values: Vec<ArrayRef>,
    /// Known with the first row.
    fractions: Option<Vec<Option<f64>>>,
}

impl Collected {
    fn note_fractions(&mut self, array: &ArrayRef) {
        if self.fractions.is_some() || array.is_empty() {
            return;
        }
        let all = if self.is_list {
            if array.is_null(0) {
                return;
            }
            array.as_list::<i32>().value(0)
        } else {
            array.slice(0, 1)
        };
        self.fractions = Some(all.as_primitive::<Float64Type>().iter().collect());
    }

    fn keep(&mut self, array: ArrayRef) -> Result<()> {
        if array.null_count() == 0 {
            self.values.push(array);
            return Ok(());
        }
        let valid = datafusion::arrow::compute::is_not_null(&array)?;
        self.values.push(datafusion::arrow::compute::filter(&array, &valid)?);
        Ok(())
    }

    fn all(&self) -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = self.values.iter().map(AsRef::as_ref).collect();
        if arrays.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(&self.value_type));
        }
        Ok(concat(&arrays)?)
    }

    fn at(&self, sorted: &ArrayRef, fraction: f64) -> Result<ScalarValue> {
        if !(0.0..=1.0).contains(&fraction) {
            let message = format!("percentile value {fraction} is not between 0 and 1");
            let error = Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message);
            return Err(DataFusionError::External(Box::new(error)));
        }
        let count = sorted.len();
        if self.choice == Choice::Discrete {
            let place = (fraction * count as f64).ceil() as usize;
            return ScalarValue::try_from_array(sorted, place.max(1) - 1);
        }
        let place = fraction * (count - 1) as f64;
        let (low, high) = (place.floor() as usize, place.ceil() as usize);
        let sorted = sorted.as_primitive::<Float64Type>();
        let (low_value, high_value) = (sorted.value(low), sorted.value(high));
        let value = if low == high { low_value } else { low_value + (high_value - low_value) * (place - low as f64) };
        Ok(ScalarValue::Float64(Some(value)))
    }
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // behind the arguments comes what is ordered by
        if self.choice != Choice::Mode
            && let Some(fractions) = values.get(1)
        {
            self.note_fractions(fractions);
        }
        self.keep(Arc::clone(&values[0]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let sorted = sort(&self.all()?, Some(options))?;
        let nothing = ScalarValue::try_from(&self.value_type)?;
        if self.choice == Choice::Mode {
            return most_frequent(&sorted, nothing);
        }
        let fractions = self.fractions.clone().unwrap_or_default();
        if sorted.is_empty() || fractions.is_empty() {
            return if self.is_list { ScalarValue::try_from(&list_of(self.value_type.clone())) } else { Ok(nothing) };
        }
        let found = fractions.into_iter().map(|fraction| match fraction {
            Some(fraction) => self.at(&sorted, fraction),
            None => Ok(nothing.clone()),
        });
        let mut found = found.collect::<Result<Vec<_>>>()?;
        if self.is_list {
            return Ok(ScalarValue::List(ScalarValue::new_list_nullable(&found, &self.value_type)));
        }
        Ok(found.swap_remove(0))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(Array::get_array_memory_size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let all = self.all()?;
        let values = (0..all.len()).map(|row| ScalarValue::try_from_array(&all, row)).collect::<Result<Vec<_>>>()?;
        let fractions = match &self.fractions {
            Some(fractions) => {
                let fractions: Vec<_> = fractions.iter().map(|fraction| ScalarValue::Float64(*fraction)).collect();
                ScalarValue::List(ScalarValue::new_list_nullable(&fractions, &DataType::Float64))
            }
            None => ScalarValue::try_from(&list_of(DataType::Float64))?,
        };
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.value_type)), fractions])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.keep(values)?;
        }
        for fractions in states[1].as_list::<i32>().iter().flatten() {
            if self.fractions.is_none() {
                self.fractions = Some(fractions.as_primitive::<Float64Type>().iter().collect());
            }
        }
        Ok(())
    }
}

/// The value of the longest run.
fn most_frequent(sorted: &ArrayRef, nothing: ScalarValue) -> Result<ScalarValue> {
    let (mut best, mut best_count) = (nothing, 0);
    let mut row = 0;
    while row < sorted.len() {
        let value = ScalarValue::try_from_array(sorted, row)?;
        let mut end = row + 1;
        while end < sorted.len() && ScalarValue::try_from_array(sorted, end)? == value {
            end += 1;
        }
        if end - row > best_count {
            (best, best_count) = (value, end - row);
        }
        row = end;
    }
    Ok(best)
}
