//! What PostgreSQL 15 knows of itself: the columns of its catalog's relations, and the rows that are the same in every
//! database. `facts/export.py` takes both from a real one, and describes the files.
//!
//! It owns reading those files. It refuses to know the mesh.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, OnceLock};

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    ListArray, RecordBatch, StringArray, new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{
    DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Schema, SchemaRef,
};

use crate::error::{Error, Result};
use crate::pgtype::{self, oid};

/// OID of the schema `pg_catalog`.
pub const PG_CATALOG_OID: u32 = 11;
/// The types of catalogs' columns are no fact where they are rows of other catalogs; those are shown as text.
const DOMAIN: &str = "d";
const NULL: &str = "\\N";
const EMPTY: &str = "\\e";

/// The files, by relation.
const FILES: &[(&str, &str)] = &[
    ("pg_aggregate", include_str!("facts/pg_aggregate.tsv")),
    ("pg_am", include_str!("facts/pg_am.tsv")),
    ("pg_amop", include_str!("facts/pg_amop.tsv")),
    ("pg_amproc", include_str!("facts/pg_amproc.tsv")),
    ("pg_attribute", include_str!("facts/pg_attribute.tsv")),
    ("pg_auth_members", include_str!("facts/pg_auth_members.tsv")),
    ("pg_authid", include_str!("facts/pg_authid.tsv")),
    ("pg_cast", include_str!("facts/pg_cast.tsv")),
    ("pg_class", include_str!("facts/pg_class.tsv")),
    ("pg_collation", include_str!("facts/pg_collation.tsv")),
    ("pg_constraint", include_str!("facts/pg_constraint.tsv")),
    ("pg_conversion", include_str!("facts/pg_conversion.tsv")),
    ("pg_description", include_str!("facts/pg_description.tsv")),
    ("pg_index", include_str!("facts/pg_index.tsv")),
    ("pg_language", include_str!("facts/pg_language.tsv")),
    ("pg_namespace", include_str!("facts/pg_namespace.tsv")),
    ("pg_opclass", include_str!("facts/pg_opclass.tsv")),
    ("pg_operator", include_str!("facts/pg_operator.tsv")),
    ("pg_opfamily", include_str!("facts/pg_opfamily.tsv")),
    ("pg_proc", include_str!("facts/pg_proc.tsv")),
    ("pg_range", include_str!("facts/pg_range.tsv")),
    ("pg_settings", include_str!("facts/pg_settings.tsv")),
    ("pg_tablespace", include_str!("facts/pg_tablespace.tsv")),
    ("pg_timezone_abbrevs", include_str!("facts/pg_timezone_abbrevs.tsv")),
    ("pg_ts_config", include_str!("facts/pg_ts_config.tsv")),
    ("pg_ts_config_map", include_str!("facts/pg_ts_config_map.tsv")),
    ("pg_ts_dict", include_str!("facts/pg_ts_dict.tsv")),
    ("pg_ts_parser", include_str!("facts/pg_ts_parser.tsv")),
    ("pg_ts_template", include_str!("facts/pg_ts_template.tsv")),
    ("pg_type", include_str!("facts/pg_type.tsv")),
    ("sql_features", include_str!("facts/sql_features.tsv")),
    ("sql_implementation_info", include_str!("facts/sql_implementation_info.tsv")),
    ("sql_parts", include_str!("facts/sql_parts.tsv")),
    ("sql_sizing", include_str!("facts/sql_sizing.tsv")),
];

/// One relation of PostgreSQL's own: its columns, in the order and of the types that PostgreSQL tells clients.
#[derive(Debug)]
pub struct Shape {
    pub oid: u32,
    /// OID of its schema.
    pub namespace: u32,
    pub name: &'static str,
    /// `pg_class.relkind`: a table, a view or an index.
    pub kind: char,
    /// Whether everybody may read it; else only superusers may, and there are none.
    pub is_public: bool,
    pub columns: SchemaRef,
    rows: OnceLock<RecordBatch>,
}

/// Domains of `information_schema`: their types and typmods.
type Domains = HashMap<&'static str, (u32, i32)>;

/// By the OID of the schema, then by name.
static SHAPES: LazyLock<HashMap<u32, HashMap<&'static str, Shape>>> = LazyLock::new(shapes);
static INFORMATION_SCHEMA_OID: LazyLock<u32> = LazyLock::new(|| {
    let namespaces = Cells::of("pg_namespace");
    let found = namespaces.rows().find(|row| namespaces.raw(*row, "nspname") == "information_schema");
    found.map_or(0, |row| namespaces.number(row, "oid"))
});

/// OID of the schema `information_schema`, as a fresh PostgreSQL 15 has it.
pub fn information_schema_oid() -> u32 {
    *INFORMATION_SCHEMA_OID
}

/// The relation of this name in the schema of this OID.
pub fn shape(namespace: u32, name: &str) -> Option<&'static Shape> {
    SHAPES.get(&namespace)?.get(name)
}

/// All relations, indexes among them, in no order.
pub fn all() -> impl Iterator<Item = &'static Shape> {
    SHAPES.values().flat_map(HashMap::values)
}

impl Shape {
    /// The rows that are the same in every database; none for most relations.
    ///
    /// # Errors
    /// When a file does not hold what its relation has columns for, which a test rules out.
    pub fn rows(&self) -> Result<RecordBatch> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows.clone());
        }
        let cells = Cells::of(self.name);
        let array = |field: &Arc<Field>| {
            let column = cells.column(field.name())?;
            array_of(field, cells.rows().map(|row| cells.at(row, column)))
        };
        let arrays = if cells.rows().is_empty() {
            self.columns.fields().iter().map(|field| Ok(new_null_array(field.data_type(), 0))).collect()
        } else {
            self.columns.fields().iter().map(array).collect::<Result<Vec<_>>>()
        };
        let rows = RecordBatch::try_new(Arc::clone(&self.columns), arrays?).map_err(Error::internal)?;
        Ok(self.rows.get_or_init(|| rows).clone())
    }
}

fn shapes() -> HashMap<u32, HashMap<&'static str, Shape>> {
    let types = Cells::of("pg_type");
    let domains: Domains = types
        .rows()
        .filter(|row| types.raw(*row, "typtype") == DOMAIN)
        .map(|row| {
            let typmod = types.raw(row, "typtypmod").parse().unwrap_or(-1);
            (types.raw(row, "oid"), (types.number(row, "typbasetype"), typmod))
        })
        .collect();
    let attributes = Cells::of("pg_attribute");
    let mut fields: HashMap<&str, Vec<Field>> = HashMap::new();
    // in the file they are in order
    for row in attributes.rows() {
        if !attributes.raw(row, "attnum").starts_with('-') {
            let of = fields.entry(attributes.raw(row, "attrelid")).or_default();
            of.push(column(&attributes, row, &domains));
        }
    }
    let classes = Cells::of("pg_class");
    let mut shapes: HashMap<u32, HashMap<&str, Shape>> = HashMap::new();
    for row in classes.rows() {
        let fields = fields.remove(classes.raw(row, "oid")).unwrap_or_default();
        let name = classes.raw(row, "relname");
        let acl = classes.raw(row, "relacl");
        let is_public = acl.trim_matches(['{', '}']).split(',').any(|item| item.starts_with('=') && item.contains('r'));
        let shape = Shape {
            oid: classes.number(row, "oid"),
            namespace: classes.number(row, "relnamespace"),
            name,
            kind: classes.raw(row, "relkind").chars().next().unwrap_or('r'),
            // but for the passwords, everybody reads it
            is_public: is_public || name == "pg_subscription",
            columns: Arc::new(Schema::new(fields)),
            rows: OnceLock::new(),
        };
        shapes.entry(shape.namespace).or_default().insert(name, shape);
    }
    shapes
}

fn column(attributes: &Cells, row: usize, domains: &Domains) -> Field {
    let (name, nullable) = (attributes.raw(row, "attname"), attributes.raw(row, "attnotnull") == "f");
    let declared = attributes.raw(row, "atttypid");
    let typmod = attributes.raw(row, "atttypmod").parse().unwrap_or(-1);
    let (type_oid, typmod) = domains.get(declared).copied().unwrap_or((attributes.number(row, "atttypid"), typmod));
    // rows of a catalog as values of another are the only types that are not known
    pgtype::field(name, type_oid, typmod, nullable).unwrap_or_else(|| Field::new(name, DataType::Utf8, nullable))
}

/// A file: its columns, and its cells as they stand there.
pub struct Cells {
    columns: HashMap<&'static str, Column>,
    rows: Vec<Vec<&'static str>>,
}

#[derive(Clone, Copy)]
struct Column {
    /// Where it stands in the file.
    at: usize,
    empty: Empty,
}

/// What an empty cell stands for.
#[derive(Clone, Copy)]
enum Empty {
    Value(&'static str),
    SameAs(&'static str),
}

impl Cells {
    /// The file of a relation; nothing where there is none.
    pub fn of(relation: &str) -> Self {
        let text = FILES.iter().find(|(name, _)| *name == relation).map_or("", |(_, text)| *text);
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let column = |(at, head): (usize, &'static str)| match head.split_once('=') {
            None => (head, Column { at, empty: Empty::Value("") }),
            Some((name, value)) => match value.strip_prefix('@') {
                Some(other) => (name, Column { at, empty: Empty::SameAs(other) }),
                None => (name, Column { at, empty: Empty::Value(value) }),
            },
        };
        let columns = header.split('\t').enumerate().map(column).collect();
        Self { columns, rows: lines.map(|line| line.split('\t').collect()).collect() }
    }

    /// The numbers of its rows.
    pub fn rows(&self) -> Range<usize> {
        0..self.rows.len()
    }

    fn column(&self, name: &str) -> Result<Column> {
        self.columns.get(name).copied().ok_or_else(|| Error::internal(format_args!("no facts of column {name}")))
    }

    fn raw_at(&self, row: usize, column: Column) -> &'static str {
        let cell = self.rows.get(row).and_then(|cells| cells.get(column.at)).copied().unwrap_or_default();
        match column.empty {
            _ if !cell.is_empty() => cell,
            Empty::Value(value) => value,
            Empty::SameAs(other) => self.raw(row, other),
        }
    }

    /// A cell as COPY writes it, NULL among them.
    fn raw(&self, row: usize, name: &str) -> &'static str {
        self.columns.get(name).map_or("", |column| self.raw_at(row, *column))
    }

    fn number(&self, row: usize, name: &str) -> u32 {
        self.raw(row, name).parse().unwrap_or_default()
    }

    fn at(&self, row: usize, column: Column) -> Option<Cow<'static, str>> {
        match self.raw_at(row, column) {
            NULL => None,
            EMPTY => Some(Cow::Borrowed("")),
            cell if cell.contains('\\') => Some(Cow::Owned(unescaped(cell))),
            cell => Some(Cow::Borrowed(cell)),
        }
    }

    /// The value of a cell; `None` for NULL, and for a column that is not in the file.
    pub fn value(&self, row: usize, name: &str) -> Option<Cow<'static, str>> {
        self.at(row, *self.columns.get(name)?)
    }
}

/// PostgreSQL 15, COPY, "Text Format": the escapes that it writes.
fn unescaped(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut characters = cell.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('v') => '\u{b}',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    text
}

type Cell<'a> = Option<Cow<'a, str>>;

/// One value of a column, as PostgreSQL writes it.
///
/// # Errors
/// When it is no value of the column's type.
pub fn value(field: &Field, text: &str) -> Result<ArrayRef> {
    array_of(field, std::iter::once(Some(Cow::Borrowed(text))))
}

fn array_of<'a>(field: &Field, cells: impl Iterator<Item = Cell<'a>>) -> Result<ArrayRef> {
    fn parsed<'a, T: std::str::FromStr>(cells: impl Iterator<Item = Cell<'a>>) -> Result<Vec<Option<T>>> {
        let one = |cell: Cell<'a>| {
            cell.map(|text| text.parse().map_err(|_| Error::internal(format_args!("{text} in the facts")))).transpose()
        };
        cells.map(one).collect()
    }
    Ok(match field.data_type() {
        DataType::Boolean => Arc::new(cells.map(|cell| cell.map(|text| text == "t")).collect::<BooleanArray>()),
        DataType::Int16 => Arc::new(Int16Array::from(parsed(cells)?)),
        DataType::Int32 => Arc::new(Int32Array::from(parsed(cells)?)),
        DataType::Int64 => Arc::new(Int64Array::from(parsed(cells)?)),
        DataType::Float32 => Arc::new(Float32Array::from(parsed(cells)?)),
        DataType::Float64 => Arc::new(Float64Array::from(parsed(cells)?)),
        DataType::Utf8 => Arc::new(cells.collect::<StringArray>()),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            Arc::new(cells.map(|cell| cell.and_then(|text| interval(&text))).collect::<IntervalMonthDayNanoArray>())
        }
        DataType::List(item) => lists_of(field, item, cells)?,
        // nothing in the files has a value of such a type
        other => new_null_array(other, cells.count()),
    })
}

/// `-04:30:00`.
fn interval(text: &str) -> Option<IntervalMonthDayNano> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let mut seconds = 0;
    for part in digits.split(':') {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    Some(IntervalMonthDayNanoType::make_value(0, 0, sign * seconds * 1_000_000_000))
}

fn lists_of<'a>(field: &Field, item: &Arc<Field>, cells: impl Iterator<Item = Cell<'a>>) -> Result<ArrayRef> {
    let is_vector = matches!(pgtype::pg_type(field).oid, oid::INT2VECTOR | oid::OIDVECTOR);
    let (mut elements, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let before = elements.len();
        match &cell {
            Some(text) if is_vector => {
                elements.extend(text.split_ascii_whitespace().map(|number| Some(Cow::Owned(number.to_owned()))));
            }
            Some(text) => elements_of(text, &mut elements),
            None => {}
        }
        lengths.push(elements.len() - before);
        valid.push(cell.is_some());
    }
    let values = array_of(item, elements.into_iter())?;
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    let lists = ListArray::try_new(Arc::clone(item), offsets, values, Some(NullBuffer::from(valid)));
    Ok(Arc::new(lists.map_err(Error::internal)?))
}

/// The elements of an array of one dimension as `array_out` writes it: `{a,"b c",NULL}`.
fn elements_of(text: &str, elements: &mut Vec<Cell<'static>>) {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default();
    if inner.is_empty() {
        return;
    }
    let (mut element, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut characters = inner.chars();
    let mut finish = |element: &mut String, was_quoted: &mut bool| {
        let is_null = !*was_quoted && *element == "NULL";
        elements.push((!is_null).then(|| Cow::Owned(std::mem::take(element))));
        element.clear();
        *was_quoted = false;
    };
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            '\\' => element.extend(characters.next()),
            ',' if !quoted => finish(&mut element, &mut was_quoted),
            other => element.push(other),
        }
    }
    finish(&mut element, &mut was_quoted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;

    #[test]
    fn every_file_fills_its_relation() {
        for (name, _) in FILES {
            let schema = if name.starts_with("pg_") { PG_CATALOG_OID } else { information_schema_oid() };
            let rows = shape(schema, name).unwrap_or_else(|| panic!("{name}")).rows().unwrap();
            assert!(rows.num_rows() > 0, "{name}");
        }
        assert_eq!(all().filter(|shape| shape.kind != 'i').count(), 64 + 75 + 4 + 65);
        assert!(shape(PG_CATALOG_OID, "pg_class").unwrap().is_public);
        assert!(!shape(PG_CATALOG_OID, "pg_authid").unwrap().is_public);
        assert!(shape(PG_CATALOG_OID, "pg_nothing").is_none());
    }

    #[test]
    fn cells_are_read_as_they_were_written() {
        let types = shape(PG_CATALOG_OID, "pg_type").unwrap().rows().unwrap();
        let oids = types.column_by_name("oid").unwrap().as_primitive::<Int64Type>();
        let int4 = oids.iter().position(|oid| oid == Some(23)).unwrap();
        let text = |column: &str| types.column_by_name(column).unwrap().as_string::<i32>().value(int4).to_owned();
        assert_eq!((text("typname"), text("typcategory"), text("typdelim")), ("int4".into(), "N".into(), ",".into()));
        let procs = shape(PG_CATALOG_OID, "pg_proc").unwrap().rows().unwrap();
        let names = procs.column_by_name("proname").unwrap().as_string::<i32>();
        let format_type = names.iter().position(|name| name == Some("format_type")).unwrap();
        let arguments = procs.column_by_name("proargtypes").unwrap().as_list::<i32>().value(format_type);
        assert_eq!(arguments.as_primitive::<Int64Type>().values(), &[26, 23]);
        let mut elements = Vec::new();
        elements_of(r#"{a,"b \"c\"",NULL,"NULL",""}"#, &mut elements);
        let elements: Vec<Option<&str>> = elements.iter().map(Option::as_deref).collect();
        assert_eq!(elements, [Some("a"), Some("b \"c\""), None, Some("NULL"), Some("")]);
        assert_eq!(unescaped(r"a\\b\nc"), "a\\b\nc");
        assert_eq!(interval("-04:30:00").unwrap().nanoseconds, -16_200_000_000_000);
    }
}
