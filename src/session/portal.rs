//! A portal: a prepared statement with values for its parameters, and how far its rows were fetched.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;

use super::Prepared;
use super::budget::Held;
use crate::statement::Rows;

pub struct Portal {
    pub prepared: Arc<Prepared>,
    /// Taken when the statement starts.
    pub(super) parameters: Vec<ScalarValue>,
    /// Result formats as Bind gave them: none, one for all, or one for each column; 0 text, 1 binary.
    pub formats: Vec<i16>,
    pub state: PortalState,
    /// Room for the parameters, which the running statement keeps using.
    _held: Held,
}

/// How far a portal is.
#[expect(clippy::large_enum_variant, reason = "a session has few portals, and most of them have rows")]
pub enum PortalState {
    Ready,
    /// Rows are left: the rest of a batch, and the stream.
    Suspended {
        rows: Rows,
        rest: Option<RecordBatch>,
    },
    /// A FETCH of which rows are left: up to `rows` of its cursor's, `None` is all. They stay the cursor's until they are
    /// sent, where PostgreSQL sets them aside at once.
    Fetching {
        cursor: String,
        rows: Option<u64>,
    },
    /// All rows were sent, with a tag of this first word.
    Finished(&'static str),
    /// A command was done, or its rows could not be sent: it cannot run again.
    Done,
}

impl Portal {
    pub(super) fn new(prepared: Arc<Prepared>, parameters: Vec<ScalarValue>, formats: Vec<i16>, held: Held) -> Self {
        Self { prepared, parameters, formats, state: PortalState::Ready, _held: held }
    }
}
