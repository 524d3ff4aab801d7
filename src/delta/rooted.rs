//! A window onto one table's folder in a store. Products are seen through windows that are read-only.
//!
//! The window shows the folder under a path that no other open table has, `t7/…`: DataFusion caches Parquet footers by
//! path alone, and two tables may well hold files of one name.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// One table's folder: `outer/x` is `inner/x` in the store, and there is nothing else.
#[derive(Clone, Debug)]
pub(super) struct TableStore {
    store: Arc<dyn ObjectStore>,
    window: Window,
    /// Whether the store lists in the order of names, as the kernel expects of every store but `file`.
    lists_in_order: bool,
    writable: bool,
}

#[derive(Clone, Debug)]
struct Window {
    outer: Path,
    inner: Path,
}

impl TableStore {
    pub(super) fn new(store: Arc<dyn ObjectStore>, inner: Path, outer: Path, lists_in_order: bool) -> Self {
        Self { store, window: Window { outer, inner }, lists_in_order, writable: false }
    }

    /// The same window, for a table of the server's own.
    pub(super) fn writable(self) -> Self {
        Self { writable: true, ..self }
    }

    /// The place in the store, where it may be written.
    fn written(&self, path: &Path) -> Result<Path> {
        if self.writable {
            self.window.inward(path)
        } else {
            Err(Error::NotSupported { source: "products are read only".into() })
        }
    }

    fn list_mapped(&self, listing: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let window = self.window.clone();
        let mapped = listing.map(move |meta| meta.map(|meta| window.meta_outward(meta)));
        if self.lists_in_order {
            return mapped.boxed();
        }
        let sorted = async move {
            let mut entries: Vec<ObjectMeta> = mapped.try_collect().await?;
            entries.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            Ok::<_, Error>(stream::iter(entries.into_iter().map(Ok)))
        };
        stream::once(sorted).try_flatten().boxed()
    }
}

impl Window {
    fn inward(&self, path: &Path) -> Result<Path> {
        match path.prefix_match(&self.outer) {
            Some(rest) => Ok(self.inner.parts().chain(rest).collect()),
            None => Err(Error::NotSupported { source: "the path is outside of the table's folder".into() }),
        }
    }

    fn outward(&self, path: &Path) -> Path {
        match path.prefix_match(&self.inner) {
            Some(rest) => self.outer.parts().chain(rest).collect(),
            None => path.clone(),
        }
    }

    fn meta_outward(&self, meta: ObjectMeta) -> ObjectMeta {
        ObjectMeta { location: self.outward(&meta.location), ..meta }
    }
}

impl fmt::Display for TableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.window.outer)
    }
}

#[async_trait]
impl ObjectStore for TableStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(&self.written(path)?, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(&self.written(path)?, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.store.get_opts(&self.window.inward(location)?, options).await?;
        result.meta = self.window.meta_outward(result.meta);
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(&self.window.inward(location)?, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inward, window) = (self.clone(), self.window.clone());
        let paths = paths.map(move |path| path.and_then(|path| inward.written(&path)));
        let deleted = self.store.delete_stream(paths.boxed());
        deleted.map(move |path| path.map(|path| window.outward(&path))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.window.inward(prefix.unwrap_or(&self.window.outer)) {
            Ok(prefix) => self.list_mapped(self.store.list(Some(&prefix))),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = self.window.inward(prefix.unwrap_or(&self.window.outer));
        match prefix.and_then(|prefix| Ok((prefix, self.window.inward(offset)?))) {
            Ok((prefix, offset)) => self.list_mapped(self.store.list_with_offset(Some(&prefix), &offset)),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = self.window.inward(prefix.unwrap_or(&self.window.outer))?;
        let listed = self.store.list_with_delimiter(Some(&prefix)).await?;
        Ok(ListResult {
            common_prefixes: listed.common_prefixes.iter().map(|path| self.window.outward(path)).collect(),
            objects: listed.objects.into_iter().map(|meta| self.window.meta_outward(meta)).collect(),
        })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.window.inward(from)?, self.written(to)?);
        self.store.copy_opts(&from, &to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    async fn window() -> TableStore {
        let store = InMemory::new();
        for path in ["lake/a/1.json", "lake/a/p=x y/2.parquet", "lake/b/1.json"] {
            store.put(&Path::from(path), PutPayload::from_static(b"x")).await.unwrap();
        }
        TableStore::new(Arc::new(store), Path::from("lake/a"), Path::from("t7"), false)
    }

    #[tokio::test]
    async fn the_folder_appears_under_its_own_name() {
        let table = window().await;
        let listed: Vec<ObjectMeta> = table.list(None).try_collect().await.unwrap();
        let names: Vec<&str> = listed.iter().map(|meta| meta.location.as_ref()).collect();
        assert_eq!(names, ["t7/1.json", "t7/p=x y/2.parquet"]);
        let after: Vec<ObjectMeta> =
            table.list_with_offset(None, &Path::from("t7/1.json")).try_collect().await.unwrap();
        assert_eq!(after.len(), 1);
        let got = table.get(&Path::from("t7/p=x y/2.parquet")).await.unwrap();
        assert_eq!(got.meta.location.as_ref(), "t7/p=x y/2.parquet");
    }

    #[tokio::test]
    async fn nothing_outside_is_read_and_nothing_is_written() {
        let table = window().await;
        for outside in ["t8/1.json", "lake/a/1.json", "lake/b/1.json", "t7x/1.json"] {
            assert!(matches!(table.get(&Path::from(outside)).await, Err(Error::NotSupported { .. })), "{outside}");
        }
        let inside = Path::from("t7/1.json");
        assert!(table.put(&inside, PutPayload::from_static(b"y")).await.is_err());
        assert!(table.delete(&inside).await.is_err());
        assert!(table.copy(&inside, &Path::from("t7/c")).await.is_err());
        assert!(table.get(&inside).await.is_ok());
        let own = table.writable();
        assert!(own.put(&Path::from("t8/1.json"), PutPayload::from_static(b"y")).await.is_err());
        assert!(own.delete(&Path::from("lake/b/1.json")).await.is_err());
        own.put(&Path::from("t7/3.json"), PutPayload::from_static(b"y")).await.unwrap();
        assert_eq!(own.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 3);
        own.delete(&inside).await.unwrap();
        assert!(own.get(&inside).await.is_err());
    }
}
