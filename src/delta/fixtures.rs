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

/// Copies a table of `tests/delta` into `folder`, where a test may change it.
pub(crate) fn copy_acceptance(name: &str, folder: &Path) {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/delta").join(name).join("delta"), folder);
}

fn commit_file(folder: &Path, version: u64) -> std::path::PathBuf {
    folder.join(format!("_delta_log/{version:020}.json"))
}

/// Changes a commit that was written.
pub(crate) fn edit_commit(folder: &Path, version: u64, change: impl FnOnce(String) -> String) {
    let file = commit_file(folder, version);
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "nothing was changed in version {version}");
    std::fs::write(file, changed).unwrap();
}

/// Writes a commit by hand, an action a line.
pub(crate) fn write_commit(folder: &Path, version: u64, actions: &[&str]) {
    std::fs::create_dir_all(folder.join("_delta_log")).unwrap();
    std::fs::write(commit_file(folder, version), actions.join("\n")).unwrap();
}

/// Gives a commit this time by the writer's clock.
pub(crate) fn set_time(folder: &Path, version: u64, milliseconds: i64) {
    let file = commit_file(folder, version);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| {
        let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(info) = action.get_mut("commitInfo") {
            info["timestamp"] = milliseconds.into();
        }
        action.to_string()
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(file, text).unwrap();
}
