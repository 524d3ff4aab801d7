//! How values add up: sums in 128 bits, in any number of digits, of intervals, and the sums that variance needs.
//!
//! It owns the accumulators of `aggregate`. An overflow is an error, never a wrong digit.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, PrimitiveArray};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::aggregate::Measure;
use super::fail;
use super::interval::Interval;
use super::kind::{Column, Datum, Kind, array_of, arrow_interval};
use super::numeric::Numeric;
use crate::error::Error;

/// The precision of a sum in 128 bits.
pub const WIDE_SUM: u8 = 38;

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Calls `f` with row and value of each row that is not NULL and passes the filter.
fn each(values: &ArrayRef, filter: Option<&BooleanArray>, mut f: impl FnMut(usize, i128) -> Result<()>) -> Result<()> {
    fn all<T: ArrowPrimitiveType>(
        array: &PrimitiveArray<T>,
        filter: Option<&BooleanArray>,
        f: &mut impl FnMut(usize, i128) -> Result<()>,
    ) -> Result<()>
    where
        T::Native: Into<i128>,
    {
        if array.null_count() == 0 && filter.is_none() {
            for (row, value) in array.values().iter().enumerate() {
                f(row, (*value).into())?;
            }
            return Ok(());
        }
        for (row, value) in array.iter().enumerate() {
            let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(value), true) = (value, passes) {
                f(row, value.into())?;
            }
        }
        Ok(())
    }
    match values.data_type() {
        DataType::Int16 => all(values.as_primitive::<Int16Type>(), filter, &mut f),
        DataType::Int32 => all(values.as_primitive::<Int32Type>(), filter, &mut f),
        DataType::Int64 => all(values.as_primitive::<Int64Type>(), filter, &mut f),
        DataType::Decimal128(..) => all(values.as_primitive::<Decimal128Type>(), filter, &mut f),
        other => internal_err!("no exact sum of {other}"),
    }
}

fn plus(sum: i128, value: i128) -> Result<i128> {
    sum.checked_add(value).ok_or_else(|| external(fail::numeric_overflow()))
}

/// What a sum and a count come to, in the type of the result.
fn result(measure: Measure, sum: i128, count: i64, scale: i8, output: &DataType) -> Result<ScalarValue> {
    if count == 0 {
        return ScalarValue::try_from(output);
    }
    match (measure, output) {
        (Measure::Sum, DataType::Int64) => {
            let sum = i64::try_from(sum).map_err(|_| external(fail::out_of_range("bigint")))?;
            Ok(ScalarValue::Int64(Some(sum)))
        }
        (Measure::Sum, DataType::Decimal128(precision, scale)) => {
            Ok(ScalarValue::Decimal128(Some(sum), *precision, *scale))
        }
        _ => {
            let sum = Numeric::scaled(sum.into(), scale.into());
            let average = sum.divide(&Numeric::new(count.into(), 0)).map_err(external)?;
            any_scalar(Some(&average))
        }
    }
}

fn any_scalar(value: Option<&Numeric>) -> Result<ScalarValue> {
    let output = Kind::Numeric.data_type();
    let datum = value.map_or(Datum::Null, |value| Datum::Numeric(value.clone()));
    let array = array_of(Kind::Numeric, &output, [Ok(datum)].into_iter()).map_err(external)?;
    ScalarValue::try_from_array(&array, 0)
}

/// A sum in 128 bits and a count.
#[derive(Debug)]
pub struct ExactSum {
    measure: Measure,
    scale: i8,
    output: DataType,
    sum: i128,
    count: i64,
}

impl ExactSum {
    pub fn new(measure: Measure, scale: i8, output: DataType) -> Self {
        Self { measure, scale, output, sum: 0, count: 0 }
    }
}

impl Accumulator for ExactSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (mut sum, mut count) = (self.sum, self.count);
        each(&values[0], None, |_, value| {
            sum = plus(sum, value)?;
            count += 1;
            Ok(())
        })?;
        (self.sum, self.count) = (sum, count);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (mut sum, mut count) = (self.sum, self.count);
        each(&values[0], None, |_, value| {
            sum = plus(sum, -value)?;
            count -= 1;
            Ok(())
        })?;
        (self.sum, self.count) = (sum, count);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        result(self.measure, self.sum, self.count, self.scale, &self.output)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.count)), ScalarValue::Decimal128(Some(self.sum), WIDE_SUM, self.scale)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for count in states[0].as_primitive::<Int64Type>().iter().flatten() {
            self.count += count;
        }
        for sum in states[1].as_primitive::<Decimal128Type>().iter().flatten() {
            self.sum = plus(self.sum, sum)?;
        }
        Ok(())
    }
}

/// The same for many groups at once.
#[derive(Debug)]
pub struct ExactGroups {
    measure: Measure,
    scale: i8,
    output: DataType,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl ExactGroups {
    pub fn new(measure: Measure, scale: i8, output: DataType) -> Self {
        Self { measure, scale, output, sums: Vec::new(), counts: Vec::new() }
    }

    fn sums_array(&self, sums: Vec<i128>) -> Result<ArrayRef> {
        Ok(Arc::new(Decimal128Array::from(sums).with_precision_and_scale(WIDE_SUM, self.scale)?))
    }
}

impl GroupsAccumulator for ExactGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.sums.resize(total_num_groups, 0);
        self.counts.resize(total_num_groups, 0);
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        each(&values[0], opt_filter, |row, value| {
            let group = group_indices[row];
            sums[group] = plus(sums[group], value)?;
            counts[group] += 1;
            Ok(())
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let values = sums
            .into_iter()
            .zip(counts)
            .map(|(sum, count)| result(self.measure, sum, count, self.scale, &self.output))
            .collect::<Result<Vec<_>>>()?;
        if values.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(&self.output));
        }
        ScalarValue::iter_to_array(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        Ok(vec![Arc::new(Int64Array::from(counts)), self.sums_array(sums)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.sums.resize(total_num_groups, 0);
        self.counts.resize(total_num_groups, 0);
        let counts = values[0].as_primitive::<Int64Type>();
        let sums = values[1].as_primitive::<Decimal128Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if counts.is_valid(row) && sums.is_valid(row) {
                self.counts[*group] += counts.value(row);
                self.sums[*group] = plus(self.sums[*group], sums.value(row))?;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let (mut sums, mut counts) = (vec![0_i128; rows], vec![0_i64; rows]);
        each(&values[0], opt_filter, |row, value| {
            sums[row] = value;
            counts[row] = 1;
            Ok(())
        })?;
        Ok(vec![Arc::new(Int64Array::from(counts)), self.sums_array(sums)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}

/// Numerics of any scale, of a column.
fn numerics(array: &ArrayRef) -> Result<Vec<Numeric>> {
    let column = Column::new(array).map_err(external)?;
    let values = (0..array.len()).filter_map(|row| match column.get(row) {
        Datum::Numeric(value) => Some(value),
        Datum::Int(value) => Some(Numeric::new(value.into(), 0)),
        _ => None,
    });
    Ok(values.collect())
}

/// A sum of any number of digits.
#[derive(Debug)]
pub struct NumericSum {
    measure: Measure,
    output: DataType,
    sum: Numeric,
    count: i64,
}

impl NumericSum {
    pub fn new(measure: Measure, output: DataType) -> Self {
        Self { measure, output, sum: Numeric::zero(), count: 0 }
    }
}

impl Accumulator for NumericSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in numerics(&values[0])? {
            self.sum = self.sum.add(&value);
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in numerics(&values[0])? {
            self.sum = self.sum.subtract(&value);
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.output);
        }
        match self.measure {
            Measure::Average => {
                let average = self.sum.divide(&Numeric::new(self.count.into(), 0)).map_err(external)?;
                any_scalar(Some(&average))
            }
            _ => any_scalar(Some(&self.sum)),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.count)), ScalarValue::Utf8(Some(self.sum.to_string()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count += counts(&states[0]);
        self.sum = sums(&states[1])?.iter().fold(self.sum.clone(), |sum, value| sum.add(value));
        Ok(())
    }
}

fn counts(array: &ArrayRef) -> i64 {
    array.as_primitive::<Int64Type>().iter().flatten().sum()
}

fn sums(array: &ArrayRef) -> Result<Vec<Numeric>> {
    array.as_string::<i32>().iter().flatten().map(wide).collect()
}

/// A sum as it was written into a state, of any number of digits.
fn wide(text: &str) -> Result<Numeric> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    match format!("{whole}{fraction}").parse::<BigInt>() {
        Ok(value) => Ok(Numeric::new(value, fraction.len() as u32)),
        Err(error) => internal_err!("a sum was written as {text}: {error}"),
    }
}

/// Intervals, field by field.
#[derive(Debug)]
pub struct IntervalSum {
    measure: Measure,
    sum: Interval,
    count: i64,
}

impl IntervalSum {
    pub fn new(measure: Measure) -> Self {
        Self { measure, sum: Interval::default(), count: 0 }
    }

    fn add_all(&mut self, array: &ArrayRef, negated: bool) -> Result<i64> {
        let column = Column::new(array).map_err(external)?;
        let mut count = 0;
        for row in 0..array.len() {
            if let Datum::Interval(value) = column.get(row) {
                let value = if negated { value.negated().map_err(external)? } else { value };
                self.sum = self.sum.plus(value).map_err(external)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Accumulator for IntervalSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count += self.add_all(&values[0], false)?;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count -= self.add_all(&values[0], true)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let value = match self.measure {
            Measure::Average => self.sum.divided(self.count as f64).map_err(external)?,
            _ => self.sum,
        };
        Ok(ScalarValue::IntervalMonthDayNano(Some(arrow_interval(value).map_err(external)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = arrow_interval(self.sum).map_err(external)?;
        Ok(vec![ScalarValue::Int64(Some(self.count)), ScalarValue::IntervalMonthDayNano(Some(sum))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count += counts(&states[0]);
        self.add_all(&states[1], false).map(|_| ())
    }
}

/// The sums of values and of their squares, exact (`numeric_stddev_internal`).
#[derive(Debug)]
pub struct Moments {
    measure: Measure,
    count: i64,
    sum: Numeric,
    squares: Numeric,
}

impl Moments {
    pub fn new(measure: Measure) -> Self {
        Self { measure, count: 0, sum: Numeric::zero(), squares: Numeric::zero() }
    }
}

impl Accumulator for Moments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in numerics(&values[0])? {
            self.count += 1;
            self.squares = self.squares.add(&value.multiply(&value));
            self.sum = self.sum.add(&value);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in numerics(&values[0])? {
            self.count -= 1;
            self.squares = self.squares.subtract(&value.multiply(&value));
            self.sum = self.sum.subtract(&value);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (sample, root) = match self.measure {
            Measure::Deviation { sample } => (sample, true),
            Measure::Variance { sample } => (sample, false),
            Measure::Sum | Measure::Average => (false, false),
        };
        if self.count <= i64::from(sample) {
            return any_scalar(None);
        }
        let count = Numeric::new(self.count.into(), 0);
        let spread = count.multiply(&self.squares).subtract(&self.sum.multiply(&self.sum));
        if !spread.value().is_positive() {
            return any_scalar(Some(&Numeric::new(BigInt::zero(), 0)));
        }
        let divisor = if sample { Numeric::new((self.count - 1).into(), 0) } else { count.clone() };
        let variance = spread.divide(&count.multiply(&divisor)).map_err(external)?;
        let value = if root { variance.root(variance.scale() + 1).rescaled(variance.scale()) } else { variance };
        any_scalar(Some(&value))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Int64(Some(self.count)),
            ScalarValue::Utf8(Some(self.sum.to_string())),
            ScalarValue::Utf8(Some(self.squares.to_string())),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count += counts(&states[0]);
        self.sum = sums(&states[1])?.iter().fold(self.sum.clone(), |sum, value| sum.add(value));
        self.squares = sums(&states[2])?.iter().fold(self.squares.clone(), |sum, value| sum.add(value));
        Ok(())
    }
}

/// The same of floats, by the method of Youngs and Cramer (`float8_accum`, `float8_combine`).
#[derive(Debug)]
pub struct FloatMoments {
    measure: Measure,
    count: f64,
    sum: f64,
    squares: f64,
}

impl FloatMoments {
    pub fn new(measure: Measure) -> Self {
        Self { measure, count: 0.0, sum: 0.0, squares: 0.0 }
    }
}

impl Accumulator for FloatMoments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.count += 1.0;
            self.sum += value;
            if self.count > 1.0 {
                let spread = value * self.count - self.sum;
                self.squares += spread * spread / (self.count * (self.count - 1.0));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (sample, root) = match self.measure {
            Measure::Deviation { sample } => (sample, true),
            Measure::Variance { sample } => (sample, false),
            Measure::Sum | Measure::Average => (false, false),
        };
        let divisor = if sample { self.count - 1.0 } else { self.count };
        if divisor <= 0.0 {
            return Ok(ScalarValue::Float64(None));
        }
        let variance = self.squares / divisor;
        Ok(ScalarValue::Float64(Some(if root { variance.sqrt() } else { variance })))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok([self.count, self.sum, self.squares].map(|part| ScalarValue::Float64(Some(part))).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let part = |column: usize, row: usize| states[column].as_primitive::<Float64Type>().value(row);
        for row in 0..states[0].len() {
            let (count, sum, squares) = (part(0, row), part(1, row), part(2, row));
            if count == 0.0 {
                continue;
            }
            if self.count == 0.0 {
                (self.count, self.sum, self.squares) = (count, sum, squares);
                continue;
            }
            let all = self.count + count;
            let apart = self.sum / self.count - sum / count;
            self.squares += squares + self.count * count * apart * apart / all;
            self.sum += sum;
            self.count = all;
        }
        Ok(())
    }
}

/// Each value once, kept until the end.
#[derive(Debug)]
pub struct Distinct {
    inner: Box<dyn Accumulator>,
    input: DataType,
    seen: HashSet<ScalarValue>,
}

impl Distinct {
    pub fn new(inner: Box<dyn Accumulator>, input: DataType) -> Self {
        Self { inner, input, seen: HashSet::new() }
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            if values[0].is_valid(row) {
                self.seen.insert(ScalarValue::try_from_array(&values[0], row)?);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if !self.seen.is_empty() {
            let all = ScalarValue::iter_to_array(self.seen.iter().cloned())?;
            self.inner.update_batch(&[all])?;
        }
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * size_of::<ScalarValue>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.seen.iter().cloned().collect();
        let list = ScalarValue::new_list_nullable(&values, &self.input);
        Ok(vec![ScalarValue::List(list)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }
}
