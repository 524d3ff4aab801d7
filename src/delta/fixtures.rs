//! Real tables in temporary folders, written by another handle than the one that reads them.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder};
use url::Url;

use super::{Stores, TableLocation, Tables};

pub(crate) fn location(folder: &Path) -> TableLocation {
    TableLocation { url: Url::from_directory_path(folder).unwrap().to_string(), credentials: None }
}

pub(crate) fn tables() -> Tables {
    Tables::new(Stores::default())
}

/// A session whose runtime finds the open tables.
pub(crate) fn session(tables: &Tables) -> SessionContext {
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(tables.object_store_registry());
    SessionContext::new_with_config_rt(SessionConfig::new(), runtime.build_arc().unwrap())
}

pub(crate) fn writer(folder: &Path) -> DeltaTable {
    DeltaTableBuilder::from_url(Url::from_directory_path(folder).unwrap()).unwrap().build().unwrap()
}

/// Appends one commit of rows `(id, name)`; makes the table with its first.
pub(crate) async fn append(table: DeltaTable, ids: &[i64]) -> DeltaTable {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]);
    let names: Vec<String> = ids.iter().map(|id| format!("n{id}")).collect();
    let columns: Vec<Arc<dyn Array>> =
        vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(StringArray::from(names))];
    let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    table.write([rows]).with_save_mode(SaveMode::Append).await.unwrap()
}
