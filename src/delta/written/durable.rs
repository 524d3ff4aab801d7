//! Local files that outlive a power failure: what was put is on the disk before anybody hears of it.
//!
//! `LocalFileSystem` leaves syncing to the operating system. A commit that names a file whose bytes were never written
//! would be a broken table, so here a file is synced before it gets its name, and its folder after.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as LocalPath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// How often another name is tried for a file in the making; the names are random.
const NAMES_TRIED_MAX: usize = 8;

/// The local file system, with puts that are synced.
#[derive(Debug)]
pub(super) struct DurableFiles(LocalFileSystem);

impl DurableFiles {
    pub(super) fn new() -> Self {
        Self(LocalFileSystem::new())
    }
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("durable local files")
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let path = self.0.path_to_filesystem(location)?;
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotSupported { source: "local files have no conditional update".into() });
            }
        };
        let put = tokio::task::spawn_blocking(move || put(&path, &payload, create).map_err(|e| (path, e))).await;
        match put.map_err(|source| Error::JoinError { source })? {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err((path, source)) if source.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: path.display().to_string(), source: source.into() })
            }
            Err((_, source)) => Err(Error::Generic { store: "local files", source: source.into() }),
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.0.put_multipart_opts(path, options).await?;
        Ok(Box::new(DurableUpload { upload, path: self.0.path_to_filesystem(path)? }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.0.get_opts(location, options).await {
            // what would lie in a folder that is a file is not there
            Err(error) if is_no_folder(&error) => {
                Err(Error::NotFound { path: location.to_string(), source: Box::new(error) })
            }
            got => got,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

fn is_no_folder(error: &Error) -> bool {
    super::io_cause(error).is_some_and(|cause| cause.kind() == ErrorKind::NotADirectory)
}

/// Writes a file beside its place, syncs it, and gives it its name: at once and whole, or not at all. With `create` a
/// file that is there stays and is an error.
fn put(path: &LocalPath, payload: &PutPayload, create: bool) -> io::Result<()> {
    let (mut file, staged) = staged(path)?;
    let named =
        payload.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all()).and_then(|()| {
            if create {
                // unlike a rename, a link takes no name that is in use
                std::fs::hard_link(&staged, path)
            } else {
                std::fs::rename(&staged, path)
            }
        });
    if create || named.is_err() {
        // what cannot be removed is not listed either
        drop(std::fs::remove_file(&staged));
    }
    named?;
    sync_folder(path)
}

/// A new file beside `path`. Names that end with `#` and digits are in no listing of `LocalFileSystem`.
fn staged(path: &LocalPath) -> io::Result<(File, PathBuf)> {
    let mut failure = None;
    for _ in 0..NAMES_TRIED_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{}", rand::random::<u64>()));
        let staged = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staged) {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
                std::fs::create_dir_all(folder)?;
                // those above may not be ours to open, and then they are not new
                folder.ancestors().take(FOLDERS_SYNCED).for_each(|folder| drop(sync_folder(folder)));
                failure = Some(error);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::from(ErrorKind::AlreadyExists)))
}

/// State, table and log: so many folders may be new when a file is put.
const FOLDERS_SYNCED: usize = 3;

/// A name is durable once its folder is synced.
fn sync_folder(path: &LocalPath) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// A large file that comes in parts.
#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        let path = self.path.clone();
        let sync = move || File::open(&path).and_then(|file| file.sync_all()).and_then(|()| sync_folder(&path));
        let synced = tokio::task::spawn_blocking(sync).await.map_err(|source| Error::JoinError { source })?;
        synced.map_err(|source| Error::Generic { store: "local files", source: source.into() })?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    #[tokio::test]
    async fn a_file_gets_its_name_once_and_whole() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = Path::from_absolute_path(folder.path()).unwrap().join("a").join("b");
        let files = DurableFiles::new();
        let create = || PutOptions::from(PutMode::Create);
        files.put_opts(&path, PutPayload::from_static(b"1"), create()).await.unwrap();
        let again = files.put_opts(&path, PutPayload::from_static(b"2"), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(files.get(&path).await.unwrap().bytes().await.unwrap().as_ref(), b"1");
        files.put(&path, PutPayload::from_static(b"3")).await.unwrap();
        assert_eq!(files.get(&path).await.unwrap().bytes().await.unwrap().as_ref(), b"3");
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn what_a_killed_writer_left_is_not_listed() {
        let folder = tempfile::TempDir::new().unwrap();
        let (_, staged) = staged(&folder.path().join("x.parquet")).unwrap();
        assert!(staged.exists());
        let root = Path::from_absolute_path(folder.path()).unwrap();
        let listed: Vec<ObjectMeta> = DurableFiles::new().list(Some(&root)).try_collect().await.unwrap();
        assert_eq!(listed, []);
    }
}
