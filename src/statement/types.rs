//! SQL's names of types: which Arrow type each is, and which PostgreSQL type the field then says it is.
//!
//! PostgreSQL 15, chapter 8 "Data Types" and `pg_type.dat`. A type that Arrow has none of its own for is kept on one that
//! can hold it, and named by the field's metadata ([`PG_TYPE_KEY`]).

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as Arrow, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as Sql, ExactNumberInfo, Ident, ObjectName, TimezoneInfo,
};

use super::parse::position;
use crate::error::{Error, SqlState};
use crate::pgtype::{PG_TYPE_KEY, PG_TYPMOD_KEY};

/// The name under which a field says that it is `numeric` without precision.
pub const NUMERIC: &str = "numeric";
/// Digits and scale of a `numeric` that comes from a type that has none.
const NUMERIC_DEFAULT: (u8, i8) = (38, 10);
/// How many digits a `numeric` may have here: one less than Arrow's, since one type of 76 digits is
/// [`numeric`](crate::pgtype::numeric) without a scale and would be shown as such.
const DIGITS_MAX: u64 = 75;
/// What PostgreSQL adds to the length in a typmod (`VARHDRSZ`).
const TYPMOD_HEADER: u64 = 4;
/// The longest `varchar(n)` (`MaxAttrSize`).
const LENGTH_MAX: u64 = 10_485_760;
/// Types that are kept as OIDs.
const ON_INTEGERS: [&str; 3] = ["oid", "xid", "cid"];
/// Types whose values are objects, by their names.
const OBJECTS: [&str; 11] = [
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regnamespace",
    "regrole",
    "regconfig",
    "regdictionary",
    "regcollation",
];
/// Types that are kept as texts.
const ON_TEXTS: [&str; 19] = [
    "name",
    "json",
    "jsonb",
    "xml",
    "uuid",
    "inet",
    "cidr",
    "macaddr",
    "pg_node_tree",
    "pg_lsn",
    "aclitem",
    "anyarray",
    "unknown",
    "cstring",
    "tid",
    "txid_snapshot",
    "pg_snapshot",
    "tsvector",
    "tsquery",
];

/// The type planner of one statement.
#[derive(Debug)]
pub struct Types {
    /// What the client sent, for the places of errors.
    text: Arc<str>,
    /// The session's zone, in which timestamps with time zone are shown.
    time_zone: Option<Arc<str>>,
}

impl Types {
    pub fn new(text: &str, time_zone: Option<&str>) -> Self {
        Self { text: Arc::from(text), time_zone: time_zone.map(Arc::from) }
    }

    fn field(&self, sql: &Sql) -> std::result::Result<FieldRef, Error> {
        let zoned = |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
        Ok(match sql {
            Sql::Boolean | Sql::Bool => plain("bool", Arrow::Boolean),
            Sql::SmallInt(_) | Sql::Int2(_) => plain("int2", Arrow::Int16),
            Sql::Int(_) | Sql::Integer(_) | Sql::Int4(_) => plain("int4", Arrow::Int32),
            Sql::BigInt(_) | Sql::Int8(_) => plain("int8", Arrow::Int64),
            Sql::Real | Sql::Float4 => plain("float4", Arrow::Float32),
            Sql::Float8 | Sql::DoublePrecision | Sql::Double(ExactNumberInfo::None) => plain("float8", Arrow::Float64),
            Sql::Float(info) => float(info)?,
            Sql::Numeric(info) | Sql::Decimal(info) | Sql::Dec(info) => numeric(info)?,
            Sql::Text => plain("text", Arrow::Utf8),
            Sql::Varchar(length) | Sql::CharacterVarying(length) | Sql::CharVarying(length) => {
                with_length("varchar", length.as_ref(), None)?
            }
            Sql::Char(length) | Sql::Character(length) => with_length("bpchar", length.as_ref(), Some(1))?,
            Sql::Bytea => plain("bytea", Arrow::Binary),
            Sql::Date => plain("date", Arrow::Date32),
            Sql::Time(_, zone) if !zoned(zone) => plain("time", Arrow::Time64(TimeUnit::Microsecond)),
            Sql::Timestamp(_, zone) => self.timestamp(zoned(zone)),
            Sql::Interval { .. } => plain("interval", Arrow::Interval(IntervalUnit::MonthDayNano)),
            Sql::Uuid => named("uuid", Arrow::Utf8),
            Sql::JSON => named("json", Arrow::Utf8),
            Sql::JSONB => named("jsonb", Arrow::Utf8),
            Sql::Regclass => named("regclass", Arrow::Int64),
            Sql::TsVector => named("tsvector", Arrow::Utf8),
            Sql::TsQuery => named("tsquery", Arrow::Utf8),
            Sql::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) => {
                array_of(&self.field(element)?)
            }
            Sql::Custom(name, modifiers) => self.custom(name, modifiers)?,
            Sql::Bit(_) | Sql::BitVarying(_) | Sql::Time(..) | Sql::GeometricType(_) => {
                return Err(Error::unsupported(format!("type {} is not supported", sql.to_string().to_lowercase())));
            }
            // names that other databases have
            other => {
                let name = other.to_string().to_lowercase();
                let name = name.split('(').next().unwrap_or_default();
                return Err(Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")));
            }
        })
    }

    fn timestamp(&self, zoned: bool) -> FieldRef {
        let zone = if zoned { Some(self.time_zone.clone().unwrap_or_else(|| Arc::from("UTC"))) } else { None };
        let name = if zoned { "timestamptz" } else { "timestamp" };
        plain(name, Arrow::Timestamp(TimeUnit::Microsecond, zone))
    }

    /// A type whose name is no keyword of the parser, or is written with its schema or in quotes.
    fn custom(&self, name: &ObjectName, modifiers: &[String]) -> std::result::Result<FieldRef, Error> {
        let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let missing = || {
            let shown: Vec<String> = parts.iter().map(|part| fold(part)).collect();
            let error = Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{}\" does not exist", shown.join(".")));
            match parts.first().map(|part| part.span.start) {
                Some(start) if start.line > 0 => error.position(position(&self.text, start)),
                _ => error,
            }
        };
        let (quoted, local) = match parts.as_slice() {
            [name] => (name.quote_style.is_some(), fold(name)),
            [schema, name] if fold(schema) == "pg_catalog" => (true, fold(name)),
            [schema, name] if fold(schema) == "information_schema" => {
                let domain = match fold(name).as_str() {
                    "sql_identifier" => named("name", Arrow::Utf8),
                    "character_data" | "yes_or_no" => named("varchar", Arrow::Utf8),
                    "cardinal_number" => plain("int4", Arrow::Int32),
                    "time_stamp" => self.timestamp(true),
                    _ => return Err(missing()),
                };
                return Ok(domain);
            }
            _ => return Err(missing()),
        };
        let modifier = match modifiers {
            [] => None,
            [number] => number.trim().parse::<u64>().ok(),
            [digits, scale] if local == NUMERIC || local == "decimal" => {
                let (Ok(digits), Ok(scale)) = (digits.trim().parse(), scale.trim().parse()) else {
                    return Err(missing());
                };
                return numeric(&ExactNumberInfo::PrecisionAndScale(digits, scale));
            }
            _ => return Err(missing()),
        };
        let length = modifier.map(|length| CharacterLength::IntegerLength { length, unit: None });
        self.local(&local, quoted, length.as_ref()).map(|found| found.ok_or_else(missing))?
    }

    /// A type of `pg_catalog`. The SQL standard's names are the grammar's, which knows them in no quotes.
    fn local(
        &self,
        name: &str,
        quoted: bool,
        length: Option<&CharacterLength>,
    ) -> std::result::Result<Option<FieldRef>, Error> {
        if let Some(element) = name.strip_prefix('_') {
            return Ok(self.local(element, true, length)?.map(|field| array_of(&field)));
        }
        Ok(Some(match name {
            "bool" => plain("bool", Arrow::Boolean),
            "int2" => plain("int2", Arrow::Int16),
            "int4" => plain("int4", Arrow::Int32),
            "int8" => plain("int8", Arrow::Int64),
            "float4" => plain("float4", Arrow::Float32),
            "float8" => plain("float8", Arrow::Float64),
            "numeric" => match length {
                Some(CharacterLength::IntegerLength { length, .. }) => numeric(&ExactNumberInfo::Precision(*length))?,
                _ => numeric(&ExactNumberInfo::None)?,
            },
            "text" => plain("text", Arrow::Utf8),
            "varchar" => with_length("varchar", length, None)?,
            "bpchar" => with_length("bpchar", length, None)?,
            "char" if quoted => named("char", Arrow::Utf8),
            "bytea" => plain("bytea", Arrow::Binary),
            "date" => plain("date", Arrow::Date32),
            "time" => plain("time", Arrow::Time64(TimeUnit::Microsecond)),
            "timestamp" => self.timestamp(false),
            "timestamptz" => self.timestamp(true),
            "interval" => plain("interval", Arrow::Interval(IntervalUnit::MonthDayNano)),
            "int2vector" => vector("int2vector", Arrow::Int16, None),
            "oidvector" => vector("oidvector", Arrow::Int64, Some("oid")),
            name if OBJECTS.contains(&name) => named(name, Arrow::Int64),
            name => match ON_INTEGERS.iter().find(|known| **known == name) {
                Some(known) => named(known, Arrow::Int64),
                None => match ON_TEXTS.iter().find(|known| **known == name) {
                    Some(known) => named(known, Arrow::Utf8),
                    None => return Ok(None),
                },
            },
        }))
    }
}

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &Sql) -> Result<Option<FieldRef>> {
        self.field(sql_type).map(Some).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

/// A field with a name takes nothing over from what is cast to it.
fn plain(name: &str, arrow: Arrow) -> FieldRef {
    Arc::new(Field::new(name, arrow, true))
}

/// A type that Arrow has none of its own for.
fn named(name: &str, arrow: Arrow) -> FieldRef {
    let metadata = HashMap::from([(PG_TYPE_KEY.to_owned(), name.to_owned())]);
    Arc::new(Field::new(name, arrow, true).with_metadata(metadata))
}

fn array_of(element: &FieldRef) -> FieldRef {
    // arrays carry no number of dimensions in their type
    if element.data_type().is_nested() {
        return Arc::clone(element);
    }
    let item = Field::new_list_field(element.data_type().clone(), true).with_metadata(element.metadata().clone());
    Arc::new(Field::new(format!("_{}", element.name()), Arrow::List(Arc::new(item)), true))
}

fn vector(name: &str, element: Arrow, element_name: Option<&str>) -> FieldRef {
    let mut item = Field::new_list_field(element, true);
    if let Some(element_name) = element_name {
        item = item.with_metadata(HashMap::from([(PG_TYPE_KEY.to_owned(), element_name.to_owned())]));
    }
    named(name, Arrow::List(Arc::new(item)))
}

/// `varchar(n)`, `char(n)`.
fn with_length(
    name: &str,
    length: Option<&CharacterLength>,
    default: Option<u64>,
) -> std::result::Result<FieldRef, Error> {
    let length = match length {
        Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
        Some(CharacterLength::Max) | None => default,
    };
    let field = named(name, Arrow::Utf8);
    let Some(length) = length else { return Ok(field) };
    let shown = if name == "bpchar" { "char" } else { name };
    if length == 0 {
        return Err(invalid(format!("length for type {shown} must be at least 1")));
    }
    if length > LENGTH_MAX {
        return Err(invalid(format!("length for type {shown} cannot exceed {LENGTH_MAX}")));
    }
    let mut metadata = field.metadata().clone();
    metadata.insert(PG_TYPMOD_KEY.to_owned(), (length + TYPMOD_HEADER).to_string());
    Ok(Arc::new(field.as_ref().clone().with_metadata(metadata)))
}

/// `float(p)`: the bits of the mantissa decide.
fn float(info: &ExactNumberInfo) -> std::result::Result<FieldRef, Error> {
    match info {
        ExactNumberInfo::Precision(0) => Err(invalid("precision for type float must be at least 1 bit".to_owned())),
        ExactNumberInfo::Precision(1..=24) => Ok(plain("float4", Arrow::Float32)),
        ExactNumberInfo::None | ExactNumberInfo::Precision(25..=53) => Ok(plain("float8", Arrow::Float64)),
        _ => Err(invalid("precision for type float must be less than 54 bits".to_owned())),
    }
}

fn numeric(info: &ExactNumberInfo) -> std::result::Result<FieldRef, Error> {
    let (digits, scale) = match info {
        ExactNumberInfo::None => {
            let (digits, scale) = NUMERIC_DEFAULT;
            return Ok(plain(NUMERIC, Arrow::Decimal128(digits, scale)));
        }
        ExactNumberInfo::Precision(digits) => (*digits, 0),
        ExactNumberInfo::PrecisionAndScale(digits, scale) => (*digits, *scale),
    };
    if !(1..=1000).contains(&digits) {
        return Err(invalid(format!("NUMERIC precision {digits} must be between 1 and 1000")));
    }
    let narrow = |scale: i64| i8::try_from(scale).ok().filter(|scale| i64::from(*scale).unsigned_abs() <= digits);
    let (Some(scale), true) = (narrow(scale), digits <= DIGITS_MAX) else {
        return Err(Error::unsupported(format!("numeric({digits},{scale}) is not supported"))
            .hint(format!("A numeric may have {DIGITS_MAX} digits.")));
    };
    let digits = u8::try_from(digits).unwrap_or(u8::MAX);
    // the name tells it from numeric without precision
    Ok(plain(
        "numeric(p,s)",
        if digits <= 38 { Arrow::Decimal128(digits, scale) } else { Arrow::Decimal256(digits, scale) },
    ))
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn planned(sql: &str) -> std::result::Result<FieldRef, Error> {
        let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).unwrap().parse_data_type().unwrap();
        Types::new(sql, Some("UTC")).field(&parsed)
    }

    #[test]
    fn names_stand_for_arrow_types_that_say_what_they_are() {
        let name = |sql: &str| {
            let field = planned(sql).unwrap();
            let declared = field.metadata().get(PG_TYPE_KEY).cloned().unwrap_or_default();
            let typmod = field.metadata().get(PG_TYPMOD_KEY).cloned().unwrap_or_default();
            format!("{} {declared} {typmod}", field.data_type())
        };
        for (sql, expected) in [
            ("int4", "Int32  "),
            ("pg_catalog.int4", "Int32  "),
            ("PG_CATALOG.Int8", "Int64  "),
            ("\"char\"", "Utf8 char "),
            ("char", "Utf8 bpchar 5"),
            ("char(3)", "Utf8 bpchar 7"),
            ("bpchar", "Utf8 bpchar "),
            ("varchar(20)", "Utf8 varchar 24"),
            ("character varying", "Utf8 varchar "),
            ("name", "Utf8 name "),
            ("oid", "Int64 oid "),
            ("regclass", "Int64 regclass "),
            ("pg_catalog.regtype", "Int64 regtype "),
            ("jsonb", "Utf8 jsonb "),
            ("float(24)", "Float32  "),
            ("float", "Float64  "),
            ("numeric(5, 2)", "Decimal128(5, 2)  "),
            ("timestamptz(3)", "Timestamp(µs, \"UTC\")  "),
            ("timestamp", "Timestamp(µs)  "),
            ("time", "Time64(µs)  "),
        ] {
            assert_eq!(name(sql), expected, "{sql}");
        }
        let item = |sql: &str| match planned(sql).unwrap().data_type() {
            Arrow::List(item) => (item.data_type().clone(), item.metadata().get(PG_TYPE_KEY).cloned()),
            other => panic!("{other}"),
        };
        assert_eq!(item("text[]"), (Arrow::Utf8, None));
        assert_eq!(item("int4[][]"), (Arrow::Int32, None));
        assert_eq!(item("_oid"), (Arrow::Int64, Some("oid".to_owned())));
        assert_eq!(item("pg_catalog._name"), (Arrow::Utf8, Some("name".to_owned())));
        assert_eq!(item("oidvector"), (Arrow::Int64, Some("oid".to_owned())));
    }

    #[test]
    fn what_is_no_type_is_refused_at_its_place() {
        let error = planned("  nothing").unwrap_err();
        assert_eq!(error.message(), "type \"nothing\" does not exist");
        assert_eq!((error.sqlstate(), error.report().position), (SqlState::UNDEFINED_OBJECT, Some(3)));
        assert_eq!(planned("x.int4").unwrap_err().message(), "type \"x.int4\" does not exist");
        assert_eq!(planned("varchar(0)").unwrap_err().message(), "length for type varchar must be at least 1");
        assert_eq!(planned("float(60)").unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
    }
}
