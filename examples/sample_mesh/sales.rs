//! The sales domain: `orders` grows by appends and has a checkpoint, `customer_360` is rebuilt every week.

use std::collections::BTreeSet;
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::Outcome;
use super::arrays::{
    Columns, dates, decimals, numbers, numbers_or_null, text, text_or_null, timestamps, timestamps_or_null,
};
use super::random::{DAY, HOUR, day, format_time};
use super::story::{Order, Story, end};
use super::table::{Options, Table};

pub fn write(root: &Path, story: &Story) -> Outcome<()> {
    orders(root, story)?;
    customer_360(root, story)
}

fn orders(root: &Path, story: &Story) -> Outcome<()> {
    // the days on which a load ran: the first took three months at once, the eleventh makes version 10 and a checkpoint
    let loads = [
        day(2026, 5, 1),
        day(2026, 6, 1),
        day(2026, 7, 1),
        day(2026, 8, 1),
        day(2026, 9, 1),
        day(2026, 9, 16),
        day(2026, 10, 1),
        day(2026, 10, 16),
        day(2026, 11, 1),
        day(2026, 11, 9),
        end(),
    ];
    let empty = orders_batch(story, &[])?;
    let options = Options { partition_by: Some("order_month"), ..Options::default() };
    let mut table = Table::new(root, "sales/orders", empty.schema(), options)?;
    let mut from = 0;
    for load in loads {
        let rows: Vec<&Order> = story.orders.iter().filter(|o| (from..load).contains(&o.ordered_at)).collect();
        table.append(&orders_batch(story, &rows)?, load + 2 * HOUR)?;
        from = load;
    }
    table.checkpoint()
}

fn orders_batch(story: &Story, orders: &[&Order]) -> Outcome<RecordBatch> {
    let customer = |o: &&Order| &story.customers[o.customer];
    Columns::default()
        .nullable("order_id", numbers::<Int64Type>(orders.iter().map(|o| o.id)))
        .nullable("customer_id", text(orders.iter().map(|o| &customer(o).id)))
        .nullable("product_sku", text(orders.iter().map(|o| &story.articles[o.article].sku)))
        .nullable("campaign_id", text_or_null(orders.iter().map(|o| o.campaign.map(|c| &story.campaigns[c].id))))
        .nullable("country", text(orders.iter().map(|o| customer(o).country)))
        .nullable("channel", text(orders.iter().map(|o| o.channel)))
        .nullable("quantity", numbers::<Int32Type>(orders.iter().map(|o| o.quantity)))
        .nullable("amount", decimals(12, 2, orders.iter().map(|o| o.amount_cents))?)
        .nullable("currency", text(orders.iter().map(|o| customer(o).currency)))
        .nullable("status", text(orders.iter().map(|o| o.status)))
        .nullable("ordered_at", timestamps(orders.iter().map(|o| o.ordered_at)))
        .nullable("order_date", dates(orders.iter().map(|o| o.ordered_at)))
        .nullable("order_month", text(orders.iter().map(|o| format_time(o.ordered_at, "%Y-%m"))))
        .batch()
}

fn customer_360(root: &Path, story: &Story) -> Outcome<()> {
    let last_week = end() - 7 * DAY;
    let first = customer_360_batch(story, last_week)?;
    let mut table = Table::new(root, "sales/customer_360", first.schema(), Options::default())?;
    table.append(&first, last_week + 3 * HOUR)?;
    table.overwrite(&customer_360_batch(story, end())?, end() + 3 * HOUR)
}

/// What three domains knew about each customer at `now`.
fn customer_360_batch(story: &Story, now: i64) -> Outcome<RecordBatch> {
    let customers: Vec<usize> = (0..story.customers.len()).filter(|c| story.customers[*c].created_at < now).collect();
    let mut sessions = vec![(0_i64, 0_i64, None); story.customers.len()];
    for session in story.sessions.iter().filter(|s| s.started_at < now) {
        if let Some(customer) = session.customer {
            let (count, views, last) = &mut sessions[customer];
            *count += 1;
            *views += i64::from(session.page_views);
            *last = (*last).max(Some(session.started_at));
        }
    }
    let mut tickets = vec![(BTreeSet::new(), 0_i64, 0_i64); story.customers.len()];
    for ticket in story.tickets.iter().filter(|t| t.opened_at < now) {
        if let Some(customer) = ticket.customer {
            let (ids, sum, answers) = &mut tickets[customer];
            ids.insert(&ticket.id);
            *sum += ticket.satisfaction.map_or(0, i64::from);
            *answers += i64::from(ticket.satisfaction.is_some());
        }
    }
    let mut value_cents = vec![0; story.customers.len()];
    for order in story.orders.iter().filter(|o| o.ordered_at < now && !["cancelled", "returned"].contains(&o.status)) {
        value_cents[order.customer] += order.amount_cents;
    }
    let satisfaction = |c: &usize| {
        let (_, sum, answers) = &tickets[*c];
        (*answers > 0).then(|| *sum as f64 / *answers as f64)
    };
    Columns::default()
        .nullable("customer_id", text(customers.iter().map(|c| &story.customers[*c].id)))
        .nullable("email", text(customers.iter().map(|c| &story.customers[*c].email)))
        .nullable("name", text(customers.iter().map(|c| &story.customers[*c].name)))
        .nullable("created_at", timestamps(customers.iter().map(|c| story.customers[*c].created_at)))
        .nullable("session_count", numbers::<Int64Type>(customers.iter().map(|c| sessions[*c].0)))
        .nullable("total_page_views", numbers::<Int64Type>(customers.iter().map(|c| sessions[*c].1)))
        .nullable("last_session", timestamps_or_null(customers.iter().map(|c| sessions[*c].2)))
        .nullable("support_tickets", numbers::<Int64Type>(customers.iter().map(|c| tickets[*c].0.len() as i64)))
        .nullable("avg_satisfaction", numbers_or_null::<Float64Type>(customers.iter().map(satisfaction)))
        .nullable("lifetime_value", decimals(18, 2, customers.iter().map(|c| value_cents[*c]))?)
        .nullable("updated_at", timestamps(customers.iter().map(|_| now + 3 * HOUR)))
        .batch()
}
