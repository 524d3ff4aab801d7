//! NOTIFY, LISTEN and UNLISTEN until their transaction commits: what it will do then, and the functions over it.
//!
//! PostgreSQL 15, SQL command NOTIFY: a notification is delivered when its transaction commits, one that was sent twice in
//! it once, and none when it rolls back.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::context::Context;
use crate::error::{Error, Result, SqlState};

/// A payload is shorter than this, in bytes (PostgreSQL's `NOTIFY_PAYLOAD_MAX_LENGTH`).
const PAYLOAD_BYTES_MAX: usize = 8_000;
/// A channel's name is shorter than this, in bytes (`NAMEDATALEN`).
const NAME_BYTES_MAX: usize = 64;
/// How many notifications and changes of what is listened on one transaction may collect.
const PENDING_MAX: usize = 10_000;

/// What a transaction does about channels when it commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Listen(String),
    Unlisten(String),
    UnlistenAll,
    Notify { channel: String, payload: String },
}

/// The changes of one transaction so far. Copies share them.
#[derive(Clone, Debug, Default)]
pub struct Pending(Arc<Mutex<Changes>>);

#[derive(Debug, Default)]
struct Changes {
    all: Vec<Change>,
    /// (channel, payload) pairs among them.
    sent: HashSet<(String, String)>,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// LISTEN or UNLISTEN.
    ///
    /// # Errors
    /// `54000` when the transaction has collected too much.
    pub fn add(&self, change: Change) -> Result<()> {
        let mut changes = self.lock();
        if changes.all.len() >= PENDING_MAX {
            let message = format!("a transaction may notify and listen {PENDING_MAX} times");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        changes.all.push(change);
        Ok(())
    }

    /// How far the transaction is, for a savepoint.
    pub fn mark(&self) -> usize {
        self.lock().all.len()
    }

    /// Back to a savepoint's mark.
    pub fn truncate(&self, mark: usize) {
        let mut changes = self.lock();
        changes.all.truncate(mark);
        let left: Vec<(String, String)> = changes.all.iter().filter_map(Change::sent).collect();
        changes.sent = left.into_iter().collect();
    }

    /// The transaction ended: what it collected, to be done or thrown away.
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.lock()).all
    }
}

impl Change {
    fn sent(&self) -> Option<(String, String)> {
        match self {
            Self::Notify { channel, payload } => Some((channel.clone(), payload.clone())),
            _ => None,
        }
    }
}

/// NOTIFY.
///
/// # Errors
/// `22023` for a bad name or a payload too long, `54000` when a listening session does not take its notifications.
pub fn notify(channel: &str, payload: &str, context: &Context) -> Result<()> {
    let invalid = |message| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    if channel.is_empty() {
        return invalid("channel name cannot be empty");
    }
    if channel.len() >= NAME_BYTES_MAX {
        return invalid("channel name too long");
    }
    if payload.len() >= PAYLOAD_BYTES_MAX {
        return invalid("payload string too long");
    }
    if context.mesh.channels.is_full(&context.principal.name, channel) {
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many notifications in the NOTIFY queue")
            .hint("One of your sessions listens on the channel and does not read what it is sent."));
    }
    let (channel, payload) = (channel.to_owned(), payload.to_owned());
    let is_new = context.pending.lock().sent.insert((channel.clone(), payload.clone()));
    if is_new { context.pending.add(Change::Notify { channel, payload }) } else { Ok(()) }
}

/// The functions about channels, by name.
pub fn function(name: &str, context: &Context) -> Option<Arc<ScalarUDF>> {
    match name {
        "pg_notify" => Some(Arc::new(ScalarUDF::new_from_impl(PgNotify::new(context)))),
        _ => None,
    }
}

/// `pg_notify(channel, payload)`. Its value is of the type void, which has one value.
struct PgNotify {
    context: Context,
    signature: Signature,
}

impl PgNotify {
    fn new(context: &Context) -> Self {
        let signature = Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Volatile);
        Self { context: context.clone(), signature }
    }
}

impl ScalarUDFImpl for PgNotify {
    fn name(&self) -> &'static str {
        "pg_notify"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<datafusion::common::Result<Vec<_>>>()?;
        let [channels, payloads] = arrays.as_slice() else {
            return Err(DataFusionError::Internal("pg_notify takes two arguments".to_owned()));
        };
        let (channels, payloads) = (channels.as_string::<i32>(), payloads.as_string::<i32>());
        for row in 0..rows {
            // NULL is the empty text to both, as in `async.c`
            let text =
                |array: &StringArray| if array.is_null(row) { String::new() } else { array.value(row).to_owned() };
            notify(&text(channels), &text(payloads), &self.context)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(String::new()))));
        }
        Ok(ColumnarValue::Array(Arc::new(StringArray::from_iter_values((0..rows).map(|_| "")))))
    }
}

impl std::fmt::Debug for PgNotify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("pg_notify")
    }
}

/// The same function of the same session.
impl PartialEq for PgNotify {
    fn eq(&self, other: &Self) -> bool {
        self.context.facts.pid == other.context.facts.pid
    }
}

impl Eq for PgNotify {}

impl Hash for PgNotify {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.context.facts.pid.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_collects_and_goes_back() {
        let pending = Pending::default();
        let notify = |payload: &str| Change::Notify { channel: "c".to_owned(), payload: payload.to_owned() };
        pending.add(Change::Listen("c".to_owned())).unwrap();
        let mark = pending.mark();
        pending.add(notify("1")).unwrap();
        pending.truncate(mark);
        assert_eq!(pending.take(), [Change::Listen("c".to_owned())]);
        assert!(pending.take().is_empty());
        for _ in 0..PENDING_MAX {
            pending.add(notify("1")).unwrap();
        }
        assert_eq!(pending.add(notify("1")).unwrap_err().sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
}
