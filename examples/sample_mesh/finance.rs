//! The finance domain: `transactions` with a change data feed, `invoices` of which some were deleted by vector.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    BinaryBuilder, Decimal128Builder, Int32Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float32Type, Int64Type};

use super::Outcome;
use super::arrays::{Columns, booleans, dates, dates_or_null, decimals, numbers, numbers_or_null, text, timestamps};
use super::random::{DAY, HOUR, day, uuid_bytes};
use super::story::{self, Order, Story, end};
use super::table::{Options, Table};

pub fn write(root: &Path, story: &Story) -> Outcome<()> {
    transactions(root, story)?;
    invoices(root, story)
}

struct Transaction {
    id: i64,
    order: i64,
    customer: usize,
    kind: &'static str,
    method: &'static str,
    amount_cents: i64,
    currency: &'static str,
    status: &'static str,
    risk: Option<f32>,
    booked_at: i64,
}

/// A payment for each order, a refund for each that was cancelled or returned.
fn booked(story: &Story) -> Vec<Transaction> {
    let mut random = story::random("transactions");
    let mut rows = Vec::new();
    for order in &story.orders {
        let method = random.weighted(&[("card", 55), ("wallet", 25), ("transfer", 15), ("voucher", 5)]);
        let payment = Transaction {
            id: 0,
            order: order.id,
            customer: order.customer,
            kind: "payment",
            method,
            amount_cents: order.amount_cents,
            currency: story.customers[order.customer].currency,
            status: "settled",
            risk: (method != "voucher").then(|| random.between(0, 1_000) as f32 / 1_000.0),
            booked_at: order.ordered_at + random.between(1, 90) * 60,
        };
        let refund = Transaction {
            kind: "refund",
            amount_cents: -order.amount_cents,
            risk: None,
            booked_at: order.ordered_at + random.between(2, 12) * DAY,
            ..payment
        };
        if ["cancelled", "returned"].contains(&order.status) {
            rows.push(refund);
        }
        rows.push(payment);
    }
    rows.retain(|row| row.booked_at < end());
    rows.sort_by_key(|row| (row.booked_at, row.order));
    for (id, row) in (1..).zip(&mut rows) {
        row.id = id;
    }
    rows
}

fn transactions(root: &Path, story: &Story) -> Outcome<()> {
    let mut rows = booked(story);
    let (october, november) = (day(2026, 10, 1), day(2026, 11, 1));
    // a transfer of October's last days and of this week has not arrived when it is loaded
    for row in &mut rows {
        let late = (november - 4 * DAY..november).contains(&row.booked_at) || row.booked_at >= end() - 3 * DAY;
        if row.method == "transfer" && late {
            row.status = "pending";
        }
    }
    let between = |rows: &[Transaction], from: i64, until: i64| {
        let kept: Vec<&Transaction> = rows.iter().filter(|t| (from..until).contains(&t.booked_at)).collect();
        transactions_batch(story, &kept, None)
    };
    let first = between(&rows, 0, october)?;
    let options = Options { configuration: vec![("delta.enableChangeDataFeed", "true")], ..Options::default() };
    let mut table = Table::new(root, "finance/transactions", first.schema(), options)?;
    table.append(&first, october + 3 * HOUR)?;
    table.append(&between(&rows, october, november)?, november + 3 * HOUR)?;

    let arrived: Vec<usize> =
        (0..rows.len()).filter(|r| rows[*r].status == "pending" && rows[*r].booked_at < november).collect();
    let before: Vec<&Transaction> = arrived.iter().map(|r| &rows[*r]).collect();
    let before = transactions_batch(story, &before, Some("update_preimage"))?;
    for row in &arrived {
        rows[*row].status = "settled";
    }
    let after: Vec<&Transaction> = arrived.iter().map(|r| &rows[*r]).collect();
    let after = transactions_batch(story, &after, Some("update_postimage"))?;
    let changes = datafusion::arrow::compute::concat_batches(&before.schema(), [&before, &after])?;
    let settled_at = november + 2 * DAY + 3 * HOUR;
    table.update(1, &between(&rows, october, november)?, &changes, "[\"status = 'pending'\"]", settled_at)?;
    table.append(&between(&rows, november, end())?, end() + 3 * HOUR)
}

/// With a change type the rows are change data.
fn transactions_batch(story: &Story, rows: &[&Transaction], change: Option<&str>) -> Outcome<RecordBatch> {
    // 0.35 per cent, exact to the tenth decimal
    let fees = rows.iter().map(|t| t.amount_cents.max(0) * 350_000);
    let columns = Columns::default()
        .required("transaction_id", numbers::<Int64Type>(rows.iter().map(|t| t.id)))
        .nullable("order_id", numbers::<Int64Type>(rows.iter().map(|t| t.order)))
        .nullable("customer_id", text(rows.iter().map(|t| &story.customers[t.customer].id)))
        .nullable("kind", text(rows.iter().map(|t| t.kind)))
        .nullable("method", text(rows.iter().map(|t| t.method)))
        .nullable("amount", decimals(18, 4, rows.iter().map(|t| t.amount_cents * 100))?)
        .nullable("fee", decimals(38, 10, fees)?)
        .nullable("currency", text(rows.iter().map(|t| t.currency)))
        .nullable("status", text(rows.iter().map(|t| t.status)))
        .nullable("is_refund", booleans(rows.iter().map(|t| Some(t.kind == "refund"))))
        .nullable("risk_score", numbers_or_null::<Float32Type>(rows.iter().map(|t| t.risk)))
        .nullable("booked_at", timestamps(rows.iter().map(|t| t.booked_at)));
    match change {
        Some(change) => columns.nullable("_change_type", text(rows.iter().map(|_| change))).batch(),
        None => columns.batch(),
    }
}

/// Invoices since June. Ten of them had gone to the wrong address and were deleted.
fn invoices(root: &Path, story: &Story) -> Outcome<()> {
    let (june, september) = (day(2026, 6, 1), day(2026, 9, 1));
    let between = |from: i64, until: i64| {
        let kept: Vec<&Order> =
            story.orders.iter().filter(|o| o.status != "cancelled" && (from..until).contains(&o.ordered_at)).collect();
        invoices_batch(story, &kept)
    };
    let first = between(june, september)?;
    let features = ["deletionVectors"];
    let options = Options {
        configuration: vec![("delta.enableDeletionVectors", "true"), ("delta.enableInCommitTimestamps", "true")],
        reader_features: features.to_vec(),
        writer_features: features.into_iter().chain(["inCommitTimestamp"]).collect(),
        ..Options::default()
    };
    let mut table = Table::new(root, "finance/invoices", first.schema(), options)?;
    table.append(&first, september + 4 * HOUR)?;
    table.append(&between(september, day(2026, 11, 1))?, day(2026, 11, 1) + 4 * HOUR)?;
    let deleted = [(0, vec![17, 256, 700, 701]), (1, vec![0, 5, 93, 400, 401, 1_024])];
    table.delete(&deleted, "[\"wrong_address\"]", day(2026, 11, 5) + 10 * HOUR)?;
    table.append(&between(day(2026, 11, 1), end())?, end() + 4 * HOUR)
}

fn invoices_batch(story: &Story, orders: &[&Order]) -> Outcome<RecordBatch> {
    let vat_rates: BTreeMap<&str, i64> = [
        ("DE", 1_900),
        ("FR", 2_000),
        ("NL", 2_100),
        ("ES", 2_100),
        ("US", 0),
        ("JP", 1_000),
        ("AU", 1_000),
        ("SG", 900),
    ]
    .into();
    let mut random = story::random("invoices");
    // whether an invoice is paid, and when, follows from its order and not from the batch it came with
    let paid_after = |o: &Order| {
        let days = (uuid_bytes(&format!("invoice {}", o.id))[0] % 45).into();
        Some(o.ordered_at + DAY * i64::max(days, 1)).filter(|paid| *paid < end())
    };
    let rate = |o: &Order| vat_rates.get(story.customers[o.customer].country).copied().unwrap_or(0);
    let net = |o: &Order| o.amount_cents * 10_000 / (10_000 + rate(o));
    let mut digests = BinaryBuilder::new();
    let fields: Fields = vec![
        Field::new("sku", DataType::Utf8, true),
        Field::new("quantity", DataType::Int32, true),
        Field::new("amount", DataType::Decimal128(12, 2), true),
    ]
    .into();
    let lines = StructBuilder::new(
        fields.clone(),
        vec![
            Box::new(StringBuilder::new()),
            Box::new(Int32Builder::new()),
            Box::new(Decimal128Builder::new().with_data_type(DataType::Decimal128(12, 2))),
        ],
    );
    let mut lines = ListBuilder::new(lines).with_field(Field::new("element", DataType::Struct(fields), true));
    for order in orders {
        digests.append_value([uuid_bytes(&format!("pdf {}", order.id)), uuid_bytes(&order.id.to_string())].concat());
        let shipping = if random.chance(0.4) { 490.min(order.amount_cents) } else { 0 };
        let sku = story.articles[order.article].sku.as_str();
        for (sku, quantity, cents) in [(Some(sku), order.quantity, order.amount_cents - shipping), (None, 1, shipping)]
        {
            if cents == 0 {
                continue;
            }
            let line = lines.values();
            if let Some(column) = line.field_builder::<StringBuilder>(0) {
                column.append_option(sku);
            }
            if let Some(column) = line.field_builder::<Int32Builder>(1) {
                column.append_value(quantity);
            }
            if let Some(column) = line.field_builder::<Decimal128Builder>(2) {
                column.append_value(cents.into());
            }
            line.append(true);
        }
        lines.append(true);
    }
    Columns::default()
        .required("invoice_id", text(orders.iter().map(|o| format!("INV-{}", o.id))))
        .required("order_id", numbers::<Int64Type>(orders.iter().map(|o| o.id)))
        .nullable("customer_id", text(orders.iter().map(|o| &story.customers[o.customer].id)))
        .nullable("issued_on", dates(orders.iter().map(|o| o.ordered_at)))
        .nullable("due_on", dates(orders.iter().map(|o| o.ordered_at + 30 * DAY)))
        .nullable("paid_on", dates_or_null(orders.iter().map(|o| paid_after(o))))
        .nullable("is_paid", booleans(orders.iter().map(|o| Some(paid_after(o).is_some()))))
        .nullable("net", decimals(12, 2, orders.iter().map(|o| net(o)))?)
        .nullable("vat", decimals(12, 2, orders.iter().map(|o| o.amount_cents - net(o)))?)
        .nullable("gross", decimals(12, 2, orders.iter().map(|o| o.amount_cents))?)
        .nullable("vat_rate", decimals(5, 4, orders.iter().map(|o| rate(o)))?)
        .nullable("currency", text(orders.iter().map(|o| story.customers[o.customer].currency)))
        .nullable("document_sha256", Arc::new(digests.finish()))
        .nullable("lines", Arc::new(lines.finish()))
        .batch()
}
