//! PostgreSQL's types: which one an Arrow type is, and back for parameters.
//!
//! It owns OIDs, lengths and typmods (PostgreSQL 15, `pg_type.dat`). It refuses to know how a value is written.

pub mod known;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// OIDs of PostgreSQL's built-in types (`pg_type.dat`).
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const JSON: u32 = 114;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
}

/// The field metadata key of Arrow's canonical extension types.
pub const EXTENSION_NAME_KEY: &str = "ARROW:extension:name";
/// The extension name of a Parquet variant: a struct of `metadata` and `value`.
pub const VARIANT_EXTENSION: &str = "arrow.parquet.variant";
/// Field metadata with which a catalog relation names its PostgreSQL type, where Arrow has no type of its own for it.
///
/// Values: `oid` on integers; `name`, `char`, `varchar`, `bpchar`, `json` on strings.
pub const PG_TYPE_KEY: &str = "pgmesh:pg_type";

/// The precision and scale at which a `numeric` parameter is planned before its value is known.
const NUMERIC_PARAMETER: (u8, i8) = (38, 10);
/// `atttypmod` of a type that carries none.
const NO_TYPMOD: i32 = -1;
/// PostgreSQL keeps a numeric's scale in eleven bits (`numeric.c`, `make_numeric_typmod`).
const SCALE_MASK: i32 = 0x7ff;
/// `VARHDRSZ`, which PostgreSQL adds to every numeric typmod.
const TYPMOD_HEADER: i32 = 4;
/// (element, array) pairs of every type that may appear in an array.
const ARRAYS: [(u32, u32); 22] = [
    (oid::BOOL, 1000),
    (oid::BYTEA, 1001),
    (oid::CHAR, 1002),
    (oid::NAME, 1003),
    (oid::INT2, 1005),
    (oid::INT4, 1007),
    (oid::TEXT, 1009),
    (oid::BPCHAR, 1014),
    (oid::VARCHAR, 1015),
    (oid::INT8, 1016),
    (oid::FLOAT4, 1021),
    (oid::FLOAT8, 1022),
    (oid::OID, 1028),
    (oid::TIMESTAMP, 1115),
    (oid::DATE, 1182),
    (oid::TIME, 1183),
    (oid::TIMESTAMPTZ, 1185),
    (oid::INTERVAL, 1187),
    (oid::NUMERIC, 1231),
    (oid::JSON, 199),
    (oid::UUID, 2951),
    (oid::JSONB, 3807),
];

/// A type as RowDescription names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgType {
    pub oid: u32,
    /// Bytes of a value, -1 when it varies.
    pub len: i16,
    pub typmod: i32,
}

/// The PostgreSQL type of a column.
///
/// Dictionaries and run-end encoded columns have the type of their values, nested lists that of their innermost
/// element's array, as PostgreSQL's arrays carry no number of dimensions in their type.
#[must_use]
pub fn pg_type(field: &Field) -> PgType {
    match field.data_type() {
        DataType::Dictionary(_, values) => pg_type(&field.clone().with_data_type(values.as_ref().clone())),
        DataType::RunEndEncoded(_, values) => pg_type(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            let element = pg_type(item);
            PgType { oid: array_oid(element.oid).unwrap_or(element.oid), len: -1, typmod: element.typmod }
        }
        data_type => {
            let oid = declared_oid(field).unwrap_or_else(|| scalar_oid(data_type));
            PgType { oid, len: type_len(oid), typmod: typmod(data_type) }
        }
    }
}

/// The Arrow type of a parameter that the client declared by OID; `None` for a type that no parameter can have.
///
/// 0 and `unknown` are text. A numeric's precision and scale follow its value (see `decode_parameter`); until there is
/// one it is `Decimal128(38, 10)`.
#[must_use]
pub fn arrow_type(oid: u32) -> Option<DataType> {
    Some(match oid {
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 | oid::OID => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::NUMERIC => DataType::Decimal128(NUMERIC_PARAMETER.0, NUMERIC_PARAMETER.1),
        0
        | oid::TEXT
        | oid::VARCHAR
        | oid::BPCHAR
        | oid::NAME
        | oid::UNKNOWN
        | oid::CHAR
        | oid::UUID
        | oid::JSON
        | oid::JSONB => DataType::Utf8,
        oid::BYTEA => DataType::Binary,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        array => {
            let element = arrow_type(element_oid(array)?)?;
            DataType::List(Arc::new(Field::new_list_field(element, true)))
        }
    })
}

/// What ParameterDescription says for a parameter whose Arrow type was inferred.
#[must_use]
pub fn parameter_oid(data_type: &DataType) -> u32 {
    pg_type(&Field::new("", data_type.clone(), true)).oid
}

/// The OID of the array type over an element type.
#[must_use]
pub fn array_oid(element: u32) -> Option<u32> {
    ARRAYS.iter().find(|(candidate, _)| *candidate == element).map(|(_, array)| *array)
}

/// The OID of an array type's elements; `None` if it is no array type.
#[must_use]
pub fn element_oid(array: u32) -> Option<u32> {
    ARRAYS.iter().find(|(_, candidate)| *candidate == array).map(|(element, _)| *element)
}

/// Whether a field is a Parquet variant.
#[must_use]
pub fn is_variant(field: &Field) -> bool {
    field.metadata().get(EXTENSION_NAME_KEY).is_some_and(|name| name == VARIANT_EXTENSION)
}

fn declared_oid(field: &Field) -> Option<u32> {
    let name = field.metadata().get(PG_TYPE_KEY)?;
    let data_type = field.data_type();
    match name.as_str() {
        "oid" if data_type.is_integer() => Some(oid::OID),
        "name" if data_type.is_string() => Some(oid::NAME),
        "char" if data_type.is_string() => Some(oid::CHAR),
        "varchar" if data_type.is_string() => Some(oid::VARCHAR),
        "bpchar" if data_type.is_string() => Some(oid::BPCHAR),
        "json" if data_type.is_string() => Some(oid::JSON),
        _ => None,
    }
}

fn scalar_oid(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Boolean => oid::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => oid::INT2,
        DataType::Int32 | DataType::UInt16 => oid::INT4,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => oid::INT8,
        DataType::Float16 | DataType::Float32 => oid::FLOAT4,
        DataType::Float64 => oid::FLOAT8,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            oid::NUMERIC
        }
        DataType::Date32 | DataType::Date64 => oid::DATE,
        DataType::Time32(_) | DataType::Time64(_) => oid::TIME,
        DataType::Timestamp(_, None) => oid::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => oid::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => oid::INTERVAL,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => oid::BYTEA,
        DataType::Struct(_) | DataType::Map(..) => oid::JSONB,
        // Null has no type of its own, and a union never gets past the encoder's constructor.
        _ => oid::TEXT,
    }
}

fn type_len(oid: u32) -> i16 {
    match oid {
        oid::BOOL | oid::CHAR => 1,
        oid::INT2 => 2,
        oid::INT4 | oid::FLOAT4 | oid::OID | oid::DATE => 4,
        oid::INT8 | oid::FLOAT8 | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ => 8,
        oid::INTERVAL | oid::UUID => 16,
        oid::NAME => 64,
        _ => -1,
    }
}

fn typmod(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            (i32::from(*precision) << 16 | i32::from(*scale) & SCALE_MASK) + TYPMOD_HEADER
        }
        _ => NO_TYPMOD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data_type: DataType) -> (u32, i16, i32) {
        let found = pg_type(&Field::new("x", data_type, true));
        (found.oid, found.len, found.typmod)
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new_list_field(item, true)))
    }

    #[test]
    fn scalars_have_postgresqls_oid_length_and_typmod() {
        for (data_type, expected) in [
            (DataType::Boolean, (16, 1, -1)),
            (DataType::UInt8, (21, 2, -1)),
            (DataType::UInt16, (23, 4, -1)),
            (DataType::UInt32, (20, 8, -1)),
            (DataType::Float16, (700, 4, -1)),
            (DataType::Decimal128(10, 2), (1700, -1, 655_366)),
            (DataType::Decimal128(5, -2), (1700, -1, 329_730)),
            (DataType::Date64, (1082, 4, -1)),
            (DataType::Timestamp(TimeUnit::Second, None), (1114, 8, -1)),
            (DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), (1184, 8, -1)),
            (DataType::Duration(TimeUnit::Second), (1186, 16, -1)),
            (DataType::Utf8View, (25, -1, -1)),
            (DataType::FixedSizeBinary(4), (17, -1, -1)),
            (DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into()), (3802, -1, -1)),
            (DataType::Null, (25, -1, -1)),
        ] {
            assert_eq!(of(data_type.clone()), expected, "{data_type}");
        }
    }

    #[test]
    fn lists_are_arrays_of_their_innermost_element() {
        assert_eq!(of(list(DataType::Int32)), (1007, -1, -1));
        assert_eq!(of(list(list(DataType::Utf8))), (1009, -1, -1));
        assert_eq!(of(list(DataType::Decimal128(10, 2))), (1231, -1, 655_366));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        assert_eq!(of(list(dictionary)), (1009, -1, -1));
    }

    #[test]
    fn a_declared_type_counts_only_where_it_fits() {
        let declared = |data_type: DataType, name: &str| {
            let metadata = [(PG_TYPE_KEY.to_owned(), name.to_owned())].into();
            pg_type(&Field::new("x", data_type, true).with_metadata(metadata))
        };
        assert_eq!(declared(DataType::Int64, "oid"), PgType { oid: 26, len: 4, typmod: -1 });
        assert_eq!(declared(DataType::Utf8, "name"), PgType { oid: 19, len: 64, typmod: -1 });
        assert_eq!(declared(DataType::Utf8, "oid").oid, oid::TEXT);
        assert_eq!(declared(DataType::Utf8, "money").oid, oid::TEXT);
    }

    #[test]
    fn parameters_translate_both_ways_and_foreign_types_do_not() {
        for number in [16, 17, 20, 21, 23, 25, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 1007, 1009, 1231] {
            assert_eq!(parameter_oid(&arrow_type(number).unwrap()), number);
        }
        assert_eq!(arrow_type(oid::UUID), Some(DataType::Utf8));
        assert_eq!(arrow_type(600), None, "point");
    }
}
