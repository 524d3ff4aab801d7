//! A Delta table written by hand: data files, commits, column mapping, change data, deletion vectors, a checkpoint.
//!
//! Knows the Delta protocol and nothing of the story. Names of files follow from the table, the version and a counter.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StructArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use super::random::{uuid, uuid_bytes};
use super::{Outcome, deletion_vector, stats};

/// How a table is made; the schema comes with its first batch.
#[derive(Default)]
pub struct Options {
    pub partition_by: Option<&'static str>,
    pub configuration: Vec<(&'static str, &'static str)>,
    /// Empty: the oldest protocol that can read and write the table.
    pub reader_features: Vec<&'static str>,
    pub writer_features: Vec<&'static str>,
    /// Column mapping mode `name`.
    pub mapped: bool,
}

pub struct Table {
    root: PathBuf,
    name: String,
    options: Options,
    schema: SchemaRef,
    /// Physical name and field id by logical path (`consent.email`), when columns are mapped.
    mapping: BTreeMap<String, (String, i32)>,
    created: i64,
    /// Of the next commit.
    version: u64,
    /// Every `add` that is in force.
    live: Vec<Value>,
    files: u32,
}

impl Table {
    /// A table in `<data>/<name>`; nothing is written before the first [`append`](Self::append).
    pub fn new(data: &Path, name: &str, schema: SchemaRef, options: Options) -> Outcome<Self> {
        let root = data.join(name);
        fs::create_dir_all(root.join("_delta_log"))?;
        let mut table = Self {
            root,
            name: name.to_owned(),
            options,
            schema,
            mapping: BTreeMap::new(),
            created: 0,
            version: 0,
            live: Vec::new(),
            files: 0,
        };
        if table.options.mapped {
            let fields = table.schema.fields().clone();
            table.map_columns(&fields, "");
        }
        Ok(table)
    }

    /// Commits `batch` as new rows at `time` (seconds since 1970).
    pub fn append(&mut self, batch: &RecordBatch, time: i64) -> Outcome<()> {
        let adds = self.write_files(batch, time, true)?;
        let mut actions = Vec::new();
        if self.version == 0 {
            self.created = time;
            actions.push(json!({ "protocol": self.protocol() }));
            actions.push(json!({ "metaData": self.metadata() }));
        }
        actions.extend(adds.iter().map(|add| json!({ "add": add })));
        self.live.extend(adds);
        let partitions: Vec<_> = self.options.partition_by.into_iter().collect();
        let parameters = json!({ "mode": "Append", "partitionBy": json!(partitions).to_string() });
        self.commit(time, "WRITE", &parameters, actions)
    }

    /// Commits `batch` in place of all rows.
    pub fn overwrite(&mut self, batch: &RecordBatch, time: i64) -> Outcome<()> {
        let removed = std::mem::take(&mut self.live);
        let parameters = json!({ "mode": "Overwrite", "partitionBy": "[]" });
        self.replace(&removed, batch, time, ("WRITE", &parameters), Vec::new(), true)
    }

    /// Commits one file in place of all: the same rows, so nothing has changed for a reader.
    pub fn optimize(&mut self, batch: &RecordBatch, time: i64) -> Outcome<()> {
        let removed = std::mem::take(&mut self.live);
        let parameters = json!({ "predicate": "[]", "zOrderBy": "[]" });
        self.replace(&removed, batch, time, ("OPTIMIZE", &parameters), Vec::new(), false)
    }

    /// Commits `batch` in place of the file at `index`, with `changes` (a column `_change_type` among them) as change data.
    pub fn update(
        &mut self,
        index: usize,
        batch: &RecordBatch,
        changes: &RecordBatch,
        predicate: &str,
        time: i64,
    ) -> Outcome<()> {
        let removed = vec![self.live.remove(index)];
        let path = format!("_change_data/cdc-00000-{}.c000.snappy.parquet", self.next_uuid("cdc"));
        let size = self.write_parquet(&path, changes)?;
        let cdc = json!({ "cdc": { "path": path, "partitionValues": {}, "size": size, "dataChange": false } });
        self.replace(&removed, batch, time, ("UPDATE", &json!({ "predicate": predicate })), vec![cdc], true)
    }

    /// Commits the deletion of rows by their positions in files (an index into the live files each): the first vector goes
    /// into the log, the others into files.
    pub fn delete(&mut self, positions: &[(usize, Vec<u16>)], predicate: &str, time: i64) -> Outcome<()> {
        let mut actions = Vec::new();
        for (nth, (index, rows)) in positions.iter().enumerate() {
            let bitmap = deletion_vector::bitmap(rows);
            let mut vector = json!({ "sizeInBytes": bitmap.len(), "cardinality": rows.len() });
            if nth == 0 {
                vector["storageType"] = json!("i");
                vector["pathOrInlineDv"] = json!(deletion_vector::z85(&bitmap));
            } else {
                let subject = format!("{} deletion vector {} {nth}", self.name, self.version);
                fs::write(
                    self.root.join(format!("deletion_vector_{}.bin", uuid(&subject))),
                    deletion_vector::file(&bitmap),
                )?;
                vector["storageType"] = json!("u");
                vector["pathOrInlineDv"] = json!(deletion_vector::z85(&uuid_bytes(&subject)));
                vector["offset"] = json!(1);
            }
            actions.push(json!({ "remove": removal(&self.live[*index], time, true) }));
            let add = &mut self.live[*index];
            add["deletionVector"] = vector;
            add["modificationTime"] = json!(time * 1000);
            // rows may be gone that held a bound
            let loose = add["stats"].as_str().map(serde_json::from_str::<Value>).transpose()?;
            if let Some(mut loose) = loose {
                loose["tightBounds"] = json!(false);
                add["stats"] = json!(canonical(&loose));
            }
            actions.push(json!({ "add": add }));
        }
        self.commit(time, "DELETE", &json!({ "predicate": predicate }), actions)
    }

    /// Commits another name for a mapped column; its files keep the physical name.
    pub fn rename(&mut self, old: &str, new: &str, time: i64) -> Outcome<()> {
        if let Some(physical) = self.mapping.remove(old) {
            self.mapping.insert(new.to_owned(), physical);
        }
        let rename = |field: &Arc<Field>| {
            if field.name() == old { Arc::new(field.as_ref().clone().with_name(new)) } else { Arc::clone(field) }
        };
        self.schema = Arc::new(Schema::new(self.schema.fields().iter().map(rename).collect::<Fields>()));
        let parameters = json!({ "oldColumnPath": old, "newColumnPath": new });
        let metadata = json!({ "metaData": self.metadata() });
        self.commit(time, "RENAME COLUMN", &parameters, vec![metadata])
    }

    /// Writes a classic checkpoint of the newest version (Delta protocol, "Checkpoints").
    pub fn checkpoint(&self) -> Outcome<()> {
        let version = self.version - 1;
        let mut rows = vec![json!({ "protocol": self.protocol() }), json!({ "metaData": self.metadata() })];
        rows.extend(self.live.iter().map(|add| {
            let mut add = add.clone();
            add["dataChange"] = json!(false);
            json!({ "add": add })
        }));
        let lines = rows.iter().map(canonical).collect::<Vec<_>>().join("\n");
        let schema = Arc::new(checkpoint_schema());
        let mut reader = ReaderBuilder::new(schema).with_batch_size(rows.len()).build(lines.as_bytes())?;
        let batch = reader.next().ok_or("an empty checkpoint")??;
        self.write_parquet(&format!("_delta_log/{version:020}.checkpoint.parquet"), &batch)?;
        let last = json!({ "version": version, "size": rows.len() });
        Ok(fs::write(self.root.join("_delta_log/_last_checkpoint"), canonical(&last))?)
    }

    fn replace(
        &mut self,
        removed: &[Value],
        batch: &RecordBatch,
        time: i64,
        (operation, parameters): (&str, &Value),
        mut actions: Vec<Value>,
        data_change: bool,
    ) -> Outcome<()> {
        let adds = self.write_files(batch, time, data_change)?;
        actions.extend(removed.iter().map(|add| json!({ "remove": removal(add, time, data_change) })));
        actions.extend(adds.iter().map(|add| json!({ "add": add })));
        self.live.extend(adds);
        self.commit(time, operation, parameters, actions)
    }

    fn commit(&mut self, time: i64, operation: &str, parameters: &Value, actions: Vec<Value>) -> Outcome<()> {
        let mut info = json!({
            "timestamp": time * 1000,
            "operation": operation,
            "operationParameters": parameters,
            "engineInfo": "pgmesh sample mesh",
        });
        if self.options.configuration.iter().any(|(key, _)| *key == "delta.enableInCommitTimestamps") {
            info["inCommitTimestamp"] = json!(time * 1000);
        }
        // the protocol wants commitInfo first where it carries the commit's timestamp
        let mut lines = canonical(&json!({ "commitInfo": info }));
        for action in actions {
            lines.push('\n');
            lines.push_str(&canonical(&action));
        }
        lines.push('\n');
        fs::write(self.root.join(format!("_delta_log/{:020}.json", self.version)), lines)?;
        self.version += 1;
        Ok(())
    }

    fn protocol(&self) -> Value {
        let options = &self.options;
        if !options.writer_features.is_empty() {
            return json!({
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": options.reader_features,
                "writerFeatures": options.writer_features,
            });
        }
        let changes = options.configuration.iter().any(|(key, _)| *key == "delta.enableChangeDataFeed");
        let (reader, writer) = if options.mapped { (2, 5) } else { (1, if changes { 4 } else { 2 }) };
        json!({ "minReaderVersion": reader, "minWriterVersion": writer })
    }

    fn metadata(&self) -> Value {
        let mut configuration: BTreeMap<&str, String> =
            self.options.configuration.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        if self.options.mapped {
            configuration.insert("delta.columnMapping.mode", "name".to_owned());
            configuration.insert("delta.columnMapping.maxColumnId", self.mapping.len().to_string());
        }
        let schema = self.delta_struct(self.schema.fields(), "");
        json!({
            "id": uuid(&self.name),
            "name": self.name.rsplit('/').next(),
            "format": { "provider": "parquet", "options": {} },
            "schemaString": canonical(&schema),
            "partitionColumns": self.options.partition_by.into_iter().collect::<Vec<_>>(),
            "configuration": configuration,
            "createdTime": self.created * 1000,
        })
    }

    fn delta_struct(&self, fields: &Fields, prefix: &str) -> Value {
        let fields: Vec<Value> = fields
            .iter()
            .map(|field| {
                let path = format!("{prefix}{}", field.name());
                let metadata = self.mapping.get(&path).map_or(
                    json!({}),
                    |(name, id)| json!({ "delta.columnMapping.id": id, "delta.columnMapping.physicalName": name }),
                );
                json!({
                    "name": field.name(),
                    "type": self.delta_type(field.data_type(), &path),
                    "nullable": field.is_nullable(),
                    "metadata": metadata,
                })
            })
            .collect();
        json!({ "type": "struct", "fields": fields })
    }

    fn delta_type(&self, data_type: &DataType, path: &str) -> Value {
        match data_type {
            DataType::Boolean => json!("boolean"),
            DataType::Int8 => json!("byte"),
            DataType::Int16 => json!("short"),
            DataType::Int32 => json!("integer"),
            DataType::Int64 => json!("long"),
            DataType::Float32 => json!("float"),
            DataType::Float64 => json!("double"),
            DataType::Decimal128(precision, scale) => json!(format!("decimal({precision},{scale})")),
            DataType::Date32 => json!("date"),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => json!("timestamp"),
            DataType::Timestamp(TimeUnit::Microsecond, None) => json!("timestamp_ntz"),
            DataType::Binary => json!("binary"),
            DataType::List(element) => json!({
                "type": "array",
                "elementType": self.delta_type(element.data_type(), &format!("{path}.element")),
                "containsNull": element.is_nullable(),
            }),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => json!({
                    "type": "map",
                    "keyType": self.delta_type(pair[0].data_type(), &format!("{path}.key")),
                    "valueType": self.delta_type(pair[1].data_type(), &format!("{path}.value")),
                    "valueContainsNull": pair[1].is_nullable(),
                }),
                _ => Value::Null,
            },
            DataType::Struct(fields) => self.delta_struct(fields, &format!("{path}.")),
            _ => json!("string"),
        }
    }

    /// Gives every field a physical name and an id, parents before children. Elements of arrays and maps need none in mode
    /// `name`.
    fn map_columns(&mut self, fields: &Fields, prefix: &str) {
        for field in fields {
            let path = format!("{prefix}{}", field.name());
            let id = self.mapping.len() as i32 + 1;
            let physical = format!("col-{}", uuid(&format!("{} column {path}", self.name)));
            self.mapping.insert(path.clone(), (physical, id));
            if let DataType::Struct(inner) = field.data_type() {
                self.map_columns(inner, &format!("{path}."));
            }
        }
    }

    /// One file per partition, in the order in which partitions first appear.
    fn write_files(&mut self, batch: &RecordBatch, time: i64, data_change: bool) -> Outcome<Vec<Value>> {
        let mut adds = Vec::new();
        for (value, rows) in self.partitions(batch)? {
            let rows = self.physical(&rows)?;
            let mut partition = json!({});
            let mut folder = String::new();
            if let (Some(column), Some(value)) = (self.options.partition_by, value) {
                folder = format!("{column}={value}/");
                partition[column] = json!(value);
            }
            let nth = adds.len();
            let path = format!("{folder}part-{nth:05}-{}-c000.snappy.parquet", self.next_uuid("part"));
            let size = self.write_parquet(&path, &rows)?;
            adds.push(json!({
                "path": path,
                "partitionValues": partition,
                "size": size,
                "modificationTime": time * 1000,
                "dataChange": data_change,
                "stats": canonical(&stats::of(&rows)),
            }));
        }
        Ok(adds)
    }

    fn partitions(&self, batch: &RecordBatch) -> Outcome<Vec<(Option<String>, RecordBatch)>> {
        let Some(column) = self.options.partition_by else {
            return Ok(vec![(None, batch.clone())]);
        };
        let index = batch.schema().index_of(column)?;
        let mut rows = batch.clone();
        let key = rows.remove_column(index);
        let values: Vec<String> =
            (0..key.len()).map(|row| array_value_to_string(&key, row)).collect::<Result<_, _>>()?;
        let mut distinct: Vec<&String> = Vec::new();
        for value in &values {
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        let mut parts = Vec::new();
        for value in distinct {
            let mask: BooleanArray = values.iter().map(|other| Some(other == value)).collect();
            parts.push((Some(value.clone()), filter_record_batch(&rows, &mask)?));
        }
        Ok(parts)
    }

    /// The batch under its physical names and with field ids, when columns are mapped.
    fn physical(&self, batch: &RecordBatch) -> Outcome<RecordBatch> {
        if !self.options.mapped {
            return Ok(batch.clone());
        }
        let (fields, arrays) = self.physical_columns(batch.schema().fields(), batch.columns(), "");
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }

    fn physical_columns(&self, fields: &Fields, arrays: &[ArrayRef], prefix: &str) -> (Fields, Vec<ArrayRef>) {
        let mut renamed = (Vec::new(), Vec::new());
        for (field, array) in fields.iter().zip(arrays) {
            let path = format!("{prefix}{}", field.name());
            let array = match (field.data_type(), array.as_struct_opt()) {
                (DataType::Struct(inner), Some(parent)) => {
                    let (fields, arrays) = self.physical_columns(inner, parent.columns(), &format!("{path}."));
                    Arc::new(StructArray::new(fields, arrays, parent.nulls().cloned())) as ArrayRef
                }
                _ => Arc::clone(array),
            };
            let mut physical = field.as_ref().clone().with_data_type(array.data_type().clone());
            if let Some((name, id)) = self.mapping.get(&path) {
                physical = physical.with_name(name);
                physical.set_metadata([("PARQUET:field_id".to_owned(), id.to_string())].into());
            }
            renamed.0.push(physical);
            renamed.1.push(array);
        }
        (renamed.0.into(), renamed.1)
    }

    /// Returns the file's size in bytes.
    fn write_parquet(&self, path: &str, batch: &RecordBatch) -> Outcome<u64> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("pgmesh-sample-mesh version 1.0.0 (build 1)".to_owned())
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new_with_options(&mut bytes, batch.schema(), options)?;
        writer.write(batch)?;
        writer.close()?;
        fs::write(path, &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn next_uuid(&mut self, kind: &str) -> String {
        self.files += 1;
        uuid(&format!("{} {kind} {}", self.name, self.files))
    }
}

fn removal(add: &Value, time: i64, data_change: bool) -> Value {
    let mut remove = json!({
        "path": add["path"],
        "deletionTimestamp": time * 1000,
        "dataChange": data_change,
        "extendedFileMetadata": true,
        "partitionValues": add["partitionValues"],
        "size": add["size"],
    });
    if let Some(vector) = add.get("deletionVector") {
        remove["deletionVector"] = vector.clone();
    }
    remove
}

/// JSON with sorted keys, whatever order `serde_json` was built to keep.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let pairs: Vec<_> = sorted.into_iter().map(|(k, v)| format!("{}:{}", json!(k), canonical(v))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        _ => value.to_string(),
    }
}

fn checkpoint_schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let texts = |name: &str| Field::new_list(name, Field::new("element", DataType::Utf8, true), true);
    let map = |name: &str| {
        Field::new_map(name, "key_value", Field::new("key", DataType::Utf8, false), text("value"), false, true)
    };
    let group = |name: &str, fields: Vec<Field>| Field::new_struct(name, fields, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    Schema::new(vec![
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                text("stats"),
                map("tags"),
            ],
        ),
        group(
            "remove",
            vec![
                text("path"),
                long("deletionTimestamp"),
                flag("dataChange"),
                flag("extendedFileMetadata"),
                map("partitionValues"),
                long("size"),
            ],
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                group("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                texts("partitionColumns"),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        group(
            "protocol",
            vec![int("minReaderVersion"), int("minWriterVersion"), texts("readerFeatures"), texts("writerFeatures")],
        ),
    ])
}
