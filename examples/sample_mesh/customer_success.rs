//! The customer-success domain: `tickets`, which break their promises, and `surveys`, of which each region sees its own.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Int8Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float32Type, Int8Type, Int64Type};

use super::Outcome;
use super::arrays::{Columns, booleans, numbers, numbers_or_null, text, text_or_null, timestamps, timestamps_or_null};
use super::random::{DAY, HOUR, day};
use super::story::{self, Story, Ticket, end};
use super::table::{Options, Table};

const SURVEYS: usize = 1_500;

pub fn write(root: &Path, story: &Story) -> Outcome<()> {
    tickets(root, story)?;
    surveys(root, story)
}

fn tickets(root: &Path, story: &Story) -> Outcome<()> {
    let batch = tickets_batch(story, &story.tickets)?;
    let mut table = Table::new(root, "customer-success/tickets", batch.schema(), Options::default())?;
    let mut from = 0;
    for load in [day(2026, 8, 1), day(2026, 10, 1), day(2026, 11, 1), end()] {
        let until = story.tickets.partition_point(|ticket| ticket.opened_at < load);
        table.append(&batch.slice(from, until - from), load + 8 * HOUR)?;
        from = until;
    }
    Ok(())
}

fn tickets_batch(story: &Story, tickets: &[Ticket]) -> Outcome<RecordBatch> {
    let mut random = story::random("ticket details");
    let subjects: Vec<&str> = tickets
        .iter()
        .map(|ticket| match ticket.category {
            "delivery" => *random.pick(&["Where is my parcel?", "Parcel damaged", "Wrong address"]),
            "return" => *random.pick(&["How do I return this?", "Refund not received"]),
            "invoice" => *random.pick(&["Invoice missing", "Charged twice"]),
            "quality" => *random.pick(&["Stopped working", "A part is missing"]),
            _ => "Cannot sign in",
        })
        .collect();
    let status = |t: &Ticket| if t.closed_at.is_some() { "closed" } else { "open" };
    Columns::default()
        .nullable("ticket_id", text(tickets.iter().map(|t| &t.id)))
        .nullable("customer_id", text_or_null(tickets.iter().map(|t| t.customer.map(|c| &story.customers[c].id))))
        .nullable("order_id", numbers_or_null::<Int64Type>(tickets.iter().map(|t| t.order)))
        .nullable("category", text(tickets.iter().map(|t| t.category)))
        .nullable("subject", text(subjects))
        .nullable("priority", numbers::<Int8Type>(tickets.iter().map(|t| t.priority)))
        .nullable("status", text(tickets.iter().map(status)))
        .nullable("opened_at", timestamps(tickets.iter().map(|t| t.opened_at)))
        .nullable("closed_at", timestamps_or_null(tickets.iter().map(|t| t.closed_at)))
        .nullable("satisfaction_score", numbers_or_null::<Int8Type>(tickets.iter().map(|t| t.satisfaction)))
        .batch()
}

fn surveys(root: &Path, story: &Story) -> Outcome<()> {
    let mut random = story::random("surveys");
    let fields: Fields =
        vec![Field::new("question", DataType::Utf8, true), Field::new("score", DataType::Int8, true)].into();
    let answers =
        StructBuilder::new(fields.clone(), vec![Box::new(StringBuilder::new()), Box::new(Int8Builder::new())]);
    let mut answers = ListBuilder::new(answers).with_field(Field::new("element", DataType::Struct(fields), true));
    let (mut customers, mut recommend, mut satisfaction) = (Vec::new(), Vec::new(), Vec::new());
    let (mut comments, mut recommends, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SURVEYS {
        customers.push(random.skewed(story.customers.len()));
        let score = random.weighted(&[(10_i8, 22), (9, 24), (8, 20), (7, 12), (5, 10), (3, 8), (0, 4)]);
        recommend.push(score);
        recommends.push(random.chance(0.93).then_some(score >= 7));
        satisfaction.push(random.chance(0.9).then(|| f32::from(score) / 2.0));
        comments.push(
            random
                .chance(0.35)
                .then(|| *random.pick(&["merci !", "alles gut", "ありがとう", "too slow", "great service"])),
        );
        times.push(end() - random.between(1, 90) * DAY + random.time_of_day());
        for question in ["speed", "friendliness", "solution"] {
            let line = answers.values();
            if let Some(column) = line.field_builder::<StringBuilder>(0) {
                column.append_value(question);
            }
            if let Some(column) = line.field_builder::<Int8Builder>(1) {
                column.append_option(random.chance(0.9).then(|| random.between(1, 5) as i8));
            }
            line.append(true);
        }
        answers.append(true);
    }
    times.sort_unstable();
    let batch = Columns::default()
        .nullable("survey_id", numbers::<Int64Type>(1..=SURVEYS as i64))
        .nullable("region", text(customers.iter().map(|c| story.customers[*c].region)))
        .nullable("country", text(customers.iter().map(|c| story.customers[*c].country)))
        .nullable("customer_id", text(customers.iter().map(|c| &story.customers[*c].id)))
        .nullable("nps", numbers::<Int8Type>(recommend))
        .nullable("satisfaction", numbers_or_null::<Float32Type>(satisfaction))
        .nullable("would_recommend", booleans(recommends))
        .nullable("comment", text_or_null(comments))
        .nullable("answers", Arc::new(answers.finish()))
        .nullable("answered_at", timestamps(times))
        .batch()?;
    let mut table = Table::new(root, "customer-success/surveys", batch.schema(), Options::default())?;
    table.append(&batch, end() + 9 * HOUR)
}
