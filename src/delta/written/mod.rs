//! A folder of the server's own, in which it writes Delta tables and small files. Products are never written.
//!
//! It knows Delta's files, actions and versions, and refuses to know what the rows mean. Each change of a table is one commit
//! file that is put only where there is none ("Atomicity", Delta protocol): of two writers one wins, and the other
//! learns what the winner wrote.

mod actions;
mod durable;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, PutPayload};
use tokio::time::timeout;
use url::Url;

pub use self::actions::{LiveFile, NewCommit, NewFile};
pub use self::table::{Committed, Newest, WrittenTable};
use super::error::{DeltaError, scrub};
use super::store::Folder;
use super::table::{TableLocation, Tables};

/// How long a store may take for one small request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to read or to write a file of rows.
const FILE_TIMEOUT: Duration = Duration::from_mins(1);

/// A folder in a store that the server may write.
#[derive(Clone, Debug)]
pub struct WrittenFolder {
    location: TableLocation,
    store: Arc<dyn ObjectStore>,
    path: Path,
    lists_in_order: bool,
    /// Whether the folder is one of this machine's file system.
    local: bool,
}

impl Tables {
    /// The folder at a location, to be written. Makes no request.
    ///
    /// # Errors
    /// A location that no store can be made for; credentials that are not there.
    pub fn written(&self, location: &TableLocation) -> Result<WrittenFolder, DeltaError> {
        let Folder { store, path, lists_in_order } = self.stores().folder(location)?;
        let url = Url::parse(&location.url).map_err(|e| DeltaError::InvalidLocation { reason: e.to_string() })?;
        let local = matches!(ObjectStoreScheme::parse(&url), Ok((ObjectStoreScheme::Local, _)));
        let store = if local { Arc::new(durable::DurableFiles::new()) } else { store };
        Ok(WrittenFolder { location: location.clone(), store, path, lists_in_order, local })
    }
}

impl WrittenFolder {
    /// The table in the folder of this name.
    pub fn table(&self, name: &str) -> Result<WrittenTable, DeltaError> {
        WrittenTable::new(self, name)
    }

    /// Where readers find the table of this name.
    pub fn location_of(&self, name: &str) -> TableLocation {
        let url = format!("{}/{name}/", self.location.url.trim_end_matches('/'));
        TableLocation { url, credentials: self.location.credentials.clone() }
    }

    /// The content of a small file; `None` when there is none. Cancel safe.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, DeltaError> {
        let get = async { self.store.get(&self.path_of(name)).await?.bytes().await };
        found(within(ANSWER_TIMEOUT, get).await?)
    }

    /// Puts a small file where there is none; `false` when there is one, which stays.
    pub async fn put_if_absent(&self, name: &str, content: Vec<u8>) -> Result<bool, DeltaError> {
        let path = self.path_of(name);
        let put = self.store.put_opts(&path, PutPayload::from(content), PutOptions::from(PutMode::Create));
        match within(ANSWER_TIMEOUT, put).await? {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(not_written(error, self.local)),
        }
    }

    fn path_of(&self, name: &str) -> Path {
        self.path.parts().chain(Path::from(name).parts()).collect()
    }
}

/// An answer in time.
async fn within<T>(limit: Duration, request: impl Future<Output = T>) -> Result<T, DeltaError> {
    timeout(limit, request).await.map_err(|_| DeltaError::timeout(limit))
}

/// A file that is not there is an answer too.
fn found<T>(answer: object_store::Result<T>) -> Result<Option<T>, DeltaError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Why something could not be written: what the operating system says of a local file, or what the store says.
fn not_written(error: object_store::Error, local: bool) -> DeltaError {
    use object_store::Error as E;
    tracing::debug!(cause = scrub(&error.to_string()), "a file of the state could not be written");
    if local && let Some(cause) = io_cause(&error) {
        return DeltaError::NotWritable { reason: cause.to_string() };
    }
    match &error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            DeltaError::NotWritable { reason: "the store refuses it".into() }
        }
        _ => match DeltaError::from(error) {
            DeltaError::Denied => DeltaError::NotWritable { reason: "the store refuses it".into() },
            other => other,
        },
    }
}

fn io_cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e io::Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = current.source();
    }
    None
}
