//! The marketing domain: nested `campaigns`, `leads` with mapped columns of which one was renamed, `web_sessions` that
//! were compacted.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, ListBuilder, MapBuilder, MapFieldNames, RecordBatch, StringBuilder, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int16Type, Int32Type, Int64Type};

use super::Outcome;
use super::arrays::{Columns, booleans, dates, decimals, numbers, text, text_or_null, timestamps, timestamps_or_null};
use super::random::{DAY, HOUR, day};
use super::story::{self, Session, Story, end};
use super::table::{Options, Table};

const LEADS: usize = 1_000;

pub fn write(root: &Path, story: &Story) -> Outcome<()> {
    campaigns(root, story)?;
    leads(root, story)?;
    web_sessions(root, story)
}

fn campaigns(root: &Path, story: &Story) -> Outcome<()> {
    let mut random = story::random("campaign details");
    let rows = &story.campaigns;
    let mut channels = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, false));
    let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut labels = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    let (mut spent, mut audience) = (Vec::new(), Vec::new());
    for (number, campaign) in rows.iter().enumerate() {
        let progress = (end() - campaign.starts_at).clamp(0, campaign.ends_at - campaign.starts_at) as f64
            / (campaign.ends_at - campaign.starts_at) as f64;
        spent.push((campaign.planned_cents as f64 * progress * random.bell(0.95, 0.08)) as i64);
        audience.push(random.between(2_000, 900_000) as i32);
        channels.values().append_value(campaign.channel);
        for extra in ["email", "push", "social"] {
            if extra != campaign.channel && random.chance(0.3) {
                channels.values().append_value(extra);
            }
        }
        channels.append(true);
        labels.keys().append_value("season");
        labels.values().append_value(*random.pick(&["spring", "summer", "autumn"]));
        labels.keys().append_value("goal");
        labels.values().append_value(*random.pick(&["acquisition", "retention", "awareness"]));
        if number % 7 == 3 {
            labels.keys().append_value("agency");
            labels.values().append_null();
        }
        labels.append(true)?;
    }
    let budget = Columns::default()
        .nullable("planned", decimals(14, 2, rows.iter().map(|c| c.planned_cents))?)
        .nullable("spent", decimals(14, 2, spent)?)
        .batch()?;
    let batch = Columns::default()
        .required("campaign_id", text(rows.iter().map(|c| &c.id)))
        .nullable("name", text(rows.iter().map(|c| &c.name)))
        .nullable("starts_on", dates(rows.iter().map(|c| c.starts_at)))
        .nullable("ends_on", dates(rows.iter().map(|c| c.ends_at)))
        .nullable("is_running", booleans(rows.iter().map(|c| Some((c.starts_at..c.ends_at).contains(&end())))))
        .nullable("budget", Arc::new(StructArray::from(budget)))
        .nullable("channels", Arc::new(channels.finish()))
        .nullable("labels", Arc::new(labels.finish()))
        .nullable("audience_size", numbers::<Int32Type>(audience))
        .batch()?;
    let mut table = Table::new(root, "marketing/campaigns", batch.schema(), Options::default())?;
    table.append(&batch.slice(0, 60), day(2026, 7, 15) + 4 * HOUR)?;
    table.append(&batch.slice(60, rows.len() - 60), day(2026, 10, 26) + 4 * HOUR)
}

/// Written under the name `origin` at first, which became `source`.
fn leads(root: &Path, story: &Story) -> Outcome<()> {
    let before = leads_batch(story, "origin")?;
    let after = leads_batch(story, "source")?;
    let options = Options { mapped: true, ..Options::default() };
    let mut table = Table::new(root, "marketing/leads", before.schema(), options)?;
    table.append(&before.slice(0, 640), day(2026, 9, 1) + 5 * HOUR)?;
    table.rename("origin", "source", day(2026, 9, 14) + 9 * HOUR)?;
    table.append(&after.slice(640, LEADS - 640), end() + 5 * HOUR)
}

fn leads_batch(story: &Story, source_name: &str) -> Outcome<RecordBatch> {
    struct Lead {
        name: String,
        email: String,
        phone: Option<String>,
        country: &'static str,
        source: &'static str,
        campaign: Option<usize>,
        score: f64,
        status: &'static str,
        by_email: bool,
        by_phone: Option<bool>,
        created_at: i64,
        customer: Option<usize>,
    }
    let mut random = story::random("leads");
    let first = day(2026, 6, 1);
    let mut times: Vec<i64> = (0..LEADS)
        .map(|nth| {
            // the first 640 before the first load, the others after it
            let (from, until) = if nth < 640 { (first, day(2026, 9, 1)) } else { (day(2026, 9, 1), end()) };
            from + random.between(0, (until - from) / DAY - 1) * DAY + random.time_of_day()
        })
        .collect();
    times.sort_unstable();
    let rows: Vec<Lead> = (1..)
        .zip(times)
        .map(|(number, created_at)| {
            let (name, email) = story::person(&mut random, 5_000 + number);
            let (country, _, _) = story::country(&mut random);
            let status =
                random.weighted(&[("new", 35), ("contacted", 30), ("qualified", 15), ("lost", 12), ("converted", 8)]);
            let customer = random.skewed(story.customers.len());
            Lead {
                name,
                email,
                phone: random.chance(0.4).then(|| format!("+00 555 01{:02} {:04}", number % 100, number)),
                country,
                source: random.weighted(&[("web form", 45), ("fair", 15), ("newsletter", 25), ("referral", 15)]),
                campaign: random.chance(0.6).then(|| random.skewed(story.campaigns.len())),
                score: (random.unit() * 1_000.0).floor() / 10.0,
                status,
                by_email: random.chance(0.8),
                by_phone: random.chance(0.7).then_some(number % 3 == 0),
                created_at,
                customer: (status == "converted").then_some(customer),
            }
        })
        .collect();
    let consent = Columns::default()
        .nullable("email", booleans(rows.iter().map(|l| Some(l.by_email))))
        .nullable("phone", booleans(rows.iter().map(|l| l.by_phone)))
        .nullable("given_at", timestamps_or_null(rows.iter().map(|l| l.by_email.then_some(l.created_at + 40))))
        .batch()?;
    let consent: ArrayRef = Arc::new(StructArray::from(consent));
    Columns::default()
        .nullable("lead_id", numbers::<Int64Type>(1..=rows.len() as i64))
        .nullable("full_name", text(rows.iter().map(|l| &l.name)))
        .nullable("email", text(rows.iter().map(|l| &l.email)))
        .nullable("phone", text_or_null(rows.iter().map(|l| l.phone.as_ref())))
        .nullable("country", text(rows.iter().map(|l| l.country)))
        .nullable(source_name, text(rows.iter().map(|l| l.source)))
        .nullable("campaign_id", text_or_null(rows.iter().map(|l| l.campaign.map(|c| &story.campaigns[c].id))))
        .nullable("score", numbers::<Float64Type>(rows.iter().map(|l| l.score)))
        .nullable("status", text(rows.iter().map(|l| l.status)))
        .nullable("consent", consent)
        .nullable("created_at", timestamps(rows.iter().map(|l| l.created_at)))
        .nullable("customer_id", text_or_null(rows.iter().map(|l| l.customer.map(|c| &story.customers[c].id))))
        .batch()
}

fn web_sessions(root: &Path, story: &Story) -> Outcome<()> {
    let empty = sessions_batch(story, &[])?;
    let mut table = Table::new(root, "marketing/web_sessions", empty.schema(), Options::default())?;
    let mut from = 0;
    for load in [day(2026, 9, 1), day(2026, 10, 1), day(2026, 11, 1)] {
        let rows: Vec<&Session> = story.sessions.iter().filter(|s| (from..load).contains(&s.started_at)).collect();
        table.append(&sessions_batch(story, &rows)?, load + HOUR)?;
        from = load;
    }
    let loaded: Vec<&Session> = story.sessions.iter().filter(|s| s.started_at < from).collect();
    table.optimize(&sessions_batch(story, &loaded)?, day(2026, 11, 2) + HOUR)?;
    let rest: Vec<&Session> = story.sessions.iter().filter(|s| s.started_at >= from).collect();
    table.append(&sessions_batch(story, &rest)?, end() + HOUR)
}

fn sessions_batch(story: &Story, sessions: &[&Session]) -> Outcome<RecordBatch> {
    Columns::default()
        .nullable("session_id", numbers::<Int64Type>(sessions.iter().map(|s| s.id)))
        .nullable("customer_id", text_or_null(sessions.iter().map(|s| s.customer.map(|c| &story.customers[c].id))))
        .nullable("campaign_id", text_or_null(sessions.iter().map(|s| s.campaign.map(|c| &story.campaigns[c].id))))
        .nullable("started_at", timestamps(sessions.iter().map(|s| s.started_at)))
        .nullable("duration_seconds", numbers::<Int32Type>(sessions.iter().map(|s| s.duration_seconds)))
        .nullable("page_views", numbers::<Int16Type>(sessions.iter().map(|s| s.page_views)))
        .nullable("device", text(sessions.iter().map(|s| s.device)))
        .nullable("country", text(sessions.iter().map(|s| s.country)))
        .nullable("bounced", booleans(sessions.iter().map(|s| Some(s.page_views == 1))))
        .batch()
}
