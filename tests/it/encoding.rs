//! Every value as a real PostgreSQL sends it: text and binary byte for byte, types from RowDescription, and parameters
//! as it accepts or refuses them.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::*;
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::*;
use datafusion::scalar::ScalarValue;
use pgmesh::pgtype::{PG_TYPE_KEY, RECORD, arrow_type, oid, pg_type};
use pgmesh::settings::time_zone::TimeZone;
use pgmesh::wire::decode::decode_parameter;
use pgmesh::wire::encode::{EncodeOptions, Format, RowEncoder};

use crate::postgres::{self, Client};

const DAY: i64 = 86_400_000_000;
const ZONES: [&str; 6] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "-03:30", "+05"];

/// Compares rows of one array with what PostgreSQL answers for the expressions.
struct Comparison {
    client: Client,
    options: EncodeOptions,
    differences: Vec<String>,
    compared: usize,
}

impl Comparison {
    fn start() -> Option<Self> {
        let client = postgres::instance()?.connect();
        Some(Self { client, options: EncodeOptions::default(), differences: Vec::new(), compared: 0 })
    }

    fn zone(&mut self, zone: &str) {
        self.client.run(&format!("set timezone = '{zone}'"));
        self.options.time_zone = TimeZone::parse(zone).unwrap();
    }

    /// `type_name` is cast to; an empty one leaves the expression alone.
    fn array(&mut self, type_name: &str, array: ArrayRef, expressions: &[&str]) {
        let field = Field::new("x", array.data_type().clone(), true);
        self.field(type_name, field, array, expressions);
    }

    fn field(&mut self, type_name: &str, field: Field, array: ArrayRef, expressions: &[&str]) {
        assert_eq!(array.len(), expressions.len(), "{type_name}");
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
        let promised = pg_type(schema.field(0));
        for binary in [false, true] {
            let format = if binary { Format::Binary } else { Format::Text };
            let encoder = RowEncoder::try_new(&schema, &[format], self.options).unwrap();
            for (row, expression) in expressions.iter().enumerate() {
                let sql = match type_name {
                    "" => format!("select {expression}"),
                    _ => format!("select ({expression})::{type_name}"),
                };
                let answer = self.client.query(&sql, &[], binary);
                assert_eq!(answer.error, None, "{}", &sql[..sql.len().min(200)]);
                let mut out = BytesMut::new();
                let ours =
                    encoder.encode(&batch, row..row + 1, &mut out).map(|()| postgres::values(&out[5..]).remove(0));
                let theirs = answer.rows[0][0].clone();
                self.compared += 1;
                if ours.as_ref() != Ok(&theirs) {
                    let show = |value: &Option<Vec<u8>>| match (value, binary) {
                        (None, _) => "NULL".to_owned(),
                        (Some(bytes), true) => format!("{bytes:?}"),
                        (Some(bytes), false) => String::from_utf8_lossy(bytes).into_owned(),
                    };
                    let (ours, theirs) =
                        (ours.map_or_else(|error| error.to_string(), |value| show(&value)), show(&theirs));
                    let (ours, theirs) = if ours.len() > 1000 { unequal_parts(&ours, &theirs) } else { (ours, theirs) };
                    let zone = self.options.time_zone.name();
                    let sql = &sql[..sql.len().min(1000)];
                    let difference = format!("{sql} ({format:?}, {zone}): ours {ours}, PostgreSQL's {theirs}");
                    self.differences.push(difference);
                }
                let described = (promised.oid, promised.len, promised.typmod);
                if described != answer.columns[0] {
                    self.differences.push(format!("{sql}: type {described:?}, PostgreSQL's {:?}", answer.columns[0]));
                }
            }
        }
    }

    fn end(self) {
        assert!(self.compared > 0, "something was compared");
        assert!(self.differences.is_empty(), "{}", self.differences.join("\n"));
    }
}

/// Of two long lists, the elements that differ.
fn unequal_parts(ours: &str, theirs: &str) -> (String, String) {
    ours.split(',')
        .zip(theirs.split(','))
        .filter(|(a, b)| a != b)
        .take(20)
        .map(|(a, b)| (format!("{a} "), format!("{b} ")))
        .unzip()
}

fn list(item: &DataType, values: ArrayRef, offsets: &[i32], nulls: Option<Vec<bool>>) -> ListArray {
    let field = Arc::new(Field::new_list_field(item.clone(), true));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets.to_vec()));
    ListArray::new(field, offsets, values, nulls.map(NullBuffer::from))
}

#[test]
fn booleans_integers_and_floats() {
    let Some(mut pg) = Comparison::start() else { return };
    pg.array("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), &["true", "false", "null"]);
    pg.array("int2", Arc::new(Int8Array::from(vec![Some(-128), Some(127), None])), &["-128", "127", "null"]);
    pg.array("int2", Arc::new(Int16Array::from(vec![i16::MIN, 0, 10])), &["'-32768'", "0", "10"]);
    pg.array("int2", Arc::new(UInt8Array::from(vec![0, 255])), &["0", "255"]);
    pg.array("int4", Arc::new(Int32Array::from(vec![i32::MIN, -1, 99, 100])), &["'-2147483648'", "-1", "99", "100"]);
    pg.array("int4", Arc::new(UInt16Array::from(vec![65535])), &["65535"]);
    pg.array(
        "int8",
        Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
        &["'-9223372036854775808'", "9223372036854775807"],
    );
    pg.array("int8", Arc::new(UInt32Array::from(vec![u32::MAX])), &["4294967295"]);
    pg.array("int8", Arc::new(UInt64Array::from(vec![i64::MAX as u64])), &["9223372036854775807"]);
    let dictionary: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    pg.array("text", Arc::new(dictionary), &["'a'", "null", "'b'", "'a'"]);
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &Int64Array::from(vec![Some(7), None])).unwrap();
    pg.array("int8", Arc::new(runs), &["7", "7", "null"]);
    pg.array("text", Arc::new(NullArray::new(1)), &["null"]);

    let doubles = [
        "0",
        "-0",
        "1",
        "0.1",
        "1e15",
        "1e14",
        "123456789012345",
        "1234567890123456",
        "1e20",
        "1e22",
        "1e23",
        "9.5e22",
        "1e-4",
        "1e-5",
        "-1.5e-7",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "4503599627370497.5",
        "9007199254740993",
        "18014398509481984",
        "72057594037927936",
        "1e17",
        "3e22",
        "8.41e21",
        "2.0e40",
        "1.1e100",
        "NaN",
        "Infinity",
        "-Infinity",
        "0.3",
        "2.5",
        "33554432",
        "8589934592",
        "1.3e-314",
        "0.30000000000000004",
    ];
    let quoted: Vec<String> = doubles.iter().map(|text| format!("'{text}'")).collect();
    let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
    for digits in [1, 3, 0, -1, -5, -15] {
        pg.client.run(&format!("set extra_float_digits = {digits}"));
        pg.options.extra_float_digits = digits;
        let values: Float64Array = doubles.iter().map(|text| Some(text.parse::<f64>().unwrap())).collect();
        pg.array("float8", Arc::new(values), &quoted);
        let fits = |text: &&str| {
            let value: f32 = text.parse().unwrap();
            let word = text.contains(['n', 'N']);
            word || (value.is_finite() && (value != 0.0 || matches!(*text, "0" | "-0")))
        };
        let floats: Vec<&str> = doubles.iter().copied().filter(fits).collect();
        let values: Float32Array = floats.iter().map(|text| Some(text.parse::<f32>().unwrap())).collect();
        let quoted: Vec<String> = floats.iter().map(|text| format!("'{text}'")).collect();
        pg.array("float4", Arc::new(values), &quoted.iter().map(String::as_str).collect::<Vec<_>>());
    }
    pg.end();
}

/// Midpoints and shortest digits are easy to get almost right, so many bit patterns are compared at once.
#[test]
fn ten_thousand_floats_of_all_magnitudes() {
    let Some(mut pg) = Comparison::start() else { return };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut doubles: Vec<f64> = (0..5000).map(|_| f64::from_bits(next())).filter(|value| value.is_finite()).collect();
    doubles.extend((0..2000).map(|_| (next() % 1000) as f64 * 10_f64.powi((next() % 60) as i32 - 20)));
    doubles.extend((0..2046).map(|exponent| f64::from_bits(exponent << 52)));
    // values whose decimal expansions end, so that the last digit can be a tie
    doubles.extend((0..4000).map(|_| (next() >> 11) as f64 / (1_u64 << (next() % 30)) as f64));
    let floats: Vec<f32> = (0..2000).map(|_| f32::from_bits(next() as u32)).filter(|value| value.is_finite()).collect();
    let floats: Vec<f32> = floats
        .into_iter()
        .chain((0..254).map(|exponent| f32::from_bits(exponent << 23)))
        .chain((0..4000).map(|_| (next() >> 40) as f32 / (1_u64 << (next() % 30)) as f32))
        .collect();
    let literal = |texts: Vec<String>| format!("{{{}}}", texts.join(","));
    let item = DataType::Float64;
    let text = literal(doubles.iter().map(|value| format!("{value:e}")).collect());
    let count = doubles.len() as i32;
    pg.array(
        "float8[]",
        Arc::new(list(&item, Arc::new(Float64Array::from(doubles)), &[0, count], None)),
        &[&format!("'{text}'")],
    );
    let text = literal(floats.iter().map(|value| format!("{value:e}")).collect());
    let count = floats.len() as i32;
    pg.array(
        "float4[]",
        Arc::new(list(&DataType::Float32, Arc::new(Float32Array::from(floats)), &[0, count], None)),
        &[&format!("'{text}'")],
    );
    pg.end();
}

#[test]
fn decimals() {
    let Some(mut pg) = Comparison::start() else { return };
    let of = |values: Vec<Option<i128>>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    pg.array(
        "numeric(10,2)",
        of(
            vec![Some(0), Some(1), Some(-1), Some(12_345), Some(-9_999_999_999), Some(10_000_000), Some(100), None],
            10,
            2,
        ),
        &["0", "0.01", "-0.01", "123.45", "-99999999.99", "100000", "1", "null"],
    );
    pg.array(
        "numeric(5,-2)",
        of(vec![Some(0), Some(123), Some(-1), Some(99_999), Some(100)], 5, -2),
        &["0", "12300", "-100", "9999900", "10000"],
    );
    let nines = 10_i128.pow(38) - 1;
    pg.array(
        "numeric(38,0)",
        of(vec![Some(nines), Some(-nines), Some(10_i128.pow(37))], 38, 0),
        &[&nines.to_string(), &(-nines).to_string(), "1e37"],
    );
    pg.array(
        "numeric(38,38)",
        of(vec![Some(nines), Some(1), Some(10_i128.pow(37))], 38, 38),
        &[&format!("0.{nines}"), "1e-38", "0.1"],
    );
    for scale in 0..=9_i8 {
        let values =
            [0, 1, 9, 10, 9999, 10_000, 10_001, 123_456_789, 999_999_999_999_999_999, -100_000_000_000_000_000];
        let texts: Vec<String> = values.iter().map(|value: &i64| format!("({value}::numeric * 1e-{scale})")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let values: Vec<Option<i128>> = values.iter().map(|value| Some(i128::from(*value))).collect();
        pg.array(&format!("numeric(18,{scale})"), of(values, 18, scale), &texts);
    }
    let wide =
        Decimal256Array::from(vec![i256::from_string(&"9".repeat(76)).unwrap(), i256::from_i128(-5), i256::ZERO]);
    let wide = wide.with_precision_and_scale(76, 10).unwrap();
    let text = format!("{}.{}", "9".repeat(66), "9".repeat(10));
    pg.array("numeric(76,10)", Arc::new(wide), &[&text, "-5e-10", "0"]);
    pg.array(
        "numeric(7,3)",
        Arc::new(Decimal32Array::from(vec![-1500]).with_precision_and_scale(7, 3).unwrap()),
        &["-1.5"],
    );
    pg.array(
        "numeric(18,3)",
        Arc::new(Decimal64Array::from(vec![1]).with_precision_and_scale(18, 3).unwrap()),
        &["0.001"],
    );
    pg.end();
}

#[test]
fn dates_times_and_timestamps_in_many_zones() {
    let Some(mut pg) = Comparison::start() else { return };
    let days = [0, -1, 19_782, 10_957, -719_162, -719_163, 2_932_897, -2_440_588, 2_145_042_905, -135_140, 100_000];
    let texts: Vec<String> = days.iter().map(|day: &i32| format!("date '1970-01-01' + ({day})")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    pg.array("date", Arc::new(Date32Array::from(days.to_vec())), &texts);
    pg.array("date", Arc::new(Date64Array::from(vec![86_400_000 - 1, -1])), &["'1970-01-01'", "'1969-12-31'"]);
    let times = [0, 1, 500_000, 86_399_999_999, DAY, 3_600_000_000, 45_296_789_000, 10];
    let texts: Vec<String> = times
        .iter()
        .map(|time| {
            format!(
                "'{}:{}:{}.{:06}'",
                time / 3_600_000_000,
                time / 60_000_000 % 60,
                time / 1_000_000 % 60,
                time % 1_000_000
            )
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    pg.array("time", Arc::new(Time64MicrosecondArray::from(times.to_vec())), &texts);
    pg.array("time", Arc::new(Time32SecondArray::from(vec![3661])), &["'01:01:01'"]);
    pg.array("time", Arc::new(Time32MillisecondArray::from(vec![1500])), &["'00:00:01.5'"]);
    pg.array("time", Arc::new(Time64NanosecondArray::from(vec![1_999])), &["'00:00:00.000001'"]);

    let mut moments = vec![
        0,
        1,
        -1,
        10,
        100_000,
        -62_135_596_800_000_000,
        -62_135_596_800_000_001,
        253_402_300_800_000_000,
        -210_866_803_200_000_000,
        951_782_400_000_000,
        1_711_846_799_999_999,
        1_711_846_800_000_000,
        1_729_990_800_000_000,
        16_725_225_600_000_000,
        9_000_000_000_000_000_000,
        -2_840_140_800_000_000,
        -5_364_662_400_000_000,
    ];
    // every month from 1900 on, and the far future, where zones follow their last rule
    moments.extend((0..1500).map(|month| -2_208_988_800_000_000 + month * 30 * DAY + 12_345_678));
    moments.extend((0..600).map(|step| 4_102_444_800_000_000 + step * 3_333_333_333_333));
    let texts: Vec<String> = moments.iter().map(|micros| format!("timestamp '1970-01-01' + interval '1 microsecond' * 0 + make_interval(secs => 0) + ({} * interval '1 day') + ({} * interval '1 microsecond')", micros.div_euclid(DAY), micros.rem_euclid(DAY))).collect();
    let plain: Vec<&str> = texts.iter().map(String::as_str).collect();
    pg.array("timestamp", Arc::new(TimestampMicrosecondArray::from(moments.clone())), &plain);
    let zoned: Vec<String> = texts.iter().map(|text| format!("({text}) at time zone 'UTC'")).collect();
    let zoned: Vec<&str> = zoned.iter().map(String::as_str).collect();
    for zone in ZONES {
        pg.zone(zone);
        let array = TimestampMicrosecondArray::from(moments.clone()).with_timezone("UTC");
        pg.array("timestamptz", Arc::new(array), &zoned);
    }
    pg.array(
        "timestamp",
        Arc::new(TimestampSecondArray::from(vec![-1, 1])),
        &["'1969-12-31 23:59:59'", "'1970-01-01 00:00:01'"],
    );
    pg.array("timestamp", Arc::new(TimestampMillisecondArray::from(vec![-1])), &["'1969-12-31 23:59:59.999'"]);
    pg.array(
        "timestamp",
        Arc::new(TimestampNanosecondArray::from(vec![-1, 1_999])),
        &["'1969-12-31 23:59:59.999999'", "'1970-01-01 00:00:00.000001'"],
    );
    pg.end();
}

#[test]
fn intervals() {
    let Some(mut pg) = Comparison::start() else { return };
    let mut values = Vec::new();
    let mut texts = Vec::new();
    for months in [0, 1, -1, 12, 14, -14, 120, i32::MAX] {
        for days in [0, 1, -1, 30, -400] {
            for micros in [0_i64, 1, -1, 3_600_000_000, -3_661_500_000, 360_000_000_000, 59_999_999] {
                values.push(Some(IntervalMonthDayNano { months, days, nanoseconds: micros * 1000 }));
                texts.push(format!("'{months} months {days} days {micros} microseconds'"));
            }
        }
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    pg.array("interval", Arc::new(IntervalMonthDayNanoArray::from(values)), &texts);
    pg.array("interval", Arc::new(IntervalYearMonthArray::from(vec![Some(-13), None])), &["'-13 months'", "null"]);
    let day_time = IntervalDayTime { days: -2, milliseconds: 1500 };
    pg.array("interval", Arc::new(IntervalDayTimeArray::from(vec![day_time])), &["'-2 days 1.5 seconds'"]);
    pg.array("interval", Arc::new(DurationSecondArray::from(vec![90_061])), &["'90061 seconds'"]);
    pg.array("interval", Arc::new(DurationMillisecondArray::from(vec![-1])), &["'-0.001 seconds'"]);
    pg.array("interval", Arc::new(DurationMicrosecondArray::from(vec![1])), &["'0.000001 seconds'"]);
    pg.array("interval", Arc::new(DurationNanosecondArray::from(vec![-1_999])), &["'-0.000001 seconds'"]);
    pg.end();
}

#[test]
fn text_and_bytes() {
    let Some(mut pg) = Comparison::start() else { return };
    let strings = vec![Some("a"), Some(""), Some("é\n\t\"\\"), Some("longer than twelve bytes"), None];
    let expressions = ["'a'", "''", "E'é\\n\\t\"\\\\'", "'longer than twelve bytes'", "null"];
    pg.array("text", Arc::new(StringArray::from(strings.clone())), &expressions);
    pg.array("text", Arc::new(LargeStringArray::from(strings.clone())), &expressions);
    pg.array("text", Arc::new(StringViewArray::from(strings)), &expressions);
    let every: Vec<u8> = (0..=255).collect();
    let bytes: Vec<Option<&[u8]>> = vec![Some(&every), Some(b""), None];
    let hex: Vec<String> = every.iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = format!("'\\x{}'", hex.concat());
    for escape in [false, true] {
        pg.client.run(if escape { "set bytea_output = 'escape'" } else { "set bytea_output = 'hex'" });
        pg.options.bytea_escape = escape;
        pg.array("bytea", Arc::new(BinaryArray::from(bytes.clone())), &[&hex, "''", "null"]);
        pg.array("bytea", Arc::new(LargeBinaryArray::from(bytes.clone())), &[&hex, "''", "null"]);
        pg.array("bytea", Arc::new(BinaryViewArray::from(bytes.clone())), &[&hex, "''", "null"]);
    }
    let fixed = FixedSizeBinaryArray::try_from_iter([[1_u8, 255]].iter()).unwrap();
    pg.array("bytea", Arc::new(fixed), &["'\\x01ff'"]);
    pg.end();
}

#[test]
fn lists_are_arrays() {
    let Some(mut pg) = Comparison::start() else { return };
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)]));
    let lists = list(&DataType::Int32, numbers.clone(), &[0, 2, 2, 2, 4], Some(vec![true, true, false, true]));
    pg.array("int4[]", Arc::new(lists.clone()), &["'{1,NULL}'", "'{}'", "null", "'{3,4}'"]);
    pg.array("int4[]", Arc::new(lists.slice(3, 1)), &["'{3,4}'"]);
    let square = list(lists.data_type(), Arc::new(lists.clone()), &[0, 1, 1, 2], None);
    pg.array("int4[]", Arc::new(square), &["'{{1,NULL}}'", "'{}'", "'{}'"]);
    let pairs =
        FixedSizeListArray::new(Arc::new(Field::new_list_field(DataType::Int32, true)), 2, numbers.clone(), None);
    pg.array("int4[]", Arc::new(pairs.clone()), &["'{1,NULL}'", "'{3,4}'"]);
    pg.array("int4[]", Arc::new(pairs.slice(1, 1)), &["'{3,4}'"]);
    let matrix = list(&pairs.data_type().clone(), Arc::new(pairs), &[0, 2], None);
    pg.array("int4[]", Arc::new(matrix), &["'{{1,NULL},{3,4}}'"]);
    let views = ListViewArray::new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        vec![2, 0].into(),
        vec![2, 3].into(),
        numbers.clone(),
        None,
    );
    pg.array("int4[]", Arc::new(views), &["'{3,4}'", "'{1,NULL,3}'"]);
    let large = LargeListArray::new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        OffsetBuffer::from_lengths([4]),
        numbers,
        None,
    );
    pg.array("int4[]", Arc::new(large), &["'{1,NULL,3,4}'"]);

    let words = vec!["a", "", "null", "NULLs", "a b", "a,b", "{", "}", "\"", "\\", "é", "\n", "\u{b}", "a\"\\b"];
    let expression = format!("array[{}]", words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(","));
    let count = words.len() as i32;
    pg.array(
        "text[]",
        Arc::new(list(&DataType::Utf8, Arc::new(StringArray::from(words)), &[0, count], None)),
        &[&expression],
    );
    let one = |values: ArrayRef| -> ArrayRef {
        let count = values.len() as i32;
        Arc::new(list(&values.data_type().clone(), values, &[0, count], None))
    };
    pg.array("bool[]", one(Arc::new(BooleanArray::from(vec![true, false]))), &["'{t,f}'"]);
    pg.array("bytea[]", one(Arc::new(BinaryArray::from(vec![&b"\x01"[..], b""]))), &["array['\\x01','']::bytea[]"]);
    pg.array(
        "date[]",
        one(Arc::new(Date32Array::from(vec![0, -719_163]))),
        &["array[date '1970-01-01', date '0001-12-31 BC']"],
    );
    pg.array(
        "timestamp[]",
        one(Arc::new(TimestampMicrosecondArray::from(vec![0]))),
        &["array[timestamp '1970-01-01']"],
    );
    pg.array(
        "timestamptz[]",
        one(Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"))),
        &["array['epoch'::timestamptz]"],
    );
    pg.array("time[]", one(Arc::new(Time64MicrosecondArray::from(vec![1]))), &["array['00:00:00.000001'::time]"]);
    pg.array("interval[]", one(Arc::new(DurationSecondArray::from(vec![1]))), &["array['1 second'::interval]"]);
    pg.array("float8[]", one(Arc::new(Float64Array::from(vec![1.5, f64::NAN]))), &["'{1.5,NaN}'"]);
    pg.array("float4[]", one(Arc::new(Float32Array::from(vec![1.5]))), &["'{1.5}'"]);
    pg.array("int2[]", one(Arc::new(Int16Array::from(vec![1]))), &["'{1}'"]);
    pg.array("int8[]", one(Arc::new(Int64Array::from(vec![1]))), &["'{1}'"]);
    let decimals = Decimal128Array::from(vec![150]).with_precision_and_scale(10, 2).unwrap();
    pg.array("numeric(10,2)[]", one(Arc::new(decimals)), &["'{1.5}'"]);
    let structs = StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![1])) as ArrayRef,
    )]);
    pg.array("jsonb[]", one(Arc::new(structs)), &["array['{\"a\": 1}'::jsonb]"]);
    let nulls = list(&DataType::Null, Arc::new(NullArray::new(2)), &[0, 2], None);
    pg.array("text[]", Arc::new(nulls), &["'{NULL,NULL}'"]);
    pg.end();
}

#[test]
fn ragged_lists_are_refused_with_a_hint() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    for (offsets, nulls) in [(vec![0, 1, 3], None), (vec![0, 1, 1], None), (vec![0, 1, 2], Some(vec![true, false]))] {
        let inner = list(&DataType::Int32, numbers.clone(), &offsets, nulls);
        let outer: ArrayRef = Arc::new(list(&inner.data_type().clone(), Arc::new(inner), &[0, 2], None));
        let batch = RecordBatch::try_from_iter([("x", outer)]).unwrap();
        for format in [Format::Text, Format::Binary] {
            let encoder = RowEncoder::try_new(&batch.schema(), &[format], EncodeOptions::default()).unwrap();
            let mut out = BytesMut::from(&b"before"[..]);
            let error = encoder.encode(&batch, 0..1, &mut out).unwrap_err();
            assert_eq!(error.sqlstate().code(), "2202E");
            assert!(error.report().hint.as_ref().unwrap().contains("unnest"));
            assert_eq!(out, &b"before"[..]);
        }
    }
}

fn member(name: &str, values: ArrayRef) -> (Arc<Field>, ArrayRef) {
    (Arc::new(Field::new(name, values.data_type().clone(), true)), values)
}

#[test]
fn structs_and_maps_are_jsonb() {
    let Some(mut pg) = Comparison::start() else { return };
    let numbers = list(&DataType::Int32, Arc::new(Int32Array::from(vec![Some(1), None])), &[0, 2, 2], None);
    let inner = StructArray::from(vec![member("y", Arc::new(BooleanArray::from(vec![Some(true), None])))]);
    let structs = StructArray::from(vec![
        member("long", Arc::new(StringArray::from(vec![Some("a\"\\\n\u{1}\u{7f}é/"), None]))),
        member("b", Arc::new(Decimal128Array::from(vec![150, -1]).with_precision_and_scale(10, 2).unwrap())),
        member("a", Arc::new(Float64Array::from(vec![1e20, f64::NAN]))),
        member("ä", Arc::new(Float64Array::from(vec![1e-7, -0.0]))),
        member("c", Arc::new(Int64Array::from(vec![i64::MIN, 1]))),
        member("d", Arc::new(Date32Array::from(vec![0, -719_163]))),
        member("e", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 0]))),
        member("f", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]).with_timezone("UTC"))),
        member("g", Arc::new(Time64MicrosecondArray::from(vec![0, 1]))),
        member("h", Arc::new(DurationSecondArray::from(vec![90_061, 0]))),
        member("i", Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..], b""]))),
        member("j", Arc::new(numbers)),
        member("k", Arc::new(inner)),
        member("l", Arc::new(Float32Array::from(vec![0.1, f32::INFINITY]))),
    ]);
    let built = |values: [&str; 14]| {
        let keys = ["long", "b", "a", "ä", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let pairs: Vec<String> = keys.iter().zip(values).map(|(key, value)| format!("'{key}', {value}")).collect();
        format!("jsonb_build_object({})", pairs.join(", "))
    };
    let first = built([
        "E'a\"\\\\\\n\\u0001\\u007fé/'",
        "1.50",
        "1e20::float8",
        "1e-7::float8",
        "'-9223372036854775808'::int8",
        "date '1970-01-01'",
        "timestamp '1970-01-01 00:00:01.5'",
        "timestamptz '1970-01-01 00:00+00'",
        "time '00:00'",
        "interval '90061 seconds'",
        "'\\x01ff'::bytea",
        "array[1,null]",
        "'{\"y\": true}'::jsonb",
        "0.1::float4",
    ]);
    let second = built([
        "null",
        "-0.01",
        "'NaN'::float8",
        "'-0'::float8",
        "1",
        "date '0001-12-31 BC'",
        "timestamp '1970-01-01'",
        "timestamptz '1970-01-01 00:00:00.000001+00'",
        "time '00:00:00.000001'",
        "interval '0'",
        "''::bytea",
        "array[]::int[]",
        "'{\"y\": null}'::jsonb",
        "'Infinity'::float4",
    ]);
    for zone in ZONES {
        pg.zone(zone);
        pg.array("", Arc::new(structs.clone()), &[&first, &second]);
    }
    let twice = StructArray::from(vec![
        member("a", Arc::new(Int32Array::from(vec![1]))),
        member("a", Arc::new(Int32Array::from(vec![2]))),
    ]);
    pg.array("jsonb", Arc::new(twice), &["'{\"a\": 1, \"a\": 2}'"]);

    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for (key, value) in [("bb", Some(1)), ("c", None), ("a", Some(2))] {
        maps.keys().append_value(key);
        maps.values().append_option(value);
    }
    maps.append(true).unwrap();
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    pg.array("jsonb", Arc::new(maps.finish()), &["'{\"bb\": 1, \"c\": null, \"a\": 2}'", "'{}'", "null"]);
    pg.end();
}

#[test]
fn structs_that_say_so_are_records() {
    let Some(mut pg) = Comparison::start() else { return };
    let numbers = list(&DataType::Int32, Arc::new(Int32Array::from(vec![Some(1), None])), &[0, 2, 2], None);
    let records = StructArray::from(vec![
        member("f1", Arc::new(Int32Array::from(vec![Some(1), None]))),
        member("f2", Arc::new(StringArray::from(vec![Some("x,y \"q\" \\"), Some("")]))),
        member("f3", Arc::new(Float64Array::from(vec![1e20, -0.5]))),
        member("f4", Arc::new(BooleanArray::from(vec![true, false]))),
        member("f5", Arc::new(numbers)),
        member("f6", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 0]))),
        member("f7", Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..], b""]))),
    ]);
    let metadata = [(PG_TYPE_KEY.to_owned(), RECORD.to_owned())].into();
    let field = Field::new("x", records.data_type().clone(), true).with_metadata(metadata);
    let rows = [
        "row(1, 'x,y \"q\" \\'::text, 1e20::float8, true, array[1,null], timestamp '1970-01-01 00:00:01.5', '\\x01ff'::bytea)",
        "row(null::int, ''::text, -0.5::float8, false, array[]::int[], timestamp '1970-01-01', ''::bytea)",
    ];
    pg.field("", field, Arc::new(records), &rows);
    pg.end();
}

#[test]
fn parameters_are_accepted_and_refused_as_in_postgresql() {
    let Some(instance) = postgres::instance() else { return };
    let mut client = instance.connect();
    let mut differences = Vec::new();
    // an interval's overflow has a code of its own in PostgreSQL, 22015, which we report as 22008
    let same_refusal =
        |ours: &str, theirs: &str| ours == theirs || (ours == "22008" && matches!(theirs, "22015" | "22009"));
    for (type_oid, type_name, texts) in PARAMETERS {
        for zone in ["UTC", "America/New_York"] {
            client.run(&format!("set timezone = '{zone}'"));
            let options = EncodeOptions { time_zone: TimeZone::parse(zone).unwrap(), ..EncodeOptions::default() };
            for text in *texts {
                let answer = client.query(&format!("select $1::{type_name}"), &[text], true);
                let ours = decode_parameter(*type_oid, Format::Text, Some(text.as_bytes()), options.time_zone);
                let (theirs, shown) = match (&answer.error, &ours) {
                    (Some((code, _)), Err(error)) if same_refusal(error.sqlstate().code(), code) => continue,
                    (Some((code, message)), _) => (format!("{code} {message}"), shown(&ours)),
                    (None, Err(error)) => (format!("{:?}", answer.rows[0][0]), error.to_string()),
                    (None, Ok(value)) => {
                        let sent = sent(value, options);
                        let expected = answer.rows[0][0].clone();
                        let back = decode_parameter(*type_oid, Format::Binary, expected.as_deref(), options.time_zone);
                        if sent == expected && back.as_ref() == Ok(value) {
                            continue;
                        }
                        if sent == expected {
                            (format!("back from binary {}", shown(&back)), shown(&ours))
                        } else {
                            (format!("{expected:?}"), format!("{sent:?}"))
                        }
                    }
                };
                differences.push(format!("{text:?}::{type_name} in {zone}: ours {shown}, PostgreSQL's {theirs}"));
            }
        }
        assert!(arrow_type(*type_oid).is_some());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn shown(value: &pgmesh::error::Result<ScalarValue>) -> String {
    value.as_ref().map_or_else(ToString::to_string, |value| format!("{value:?}"))
}

/// A decoded parameter as it would be sent back in binary.
fn sent(value: &ScalarValue, options: EncodeOptions) -> Option<Vec<u8>> {
    let array = value.to_array().unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable([("x", array, true)]).unwrap();
    let encoder = RowEncoder::try_new(&batch.schema(), &[Format::Binary], options).unwrap();
    let mut out = BytesMut::new();
    encoder.encode(&batch, 0..1, &mut out).unwrap();
    postgres::values(&out[5..]).remove(0)
}

#[rustfmt::skip]
const PARAMETERS: &[(u32, &str, &[&str])] = &[
    (oid::BOOL, "bool", &["t", "TRUE", " yes ", "on", "off", "of", "o", "1", "0", "2", "", "tr", "truex", "N"]),
    (oid::INT2, "int2", &["0", "-32768", "32767", "32768", "x", "", " 7 ", "+7", "1.0", "- 1", "0x10", "1_000"]),
    (oid::INT4, "int4", &["2147483647", "2147483648", "-2147483648", "99999999999999999999", "x", "--1", "+"]),
    (oid::INT8, "int8", &["9223372036854775807", "9223372036854775808", "-9223372036854775808", "\t1\n"]),
    (oid::FLOAT4, "float4", &["1.5", "1e38", "1e39", "1e-45", "1e-50", "nan", "-inf", "infinity", "", "1e", ".5", "5.", "."]),
    (oid::FLOAT8, "float8", &["1.5", "1e308", "1e309", "5e-324", "1e-400", "NaN", "+Infinity", " 1 ", "x", "1 2", "0e400", "inf", "infin"]),
    (oid::NUMERIC, "numeric", &["0", "-0", "0.00", "1.50", "-12345.678", "1e5", "1.5e-3", "100000000", "0.0001", "12345678901234567890123456789012345678", "x", "", "1.2.3", "1e", ".", "-.5", "5.", " 1 "]),
    (oid::TEXT, "text", &["", "é", " a "]),
    (oid::VARCHAR, "varchar", &["a"]),
    (oid::BYTEA, "bytea", &["\\x0aFF", "\\x0", "\\xzz", "\\x 0a 0b", "abc", "a\\\\b", "\\001", "\\9", "\\", "\\400", "\\377"]),
    (oid::DATE, "date", &[
        "2024-02-29", "2023-02-29", "20240229", "240229", "2/29/2024", "29 Feb 2024", "February 29, 2024", "Feb 29 2024", "29-Feb-2024",
        "2024-Feb-29", "Thu 29 Feb 2024", "J2460370", "epoch", "0001-01-01 BC", "4714-11-24 BC", "4714-11-23 BC", "5874897-12-31",
        "5874898-01-01", "2024-13-01", "2024-00-10", "2024-01-32", "0000-01-01", "x", "", "10:00", "2024-02-29 23:59:59", "2024-02-29 23:59:59+02",
        "2024-2-9", "99-01-08", "1/8/99", "1/8/2069", "1/8/70", "13/1/2024", "12345-01-01", "2024-02-29 BC AD", "2024-02", "2024.02.29", "2024-02-29x", "99999999999-01-01", "2024-02-29 pst", "Thursday, Feb 29 2024", "now x", "2024-02-29 +25:00", "+1",
    ]),
    (oid::TIME, "time", &[
        "04:05:06", "04:05", "040506", "04:05:06.789", "04:05:06.7891234", "4:5:6", "24:00", "24:00:01", "23:59:60", "25:00", "12:60", "04:05 AM", "04:05 PM",
        "12:00 am", "12:00 pm", "13:00 pm", "allballs", "x", "", "04:05:06+02", "2024-01-01 04:05:06", "04:05:06.", "0405", "040506.7",
    ]),
    (oid::TIMESTAMP, "timestamp", &[
        "2024-02-29 12:34:56.789", "2024-02-29T12:34:56", "2024-02-29", "20240229T123456", "2024-02-29 12:34:56+02", "2024-02-29 12:34:56 Europe/Berlin",
        "epoch", "1999-01-08 04:05:06 -8:00", "January 8 04:05:06 1999 PST", "0044-03-15 12:00 BC", "294246-12-31 23:59:59", "4714-11-24 00:00 BC", "4714-11-23 00:00 BC",
        "2024-02-30", "2024-02-29 25:00", "x", "", "12:00", "2024-02-29 12:34:56.1234567", "2024-02-29 12:34:56.9999995", "2024-02-29  12:34", "2024-02-29 12",
        "2024-02-29 12:00 PM", "2024-02-29 12:34:56z", "2024-02-29 24:00:00",
    ]),
    (oid::TIMESTAMPTZ, "timestamptz", &[
        "2024-02-29 12:34:56.789", "2024-02-29T12:34:56Z", "2024-02-29", "2024-07-01", "2024-02-29 12:34:56+02", "2024-02-29 12:34:56-0330", "2024-02-29 12:34:56+05:45",
        "2024-02-29 12:34:56 Europe/Berlin", "2024-07-01 12:34:56 europe/berlin", "2024-07-01 12:00 EST", "2024-07-01 12:00 PDT", "2024-03-10 02:30", "2024-11-03 01:30", "epoch",
        "0001-01-01 00:00 BC", "2024-02-29 12:00 Mars/Olympus", "2024-02-29 12:00 mars", "2024-02-29 12:34:56+99", "2024-02-29 12:34:56 UTC", "2024-02-29 12:34:56+02:00:30", "x",
    ]),
    (oid::INTERVAL, "interval", &[
        "1 year 2 months 3 days 04:05:06.789", "1-2", "-1-2 +3 -4:05:06", "@ 1 day ago", "1 day ago", "P1Y2M3DT4H5M6S", "P0001-02-03T04:05:06", "P1W", "PT1.5S", "1.5 days", "1.5 months",
        "1.5 years", "1.3 weeks", "0.1 hours", "5", "1 2:03", "1h30m", "1:30.5", "1:2:3", "-1:2:3", "1 century", "2 decades 3 years", "1 mil", "1 fortnight", "", "ago", "1 day 1 day", "P", "P1X",
        "9999999999 days", "1 mon -1 day", "1 day -00:00:01", "5 ms", "7 us", "-1.5 hours", "1.0000005 seconds", "+1 day", "1 2", "3 4:05:06", "1 week 2 days", "1.5 day 2 hours", "1 y 2 mon 3 w",
    ]),
    (oid::UUID, "uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11x", "", "x"]),
    (oid::JSONB, "jsonb", &["{", "", "{\"a\": }", "nul"]),
    (oid::OID, "oid", &["4294967296", "x", ""]),
    (1007, "int4[]", &["{1,2,NULL}", "{}", "{{1,2},{3,4}}", "{{1},{2,3}}", "{1", "", "1", "{1,}", "{a}", " { 1 , 2 } ", "[1:2]={1,2}", "{1}x", "{{},{}}", "{{1},2}", "{null}", "{,}"]),
    (1009, "text[]", &["{a,\"b c\",\"null\",NULL,\"\"}", "{\"a\\\"b\"}", "{a\\,b}", "{a b}", "{\"a}", "{a\"b}", "{\"\\\\\"}", "{é}", "{ a\\ }", "{\"a\" \"b\"}"]),
    (1231, "numeric[]", &["{1,2}", "{x}", "{1.5,2.5}"]),
    (1182, "date[]", &["{2024-01-01,NULL}", "{x}"]),
    (1001, "bytea[]", &["{\"\\\\x01\"}"]),
    (1000, "bool[]", &["{t,f}"]),
];
