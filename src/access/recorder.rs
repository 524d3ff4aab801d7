//! What a user's functions get to see, wherever a statement puts them: functions that note their arguments, over tables
//! with hidden rows and masked columns. Tests only.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::execution::config::SessionConfig;
use datafusion::logical_expr::{Accumulator, ColumnarValue, Volatility, create_udaf, create_udf};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;

use super::decide::{ColumnMask, ReadScope, RowRule};
use super::mask::MaskKey;
use super::principal::Principal;
use super::scope::{CompiledScope, Reader};
use super::testing::user;
use super::{SecuredTable, secure};
use crate::catalog::model::MaskMethod;

/// Every argument so far, as text.
type Seen = Arc<Mutex<BTreeSet<String>>>;

/// Hidden numbers have at least this many digits; hidden and covered texts begin in this way.
const HIDDEN_DIGITS: usize = 4;
const HIDDEN_TEXT: &str = "hidden";

/// `x`, `region`, `open`, `covered`, `bonus`: the filter shows `region = 'EU'`; `covered` and `bonus` are masked.
fn rows(parts: &[&[(i64, &str)]]) -> Vec<RecordBatch> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let int = |name: &str| Field::new(name, DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![int("x"), text("region"), text("open"), text("covered"), int("bonus")]));
    let batch = |rows: &&[(i64, &str)]| {
        let texts = |of: &dyn Fn(&(i64, &str)) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let ints = |of: &dyn Fn(&(i64, &str)) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
        };
        let is_shown = |row: &(i64, &str)| row.1 == "EU";
        let columns = vec![
            ints(&|row| row.0),
            texts(&|row| row.1.to_owned()),
            texts(&|row| if is_shown(row) { format!("open{}", row.0) } else { format!("{HIDDEN_TEXT}{}", row.0) }),
            texts(&|row| format!("{HIDDEN_TEXT} behind the mask {}", row.0)),
            ints(&|row| row.0 + 770_000),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    parts.iter().map(batch).collect()
}

/// Three rows that are shown, among others.
const PARTS: &[&[(i64, &str)]] = &[
    &[(10_000, "US"), (1, "EU"), (20_000, "US")],
    &[(30_000, "APAC")],
    &[(2, "EU"), (40_000, "US"), (3, "EU"), (-50_000, "")],
];

fn fenced(raw: Arc<dyn TableProvider>) -> Arc<SecuredTable> {
    let mask = |column: &str, method| ColumnMask { column: column.to_owned(), method, must_exist: true };
    let scope = ReadScope {
        row_rules: vec![RowRule::Filter { text: "region = 'EU'".to_owned() }],
        masks: vec![
            mask("covered", MaskMethod::Redact),
            mask("bonus", MaskMethod::Expression("CASE WHEN bonus > 770001 THEN 8 ELSE 9 END".to_owned())),
        ],
    };
    let ann = Principal::from(&user("ann", &[]));
    let key = MaskKey::new([1; 32]);
    let reader = Reader { principal: &ann, readable_domains: &BTreeSet::new(), mask_key: Some(&key) };
    let scope = CompiledScope::compile(&scope, &reader, &raw.schema()).unwrap();
    Arc::new(SecuredTable::new("sales.orders", raw, scope).unwrap())
}

fn in_memory() -> Arc<dyn TableProvider> {
    let batches = rows(PARTS);
    let schema = batches[0].schema();
    let partitions = batches.into_iter().map(|batch| vec![batch]).collect();
    Arc::new(MemTable::try_new(schema, partitions).unwrap())
}

/// Files, whose readers filter as they decode.
async fn in_files(folder: &std::path::Path) -> Arc<dyn TableProvider> {
    let writer = SessionContext::new();
    for (at, batch) in rows(PARTS).into_iter().enumerate() {
        let frame = writer.read_batch(batch).unwrap();
        let file = folder.join(format!("{at}.parquet"));
        let options = datafusion::dataframe::DataFrameWriteOptions::new().with_single_file_output(true);
        frame.write_parquet(file.to_str().unwrap(), options, None).await.unwrap();
    }
    let format = ParquetFormat::new().with_force_view_types(true);
    let url = ListingTableUrl::parse(format!("file://{}/", folder.display())).unwrap();
    let config = ListingTableConfig::new(url).with_listing_options(ListingOptions::new(Arc::new(format)));
    let config = config.infer_schema(&writer.state()).await.unwrap();
    Arc::new(ListingTable::try_new(config).unwrap())
}

/// A session with the table `orders`, with `saw`, which gives back what it is given, and with `saw_all`, an aggregate.
fn context(table: Arc<SecuredTable>, volatility: Volatility) -> (SessionContext, Seen) {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().execution.parquet.pushdown_filters = true;
    let context = SessionContext::new_with_config(config);
    context.register_table("orders", table).unwrap();
    let seen = Seen::default();
    for (name, kind) in [("saw", DataType::Int64), ("saw_text", DataType::Utf8)] {
        let noted = Arc::clone(&seen);
        let note_all = move |arguments: &[ColumnarValue]| {
            let array = arguments[0].to_array(1)?;
            note(&noted, &array)?;
            Ok(arguments[0].clone())
        };
        context.register_udf(create_udf(name, vec![kind.clone()], kind, volatility, Arc::new(note_all)));
    }
    let noted = Arc::clone(&seen);
    let accumulator = move |_: datafusion::logical_expr::function::AccumulatorArgs<'_>| {
        Ok(Box::new(Noting(Arc::clone(&noted))) as Box<dyn Accumulator>)
    };
    context.register_udaf(create_udaf(
        "saw_all",
        vec![DataType::Int64],
        Arc::new(DataType::Int64),
        volatility,
        Arc::new(accumulator),
        Arc::new(vec![DataType::Int64]),
    ));
    (context, seen)
}

fn note(seen: &Seen, array: &ArrayRef) -> Result<()> {
    let mut seen = seen.lock().unwrap();
    for row in 0..array.len() {
        seen.insert(array_value_to_string(array, row)?);
    }
    Ok(())
}

/// Counts its arguments and notes them.
struct Noting(Seen);

impl fmt::Debug for Noting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noting")
    }
}

impl Accumulator for Noting {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.iter().try_for_each(|array| note(&self.0, array))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(1)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(1))])
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Ok(())
    }
}

/// Every position that an expression can have.
const POSITIONS: &[&str] = &[
    "select saw(x) from orders",
    "select saw_text(open), saw_text(region) from orders",
    "select saw(x) + 1 from orders where x > 1",
    "select x from orders where saw(x) > 0",
    "select x from orders where saw(x) > 0 and x < 3",
    "select x from orders where x < 3 and saw(x) > 0",
    "select x from orders where x < 3 or saw(x) > 0",
    "select x from orders where saw(x) > 0 or x < 3",
    "select x from orders where not (saw(x) = 7) and region = 'EU'",
    "select x from orders where region <> 'EU' or saw_text(open) is not null",
    "select x from orders where saw(x) in (1, 2)",
    "select x from orders where saw(x) between 1 and 2 and open like 'o%'",
    "select x from orders where saw_text(region) = 'EU'",
    "select a.x from orders a join orders b on saw(a.x) = b.x",
    "select a.x from orders a join orders b on a.x = b.x and saw(b.x) > 1",
    "select a.x from orders a left join orders b on a.x = b.x and saw(b.x) > 1",
    "select a.x from orders a full join orders b on saw(a.x) = saw(b.x) + 1",
    "select a.x from orders a join orders b on a.x <> b.x and saw(a.x) < saw(b.x)",
    "select a.x from orders a cross join orders b where saw(a.x) = b.x",
    "select a.x from orders a right join (values (1), (10000)) as v (k) on saw(a.x) = v.k",
    "select saw(x), count(*) from orders group by saw(x)",
    "select saw_text(region), count(*) from orders group by 1",
    "select region, count(*) from orders group by grouping sets ((region, saw(x)), (region))",
    "select region from orders group by region having max(saw(x)) > 0",
    "select region from orders group by region having saw(max(x)) > 0",
    "select x from orders order by saw(x)",
    "select x from orders order by saw(x) desc limit 1",
    "select x from orders order by saw_text(open), x limit 2",
    "select x, row_number() over (order by saw(x)) from orders",
    "select sum(saw(x)) over (partition by region order by x) from orders",
    "select rank() over (partition by saw(x) order by x) from orders",
    "select lag(saw(x)) over (order by x) from orders",
    "select case when saw(x) > 100 then 1 else 0 end from orders",
    "select case when x > 1 then saw(x) else 0 end from orders",
    "select coalesce(nullif(saw(x), 1), 0) from orders",
    "select sum(saw(x)), max(saw_text(open)) from orders",
    "select count(*) filter (where saw(x) > 1) from orders",
    "select sum(saw(x)) filter (where x > 1) from orders",
    "select saw_all(x) from orders",
    "select saw_all(x) filter (where saw(x) > 1), region from orders group by region",
    "select saw_all(x) over (order by x) from orders",
    "select count(distinct saw(x)) from orders",
    "select string_agg(saw_text(open), ',' order by saw(x)) from orders",
    "select x, (select max(saw(b.x)) from orders b) from orders",
    "select x from orders where x = (select min(saw(b.x)) from orders b)",
    "select x from orders where x in (select saw(b.x) from orders b)",
    "select x from orders a where exists (select 1 from orders b where b.x = a.x and saw(b.x) > 0)",
    "select x from orders a where not exists (select 1 from orders b where saw(b.x) = a.x + 1)",
    "select (select count(saw(b.x)) from orders b where b.x = a.x) from orders a",
    "with w as (select saw(x) as y from orders) select * from w where y > 1",
    "with w as (select x from orders where saw(x) > 0) select a.x from w a join w b on a.x = b.x",
    "with recursive w (n) as (select 1::bigint union all select saw(o.x) from w join orders o on o.x = w.n + 1)
     select count(*) from w",
    "select saw(x) from (select x from orders limit 2) s",
    "select saw(x) from orders limit 1",
    "select x from orders where saw(x) > 0 limit 1",
    "select x from (select x from orders order by x limit 2) s where saw(x) > 0",
    "select distinct saw(x) from orders",
    "select distinct on (saw(x)) x from orders order by saw(x), x",
    "select saw(x) from orders union select saw(x + 1) from orders",
    "select x from orders intersect select saw(x) from orders",
    "select x from orders except select saw(x) from orders where x > 2",
    "select saw(x) from orders cross join generate_series(1, 2)",
    "select make_array(saw(x))[1], named_struct('a', saw(x)) from orders",
    "select unnest(make_array(saw(x))) from orders",
    // masked columns
    "select saw_text(covered), saw(bonus) from orders",
    "select x from orders where saw_text(covered) like '%behind%'",
    "select x from orders where saw(bonus) > 770000 and x > 0",
    "select a.x from orders a join orders b on saw_text(a.covered) = b.covered and saw(a.bonus) = b.bonus",
    "select max(saw(bonus)), min(saw_text(covered)) from orders group by saw(bonus)",
    "select x from orders order by saw(bonus), saw_text(covered)",
    "select saw_all(bonus) filter (where saw_text(covered) is not null) from orders",
    "select sum(saw(bonus)) over (partition by saw_text(covered) order by x) from orders",
    "select case when saw(bonus) > 770000 then 1 / 0 else saw(x) end from orders",
    "select saw_text(covered || open || cast(bonus as varchar)) from orders",
];

#[tokio::test]
async fn no_function_sees_a_hidden_or_covered_argument() {
    let folder = tempfile::tempdir().unwrap();
    for raw in [in_memory(), in_files(folder.path()).await] {
        for volatility in [Volatility::Immutable, Volatility::Stable, Volatility::Volatile] {
            let (context, seen) = context(fenced(Arc::clone(&raw)), volatility);
            for sql in POSITIONS {
                seen.lock().unwrap().clear();
                run(&context, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
                let seen = seen.lock().unwrap();
                assert!(!seen.is_empty(), "{sql}: the function was not called");
                for argument in seen.iter() {
                    let digits = argument.chars().filter(char::is_ascii_digit).count();
                    assert!(digits < HIDDEN_DIGITS && !argument.contains(HIDDEN_TEXT), "{sql} saw {argument}");
                }
            }
        }
    }
}

/// The functions do note what is hidden where nothing hides it.
#[tokio::test]
async fn without_a_fence_the_functions_see_what_is_hidden() {
    let raw = in_memory();
    let (context, seen) = context(fenced(Arc::clone(&raw)), Volatility::Volatile);
    context.deregister_table("orders").unwrap();
    context.register_table("orders", raw).unwrap();
    let state = context.state();
    for sql in ["select saw(x) from orders", "select saw_text(covered) from orders", "select saw_all(x) from orders"] {
        seen.lock().unwrap().clear();
        let plan = state.create_logical_plan(sql).await.unwrap();
        collect(state.create_physical_plan(&plan).await.unwrap(), context.task_ctx()).await.unwrap();
        let seen = seen.lock().unwrap();
        assert!(
            seen.iter().any(|argument| argument.contains("0000") || argument.contains(HIDDEN_TEXT)),
            "{sql}: {seen:?}"
        );
    }
}

async fn run(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    let state = context.state();
    let plan = state.create_logical_plan(sql).await?;
    let secured = secure(state.create_physical_plan(&plan).await?).unwrap();
    futures::TryStreamExt::try_collect(secured.execute_stream(context.task_ctx())?).await
}
