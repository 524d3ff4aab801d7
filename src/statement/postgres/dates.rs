//! Operators and functions on dates, times, timestamps and intervals (PostgreSQL 15, section 9.9).
//!
//! It owns which of them there are and what they give. The calendar is in `datetime`, intervals in `interval`.

use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::datetime::{self, Unit, checked_date, checked_timestamp, instant, local, timestamp_of_date};
use super::function::{Env, Function, Overload, function, on};
use super::interval::{Interval, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::kind::{Datum, Kind};
use super::numeric::Numeric;
use super::{fail, read_time, show_number, show_time};
use crate::error::{Error, Result, SqlState};
use crate::settings::time_zone::TimeZone;
use Kind::{Bool, Date, Float8, Int4, Numeric as Num, Text, Time, Timestamp, TimestampTz};

const INTERVAL: Kind = Kind::Interval;
/// The digits that every field of a date or a time fits in.
const FIELD_DIGITS: u8 = 20;

fn midnight(date: &Datum<'_>) -> Result<i64> {
    timestamp_of_date(date.date())
}

fn moved_date(days: i64, by: i64) -> Result<Datum<'static>> {
    checked_date(days + by).map(Datum::Date)
}

fn moved(at: i64, by: Interval) -> Result<Datum<'static>> {
    datetime::plus_interval(at, by).map(Datum::Timestamp)
}

fn moved_in(at: i64, by: Interval, env: &Env) -> Result<Datum<'static>> {
    datetime::plus_interval_in(at, by, env.zone).map(Datum::Timestamp)
}

fn time_of_day(micros: i64) -> Datum<'static> {
    Datum::Time(micros.rem_euclid(MICROS_PER_DAY))
}

pub const DATE_PLUS_INT: Overload = on(&[Date, Int4], Date, |a, _| moved_date(a[0].date().into(), a[1].int()));
pub const INT_PLUS_DATE: Overload = on(&[Int4, Date], Date, |a, _| moved_date(a[1].date().into(), a[0].int()));
pub const DATE_PLUS_TIME: Overload =
    on(&[Date, Time], Timestamp, |a, _| Ok(Datum::Timestamp(midnight(&a[0])? + a[1].time())));
pub const DATE_PLUS_INTERVAL: Overload =
    on(&[Date, INTERVAL], Timestamp, |a, _| moved(midnight(&a[0])?, a[1].interval()));
pub const INTERVAL_PLUS_DATE: Overload =
    on(&[INTERVAL, Date], Timestamp, |a, _| moved(midnight(&a[1])?, a[0].interval()));
pub const TIMESTAMP_PLUS_INTERVAL: Overload =
    on(&[Timestamp, INTERVAL], Timestamp, |a, _| moved(a[0].timestamp(), a[1].interval()));
pub const INTERVAL_PLUS_TIMESTAMP: Overload =
    on(&[INTERVAL, Timestamp], Timestamp, |a, _| moved(a[1].timestamp(), a[0].interval()));
pub const TIMESTAMPTZ_PLUS_INTERVAL: Overload =
    on(&[TimestampTz, INTERVAL], TimestampTz, |a, env| moved_in(a[0].timestamp(), a[1].interval(), env));
pub const INTERVAL_PLUS_TIMESTAMPTZ: Overload =
    on(&[INTERVAL, TimestampTz], TimestampTz, |a, env| moved_in(a[1].timestamp(), a[0].interval(), env));
pub const TIME_PLUS_INTERVAL: Overload =
    on(&[Time, INTERVAL], Time, |a, _| Ok(time_of_day(a[0].time() + a[1].interval().micros % MICROS_PER_DAY)));
pub const INTERVAL_PLUS_INTERVAL: Overload =
    on(&[INTERVAL, INTERVAL], INTERVAL, |a, _| a[0].interval().plus(a[1].interval()).map(Datum::Interval));
pub const DATE_MINUS_INT: Overload = on(&[Date, Int4], Date, |a, _| moved_date(a[0].date().into(), -a[1].int()));
pub const DATE_MINUS_DATE: Overload =
    on(&[Date, Date], Int4, |a, _| Ok(Datum::Int(i64::from(a[0].date()) - i64::from(a[1].date()))));
pub const DATE_MINUS_INTERVAL: Overload =
    on(&[Date, INTERVAL], Timestamp, |a, _| moved(midnight(&a[0])?, a[1].interval().negated()?));
pub const TIMESTAMP_MINUS_INTERVAL: Overload =
    on(&[Timestamp, INTERVAL], Timestamp, |a, _| moved(a[0].timestamp(), a[1].interval().negated()?));
pub const TIMESTAMPTZ_MINUS_INTERVAL: Overload =
    on(&[TimestampTz, INTERVAL], TimestampTz, |a, env| moved_in(a[0].timestamp(), a[1].interval().negated()?, env));
pub const TIMESTAMP_MINUS_TIMESTAMP: Overload = on(&[Timestamp, Timestamp], INTERVAL, |a, _| {
    datetime::difference(a[0].timestamp(), a[1].timestamp()).map(Datum::Interval)
});
pub const TIMESTAMPTZ_MINUS_TIMESTAMPTZ: Overload = on(&[TimestampTz, TimestampTz], INTERVAL, |a, _| {
    datetime::difference(a[0].timestamp(), a[1].timestamp()).map(Datum::Interval)
});
pub const TIME_MINUS_TIME: Overload =
    on(&[Time, Time], INTERVAL, |a, _| Ok(Datum::Interval(Interval::of_micros(a[0].time() - a[1].time()))));
pub const TIME_MINUS_INTERVAL: Overload =
    on(&[Time, INTERVAL], Time, |a, _| Ok(time_of_day(a[0].time() - a[1].interval().micros % MICROS_PER_DAY)));
pub const INTERVAL_MINUS_INTERVAL: Overload =
    on(&[INTERVAL, INTERVAL], INTERVAL, |a, _| a[0].interval().plus(a[1].interval().negated()?).map(Datum::Interval));
pub const INTERVAL_TIMES_NUMBER: Overload =
    on(&[INTERVAL, Float8], INTERVAL, |a, _| a[0].interval().times(a[1].float()).map(Datum::Interval));
pub const NUMBER_TIMES_INTERVAL: Overload =
    on(&[Float8, INTERVAL], INTERVAL, |a, _| a[1].interval().times(a[0].float()).map(Datum::Interval));
pub const INTERVAL_DIVIDED: Overload =
    on(&[INTERVAL, Float8], INTERVAL, |a, _| a[0].interval().divided(a[1].float()).map(Datum::Interval));

pub static FUNCTIONS: &[Function] = &[
    function("extract", EXTRACT),
    function("interval_in", &[on(&[Text, Text], INTERVAL, |a, _| read_interval(a[0].str(), a[1].str()))]),
    function(
        "date_part",
        &[
            on(&[Text, Timestamp], Float8, |a, _| part(a, |unit| timestamp_field(a[1].timestamp(), unit))),
            on(&[Text, TimestampTz], Float8, |a, env| {
                part_of(a, TimestampTz, |unit| datetime::timestamp_field(a[1].timestamp(), unit, Some(&env.zone)))
            }),
            on(&[Text, Date], Float8, |a, _| {
                // a date is a timestamp here, so its hours are zero
                let at = midnight(&a[1])?;
                part(a, |unit| timestamp_field(at, unit))
            }),
            on(&[Text, Time], Float8, |a, _| part_of(a, Time, |unit| field_of_time(a[1].time(), unit))),
            on(&[Text, INTERVAL], Float8, |a, _| part_of(a, INTERVAL, |unit| a[1].interval().field(unit))),
        ],
    ),
    function(
        "date_trunc",
        &[
            on(&[Text, TimestampTz], TimestampTz, |a, env| truncated_in(a, env.zone)),
            on(&[Text, Timestamp], Timestamp, |a, _| {
                let unit = Unit::parse(a[0].str(), Timestamp)?;
                datetime::truncated(a[1].timestamp(), unit, Timestamp).map(Datum::Timestamp)
            })
            .vectorised(truncated_column),
            on(&[Text, INTERVAL], INTERVAL, |a, _| {
                a[1].interval().truncated(Unit::parse(a[0].str(), INTERVAL)?).map(Datum::Interval)
            }),
            on(&[Text, TimestampTz, Text], TimestampTz, |a, _| truncated_in(a, zone(a[2].str())?)),
        ],
    ),
    function(
        "date_bin",
        &[
            on(&[INTERVAL, Timestamp, Timestamp], Timestamp, |a, _| {
                datetime::binned(a[0].interval(), a[1].timestamp(), a[2].timestamp()).map(Datum::Timestamp)
            }),
            on(&[INTERVAL, TimestampTz, TimestampTz], TimestampTz, |a, _| {
                datetime::binned(a[0].interval(), a[1].timestamp(), a[2].timestamp()).map(Datum::Timestamp)
            }),
        ],
    ),
    function(
        "age",
        &[
            on(&[TimestampTz, TimestampTz], INTERVAL, |a, env| {
                let clock = |at: i64| local(at, env.zone);
                Ok(Datum::Interval(datetime::age(clock(a[0].timestamp()), clock(a[1].timestamp()))))
            }),
            on(&[Timestamp, Timestamp], INTERVAL, |a, _| {
                Ok(Datum::Interval(datetime::age(a[0].timestamp(), a[1].timestamp())))
            }),
        ],
    ),
    function(
        "timezone",
        &[
            on(&[Text, TimestampTz], Timestamp, |a, _| {
                Ok(Datum::Timestamp(local(a[1].timestamp(), zone(a[0].str())?)))
            }),
            on(&[Text, Timestamp], TimestampTz, |a, _| {
                instant(a[1].timestamp(), zone(a[0].str())?).map(Datum::Timestamp)
            }),
            on(&[INTERVAL, TimestampTz], Timestamp, |a, _| {
                checked_timestamp(a[1].timestamp().checked_add(offset(a[0].interval())?)).map(Datum::Timestamp)
            }),
            on(&[INTERVAL, Timestamp], TimestampTz, |a, _| {
                checked_timestamp(a[1].timestamp().checked_sub(offset(a[0].interval())?)).map(Datum::Timestamp)
            }),
        ],
    ),
    function(
        "justify_hours",
        &[on(&[INTERVAL], INTERVAL, |a, _| a[0].interval().justified_hours().map(Datum::Interval))],
    ),
    function(
        "justify_days",
        &[on(&[INTERVAL], INTERVAL, |a, _| a[0].interval().justified_days().map(Datum::Interval))],
    ),
    function("justify_interval", &[on(&[INTERVAL], INTERVAL, |a, _| a[0].interval().justified().map(Datum::Interval))]),
    function(
        "isfinite",
        &[
            on(&[Date], Bool, |_, _| Ok(Datum::Bool(true))),
            on(&[TimestampTz], Bool, |_, _| Ok(Datum::Bool(true))),
            on(&[Timestamp], Bool, |_, _| Ok(Datum::Bool(true))),
            on(&[INTERVAL], Bool, |_, _| Ok(Datum::Bool(true))),
        ],
    ),
    function("make_date", &[on(&[Int4, Int4, Int4], Date, |a, _| made_date(a).map(Datum::Date))]),
    function("make_time", &[on(&[Int4, Int4, Float8], Time, |a, _| made_time(&a[..3]).map(Datum::Time))]),
    function(
        "make_timestamp",
        &[on(&[Int4, Int4, Int4, Int4, Int4, Float8], Timestamp, |a, _| made_timestamp(a).map(Datum::Timestamp))],
    ),
    function(
        "make_timestamptz",
        &[
            on(&[Int4, Int4, Int4, Int4, Int4, Float8], TimestampTz, |a, env| {
                instant(made_timestamp(a)?, env.zone).map(Datum::Timestamp)
            }),
            on(&[Int4, Int4, Int4, Int4, Int4, Float8, Text], TimestampTz, |a, _| {
                instant(made_timestamp(a)?, zone(a[6].str())?).map(Datum::Timestamp)
            }),
        ],
    ),
    function(
        "make_interval",
        &[
            on(&[], INTERVAL, |_, _| Ok(Datum::Interval(Interval::default()))),
            on(&[Int4], INTERVAL, |a, _| made_interval(a)),
            on(&[Int4, Int4], INTERVAL, |a, _| made_interval(a)),
            on(&[Int4, Int4, Int4], INTERVAL, |a, _| made_interval(a)),
            on(&[Int4, Int4, Int4, Int4], INTERVAL, |a, _| made_interval(a)),
            on(&[Int4, Int4, Int4, Int4, Int4], INTERVAL, |a, _| made_interval(a)),
            on(&[Int4, Int4, Int4, Int4, Int4, Int4], INTERVAL, |a, _| made_interval(a)),
            on(&[Int4, Int4, Int4, Int4, Int4, Int4, Float8], INTERVAL, |a, _| made_interval(a)),
        ],
    ),
    function(
        "to_char",
        &[
            on(&[Timestamp, Text], Text, |a, _| {
                show_time::timestamp(a[0].timestamp(), None, a[1].str()).map(Datum::text)
            }),
            on(&[TimestampTz, Text], Text, |a, env| {
                show_time::timestamp(a[0].timestamp(), Some(&env.zone), a[1].str()).map(Datum::text)
            }),
            on(&[INTERVAL, Text], Text, |a, _| show_time::interval(a[0].interval(), a[1].str()).map(Datum::text)),
            on(&[Time, Text], Text, |a, _| {
                show_time::interval(Interval::of_micros(a[0].time()), a[1].str()).map(Datum::text)
            }),
            on(&[Num, Text], Text, |a, _| show_number::number(a[0].numeric(), a[1].str()).map(Datum::text)),
            on(&[Kind::Int8, Text], Text, |a, _| {
                show_number::number(&Numeric::new(a[0].int().into(), 0), a[1].str()).map(Datum::text)
            }),
            on(&[Float8, Text], Text, |a, _| show_number::float(a[0].float(), a[1].str()).map(Datum::text)),
        ],
    ),
    function(
        "to_number",
        &[on(&[Text, Text], Num, |a, _| show_number::read(a[0].str(), a[1].str()).map(Datum::Numeric))],
    ),
    function("to_date", &[on(&[Text, Text], Date, |a, _| read_time::date(a[0].str(), a[1].str()).map(Datum::Date))]),
    function(
        "to_timestamp",
        &[
            on(&[Float8], TimestampTz, |a, _| instant_of_seconds(a[0].float())),
            on(&[Text, Text], TimestampTz, |a, env| {
                read_time::timestamp(a[0].str(), a[1].str(), env.zone).map(Datum::Timestamp)
            }),
        ],
    ),
    function("clock_timestamp", &[on(&[], TimestampTz, |_, _| Ok(Datum::Timestamp(Utc::now().timestamp_micros())))])
        .volatile(),
    function("overlaps", OVERLAPS),
];

/// What intervals are ordered by. A month has thirty days, a day 24 hours.
pub static INTERVAL_ORDER: Function = function(
    "interval_order",
    &[on(&[INTERVAL], Num, |a, _| Ok(Datum::Numeric(Numeric::new(a[0].interval().order().into(), 0))))
        .typed(|_, _| Some(DataType::Decimal128(38, 0)))],
);

const EXTRACT: &[Overload] = &[
    on(&[Text, Timestamp], Num, |a, _| {
        let unit = Unit::parse(a[0].str(), Timestamp)?;
        timestamp_field(a[1].timestamp(), unit).map(Datum::Numeric)
    })
    .typed(field_type)
    .vectorised(field_column),
    on(&[Text, TimestampTz], Num, |a, env| {
        let unit = Unit::parse(a[0].str(), TimestampTz)?;
        datetime::timestamp_field(a[1].timestamp(), unit, Some(&env.zone)).map(Datum::Numeric)
    })
    .typed(field_type),
    on(&[Text, Date], Num, |a, _| {
        let unit = Unit::parse(a[0].str(), Date)?;
        let days = i64::from(a[1].date());
        let whole = match unit {
            Unit::Epoch => Some(days * 86_400),
            Unit::Julian => Some(days + datetime::JULIAN_EPOCH),
            _ => datetime::date_field(days, unit),
        };
        let whole = whole.ok_or_else(|| datetime::not_supported(unit.name(), Date))?;
        Ok(Datum::Numeric(Numeric::new(whole.into(), 0)))
    })
    .typed(field_type)
    .vectorised(field_column),
    on(&[Text, Time], Num, |a, _| field_of_time(a[1].time(), Unit::parse(a[0].str(), Time)?).map(Datum::Numeric))
        .typed(field_type),
    on(&[Text, INTERVAL], Num, |a, _| a[1].interval().field(Unit::parse(a[0].str(), INTERVAL)?).map(Datum::Numeric))
        .typed(field_type),
];

/// `(start, end)` pairs of one type, or a start and a length.
const OVERLAPS: &[Overload] = &[
    on(&[TimestampTz, TimestampTz, TimestampTz, TimestampTz], Bool, |a, _| Ok(overlap(a, moment))).with_nulls(),
    on(&[Timestamp, Timestamp, Timestamp, Timestamp], Bool, |a, _| Ok(overlap(a, moment))).with_nulls(),
    on(&[Time, Time, Time, Time], Bool, |a, _| Ok(overlap(a, clock))).with_nulls(),
    on(&[TimestampTz, INTERVAL, TimestampTz, INTERVAL], Bool, |a, env| {
        let end = |start: &Datum<'_>, length: &Datum<'_>| match (start, length) {
            (Datum::Timestamp(start), Datum::Interval(length)) => {
                datetime::plus_interval_in(*start, *length, env.zone).map(Datum::Timestamp)
            }
            _ => Ok(Datum::Null),
        };
        let ends = [a[0].clone(), end(&a[0], &a[1])?, a[2].clone(), end(&a[2], &a[3])?];
        Ok(overlap(&ends, moment))
    })
    .with_nulls(),
    on(&[Timestamp, INTERVAL, Timestamp, INTERVAL], Bool, |a, _| {
        let end = |start: &Datum<'_>, length: &Datum<'_>| match (start, length) {
            (Datum::Timestamp(start), Datum::Interval(length)) => moved(*start, *length),
            _ => Ok(Datum::Null),
        };
        let ends = [a[0].clone(), end(&a[0], &a[1])?, a[2].clone(), end(&a[2], &a[3])?];
        Ok(overlap(&ends, moment))
    })
    .with_nulls(),
];

fn moment(value: &Datum<'_>) -> i64 {
    value.timestamp()
}

fn clock(value: &Datum<'_>) -> i64 {
    value.time()
}

/// `overlaps_timestamp`: ends in either order, and what a NULL leaves certain.
fn overlap(a: &[Datum<'_>], value: fn(&Datum<'_>) -> i64) -> Datum<'static> {
    let known = |position: usize| (!a[position].is_null()).then(|| value(&a[position]));
    let ordered = |start: Option<i64>, end: Option<i64>| match (start, end) {
        (None, None) => None,
        (None, Some(end)) => Some((end, None)),
        (Some(start), None) => Some((start, None)),
        (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
    };
    let (Some((start, end)), Some((other_start, other_end))) =
        (ordered(known(0), known(1)), ordered(known(2), known(3)))
    else {
        return Datum::Null;
    };
    let (later, earlier_end) = match start.cmp(&other_start) {
        std::cmp::Ordering::Greater => (start, other_end),
        std::cmp::Ordering::Less => (other_start, end),
        std::cmp::Ordering::Equal => {
            return if end.is_none() || other_end.is_none() { Datum::Null } else { Datum::Bool(true) };
        }
    };
    let open = if start > other_start { end.is_none() } else { other_end.is_none() };
    match earlier_end {
        Some(earlier_end) if later < earlier_end => Datum::Bool(true),
        None => Datum::Null,
        Some(_) if open => Datum::Null,
        Some(_) => Datum::Bool(false),
    }
}

/// An interval literal with the fields that it is limited to: `'5' month`, `'1 day 2:03' hour to minute`.
fn read_interval(text: &str, fields: &str) -> Result<Datum<'static>> {
    let last = fields.rsplit(' ').next().unwrap_or_default();
    let is_number = text.trim().parse::<f64>().is_ok();
    let read = if is_number && !last.is_empty() {
        crate::pgtype::read::interval::parse(&format!("{text} {last}"))
    } else {
        crate::pgtype::read::interval::parse(text)
    };
    let (months, days, micros) = read?;
    let step = |micros: i64, step: i64| micros / step * step;
    // what is finer than the last field is cut off (`AdjustIntervalForTypmod`)
    let (months, days, micros) = match last {
        "year" => (months / 12 * 12, 0, 0),
        "month" => (months, 0, 0),
        "day" => (months, days, 0),
        "hour" => (months, days, step(micros, MICROS_PER_HOUR)),
        "minute" => (months, days, step(micros, MICROS_PER_MINUTE)),
        _ => (months, days, micros),
    };
    Ok(Datum::Interval(Interval { months, days, micros }))
}

fn timestamp_field(at: i64, unit: Unit) -> Result<Numeric> {
    datetime::timestamp_field(at, unit, None)
}

fn field_of_time(micros: i64, unit: Unit) -> Result<Numeric> {
    if unit == Unit::Epoch {
        return Ok(Numeric::new(micros.into(), 6));
    }
    let field = datetime::time_field(micros, unit).ok_or_else(|| datetime::not_supported(unit.name(), Time))?;
    Ok(Numeric::new(field.0.into(), field.1))
}

fn part<'a>(a: &[Datum<'a>], field: impl Fn(Unit) -> Result<Numeric>) -> Result<Datum<'a>> {
    part_of(a, Timestamp, field)
}

fn part_of<'a>(a: &[Datum<'a>], kind: Kind, field: impl Fn(Unit) -> Result<Numeric>) -> Result<Datum<'a>> {
    Ok(Datum::Float(field(Unit::parse(a[0].str(), kind)?)?.to_f64()))
}

/// The scale of a field whose name is constant.
fn field_scale(unit: Unit, from_date: bool) -> Option<u8> {
    match unit {
        Unit::Julian if !from_date => None,
        Unit::Epoch if !from_date => Some(6),
        Unit::Second => Some(6),
        Unit::Millisecond => Some(3),
        _ => Some(0),
    }
}

fn field_type(fields: &[FieldRef], values: &[Option<&ScalarValue>]) -> Option<DataType> {
    let kind = Kind::of(fields.get(1)?.data_type()).unwrap_or(Timestamp);
    let unit = Unit::parse(values.first()?.as_ref()?.try_as_str()??, kind).ok()?;
    Some(DataType::Decimal128(FIELD_DIGITS, field_scale(unit, kind == Date)? as i8))
}

/// The fields of days that are whole numbers, for a whole column at once: what reports group by.
fn field_column(args: &[ColumnarValue]) -> Option<Result<ColumnarValue>> {
    let [ColumnarValue::Scalar(unit), ColumnarValue::Array(array)] = args else { return None };
    let unit = Unit::parse(unit.try_as_str()??, Timestamp).ok()?;
    datetime::date_field(0, unit)?;
    let field = |days: i64| i128::from(datetime::date_field(days, unit).unwrap_or(0));
    let values: Decimal128Array = match array.data_type() {
        DataType::Date32 => array.as_primitive::<Date32Type>().unary::<_, Decimal128Type>(|days| field(days.into())),
        DataType::Timestamp(_, None) => {
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None)).ok()?;
            micros
                .as_primitive::<TimestampMicrosecondType>()
                .unary::<_, Decimal128Type>(|micros| field(micros.div_euclid(MICROS_PER_DAY)))
        }
        _ => return None,
    };
    let values = values.with_precision_and_scale(FIELD_DIGITS, 0).map_err(Error::internal);
    Some(values.map(|values| ColumnarValue::Array(Arc::new(values) as ArrayRef)))
}

fn truncated_column(args: &[ColumnarValue]) -> Option<Result<ColumnarValue>> {
    let [ColumnarValue::Scalar(unit), ColumnarValue::Array(array)] = args else { return None };
    let unit = Unit::parse(unit.try_as_str()??, Timestamp).ok()?;
    let DataType::Timestamp(TimeUnit::Microsecond, None) = array.data_type() else { return None };
    let array = array.as_primitive::<TimestampMicrosecondType>();
    let values: Result<datafusion::arrow::array::TimestampMicrosecondArray> =
        array.try_unary::<_, TimestampMicrosecondType, Error>(|at| datetime::truncated(at, unit, Timestamp));
    Some(values.map(|values| ColumnarValue::Array(Arc::new(values) as ArrayRef)))
}

fn truncated_in(a: &[Datum<'_>], zone: TimeZone) -> Result<Datum<'static>> {
    let unit = Unit::parse(a[0].str(), TimestampTz)?;
    let at = a[1].timestamp();
    let clock = datetime::truncated(local(at, zone), unit, TimestampTz)?;
    // within an hour that the clock shows twice, the offset stays what it is
    if matches!(unit, Unit::Hour | Unit::Minute | Unit::Second | Unit::Millisecond | Unit::Microsecond) {
        return Ok(Datum::Timestamp(clock - (local(at, zone) - at)));
    }
    instant(clock, zone).map(Datum::Timestamp)
}

/// A zone as AT TIME ZONE names it: an IANA name, an abbreviation, or a POSIX specification.
pub fn zone(name: &str) -> Result<TimeZone> {
    let found = crate::pgtype::read::temporal::abbreviation(name).or_else(|| TimeZone::parse(name));
    found.ok_or_else(|| fail::invalid_argument(format!("time zone \"{name}\" not recognized")))
}

/// An interval as a zone's offset, in microseconds east.
fn offset(interval: Interval) -> Result<i64> {
    if interval.months != 0 || interval.days != 0 {
        let mut shown = bytes::BytesMut::new();
        interval.text(&mut shown);
        let shown = String::from_utf8_lossy(&shown);
        let message = format!("interval time zone \"{shown}\" must not include months or days");
        return Err(fail::invalid_argument(message));
    }
    Ok(interval.micros)
}

/// `to_timestamp(seconds)`.
fn instant_of_seconds(seconds: f64) -> Result<Datum<'static>> {
    let micros = (seconds * MICROS_PER_SECOND as f64).round_ties_even();
    if micros.abs() >= 9_223_372_036_854_775_807.0 || micros.is_nan() {
        let message = format!("timestamp out of range: \"{seconds}\"");
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
    }
    checked_timestamp(Some(micros as i64)).map(Datum::Timestamp)
}

fn made_date(a: &[Datum<'_>]) -> Result<i32> {
    let (year, month, day) = (a[0].int(), a[1].int(), a[2].int());
    let refuse = || {
        let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
        Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
    };
    // years before Christ are negative, and there is no year 0
    let counted = if year < 0 { year + 1 } else { year };
    if year == 0 || !(1..=12).contains(&month) || day < 1 || day > datetime::days_in_month(counted, month) {
        return Err(refuse());
    }
    checked_date(datetime::days_of(counted, month, day)).map_err(|_| refuse())
}

fn made_time(a: &[Datum<'_>]) -> Result<i64> {
    let (hour, minute, second) = (a[0].int(), a[1].int(), a[2].float());
    let micros = (second * MICROS_PER_SECOND as f64).round_ties_even();
    let inside = (0..=23).contains(&hour) && (0..=59).contains(&minute) && (0.0..=60.0).contains(&second)
        || hour == 24 && minute == 0 && micros == 0.0;
    if !inside {
        let message = format!("time field value out of range: {hour}:{minute:02}:{}", seconds_shown(second));
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
    }
    Ok(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + micros as i64)
}

/// `%02g`.
fn seconds_shown(second: f64) -> String {
    let shown = format!("{second}");
    if shown.len() < 2 { format!("0{shown}") } else { shown }
}

fn made_timestamp(a: &[Datum<'_>]) -> Result<i64> {
    let days = made_date(a)?;
    checked_timestamp(timestamp_of_date(days)?.checked_add(made_time(&a[3..6])?))
}

fn made_interval(a: &[Datum<'_>]) -> Result<Datum<'static>> {
    let at = |position: usize| a.get(position).map_or(0, Datum::int);
    let seconds = a.get(6).map_or(0.0, Datum::float);
    let out_of_range = super::interval::out_of_range;
    if !seconds.is_finite() {
        return Err(out_of_range());
    }
    let months = at(0) * 12 + at(1);
    let days = at(2) * 7 + at(3);
    let micros = at(4) * MICROS_PER_HOUR
        + at(5) * MICROS_PER_MINUTE
        + (seconds * MICROS_PER_SECOND as f64).round_ties_even() as i64;
    let narrow = |value: i64| i32::try_from(value).map_err(|_| out_of_range());
    Ok(Datum::Interval(Interval { months: narrow(months)?, days: narrow(days)?, micros }))
}
