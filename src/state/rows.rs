//! Between records, which are JSON objects, and the rows of a table.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::{ArrayWriter, ReaderBuilder};
use serde_json::Value;

/// One batch of all records.
///
/// # Errors
/// A record with a field that is no column, without a value that every row has, or with a value of another type.
pub(super) fn to_rows<'r>(
    records: impl ExactSizeIterator<Item = &'r [u8]>,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let count = records.len();
    let mut decoder = ReaderBuilder::new(SchemaRef::clone(schema))
        .with_batch_size(count.max(1))
        .with_strict_mode(true)
        .build_decoder()?;
    for record in records {
        let bytes_read = decoder.decode(record)?;
        if bytes_read < record.len() || decoder.has_partial_record() {
            return Err(ArrowError::JsonError("a record is not one JSON object".into()));
        }
    }
    let rows = decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(SchemaRef::clone(schema)));
    if rows.num_rows() == count {
        Ok(rows)
    } else {
        Err(ArrowError::JsonError(format!("{count} records are {} rows", rows.num_rows())))
    }
}

/// The rows as JSON objects. What is NULL is left out.
pub(super) fn to_records(batches: &[RecordBatch]) -> Result<Vec<Value>, ArrowError> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    let text = writer.into_inner();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text).map_err(|error| ArrowError::JsonError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Stream, Table};
    use super::*;
    use serde_json::json;

    fn rows(records: &[Value], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let bytes: Vec<Vec<u8>> = records.iter().map(|record| serde_json::to_vec(record).unwrap()).collect();
        to_rows(bytes.iter().map(Vec::as_slice), schema)
    }

    #[test]
    fn records_come_out_as_they_went_in() {
        let grant = json!({
            "grant_id": "g1", "grantee": "ada \"\\ ✓", "grantee_kind": "user", "privilege": "read",
            "object_kind": "product", "object": "sales.orders", "granted_by": "bob",
            "granted_at": "2026-11-21T09:00:00.123456Z", "expires_at": "2026-12-21T09:00:00Z",
        });
        let schema = Table::Grants.schema();
        let batch = rows(&[grant.clone(), grant.clone()], &schema).unwrap();
        assert_eq!((batch.num_rows(), batch.schema()), (2, schema.clone()));
        assert_eq!(to_records(&[batch.clone(), batch]).unwrap(), vec![grant; 4]);
        assert_eq!(to_records(&[]).unwrap(), Vec::<Value>::new());
        assert_eq!(to_records(&[rows(&[], &schema).unwrap()]).unwrap(), Vec::<Value>::new());
        let audit = json!({
            "audit_id": "a", "occurred_at": "2026-11-21T09:00:00Z", "kind": "read", "generation": 7,
            "policies": ["p", "q"], "masked_columns": [],
        });
        let batch = rows(std::slice::from_ref(&audit), &Stream::Audit.schema()).unwrap();
        assert_eq!(to_records(&[batch]).unwrap(), [audit]);
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let schema = Stream::Audit.schema();
        let good = json!({"audit_id": "a", "occurred_at": "2026-11-21T09:00:00Z", "kind": "read"});
        assert!(rows(std::slice::from_ref(&good), &schema).is_ok());
        let with = |key: &str, value: Value| {
            let mut record = good.clone();
            record[key] = value;
            record
        };
        for wrong in [
            with("audit_id", Value::Null),
            with("occurred_at", json!("yesterday")),
            with("generation", json!("many")),
            with("policies", json!("p")),
            with("unknown", json!(1)),
            json!([1]),
            json!(1),
        ] {
            assert!(rows(&[good.clone(), wrong.clone()], &schema).is_err(), "{wrong}");
        }
        let two_in_one = b"{\"audit_id\":\"a\"}{\"audit_id\":\"b\"}".as_slice();
        assert!(to_rows([two_in_one].into_iter(), &schema).is_err());
        assert!(to_rows([b"{\"audit_id\":".as_slice()].into_iter(), &schema).is_err());
    }
}
