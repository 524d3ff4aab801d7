//! Values as PostgreSQL's output functions write them, for functions that take anything and make text of it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;

/// The text of each value, NULL where it is NULL.
pub fn of(array: &ArrayRef) -> Result<StringArray> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().clone(),
        DataType::Boolean => {
            array.as_boolean().iter().map(|value| value.map(|flag| if flag { "t" } else { "f" })).collect()
        }
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| float(v.into(), &v.to_string()))).collect()
        }
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| float(v, &v.to_string()))).collect()
        }
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..) => {
            moments(array)?
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => lists(array)?,
        _ => cast(array, &DataType::Utf8)?.as_string::<i32>().clone(),
    })
}

/// Shortest digits that mean the number, with an exponent from 1e+15 on and below 1e-04 (`float8out`).
fn float(number: f64, shortest: &str) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = number.abs();
    if number == 0.0 || (1e-4..1e15).contains(&magnitude) {
        return shortest.to_owned();
    }
    let scientific = shortest.parse::<f64>().map_or_else(|_| shortest.to_owned(), |n| format!("{n:e}"));
    match scientific.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => scientific,
    }
}

fn moments(array: &ArrayRef) -> Result<StringArray> {
    let options = FormatOptions::new()
        .with_date_format(Some("%Y-%m-%d"))
        .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%#z"))
        .with_time_format(Some("%H:%M:%S%.f"));
    let formatter = ArrayFormatter::try_new(array, &options)?;
    let mut builder = StringBuilder::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
        } else {
            builder.append_value(without_zeros(&formatter.value(row).try_to_string()?));
        }
    }
    Ok(builder.finish())
}

/// `12:00:00.500000` is `12:00:00.5`.
fn without_zeros(text: &str) -> String {
    let Some((whole, fraction)) = text.split_once('.') else { return text.to_owned() };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, zone) = fraction.split_at(digits);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{whole}{zone}") } else { format!("{whole}.{fraction}{zone}") }
}

/// `{1,2,NULL}` (`array_out`).
fn lists(array: &ArrayRef) -> Result<StringArray> {
    let list = match array.data_type() {
        DataType::List(_) => Arc::clone(array),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => cast(array, &DataType::List(Arc::clone(item)))?,
        _ => return Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
    };
    let list = list.as_list::<i32>();
    let nested = matches!(list.value_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    let items = of(list.values())?;
    let mut builder = StringBuilder::new();
    for row in 0..list.len() {
        if list.is_null(row) {
            builder.append_null();
            continue;
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        let written: Vec<String> = (start..end)
            .map(|item| match items.is_null(item) {
                true => "NULL".to_owned(),
                false if nested => items.value(item).to_owned(),
                false => element(items.value(item)),
            })
            .collect();
        builder.append_value(format!("{{{}}}", written.join(",")));
    }
    Ok(builder.finish())
}

/// An element, in quotes where braces, commas, blanks or the word NULL would be misread.
fn element(text: &str) -> String {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace();
    if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{BooleanArray, Float64Array, Int32Array, ListArray, TimestampMicrosecondArray};
    use datafusion::arrow::datatypes::Int32Type;

    fn written(array: impl Array + 'static) -> Vec<Option<String>> {
        let array: ArrayRef = Arc::new(array);
        of(&array).unwrap().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn values_are_written_as_postgresql_writes_them() {
        assert_eq!(written(BooleanArray::from(vec![Some(true), None])), [Some("t".to_owned()), None]);
        let floats = written(Float64Array::from(vec![1.0, 0.1, 1e15, 1.5e-5, f64::NAN, 1e300]));
        let floats: Vec<_> = floats.into_iter().flatten().collect();
        assert_eq!(floats, ["1", "0.1", "1e+15", "1.5e-05", "NaN", "1e+300"]);
        let moment = TimestampMicrosecondArray::from(vec![1_500_000, 2_000_000]);
        let moments: Vec<_> = written(moment).into_iter().flatten().collect();
        assert_eq!(moments, ["1970-01-01 00:00:01.5", "1970-01-01 00:00:02"]);
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        assert_eq!(written(lists), [Some("{1,NULL}".to_owned()), None]);
        assert_eq!(written(Int32Array::from(vec![7])), [Some("7".to_owned())]);
        assert_eq!(element("a b"), "\"a b\"");
    }
}
