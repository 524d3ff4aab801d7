//! Masks as a client meets them: masked values wherever the column stands, with the column's own type.

use crate::raw::Client;
use crate::serving::shared;

const HASHED: &str = "email ~ '^[0-9a-f]{32}$'";

async fn check(principal: &str, sql: &str, expect: &[&str]) {
    let answer = Client::connect(shared().address, principal).await.rows(sql).await;
    assert_eq!(answer, expect, "{principal}: {sql}");
}

#[tokio::test]
async fn a_masked_column_has_masked_values_of_its_own_type() {
    let all = format!("select count(*), count(distinct email) > 1, bool_and({HASHED}) from sales.customer_360");
    check("sales_analyst", &all, &["1200|t|t"]).await;
    let names = "select bool_and(name like '_****'), count(*) from sales.customer_360 where name is not null";
    check("sales_analyst", names, &["t|1200"]).await;
    let phones = "select bool_and(phone like '****__'), count(phone) > 0 from marketing.leads where phone is not null";
    check("marketing_analyst", phones, &["t|t"]).await;
}

#[tokio::test]
async fn no_predicate_join_or_order_reaches_the_value_behind() {
    for sql in [
        "select count(*) from sales.customer_360 where email like '%@%'",
        "select count(*) from sales.customer_360 where position('@' in email) > 0",
        "select count(*) from sales.customer_360 c join (select distinct email from sales.customer_360) e
            on c.email = e.email where e.email like '%.com'",
        "select count(*) from (select max(email) m, min(email) n from sales.customer_360) x where m || n like '%@%'",
        "select count(*) from (select email from sales.customer_360 order by email limit 5) x where email like '%@%'",
        "select count(*) from sales.customer_360 where array_to_string(array[email, name], ',') like '%@%'",
    ] {
        check("sales_analyst", sql, &["0"]).await;
    }
}

/// Equal values have equal hashes in all products, so that what belongs together can be joined without being shown.
#[tokio::test]
async fn hashes_of_one_value_are_equal_across_the_mesh() {
    let own = "select count(*) from sales.customer_360 a join sales.customer_360 b using (email)
        where a.customer_id = b.customer_id";
    check("sales_analyst", own, &["1200"]).await;
}
