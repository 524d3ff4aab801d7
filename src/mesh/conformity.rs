//! Does a product's table keep what its contract declares? Pure: a contract and a schema in, findings out.
//!
//! Whether a required column really has no NULLs is measured by `quality`: writers rarely declare it in the table.
//!
//! Type names come from three dialects (founding, ODPS with ODCS, ODCS) and from physical types of many stores, so a
//! name is read for what it promises a reader: `integer` is any whole number, `bigint` is 64 bits, `decimal(18,2)` is
//! exactly that.

use std::fmt;

use datafusion::arrow::datatypes::{DataType, Schema};

use crate::catalog::model::{Column, ProblemSeverity, Product};

/// One difference between a contract and its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    /// The column as the contract, or else the table, writes it.
    pub column: String,
    /// Lowercase, factual, without the product's name.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// Declared, and not in the table.
    MissingColumn,
    /// In the table, and not declared.
    UndeclaredColumn,
    WrongType,
    /// The contract's type name is not known, so nothing was compared.
    UnknownType,
}

impl Finding {
    /// A reader who relies on the contract is misled by an error, and merely surprised by a warning.
    #[must_use]
    pub fn severity(&self) -> ProblemSeverity {
        match self.kind {
            FindingKind::MissingColumn | FindingKind::WrongType => ProblemSeverity::Error,
            FindingKind::UndeclaredColumn | FindingKind::UnknownType => ProblemSeverity::Warning,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Compares a contract's columns with a table's schema, in the contract's order and then in the table's. A contract
/// that declares no columns promises none.
#[must_use]
pub fn compare(product: &Product, schema: &Schema) -> Vec<Finding> {
    if product.columns.is_empty() {
        return Vec::new();
    }
    let declared = product.columns.iter().flat_map(|column| compare_column(column, schema));
    let undeclared = schema.fields().iter().filter(|field| product.columns.iter().all(|c| c.name != *field.name()));
    let undeclared = undeclared.map(|field| {
        let message = format!("column \"{}\" is in the table and not in the contract", field.name());
        Finding { kind: FindingKind::UndeclaredColumn, column: field.name().clone(), message }
    });
    declared.chain(undeclared).collect()
}

fn compare_column(column: &Column, schema: &Schema) -> Vec<Finding> {
    let finding = |kind, message| Finding { kind, column: column.name.clone(), message };
    let Some((_, field)) = schema.column_with_name(&column.name) else {
        let similar = schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(&column.name));
        let hint = similar.map(|field| format!("; the table has \"{}\"", field.name())).unwrap_or_default();
        let message = format!("column \"{}\" is in the contract and not in the table{hint}", column.name);
        return vec![finding(FindingKind::MissingColumn, message)];
    };
    let mut findings = Vec::new();
    // the physical type promises more; where it is the name of a store we do not know, the logical one remains
    let names = [column.physical_type.as_deref(), column.logical_type.as_deref()];
    let known = names.iter().flatten().find_map(|name| Some((*name, Promise::read(name)?)));
    match (known, names.into_iter().flatten().next()) {
        (Some((name, promise)), _) if !promise.kept_by(field.data_type()) => findings.push(finding(
            FindingKind::WrongType,
            format!(
                "column \"{}\" is {} in the table, the contract says {name}",
                column.name,
                describe(field.data_type())
            ),
        )),
        (None, Some(name)) => findings.push(finding(
            FindingKind::UnknownType,
            format!("the type \"{name}\" of column \"{}\" is not known and was not compared", column.name),
        )),
        _ => {}
    }
    findings
}

/// What a type name promises to readers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Promise {
    Text,
    /// Bits, where the name says how many.
    Integer(Option<u8>),
    /// Bits, where the name says how many.
    Float(Option<u8>),
    /// Precision and scale, where given.
    Decimal(Option<(u8, i8)>),
    /// Any number.
    Number,
    Boolean,
    Date,
    /// Whether it is a point in time (`Some(true)`), a wall clock (`Some(false)`), or either.
    Timestamp(Option<bool>),
    Time,
    Binary,
    /// Of these elements, where given.
    Array(Option<Box<Promise>>),
    Map,
    /// A struct, or a map where the name does not tell them apart.
    Object,
    Struct,
}

impl Promise {
    /// `None`: the name is not known.
    fn read(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        if let Some(element) = name.strip_suffix("[]") {
            return Some(Self::Array(Self::read(element).map(Box::new)));
        }
        let at = name.find(['(', '<']).unwrap_or(name.len());
        let (base, arguments) = name.split_at(at);
        let arguments = arguments.trim_end_matches(|c: char| c != ')' && c != '>');
        let inside = arguments.get(1..arguments.len().saturating_sub(1)).unwrap_or_default();
        // `timestamp(6) with time zone`, `character varying(20)`
        let tail = &name[at + arguments.len()..];
        let base = format!("{} {}", base.trim(), tail.trim());
        Some(match base.trim() {
            "string" | "text" | "varchar" | "char" | "character" | "character varying" | "nvarchar" | "nchar"
            | "bpchar" | "clob" | "uuid" | "json" | "enum" | "email" | "uri" | "keyword" => Self::Text,
            "integer" | "int" | "whole" => Self::Integer(None),
            "long" | "bigint" | "int64" => Self::Integer(Some(64)),
            "int32" | "int4" => Self::Integer(Some(32)),
            "short" | "smallint" | "int16" | "int2" => Self::Integer(Some(16)),
            "byte" | "tinyint" => Self::Integer(Some(8)),
            "float" => Self::Float(None),
            "double" | "double precision" | "float64" | "float8" => Self::Float(Some(64)),
            "real" | "float32" | "float4" => Self::Float(Some(32)),
            "decimal" | "dec" | "money" => Self::Decimal(precision(inside)),
            "number" | "numeric" => precision(inside).map_or(Self::Number, |given| Self::Decimal(Some(given))),
            "boolean" | "bool" | "bit" => Self::Boolean,
            "date" => Self::Date,
            "timestamp" | "datetime" => Self::Timestamp(None),
            "timestamp_ntz" | "timestampntz" | "timestamp without time zone" | "datetime2" => {
                Self::Timestamp(Some(false))
            }
            "timestamp_tz" | "timestamp_ltz" | "timestamptz" | "timestamp with time zone" | "datetimeoffset" => {
                Self::Timestamp(Some(true))
            }
            "time" | "time without time zone" => Self::Time,
            "binary" | "varbinary" | "bytes" | "bytea" | "blob" => Self::Binary,
            "array" | "list" => Self::Array(Self::read(inside).map(Box::new)),
            "map" => Self::Map,
            "object" | "variant" => Self::Object,
            "struct" | "record" | "row" => Self::Struct,
            _ => return None,
        })
    }

    fn kept_by(&self, data_type: &DataType) -> bool {
        use DataType as T;
        match (self, data_type) {
            (promise, T::Dictionary(_, value)) => promise.kept_by(value),
            (Self::Integer(bits), T::Int8 | T::Int16 | T::Int32 | T::Int64)
            | (Self::Float(bits), T::Float32 | T::Float64) => {
                bits.is_none_or(|bits| data_type.primitive_width() == Some(usize::from(bits / 8)))
            }
            (Self::Decimal(given), T::Decimal128(precision, scale) | T::Decimal256(precision, scale)) => {
                given.is_none_or(|given| given == (*precision, *scale))
            }
            (Self::Number, other) => other.is_numeric(),
            (Self::Timestamp(zoned), T::Timestamp(_, zone)) => zoned.is_none_or(|zoned| zoned == zone.is_some()),
            (Self::Array(element), T::List(item) | T::LargeList(item) | T::ListView(item)) => {
                element.as_ref().is_none_or(|element| element.kept_by(item.data_type()))
            }
            // Delta has no time of day; writers store it as text
            (Self::Text | Self::Time, T::Utf8 | T::LargeUtf8 | T::Utf8View)
            | (Self::Time, T::Time32(_) | T::Time64(_))
            | (Self::Boolean, T::Boolean)
            | (Self::Date, T::Date32 | T::Date64)
            | (Self::Binary, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_))
            | (Self::Map | Self::Object, T::Map(..))
            | (Self::Struct | Self::Object, T::Struct(_)) => true,
            _ => false,
        }
    }
}

/// `18,2` as precision and scale; `18` has the scale 0.
fn precision(arguments: &str) -> Option<(u8, i8)> {
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

/// A table's type in the words of contracts.
fn describe(data_type: &DataType) -> String {
    use DataType as T;
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "string".into(),
        T::Int8 => "tinyint".into(),
        T::Int16 => "smallint".into(),
        T::Int32 => "int32".into(),
        T::Int64 => "bigint".into(),
        T::Float32 => "real".into(),
        T::Float64 => "double".into(),
        T::Decimal128(precision, scale) | T::Decimal256(precision, scale) => format!("decimal({precision},{scale})"),
        T::Boolean => "boolean".into(),
        T::Date32 | T::Date64 => "date".into(),
        T::Timestamp(_, None) => "timestamp_ntz".into(),
        T::Timestamp(_, Some(_)) => "timestamp".into(),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "binary".into(),
        T::List(item) | T::LargeList(item) | T::ListView(item) => format!("array<{}>", describe(item.data_type())),
        T::Map(..) => "map".into(),
        T::Struct(_) => "struct".into(),
        T::Dictionary(_, value) => describe(value),
        other => other.to_string().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{Field, TimeUnit};

    use super::*;
    use crate::quality::fixtures::{column, product};

    fn wrong(name: &str, data_type: DataType) -> bool {
        let product = product(vec![column("c", name)]);
        let findings = compare(&product, &Schema::new(vec![Field::new("c", data_type, true)]));
        assert!(findings.iter().all(|finding| finding.kind == FindingKind::WrongType), "{findings:?}");
        !findings.is_empty()
    }

    #[test]
    fn names_of_all_dialects_meet_their_types() {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let list = |item| DataType::List(Arc::new(Field::new("element", item, true)));
        let kept = [
            ("string", DataType::Utf8View),
            ("VARCHAR(20)", DataType::Utf8),
            ("character varying(5)", DataType::Utf8View),
            ("text", DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8))),
            ("integer", DataType::Int64),
            ("int", DataType::Int16),
            ("bigint", DataType::Int64),
            ("number", DataType::Decimal128(10, 2)),
            ("number", DataType::Float64),
            ("numeric(10, 2)", DataType::Decimal128(10, 2)),
            ("decimal", DataType::Decimal128(38, 0)),
            ("double precision", DataType::Float64),
            ("boolean", DataType::Boolean),
            ("date", DataType::Date32),
            ("timestamp", micros(Some("UTC"))),
            ("timestamp", micros(None)),
            ("timestamp(6) with time zone", micros(Some("UTC"))),
            ("timestamp_ntz", micros(None)),
            ("array", list(DataType::Int32)),
            ("array<string>", list(DataType::Utf8View)),
            ("text[]", list(DataType::Utf8)),
            ("object", DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into())),
            ("struct<a: int>", DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into())),
            ("bytes", DataType::BinaryView),
        ];
        for (name, data_type) in kept {
            assert!(!wrong(name, data_type.clone()), "{name} is kept by {data_type}");
        }
        let broken = [
            ("string", DataType::Int32),
            ("integer", DataType::Float64),
            ("bigint", DataType::Int32),
            ("number", DataType::Utf8),
            ("decimal", DataType::Float64),
            ("decimal(18,2)", DataType::Decimal128(18, 4)),
            ("real", DataType::Float64),
            ("timestamp_ntz", micros(Some("UTC"))),
            ("timestamptz", micros(None)),
            ("date", micros(None)),
            ("array<string>", list(DataType::Int32)),
            ("struct", list(DataType::Int32)),
            ("binary", DataType::Utf8),
        ];
        for (name, data_type) in broken {
            assert!(wrong(name, data_type.clone()), "{name} is broken by {data_type}");
        }
    }

    #[test]
    fn missing_and_undeclared_columns_are_found_in_order() {
        let product = product(vec![column("id", "bigint"), column("Email", "string"), column("shape", "geo-thing")]);
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("email", DataType::Utf8, true),
            Field::new("shape", DataType::Utf8, true),
        ]);
        let findings = compare(&product, &schema);
        let kinds: Vec<_> = findings.iter().map(|finding| (finding.kind, finding.column.as_str())).collect();
        assert_eq!(
            kinds,
            [
                (FindingKind::MissingColumn, "Email"),
                (FindingKind::UnknownType, "shape"),
                (FindingKind::UndeclaredColumn, "email"),
            ]
        );
        assert_eq!(findings[0].severity(), ProblemSeverity::Error);
        assert_eq!(findings[1].severity(), ProblemSeverity::Warning);
        assert!(findings[0].message.contains("the table has \"email\""), "{}", findings[0]);
    }

    #[test]
    fn the_physical_type_goes_before_the_logical_one_where_it_is_known() {
        let mut c = column("c", "number");
        c.physical_type = Some("decimal(9,2)".into());
        let schema = Schema::new(vec![Field::new("c", DataType::Float64, true)]);
        let findings = compare(&product(vec![c.clone()]), &schema);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("decimal(9,2)"), "{}", findings[0]);
        c.physical_type = Some("HUGEINT_X".into());
        assert!(compare(&product(vec![c]), &schema).is_empty());
        let mut untyped = column("c", "");
        untyped.logical_type = None;
        assert!(compare(&product(vec![untyped]), &schema).is_empty());
    }

    #[test]
    fn a_contract_without_columns_promises_none_and_odd_names_do_no_harm() {
        let schema = Schema::new(vec![Field::new("c", DataType::Int32, true)]);
        assert!(compare(&product(Vec::new()), &schema).is_empty());
        for name in ["", "(", "<", ")", "decimal(", "decimal()", "array<", "[]", "é(ü", "decimal(é,2)", "a>b<c", ">"]
        {
            let _ = compare(&product(vec![column("c", name)]), &schema);
        }
    }
}
