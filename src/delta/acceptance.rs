//! The public Delta Acceptance Testing tables: what a correct reader returns, as rows and types.
//!
//! A few of them lie in `tests/delta/`; the whole set runs when `PGMESH_DELTA_ACCEPTANCE` names its folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::prelude::{SessionContext, ident, lit};
use url::Url;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acceptance_table_reads_as_expected() {
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/delta"))];
    folders.extend(std::env::var_os("PGMESH_DELTA_ACCEPTANCE").map(PathBuf::from));
    let mut failures = Vec::new();
    let mut passed = 0;
    for case in folders.iter().flat_map(|folder| cases(folder)) {
        for expected in versions(&case) {
            match check(&case, &expected).await {
                Ok(()) => passed += 1,
                Err(reason) => failures.push(format!("{}: {reason}", expected.display())),
            }
        }
    }
    assert!(failures.is_empty(), "{passed} passed, {} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(passed >= 6, "only {passed} table versions were found");
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    subfolders(folder).into_iter().filter(|case| case.join("expected").is_dir()).collect()
}

fn versions(case: &Path) -> Vec<PathBuf> {
    subfolders(&case.join("expected"))
}

async fn check(case: &Path, expected: &Path) -> Result<(), String> {
    let tables = Tables::new(Stores::default());
    let url = Url::from_directory_path(std::fs::canonicalize(case.join("delta")).unwrap()).unwrap().to_string();
    let location = TableLocation { url, credentials: None };
    let name = expected.file_name().unwrap().to_str().unwrap();
    let snapshot = match name.strip_prefix('v') {
        Some(version) => {
            let newest = tables.snapshot(&location, Duration::ZERO).await.map_err(|error| error.to_string())?;
            tables.snapshot_at(&location, &newest, At::Version(version.parse().unwrap())).await
        }
        None => tables.snapshot(&location, Duration::ZERO).await,
    };
    let snapshot = snapshot.map_err(|error| error.to_string())?;
    let context = fixtures::session(&tables);
    let frame = context.read_table(snapshot.provider()).map_err(|error| error.to_string())?;
    let actual = frame.collect().await.map_err(|error| error.to_string())?;
    let wanted = read_parquet(&expected.join("table_content"));
    same_types(&snapshot, &wanted)?;
    same_when_filtered(&context, &snapshot, &actual).await?;
    let columns: Vec<String> = wanted[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    let (actual, wanted) = (lines(&actual, &columns), lines(&wanted, &columns));
    if let Some(count) = snapshot.row_count
        && count != wanted.len() as u64
    {
        return Err(format!("row_count is {count}, there are {} rows", wanted.len()));
    }
    if actual != wanted {
        return Err(format!("rows differ:\n  got    {actual:?}\n  wanted {wanted:?}"));
    }
    Ok(())
}

/// Predicates that the scan takes over (partitions, statistics, Parquet pages) keep the rows that a plain filter keeps.
async fn same_when_filtered(
    context: &SessionContext,
    snapshot: &TableSnapshot,
    rows: &[RecordBatch],
) -> Result<(), String> {
    let Some(first) = rows.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
    let in_memory: Arc<dyn TableProvider> =
        Arc::new(MemTable::try_new(snapshot.schema.clone(), vec![rows.to_vec()]).unwrap());
    for (at, field) in snapshot.schema.fields().iter().enumerate().filter(|(_, field)| !field.data_type().is_nested()) {
        let value = ScalarValue::try_from_array(first.column(at), first.num_rows() - 1).unwrap();
        let column = ident(field.name());
        for predicate in [
            column.clone().eq(lit(value.clone())),
            column.clone().gt(lit(value.clone())),
            column.clone().not_eq(lit(value)),
            column.clone().is_null(),
            column.is_not_null(),
        ] {
            let count = async |provider: Arc<dyn TableProvider>| {
                context.read_table(provider)?.filter(predicate.clone())?.count().await
            };
            let (wanted, got) = (count(in_memory.clone()).await.unwrap(), count(snapshot.provider()).await);
            let got = got.map_err(|error| format!("{predicate}: {error}"))?;
            if got != wanted {
                return Err(format!("{predicate} keeps {got} rows instead of {wanted}"));
            }
        }
    }
    Ok(())
}

fn read_parquet(folder: &Path) -> Vec<RecordBatch> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    let batches = files.flat_map(|path| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
        reader.map(Result::unwrap).collect::<Vec<_>>()
    });
    batches.collect()
}

fn same_types(snapshot: &TableSnapshot, wanted: &[RecordBatch]) -> Result<(), String> {
    for field in wanted[0].schema().fields() {
        let actual = snapshot.schema.field_with_name(field.name()).map_err(|error| error.to_string())?;
        let (actual, wanted) = (logical(actual.data_type()), logical(field.data_type()));
        if actual != wanted {
            return Err(format!("column {}: got {actual}, wanted {wanted}", field.name()));
        }
    }
    if snapshot.schema.fields().len() != wanted[0].num_columns() {
        return Err(format!("columns: {:?}", snapshot.schema));
    }
    Ok(())
}

/// The type without what only encodes: views are text, the inner fields of lists and maps have no names, and a file's
/// timestamps are nanoseconds where Delta's are microseconds.
fn logical(data_type: &DataType) -> DataType {
    let inner = |name: &str, field: &Field| Arc::new(Field::new(name, logical(field.data_type()), true));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::List(item) | DataType::LargeList(item) => DataType::List(inner("item", item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| inner(field.name(), field)).collect()),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else { return data_type.clone() };
            let pair = [inner("key", &pair[0]), inner("value", &pair[1])];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into_iter().collect()), false)), *sorted)
        }
        other => other.clone(),
    }
}

/// Rows as sorted texts.
fn lines(batches: &[RecordBatch], columns: &[String]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let formatters: Vec<_> = columns
            .iter()
            .map(|name| ArrayFormatter::try_new(batch.column_by_name(name).unwrap(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            lines.push(formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join(" | "));
        }
    }
    lines.sort();
    lines
}
