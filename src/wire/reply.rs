//! Messages to the client that are not rows, encoded by pgwire.

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::arrow::datatypes::Schema;
use pgwire::messages::data::{FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, NotificationResponse, ReadyForQuery,
    TransactionStatus,
};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use pgwire::messages::{Message, PgWireBackendMessage};

use crate::error::{Report, Severity};
use crate::mesh::channels::Notification;
use crate::pgtype::{Origin, pg_type};
use crate::session::Status;

/// Appends a message. One that pgwire cannot encode is a bug of ours: it is logged, and the client sees it missing.
fn put(output: &mut BytesMut, message: &PgWireBackendMessage) {
    let length = output.len();
    if let Err(error) = message.encode(output) {
        output.truncate(length);
        tracing::error!(cause = %error, "a message could not be encoded");
    }
}

/// ErrorResponse or NoticeResponse with PostgreSQL's fields (section 55.8).
pub fn report(output: &mut BytesMut, report: &Report) {
    let mut fields = vec![
        (b'S', report.severity.as_str().to_owned()),
        (b'V', report.severity.as_str().to_owned()),
        (b'C', report.sqlstate.code().to_owned()),
        (b'M', without_nul(&report.message)),
    ];
    fields.extend(report.detail.as_deref().map(|detail| (b'D', without_nul(detail))));
    fields.extend(report.hint.as_deref().map(|hint| (b'H', without_nul(hint))));
    fields.extend(report.position.map(|position| (b'P', position.to_string())));
    let message = match report.severity {
        Severity::Error | Severity::Fatal => PgWireBackendMessage::ErrorResponse(ErrorResponse::new(fields)),
        Severity::Notice | Severity::Warning => PgWireBackendMessage::NoticeResponse(NoticeResponse::new(fields)),
    };
    put(output, &message);
}

/// A field ends at its first NUL, so a text that quotes one must not hold it.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// RowDescription: names, the table columns that they are, type OIDs, lengths, typmods and formats (0 text, 1 binary) of the columns.
pub fn row_description(output: &mut BytesMut, schema: &Schema, formats: &[i16]) {
    let format = |index: usize| match formats {
        [] => 0,
        [one] => *one,
        many => many.get(index).copied().unwrap_or(0),
    };
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        let pg = pg_type(field);
        let (relation, number) = Origin::of(field).map_or((0, 0), |origin| (origin.relation, origin.number));
        let name = without_nul(field.name());
        FieldDescription::new(name, relation as i32, number, pg.oid, pg.len, pg.typmod, format(index))
    });
    put(output, &PgWireBackendMessage::RowDescription(RowDescription::new(fields.collect())));
}

pub fn parameter_description(output: &mut BytesMut, oids: Vec<u32>) {
    put(output, &PgWireBackendMessage::ParameterDescription(ParameterDescription::new(oids)));
}

pub fn no_data(output: &mut BytesMut) {
    put(output, &PgWireBackendMessage::NoData(NoData::new()));
}

pub fn parse_complete(output: &mut BytesMut) {
    put(output, &PgWireBackendMessage::ParseComplete(ParseComplete::new()));
}

pub fn bind_complete(output: &mut BytesMut) {
    put(output, &PgWireBackendMessage::BindComplete(BindComplete::new()));
}

pub fn close_complete(output: &mut BytesMut) {
    put(output, &PgWireBackendMessage::CloseComplete(CloseComplete::new()));
}

pub fn portal_suspended(output: &mut BytesMut) {
    put(output, &PgWireBackendMessage::PortalSuspended(PortalSuspended::new()));
}

pub fn empty_query(output: &mut BytesMut) {
    put(output, &PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()));
}

pub fn command_complete(output: &mut BytesMut, tag: String) {
    put(output, &PgWireBackendMessage::CommandComplete(CommandComplete::new(tag)));
}

pub fn ready(output: &mut BytesMut, status: Status) {
    let status = match status {
        Status::Idle => TransactionStatus::Idle,
        Status::Active => TransactionStatus::Transaction,
        Status::Failed => TransactionStatus::Error,
    };
    put(output, &PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status)));
}

pub fn notification(output: &mut BytesMut, notification: Notification) {
    let Notification { pid, channel, payload } = notification;
    let response = NotificationResponse::new(pid, without_nul(&channel), without_nul(&payload));
    put(output, &PgWireBackendMessage::NotificationResponse(response));
}

pub fn parameter_status(output: &mut BytesMut, name: &str, value: String) {
    put(output, &PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name.to_owned(), value)));
}

pub fn authentication_sasl(output: &mut BytesMut, mechanisms: &[&str]) {
    let names = mechanisms.iter().map(|name| (*name).to_owned()).collect();
    put(output, &PgWireBackendMessage::Authentication(Authentication::SASL(names)));
}

pub fn authentication_sasl_continue(output: &mut BytesMut, data: Vec<u8>) {
    put(output, &PgWireBackendMessage::Authentication(Authentication::SASLContinue(data.into())));
}

pub fn authentication_sasl_final(output: &mut BytesMut, data: Vec<u8>) {
    put(output, &PgWireBackendMessage::Authentication(Authentication::SASLFinal(data.into())));
}

pub fn authentication_ok(output: &mut BytesMut) {
    put(output, &PgWireBackendMessage::Authentication(Authentication::Ok));
}

pub fn backend_key_data(output: &mut BytesMut, pid: i32, secret: Bytes) {
    put(output, &PgWireBackendMessage::BackendKeyData(BackendKeyData::new(pid, SecretKey::Bytes(secret))));
}

/// Which minor version we speak, and which `_pq_.` options we do not know.
pub fn negotiate_protocol_version(output: &mut BytesMut, minor: i32, unknown: Vec<String>) {
    let length = output.len();
    let message = NegotiateProtocolVersion::new((3 << 16) | minor, unknown);
    if let Err(error) = message.encode(output) {
        output.truncate(length);
        tracing::error!(cause = %error, "a message could not be encoded");
    }
}

/// One byte: whether an encryption request is granted.
pub fn encryption_answer(output: &mut BytesMut, granted: bool) {
    output.put_u8(if granted { b'S' } else { b'N' });
}
