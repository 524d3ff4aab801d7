//! The product domain: `features` with the rarer types, `usage` by day without time zone, `feedback` about every domain.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Float32Builder, ListBuilder, RecordBatch, StringBuilder, StructArray};
use datafusion::arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};

use super::Outcome;
use super::arrays::{
    Columns, binary, booleans, dates, decimals, local_timestamps, numbers, numbers_or_null, text, text_or_null,
    timestamps,
};
use super::random::{DAY, HOUR, Random, day, uuid_bytes};
use super::story::{self, Story, end};
use super::table::{Options, Table};

const FEEDBACK: usize = 2_400;

pub fn write(root: &Path, story: &Story) -> Outcome<()> {
    features(root, story)?;
    usage(root, story)?;
    feedback(root, story)
}

fn features(root: &Path, story: &Story) -> Outcome<()> {
    let mut random = story::random("features");
    let articles = &story.articles;
    let mut embedding =
        ListBuilder::new(Float32Builder::new()).with_field(Field::new("element", DataType::Float32, false));
    let (mut active, mut stars, mut weight, mut rating) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut cost, mut launched, mut sizes) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for article in articles {
        active.push(random.chance(0.95).then(|| random.chance(0.9)));
        stars.push(random.between(1, 5) as i8);
        weight.push(random.between(90, 24_000) as i16);
        rating.push(random.chance(0.85).then(|| random.between(20, 100) as f32 / 20.0));
        // ten decimals: a fraction of a cent matters where parts come by the thousand
        cost.push(article.price_cents * random.between(40_000_000, 70_000_000));
        launched.push(day(2022, 1, 1) + random.between(0, 1_700) * DAY);
        for size in &mut sizes {
            size.push(random.between(20, 1_200) as f32 / 10.0);
        }
        for _ in 0..8 {
            embedding.values().append_value(random.between(-1_000, 1_000) as f32 / 1_000.0);
        }
        embedding.append(true);
    }
    let [width, height, depth] = sizes;
    let dimensions = Columns::default()
        .nullable("width_cm", numbers::<Float32Type>(width))
        .nullable("height_cm", numbers::<Float32Type>(height))
        .nullable("depth_cm", numbers::<Float32Type>(depth))
        .batch()?;
    let batch = Columns::default()
        .required("sku", text(articles.iter().map(|a| &a.sku)))
        .required("name", text(articles.iter().map(|a| &a.name)))
        .nullable("category", text(articles.iter().map(|a| a.category)))
        .nullable("price", decimals(12, 2, articles.iter().map(|a| a.price_cents))?)
        .nullable("unit_cost", decimals(38, 10, cost)?)
        .nullable("is_active", booleans(active))
        .nullable("quality_stars", numbers::<Int8Type>(stars))
        .nullable("weight_grams", numbers::<Int16Type>(weight))
        .nullable("rating", numbers_or_null::<Float32Type>(rating))
        .nullable("dimensions", Arc::new(StructArray::from(dimensions)))
        .nullable("embedding", Arc::new(embedding.finish()))
        .nullable("image_digest", binary(articles.iter().map(|a| uuid_bytes(&a.sku).to_vec())))
        .nullable("launched_on", dates(launched))
        .batch()?;
    let mut table = Table::new(root, "product/features", batch.schema(), Options::default())?;
    table.append(&batch, end() + 6 * HOUR)
}

fn usage(root: &Path, story: &Story) -> Outcome<()> {
    let mut random = story::random("usage");
    let options = Options {
        partition_by: Some("usage_date"),
        reader_features: vec!["timestampNtz"],
        writer_features: vec!["timestampNtz"],
        ..Options::default()
    };
    let monday = end() - 14 * DAY;
    let first_week = usage_week(story, &mut random, monday)?;
    let mut table = Table::new(root, "product/usage", first_week.schema(), options)?;
    table.append(&first_week, monday + 7 * DAY + HOUR)?;
    table.append(&usage_week(story, &mut random, monday + 7 * DAY)?, monday + 14 * DAY + HOUR)
}

fn usage_week(story: &Story, random: &mut Random, monday: i64) -> Outcome<RecordBatch> {
    let articles = story.articles.len();
    let rows: Vec<(i64, usize)> =
        (0..7).flat_map(|nth| (0..articles).map(move |article| (monday + nth * DAY, article))).collect();
    let views: Vec<i64> = rows
        .iter()
        .map(|(_, article)| random.between(3, 40) * 120 / (*article as i64 / 4 + 3) + random.between(0, 9))
        .collect();
    let visitors: Vec<i32> = views.iter().map(|v| (*v * random.between(55, 95) / 100) as i32).collect();
    let opened: Vec<i64> = rows.iter().map(|(date, _)| date + random.between(0, 9 * HOUR)).collect();
    let closed: Vec<i64> = opened.iter().map(|o| o + random.between(HOUR, 14 * HOUR)).collect();
    let dwell: Vec<f64> = rows.iter().map(|_| (random.bell(48.0, 14.0) * 1_000.0).floor() / 1_000.0).collect();
    let cart_rate = views.iter().map(|v| (*v > 4).then(|| random.between(0, 250) as f64 / 1_000.0));
    Columns::default()
        .nullable("sku", text(rows.iter().map(|(_, article)| &story.articles[*article].sku)))
        .nullable("cart_rate", numbers_or_null::<Float64Type>(cart_rate))
        .nullable("views", numbers::<Int64Type>(views))
        .nullable("visitors", numbers::<Int32Type>(visitors))
        .nullable("avg_dwell_seconds", numbers::<Float64Type>(dwell))
        .nullable("first_view_at", local_timestamps(opened))
        .nullable("last_view_at", local_timestamps(closed))
        .nullable("usage_date", dates(rows.iter().map(|(date, _)| *date)))
        .batch()
}

fn feedback(root: &Path, story: &Story) -> Outcome<()> {
    const REMARKS: [(&str, i8, &str); 10] = [
        ("sales", 4, "ordering took two minutes"),
        ("sales", 2, "the discount code did not work at the checkout"),
        ("marketing", 3, "three mails a week are too many"),
        ("marketing", 5, "the garden newsletter is a pleasure to read"),
        ("product", 5, "does exactly what it should"),
        ("product", 1, "broke on the second day"),
        ("product", 3, "the colour differs from the picture"),
        ("customer-success", 5, "a friendly answer within the hour"),
        ("customer-success", 2, "I had to explain my problem four times"),
        ("customer-success", 4, "the return was easy"),
    ];
    let mut random = story::random("feedback");
    let mut tags = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    let (mut domains, mut ratings, mut remarks, mut sentiments) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut customers, mut skus, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..FEEDBACK {
        let (domain, rating, remark) = *random.pick(&REMARKS);
        // nobody has been made responsible for a few of them
        domains.push((!random.chance(0.012)).then_some(domain));
        ratings.push(rating);
        remarks.push(random.chance(0.8).then_some(remark));
        sentiments.push(f32::from(rating - 3) / 2.0);
        customers.push(random.chance(0.9).then(|| &story.customers[random.skewed(story.customers.len())].id));
        skus.push((domain == "product").then(|| &story.articles[random.skewed(story.articles.len())].sku));
        times.push(end() - random.between(1, 120) * DAY + random.time_of_day());
        let tagged = random.chance(0.9);
        for tag in ["mobile", "repeat", "urgent"] {
            if tagged && random.chance(0.2) {
                tags.values().append_value(tag);
            }
        }
        tags.append(tagged);
    }
    times.sort_unstable();
    let first_load = day(2026, 10, 10);
    let split = times.partition_point(|time| *time < first_load);
    let batch = Columns::default()
        .nullable("feedback_id", numbers::<Int64Type>(1..=FEEDBACK as i64))
        .nullable("owning_domain", text_or_null(domains))
        .nullable("customer_id", text_or_null(customers))
        .nullable("sku", text_or_null(skus))
        .nullable("rating", numbers::<Int8Type>(ratings))
        .nullable("sentiment", numbers::<Float32Type>(sentiments))
        .nullable("comment", text_or_null(remarks))
        .nullable("tags", Arc::new(tags.finish()))
        .nullable("submitted_at", timestamps(times))
        .batch()?;
    let mut table = Table::new(root, "product/feedback", batch.schema(), Options::default())?;
    table.append(&batch.slice(0, split), first_load + 7 * HOUR)?;
    table.append(&batch.slice(split, FEEDBACK - split), end() + 7 * HOUR)
}
