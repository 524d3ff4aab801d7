//! The one error type that can reach a client, and its translation into what PostgreSQL would say.
//!
//! Rooms return [`Error`]; [`Error::report`] gives severity, SQLSTATE, message, detail, hint and position. Turning a
//! [`Report`] into bytes is the business of `wire` alone. Codes follow PostgreSQL 15, appendix A "PostgreSQL Error Codes".

use std::borrow::Cow;
use std::fmt;

/// A five-character SQLSTATE (PostgreSQL 15, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(&'static str);

impl SqlState {
    pub const SUCCESSFUL_COMPLETION: Self = Self("00000");
    pub const WARNING: Self = Self("01000");
    pub const WARNING_PRIVILEGE_NOT_REVOKED: Self = Self("01006");
    pub const PROTOCOL_VIOLATION: Self = Self("08P01");
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    pub const INVALID_GRANT_OPERATION: Self = Self("0LP01");
    pub const CARDINALITY_VIOLATION: Self = Self("21000");
    pub const DATA_EXCEPTION: Self = Self("22000");
    pub const STRING_DATA_RIGHT_TRUNCATION: Self = Self("22001");
    pub const NUMERIC_VALUE_OUT_OF_RANGE: Self = Self("22003");
    pub const NULL_VALUE_NOT_ALLOWED: Self = Self("22004");
    pub const DATETIME_FIELD_OVERFLOW: Self = Self("22008");
    pub const INVALID_ARGUMENT_FOR_LOGARITHM: Self = Self("2201E");
    pub const INVALID_ARGUMENT_FOR_POWER: Self = Self("2201F");
    pub const INVALID_ARGUMENT_FOR_WIDTH_BUCKET: Self = Self("2201G");
    pub const DIVISION_BY_ZERO: Self = Self("22012");
    pub const CHARACTER_NOT_IN_REPERTOIRE: Self = Self("22021");
    pub const INVALID_ESCAPE_SEQUENCE: Self = Self("22025");
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    pub const ARRAY_SUBSCRIPT_ERROR: Self = Self("2202E");
    pub const INVALID_TEXT_REPRESENTATION: Self = Self("22P02");
    pub const INVALID_BINARY_REPRESENTATION: Self = Self("22P03");
    pub const INVALID_REGULAR_EXPRESSION: Self = Self("2201B");
    pub const INVALID_DATETIME_FORMAT: Self = Self("22007");
    pub const UNTRANSLATABLE_CHARACTER: Self = Self("22P05");
    pub const UNIQUE_VIOLATION: Self = Self("23505");
    pub const ACTIVE_SQL_TRANSACTION: Self = Self("25001");
    pub const READ_ONLY_SQL_TRANSACTION: Self = Self("25006");
    pub const NO_ACTIVE_SQL_TRANSACTION: Self = Self("25P01");
    pub const IN_FAILED_SQL_TRANSACTION: Self = Self("25P02");
    pub const IDLE_IN_TRANSACTION_SESSION_TIMEOUT: Self = Self("25P03");
    pub const INVALID_SQL_STATEMENT_NAME: Self = Self("26000");
    pub const INVALID_AUTHORIZATION_SPECIFICATION: Self = Self("28000");
    pub const INVALID_PASSWORD: Self = Self("28P01");
    pub const INVALID_CURSOR_NAME: Self = Self("34000");
    pub const INVALID_CATALOG_NAME: Self = Self("3D000");
    pub const INVALID_SCHEMA_NAME: Self = Self("3F000");
    pub const INVALID_SAVEPOINT_SPECIFICATION: Self = Self("3B001");
    pub const INVALID_CURSOR_DEFINITION: Self = Self("42P11");
    pub const INSUFFICIENT_PRIVILEGE: Self = Self("42501");
    pub const SERIALIZATION_FAILURE: Self = Self("40001");
    pub const SYNTAX_ERROR: Self = Self("42601");
    pub const INVALID_NAME: Self = Self("42602");
    pub const UNDEFINED_COLUMN: Self = Self("42703");
    pub const UNDEFINED_OBJECT: Self = Self("42704");
    pub const AMBIGUOUS_COLUMN: Self = Self("42702");
    pub const DUPLICATE_ALIAS: Self = Self("42712");
    pub const GROUPING_ERROR: Self = Self("42803");
    pub const CANNOT_COERCE: Self = Self("42846");
    pub const WINDOWING_ERROR: Self = Self("42P20");
    pub const DATATYPE_MISMATCH: Self = Self("42804");
    pub const UNDEFINED_FUNCTION: Self = Self("42883");
    pub const AMBIGUOUS_FUNCTION: Self = Self("42725");
    pub const UNDEFINED_TABLE: Self = Self("42P01");
    pub const UNDEFINED_PARAMETER: Self = Self("42P02");
    pub const DUPLICATE_COLUMN: Self = Self("42701");
    pub const WRONG_OBJECT_TYPE: Self = Self("42809");
    pub const DUPLICATE_TABLE: Self = Self("42P07");
    pub const INVALID_COLUMN_REFERENCE: Self = Self("42P10");
    pub const INVALID_TABLE_DEFINITION: Self = Self("42P16");
    pub const INVALID_OBJECT_DEFINITION: Self = Self("42P17");
    pub const DUPLICATE_CURSOR: Self = Self("42P03");
    pub const DUPLICATE_PREPARED_STATEMENT: Self = Self("42P05");
    pub const INDETERMINATE_DATATYPE: Self = Self("42P18");
    pub const OUT_OF_MEMORY: Self = Self("53200");
    pub const DISK_FULL: Self = Self("53100");
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    pub const CONFIGURATION_LIMIT_EXCEEDED: Self = Self("53400");
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self("54000");
    pub const STATEMENT_TOO_COMPLEX: Self = Self("54001");
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: Self = Self("55000");
    pub const CANT_CHANGE_RUNTIME_PARAM: Self = Self("55P02");
    pub const QUERY_CANCELED: Self = Self("57014");
    pub const ADMIN_SHUTDOWN: Self = Self("57P01");
    pub const CANNOT_CONNECT_NOW: Self = Self("57P03");
    pub const IO_ERROR: Self = Self("58030");
    pub const UNDEFINED_FILE: Self = Self("58P01");
    pub const DATA_CORRUPTED: Self = Self("XX001");
    pub const INTERNAL_ERROR: Self = Self("XX000");

    /// The state with this code, of those that evaluating an expression may end in.
    #[must_use]
    pub fn of_data(code: &str) -> Option<Self> {
        [
            Self::FEATURE_NOT_SUPPORTED,
            Self::DATA_EXCEPTION,
            Self::STRING_DATA_RIGHT_TRUNCATION,
            Self::NUMERIC_VALUE_OUT_OF_RANGE,
            Self::INVALID_DATETIME_FORMAT,
            Self::DATETIME_FIELD_OVERFLOW,
            Self::DIVISION_BY_ZERO,
            Self::INVALID_ARGUMENT_FOR_LOGARITHM,
            Self::INVALID_ARGUMENT_FOR_POWER,
            Self::INVALID_ARGUMENT_FOR_WIDTH_BUCKET,
            Self::INVALID_REGULAR_EXPRESSION,
            Self::CHARACTER_NOT_IN_REPERTOIRE,
            Self::INVALID_PARAMETER_VALUE,
            Self::INVALID_ESCAPE_SEQUENCE,
            Self::INVALID_TEXT_REPRESENTATION,
            Self::UNTRANSLATABLE_CHARACTER,
            Self::NULL_VALUE_NOT_ALLOWED,
            Self::ARRAY_SUBSCRIPT_ERROR,
            Self::SYNTAX_ERROR,
            Self::PROGRAM_LIMIT_EXCEEDED,
            Self::STATEMENT_TOO_COMPLEX,
        ]
        .into_iter()
        .find(|state| state.0 == code)
    }

    /// The five characters as they go over the wire.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How bad a report is (PostgreSQL documentation, "Error and Notice Message Fields", field S).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Notice,
    Warning,
    Error,
    /// The connection ends after this report.
    Fatal,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// What a client is told: the fields of an ErrorResponse or NoticeResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub severity: Severity,
    pub sqlstate: SqlState,
    pub message: Cow<'static, str>,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Position in the statement's text, in characters, from 1.
    pub position: Option<usize>,
}

impl Report {
    /// A plain error report without detail, hint or position.
    pub fn new(sqlstate: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self { severity: Severity::Error, sqlstate, message: message.into(), detail: None, hint: None, position: None }
    }
}

/// An operating error of a statement or a connection: facts for the client, never hidden data.
///
/// The report is boxed so that a `Result` stays small on the path of every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Report>);

/// The result of everything that can fail in front of a client.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a SQLSTATE and a lowercase, factual message.
    pub fn new(sqlstate: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Report::new(sqlstate, message)))
    }

    /// The same, but the connection ends after it.
    pub fn fatal(sqlstate: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(sqlstate, message);
        error.0.severity = Severity::Fatal;
        error
    }

    /// An internal failure: the cause goes to the log under an id, the client sees `XX000` and the id.
    pub fn internal(cause: impl fmt::Display) -> Self {
        // random, so that it tells nothing about the errors of others
        let id = format!("{:016x}", rand::random::<u64>());
        tracing::error!(error_id = %id, cause = %cause, "internal error");
        Self::new(SqlState::INTERNAL_ERROR, format!("internal error {id}"))
            .hint("The server's log has the cause under this id.")
    }

    /// A feature that pgmesh does not have (`0A000`).
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Position in the statement, in characters, from 1.
    #[must_use]
    pub fn position(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Without the place, where the client does not know the text that it counts in.
    #[must_use]
    pub fn without_position(mut self) -> Self {
        self.0.position = None;
        self
    }

    #[must_use]
    pub fn sqlstate(&self) -> SqlState {
        self.0.sqlstate
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.0.severity == Severity::Fatal
    }

    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.sqlstate.code())
    }
}

impl std::error::Error for Error {}
