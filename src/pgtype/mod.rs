//! PostgreSQL's types: which one an Arrow type is, and back for parameters.
//!
//! It owns OIDs, lengths and typmods (PostgreSQL 15, `pg_type.dat`). It refuses to know how a value is written.

pub mod common;
pub mod known;
pub mod numeric;
pub mod read;
pub mod show;

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::common::{Result, ScalarValue};

/// OIDs of PostgreSQL's built-in types (`pg_type.dat`).
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT2VECTOR: u32 = 22;
    pub const INT4: u32 = 23;
    pub const REGPROC: u32 = 24;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const XID: u32 = 28;
    pub const CID: u32 = 29;
    pub const OIDVECTOR: u32 = 30;
    pub const JSON: u32 = 114;
    pub const XML: u32 = 142;
    pub const PG_NODE_TREE: u32 = 194;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const CIDR: u32 = 650;
    pub const UNKNOWN: u32 = 705;
    pub const INET: u32 = 869;
    pub const ACLITEM: u32 = 1033;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const REGPROCEDURE: u32 = 2202;
    pub const REGOPER: u32 = 2203;
    pub const REGOPERATOR: u32 = 2204;
    pub const REGCLASS: u32 = 2205;
    pub const REGTYPE: u32 = 2206;
    pub const RECORD: u32 = 2249;
    pub const ANYARRAY: u32 = 2277;
    pub const UUID: u32 = 2950;
    pub const PG_LSN: u32 = 3220;
    pub const REGCONFIG: u32 = 3734;
    pub const REGDICTIONARY: u32 = 3769;
    pub const JSONB: u32 = 3802;
    pub const REGNAMESPACE: u32 = 4089;
    pub const REGROLE: u32 = 4096;
    pub const REGCOLLATION: u32 = 4191;
}

/// The field metadata key of Arrow's canonical extension types.
pub const EXTENSION_NAME_KEY: &str = "ARROW:extension:name";
/// The extension name of a Parquet variant: a struct of `metadata` and `value`.
pub const VARIANT_EXTENSION: &str = "arrow.parquet.variant";
/// Field metadata that names the PostgreSQL type of a column where Arrow has no type of its own for it.
///
/// Values are PostgreSQL's internal names (`pg_type.typname`): those of [`is_oid_like`] on integers, `int2vector` and
/// `oidvector` on lists of integers, [`RECORD`] on structs, any other on strings. `numeric` on a decimal says that the type has no precision of
/// its own. The item of a list carries it for arrays.
pub const PG_TYPE_KEY: &str = "pgmesh:pg_type";
/// The metadata of a struct that is a record, `ROW(…)` or a row of a relation. Any other struct is `jsonb`.
pub const RECORD: &str = "record";
/// Field metadata with a column's type modifier (`pg_attribute.atttypmod`), in decimal.
pub const PG_TYPMOD_KEY: &str = "pgmesh:pg_typmod";

/// Field metadata that says which table column a column of a result is: the relation's OID and the column's number
/// (`pg_attribute.attnum`), in decimal with a comma between them.
pub const ORIGIN_KEY: &str = "pgmesh:origin";

/// The precision and scale at which a `numeric` parameter is planned before its value is known.
const NUMERIC_PARAMETER: (u8, i8) = (38, 10);
/// `atttypmod` of a type that carries none.
const NO_TYPMOD: i32 = -1;
/// PostgreSQL keeps a numeric's scale in eleven bits (`numeric.c`, `make_numeric_typmod`).
const SCALE_MASK: i32 = 0x7ff;
/// `VARHDRSZ`, which PostgreSQL adds to every numeric typmod.
pub const TYPMOD_HEADER: i32 = 4;
/// The column of a relation that a column of a result is nothing but.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// OID of the table or view.
    pub relation: u32,
    /// `pg_attribute.attnum`.
    pub number: i16,
}

impl Origin {
    /// What [`ORIGIN_KEY`] says of a field.
    #[must_use]
    pub fn of(field: &Field) -> Option<Self> {
        Self::parse(field.metadata().get(ORIGIN_KEY)?)
    }

    /// What [`Self::text`] says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (relation, number) = text.split_once(',')?;
        Some(Self { relation: relation.parse().ok()?, number: number.parse().ok()? })
    }

    /// As [`ORIGIN_KEY`] says it.
    #[must_use]
    pub fn text(self) -> String {
        format!("{},{}", self.relation, self.number)
    }
}

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
            if let Some(vector) = vector_oid(field, item) {
                return PgType { oid: vector, len: -1, typmod: NO_TYPMOD };
            }
            let element = pg_type(item);
            PgType { oid: array_oid(element.oid).unwrap_or(element.oid), len: -1, typmod: element.typmod }
        }
        data_type => {
            let oid = declared_oid(field).unwrap_or_else(|| scalar_oid(data_type));
            PgType { oid, len: type_len(oid), typmod: declared_typmod(field).unwrap_or_else(|| typmod(data_type)) }
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
        oid::INT8 => DataType::Int64,
        _ if is_oid_like(oid) => DataType::Int64,
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
            // an object's name is looked up when it is cast, which nothing does inside an array
            let element = arrow_type(element_oid(array).filter(|element| !is_reg(*element))?)?;
            DataType::List(Arc::new(Field::new_list_field(element, true)))
        }
    })
}

/// The PostgreSQL type of an Arrow type by itself.
#[must_use]
pub fn parameter_oid(data_type: &DataType) -> u32 {
    pg_type(&Field::new("", data_type.clone(), true)).oid
}

/// A column of a PostgreSQL type, as catalog relations and casts have it: with the metadata that [`pg_type`] reads.
/// `typmod` is -1 where the type carries none. `None` for types that have no form here.
///
/// Values of a `numeric` without a typmod have the precision and scale of a parameter.
#[must_use]
pub fn field(name: &str, type_oid: u32, typmod: i32, nullable: bool) -> Option<Field> {
    let list = |item: Field| DataType::List(Arc::new(item));
    let data_type = match type_oid {
        oid::INT2VECTOR => list(Field::new_list_field(DataType::Int16, true)),
        oid::OIDVECTOR => list(Field::new_list_field(DataType::Int64, true)),
        oid::NUMERIC if typmod >= TYPMOD_HEADER => {
            let bits = typmod - TYPMOD_HEADER;
            // eleven bits with a sign
            let scale = ((bits & SCALE_MASK) ^ 0x400) - 0x400;
            DataType::Decimal128(u8::try_from(bits >> 16).ok()?, i8::try_from(scale).ok()?)
        }
        _ if is_oid_like(type_oid) => DataType::Int64,
        _ => match (arrow_type(type_oid), element_oid(type_oid)) {
            (_, Some(element)) => list(field(Field::LIST_FIELD_DEFAULT_NAME, element, typmod, true)?),
            (Some(data_type), None) => data_type,
            (None, None) => {
                known::by_oid(type_oid)?;
                DataType::Utf8
            }
        },
    };
    let mut field = Field::new(name, data_type, nullable);
    let mut metadata = std::collections::HashMap::new();
    let unbounded = type_oid == oid::NUMERIC && typmod == NO_TYPMOD;
    if (scalar_oid(field.data_type()) != type_oid || unbounded)
        && let Some(known) = known::by_oid(type_oid)
    {
        metadata.insert(PG_TYPE_KEY.to_owned(), known.name.to_owned());
    }
    if typmod != NO_TYPMOD && !matches!(field.data_type(), DataType::Decimal128(..) | DataType::List(_)) {
        metadata.insert(PG_TYPMOD_KEY.to_owned(), typmod.to_string());
    }
    field.set_metadata(metadata);
    Some(field)
}

/// The first value of an array as a constant. A list keeps what its field says of the elements, which the engine's own
/// conversion forgets.
///
/// # Errors
/// For an empty array, and for types that no constant has.
pub fn constant(array: &dyn Array) -> Result<ScalarValue> {
    match array.as_list_opt::<i32>() {
        Some(list) if !list.is_empty() => Ok(ScalarValue::List(Arc::new(list.slice(0, 1)))),
        _ => ScalarValue::try_from_array(array, 0),
    }
}

/// The field as one of a type, where its values are held as those of the type are; else, and for `None`, as what its
/// Arrow type is by itself.
#[must_use]
pub fn declared(field: &Field, declared: Option<common::Typed>) -> Field {
    if let Some((type_oid, typmod)) = declared {
        let found = named(field, type_oid, typmod);
        if pg_type(&found).oid == type_oid {
            return found;
        }
    }
    let mut plain = field.clone();
    let metadata = plain.metadata_mut();
    // that one says something of the values themselves
    if metadata.get(PG_TYPE_KEY).is_some_and(|name| name != "numeric") {
        metadata.remove(PG_TYPE_KEY);
        metadata.remove(PG_TYPMOD_KEY);
    }
    match field.data_type() {
        DataType::List(item) => {
            let item = self::declared(item, None);
            plain.with_data_type(DataType::List(Arc::new(item)))
        }
        _ => plain,
    }
}

/// The field with the name of a type, whether that fits or not.
fn named(field: &Field, type_oid: u32, typmod: i32) -> Field {
    if let (DataType::List(item), Some(element)) = (field.data_type(), element_oid(type_oid)) {
        let nested = matches!(item.data_type(), DataType::List(_));
        let item = named(item, if nested { type_oid } else { element }, typmod);
        let mut list = field.clone().with_data_type(DataType::List(Arc::new(item)));
        list.metadata_mut().remove(PG_TYPE_KEY);
        return list;
    }
    let mut found = field.clone();
    let metadata = found.metadata_mut();
    metadata.remove(PG_TYPE_KEY);
    metadata.remove(PG_TYPMOD_KEY);
    // a decimal has a precision by itself, unless it is said to have none
    let has_none = type_oid == oid::NUMERIC && typmod == NO_TYPMOD;
    if (scalar_oid(field.data_type()) != type_oid || has_none)
        && let Some(known) = known::by_oid(type_oid)
    {
        metadata.insert(PG_TYPE_KEY.to_owned(), known.name.to_owned());
    }
    if typmod != NO_TYPMOD && !field.data_type().is_decimal() {
        metadata.insert(PG_TYPMOD_KEY.to_owned(), typmod.to_string());
    }
    found
}

/// Whether values of the type are OIDs, or transaction and command numbers of the same form: 64-bit integers in Arrow.
#[must_use]
pub fn is_oid_like(type_oid: u32) -> bool {
    matches!(type_oid, oid::OID | oid::XID | oid::CID) || is_reg(type_oid)
}

/// Whether the type is one of the `reg…` types, whose values are OIDs that are shown as names (PostgreSQL 15, 8.19).
#[must_use]
pub fn is_reg(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::REGPROC
            | oid::REGPROCEDURE
            | oid::REGOPER
            | oid::REGOPERATOR
            | oid::REGCLASS
            | oid::REGTYPE
            | oid::REGCONFIG
            | oid::REGDICTIONARY
            | oid::REGNAMESPACE
            | oid::REGROLE
            | oid::REGCOLLATION
    )
}

/// The OID of the array type over an element type.
#[must_use]
pub fn array_oid(element: u32) -> Option<u32> {
    known::by_oid(element).map(|known| known.array).filter(|array| *array != 0)
}

/// The OID of an array type's elements; `None` if it is no array type.
#[must_use]
pub fn element_oid(array: u32) -> Option<u32> {
    known::by_array(array).map(|known| known.oid)
}

/// Whether a field is a Parquet variant.
#[must_use]
pub fn is_variant(field: &Field) -> bool {
    field.metadata().get(EXTENSION_NAME_KEY).is_some_and(|name| name == VARIANT_EXTENSION)
}

fn declared_oid(field: &Field) -> Option<u32> {
    let known = known::by_name(field.metadata().get(PG_TYPE_KEY)?)?;
    let data_type = field.data_type();
    // an object on its way to a client is its OID with its name
    let is_object = matches!(data_type, DataType::Struct(_)) && is_reg(known.oid);
    if known.oid == oid::RECORD && matches!(data_type, DataType::Struct(_)) {
        return Some(oid::RECORD);
    }
    let fits = if is_oid_like(known.oid) { data_type.is_integer() || is_object } else { data_type.is_string() };
    (fits && !matches!(known.oid, oid::INT2VECTOR | oid::OIDVECTOR)).then_some(known.oid)
}

/// `int2vector` and `oidvector` are types of their own and no arrays.
fn vector_oid(field: &Field, item: &Field) -> Option<u32> {
    match field.metadata().get(PG_TYPE_KEY)?.as_str() {
        "int2vector" if item.data_type() == &DataType::Int16 => Some(oid::INT2VECTOR),
        "oidvector" if item.data_type() == &DataType::Int64 => Some(oid::OIDVECTOR),
        _ => None,
    }
}

fn declared_typmod(field: &Field) -> Option<i32> {
    if field.data_type().is_decimal() && field.metadata().get(PG_TYPE_KEY).is_some_and(|name| name == "numeric") {
        return Some(NO_TYPMOD);
    }
    field.metadata().get(PG_TYPMOD_KEY)?.parse().ok()
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
    known::by_oid(oid).map_or(-1, |known| known.len)
}

fn typmod(data_type: &DataType) -> i32 {
    match data_type {
        any if numeric::is_any(any) => NO_TYPMOD,
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
        assert_eq!(declared(DataType::Int64, "regclass"), PgType { oid: 2205, len: 4, typmod: -1 });
        assert_eq!(declared(DataType::Utf8, "regclass").oid, oid::TEXT);
        assert_eq!(declared(DataType::Utf8, "dollars").oid, oid::TEXT);
        assert_eq!(declared(list(DataType::Int16), "int2vector").oid, oid::INT2VECTOR);
        assert_eq!(declared(list(DataType::Int64), "oidvector").oid, oid::OIDVECTOR);
        assert_eq!(declared(list(DataType::Utf8), "oidvector").oid, 1009);
    }

    #[test]
    fn a_field_of_a_type_has_that_type() {
        for number in (0..6_000).filter(|number| known::by_oid(*number).is_some()) {
            let made = field("x", number, -1, true).unwrap();
            assert_eq!(pg_type(&made).oid, number, "{made:?}");
            if let Some(array) = array_oid(number)
                && !matches!(number, oid::INT2VECTOR | oid::OIDVECTOR)
            {
                assert_eq!(pg_type(&field("x", array, -1, true).unwrap()).oid, array, "{number}");
            }
        }
        let typmod = |number, typmod| pg_type(&field("x", number, typmod, true).unwrap()).typmod;
        assert_eq!(typmod(oid::VARCHAR, 24), 24);
        assert_eq!((typmod(oid::NUMERIC, 655_366), typmod(oid::NUMERIC, 329_730)), (655_366, 329_730));
        assert_eq!(typmod(1015, 24), 24, "varchar(20)[]");
        let vectors =
            [oid::INT2VECTOR, oid::OIDVECTOR].map(|number| pg_type(&field("x", number, -1, true).unwrap()).oid);
        assert_eq!(vectors, [oid::INT2VECTOR, oid::OIDVECTOR]);
        assert_eq!(field("x", 600_000, -1, true), None);
    }

    #[test]
    fn a_field_can_be_declared_to_be_of_a_type() {
        let field = |data_type: DataType| Field::new("x", data_type, true);
        let told = |data_type: DataType, typed| pg_type(&declared(&field(data_type), typed));
        for (data_type, typed, expected) in [
            (DataType::Int64, Some((oid::OID, -1)), (oid::OID, -1)),
            (DataType::Utf8, Some((oid::VARCHAR, 44)), (oid::VARCHAR, 44)),
            (DataType::Utf8, Some((oid::TEXT, -1)), (oid::TEXT, -1)),
            (DataType::Int32, Some((oid::NAME, -1)), (oid::INT4, -1)),
            (list(DataType::Int64), Some((1028, -1)), (1028, -1)),
            (list(list(DataType::Utf8)), Some((1003, -1)), (1003, -1)),
            (list(DataType::Int16), Some((oid::INT2VECTOR, -1)), (oid::INT2VECTOR, -1)),
            (DataType::Utf8, None, (oid::TEXT, -1)),
        ] {
            let found = told(data_type.clone(), typed);
            assert_eq!((found.oid, found.typmod), expected, "{data_type} {typed:?}");
        }
        let vector = declared(&field(list(DataType::Int64)), Some((oid::OIDVECTOR, -1)));
        assert_eq!(pg_type(&declared(&vector, Some((1028, -1)))).oid, 1028);
        let name = declared(&field(DataType::Utf8), Some((oid::NAME, -1)));
        assert_eq!(pg_type(&declared(&name, None)).oid, oid::TEXT, "what it was called before is gone");
        let names = declared(&field(list(DataType::Utf8)), Some((1003, -1)));
        assert_eq!(pg_type(&declared(&names, None)).oid, 1009);
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
