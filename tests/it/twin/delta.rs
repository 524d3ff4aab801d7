//! Delta tables written by hand (Delta protocol), so that a test decides where every row lies: files, row groups,
//! statistics, commits, partitions and deletion vectors. It knows nothing of who may see what.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::json::ReaderBuilder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::{Map, Value, json};

#[path = "../../../examples/sample_mesh/deletion_vector.rs"]
#[expect(dead_code, reason = "vectors lie in the log here")]
mod deletion_vector;

/// One row, by column.
pub type Row = Map<String, Value>;

/// What a column holds. `Time` is an instant in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Small,
    Decimal,
    Float,
    Text,
    Bool,
    Date,
    Time,
    Texts,
    Pair,
}

impl Kind {
    fn arrow(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Small => DataType::Int16,
            Self::Decimal => DataType::Decimal128(12, 2),
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Texts => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            Self::Pair => DataType::Struct(Fields::from(vec![
                Field::new("a", DataType::Int64, true),
                Field::new("b", DataType::Utf8, true),
            ])),
        }
    }

    fn delta(self) -> Value {
        match self {
            Self::Int => json!("long"),
            Self::Small => json!("short"),
            Self::Decimal => json!("decimal(12,2)"),
            Self::Float => json!("double"),
            Self::Text => json!("string"),
            Self::Bool => json!("boolean"),
            Self::Date => json!("date"),
            Self::Time => json!("timestamp"),
            Self::Texts => json!({ "type": "array", "elementType": "string", "containsNull": true }),
            Self::Pair => json!({ "type": "struct", "fields": [
                { "name": "a", "type": "long", "nullable": true, "metadata": {} },
                { "name": "b", "type": "string", "nullable": true, "metadata": {} },
            ]}),
        }
    }

    /// As contracts say it.
    pub fn contract(self) -> &'static str {
        match self {
            Self::Int => "type: integer, physical_type: bigint",
            Self::Small => "type: integer, physical_type: smallint",
            Self::Decimal => "type: decimal, physical_type: \"decimal(12,2)\"",
            Self::Float => "type: double, physical_type: double",
            Self::Text => "type: string",
            Self::Bool => "type: boolean, physical_type: boolean",
            Self::Date => "type: date, physical_type: date",
            Self::Time => "type: timestamp, physical_type: timestamp",
            Self::Texts => "type: array, physical_type: \"array<string>\"",
            Self::Pair => "type: object, physical_type: \"struct<a:bigint,b:string>\"",
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub rows_per_group: usize,
    pub dictionary: bool,
    pub compressed: bool,
    pub parquet_statistics: bool,
    pub log_statistics: Statistics,
}

/// What the log says of a file's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    None,
    Count,
    Whole,
}

pub const PLAIN: Layout = Layout {
    rows_per_group: 1024,
    dictionary: true,
    compressed: true,
    parquet_statistics: true,
    log_statistics: Statistics::Whole,
};

/// A table in the making.
pub struct Table {
    root: PathBuf,
    name: String,
    columns: Vec<(String, Kind)>,
    partition: Option<String>,
    deletes: bool,
    version: u64,
    files: usize,
    adds: Vec<Value>,
}

impl Table {
    /// `deletes`: rows may be deleted by vectors.
    pub fn new(root: &Path, name: &str, columns: &[(&str, Kind)], partition: Option<&str>, deletes: bool) -> Self {
        fs::create_dir_all(root.join("_delta_log")).unwrap();
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let (root, name, partition) = (root.to_owned(), name.to_owned(), partition.map(str::to_owned));
        Self { root, name, columns, partition, deletes, version: 0, files: 0, adds: Vec::new() }
    }

    /// Writes a file of rows, to be added by the next commit; with a partitioned table all rows are of one partition.
    /// Of its rows those at `deleted` are gone from the start.
    pub fn write(&mut self, rows: &[Row], layout: Layout, deleted: &[u16]) -> Value {
        let path = format!("part-{:05}.parquet", self.files);
        self.files += 1;
        let mut partition = json!({});
        if let Some(column) = &self.partition {
            partition[column] = rows.first().and_then(|row| row.get(column)).cloned().unwrap_or(Value::Null);
        }
        let size = self.parquet(&path, rows, layout);
        let mut add = json!({
            "path": path, "partitionValues": partition, "size": size, "modificationTime": 0, "dataChange": true,
        });
        if layout.log_statistics != Statistics::None {
            let mut statistics = json!({ "numRecords": rows.len() });
            if layout.log_statistics == Statistics::Whole {
                self.add_bounds(rows, &mut statistics);
                statistics["tightBounds"] = json!(deleted.is_empty());
            }
            add["stats"] = json!(statistics.to_string());
        }
        if !deleted.is_empty() {
            let bitmap = deletion_vector::bitmap(deleted);
            add["deletionVector"] = json!({
                "storageType": "i", "pathOrInlineDv": deletion_vector::z85(&bitmap),
                "sizeInBytes": bitmap.len(), "cardinality": deleted.len(),
            });
        }
        add
    }

    /// Commits new rows at `time` (milliseconds since 1970).
    pub fn append(&mut self, adds: Vec<Value>, time: i64) {
        let count = adds.len();
        self.adds.extend(adds.iter().cloned());
        let actions = adds.into_iter().map(|add| json!({ "add": add })).collect();
        self.commit("WRITE", actions, time, &json!({ "numFiles": count.to_string() }));
    }

    /// Commits other files with the same rows in place of the first ones.
    pub fn compact(&mut self, count: usize, adds: Vec<Value>, time: i64) {
        let mut actions = Vec::new();
        for add in self.adds.drain(..count) {
            let mut remove = json!({
                "path": add["path"], "deletionTimestamp": time, "dataChange": false, "extendedFileMetadata": true,
                "partitionValues": add["partitionValues"], "size": add["size"],
            });
            // a file with a vector is another one than the file without
            if let Some(vector) = add.get("deletionVector") {
                remove["deletionVector"] = vector.clone();
            }
            actions.push(json!({ "remove": remove }));
        }
        for mut add in adds {
            add["dataChange"] = json!(false);
            self.adds.push(add.clone());
            actions.push(json!({ "add": add }));
        }
        let metrics = json!({ "numRemovedFiles": count.to_string() });
        self.commit("OPTIMIZE", actions, time, &metrics);
    }

    /// How many files are in force.
    pub fn live(&self) -> usize {
        self.adds.len()
    }

    fn commit(&mut self, operation: &str, actions: Vec<Value>, time: i64, metrics: &Value) {
        let info = json!({ "timestamp": time, "operation": operation, "operationParameters": {},
            "operationMetrics": metrics, "engineInfo": "twin worlds" });
        let mut lines = vec![json!({ "commitInfo": info })];
        if self.version == 0 {
            lines.push(json!({ "protocol": self.protocol() }));
            lines.push(json!({ "metaData": self.metadata() }));
        }
        lines.extend(actions);
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        let file = self.root.join(format!("_delta_log/{:020}.json", self.version));
        fs::write(&file, text.join("\n")).unwrap();
        // a reader may take the file's own time for the commit's
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(time.unsigned_abs());
        fs::File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
        self.version += 1;
    }

    fn protocol(&self) -> Value {
        if self.deletes {
            return json!({ "minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"] });
        }
        json!({ "minReaderVersion": 1, "minWriterVersion": 4 })
    }

    fn metadata(&self) -> Value {
        let field = |(name, kind): &(String, Kind)| json!({ "name": name, "type": kind.delta(), "nullable": true, "metadata": {} });
        let fields: Vec<Value> = self.columns.iter().map(field).collect();
        let id = self.name.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let property = if self.deletes { "delta.enableDeletionVectors" } else { "delta.enableChangeDataFeed" };
        let configuration = json!({ property: "true" });
        json!({
            "id": format!("00000000-0000-4000-8000-{:012x}", id & 0xffff_ffff_ffff),
            "format": { "provider": "parquet", "options": {} },
            "schemaString": json!({ "type": "struct", "fields": fields }).to_string(),
            "partitionColumns": self.partition.iter().collect::<Vec<_>>(),
            "configuration": configuration,
            "createdTime": 0,
        })
    }

    fn in_files(&self) -> impl Iterator<Item = &(String, Kind)> {
        self.columns.iter().filter(|(name, _)| self.partition.as_ref() != Some(name))
    }

    fn parquet(&self, path: &str, rows: &[Row], layout: Layout) -> u64 {
        let fields: Vec<Field> = self.in_files().map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let level = if layout.parquet_statistics { EnabledStatistics::Page } else { EnabledStatistics::None };
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(layout.rows_per_group))
            .set_dictionary_enabled(layout.dictionary)
            .set_compression(if layout.compressed { Compression::SNAPPY } else { Compression::UNCOMPRESSED })
            .set_statistics_enabled(level)
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new_with_options(&mut bytes, Arc::clone(&schema), options).unwrap();
        writer.write(&batch(&schema, rows)).unwrap();
        writer.close().unwrap();
        fs::write(self.root.join(path), &bytes).unwrap();
        bytes.len() as u64
    }

    /// Bounds of the columns whose JSON form is also the log's.
    fn add_bounds(&self, rows: &[Row], statistics: &mut Value) {
        let (mut lower, mut upper, mut nulls) = (json!({}), json!({}), json!({}));
        for (name, kind) in self.in_files() {
            if matches!(kind, Kind::Texts | Kind::Pair) {
                continue;
            }
            let values: Vec<&Value> = rows.iter().filter_map(|row| row.get(name)).filter(|v| !v.is_null()).collect();
            nulls[name] = json!(rows.len() - values.len());
            let bounds = match kind {
                Kind::Int | Kind::Small => {
                    let numbers = || values.iter().filter_map(|value| value.as_i64());
                    numbers().min().map(|low| json!(low)).zip(numbers().max().map(|high| json!(high)))
                }
                Kind::Text | Kind::Date => {
                    let texts = || values.iter().filter_map(|value| value.as_str());
                    texts().min().map(|low| json!(low)).zip(texts().max().map(|high| json!(high)))
                }
                _ => None,
            };
            if let Some((low, high)) = bounds {
                lower[name] = low;
                upper[name] = high;
            }
        }
        statistics["minValues"] = lower;
        statistics["maxValues"] = upper;
        statistics["nullCount"] = nulls;
    }
}

fn batch(schema: &SchemaRef, rows: &[Row]) -> RecordBatch {
    if rows.is_empty() {
        return RecordBatch::new_empty(Arc::clone(schema));
    }
    let lines: Vec<String> = rows.iter().map(|row| Value::Object(row.clone()).to_string()).collect();
    let text = lines.join("\n");
    let reader = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows.len());
    reader.build(text.as_bytes()).unwrap().next().unwrap().unwrap()
}
