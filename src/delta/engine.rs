//! The kernel's way to a table's files, and to no others.
//!
//! The kernel's own engine fetches what looks like a signed URL past the store, from whatever host a log names. A table's
//! files are where its store is.

use std::sync::Arc;

use delta_kernel::schema::SchemaRef;
use delta_kernel::{
    DeltaResult, DeltaResultIteratorStatic, Engine, EngineData, Error, EvaluationHandler, FileDataReadResultIterator,
    FileMeta, JsonHandler, ParquetFooter, ParquetHandler, PredicateRef, StorageHandler,
};
use deltalake::logstore::LogStoreRef;
use url::Url;

/// An engine whose Parquet files must lie in the table's folder. It writes nothing.
pub(super) struct InFolder {
    inner: Arc<dyn Engine>,
    parquet: Arc<Parquet>,
}

impl InFolder {
    /// Works in the runtime in which it is made.
    pub(super) fn new(log_store: &LogStoreRef) -> Self {
        let inner = log_store.engine(None);
        let parquet = Parquet { inner: inner.parquet_handler(), root: log_store.root_url().clone() };
        Self { inner, parquet: Arc::new(parquet) }
    }
}

impl Engine for InFolder {
    fn evaluation_handler(&self) -> Arc<dyn EvaluationHandler> {
        self.inner.evaluation_handler()
    }

    fn storage_handler(&self) -> Arc<dyn StorageHandler> {
        self.inner.storage_handler()
    }

    fn json_handler(&self) -> Arc<dyn JsonHandler> {
        self.inner.json_handler()
    }

    fn parquet_handler(&self) -> Arc<dyn ParquetHandler> {
        Arc::clone(&self.parquet) as Arc<dyn ParquetHandler>
    }
}

struct Parquet {
    inner: Arc<dyn ParquetHandler>,
    root: Url,
}

impl Parquet {
    fn check(&self, file: &FileMeta) -> DeltaResult<()> {
        if file.location.as_str().starts_with(self.root.as_str()) {
            return Ok(());
        }
        Err(Error::generic("the table's log names a file outside of the table's folder, which is not read"))
    }
}

impl ParquetHandler for Parquet {
    fn read_parquet_files(
        &self,
        files: &[FileMeta],
        physical_schema: SchemaRef,
        predicate: Option<PredicateRef>,
    ) -> DeltaResult<FileDataReadResultIterator> {
        files.iter().try_for_each(|file| self.check(file))?;
        self.inner.read_parquet_files(files, physical_schema, predicate)
    }

    fn write_parquet_file(&self, _: Url, _: DeltaResultIteratorStatic<Box<dyn EngineData>>) -> DeltaResult<()> {
        Err(Error::generic("products are read only"))
    }

    fn read_parquet_footer(&self, file: &FileMeta) -> DeltaResult<ParquetFooter> {
        self.check(file)?;
        self.inner.read_parquet_footer(file)
    }
}
