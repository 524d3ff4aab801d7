//! The sample mesh as each of its principals sees it.

use crate::raw::{Client, Message, query};
use crate::serving::{eventually, shared};

/// Runs a statement as a principal and compares its rows, columns separated by `|`; a refusal is one line, `Error …`.
async fn check(principal: &str, sql: &str, expect: &[&str]) {
    let answer = ask(principal, sql).await;
    assert_eq!(answer, expect, "{principal}: {sql}");
}

async fn ask(principal: &str, sql: &str) -> Vec<String> {
    Client::connect(shared().address, principal).await.rows(sql).await
}

/// The error that a statement gets.
async fn refusal(principal: &str, sql: &str) -> Message {
    let mut client = Client::connect(shared().address, principal).await;
    client.send(&query(sql)).await;
    let message = client.receive().await.unwrap();
    assert_eq!(message.kind, b'E', "{principal}: {sql}: {}", message.line());
    message
}

/// Waits until the quality of every product was measured.
async fn measured() {
    let waiting = "select count(*) from data_catalog.products where quality_status in ('PENDING', 'STALE')";
    eventually("scores", || async { (ask("mesh_admin", waiting).await == ["0"]).then_some(()) }).await;
}

const PRINCIPALS: [&str; 7] =
    ["sales_analyst", "sales_owner", "marketing_analyst", "finance_analyst", "data_scientist", "mesh_admin", "auditor"];

/// The founding query, as it stands in the founding documents.
const DISCOVERY: &str = "SELECT product_name, domain, owner, description, sla_freshness, quality_score, last_updated
FROM data_catalog.products
WHERE domain IN (SELECT domain FROM user_domain_access WHERE user_id = CURRENT_USER())
ORDER BY quality_score DESC;";

/// Names of products in the answer to the founding query, after a look at the rest of it.
async fn discovered(principal: &str) -> Vec<String> {
    let rows = ask(principal, DISCOVERY).await;
    let cells: Vec<Vec<&str>> = rows.iter().map(|row| row.split('|').collect()).collect();
    let scores: Vec<f64> = cells.iter().map(|row| row[5].parse().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{principal}: {scores:?}");
    assert!(scores.iter().all(|score| *score > 0.0 && *score <= 1.0), "{principal}: {scores:?}");
    assert!(scores.first() > scores.last(), "{principal}: all scores are the same");
    for row in &cells {
        assert_eq!(row.len(), 7, "{row:?}");
        assert_eq!(row[2], format!("{}-data-team@company.com", row[1]));
        assert!(row[6].starts_with("2026-"), "the last commit to the data: {row:?}");
    }
    let mut names: Vec<String> = cells.iter().map(|row| format!("{}.{}", row[1], row[0])).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_founding_query_shows_each_principal_its_part_of_the_mesh() {
    measured().await;
    let open = [
        "customer-success.surveys",
        "customer-success.tickets",
        "marketing.campaigns",
        "marketing.web-sessions",
        "product.features",
        "product.feedback",
        "product.usage",
        "sales.orders",
    ];
    for (principal, more) in [
        ("sales_analyst", &["sales.customer-360"][..]),
        ("marketing_analyst", &["marketing.leads"]),
        ("finance_analyst", &["finance.invoices", "finance.transactions"]),
        ("data_scientist", &["finance.invoices", "finance.transactions", "marketing.leads", "sales.customer-360"]),
        ("mesh_admin", &["finance.invoices", "finance.transactions", "marketing.leads", "sales.customer-360"]),
        ("auditor", &[]),
    ] {
        let mut expected: Vec<&str> = open.iter().chain(more).copied().collect();
        expected.sort_unstable();
        assert_eq!(discovered(principal).await, expected, "{principal}");
    }
}

#[tokio::test]
async fn the_product_that_breaks_its_promises_shows_it() {
    measured().await;
    let sql = "select quality_status from data_catalog.products where product_name = 'tickets'";
    check("auditor", sql, &["INVALID"]).await;
    let failed = "select column_name, kind, passed from data_catalog.quality_checks
        where product_name = 'tickets' and not passed order by 1";
    let failed = failed.replace("kind, ", "");
    check("auditor", &failed, &["customer_id|f", "ticket_id|f"]).await;
    // and the score is the one of the Delta version that was measured
    let version = "select delta_version from data_catalog.products where product_name = 'tickets'";
    check("auditor", version, &["3"]).await;
    let dimensions = "select dimension, score < 1 from data_catalog.quality_scores where product_name = 'tickets'
        and dimension in ('completeness', 'uniqueness') order by 1";
    check("auditor", dimensions, &["completeness|t", "uniqueness|t"]).await;
}

#[tokio::test]
async fn orders_are_counted_by_their_domain() {
    check("sales_analyst", "select count(*) from sales.orders", &["6000"]).await;
    check("data_scientist", "select count(*) from sales.orders", &["6000"]).await;
}

#[tokio::test]
async fn a_limit_holds_where_no_column_is_read() {
    for principal in ["sales_analyst", "data_scientist"] {
        check(principal, "select 1 from sales.orders limit 3", &["1", "1", "1"]).await;
    }
    let joined = "select count(a.sku) from product.features a cross join (select 1 from product.features limit 2) b";
    check("sales_analyst", joined, &["480"]).await;
    // behind the fence too
    check("sales_analyst", "select 1 from customer_success.surveys limit 2", &["1", "1"]).await;
    check("sales_analyst", "select 1 from sales.orders offset 5998", &["1", "1"]).await;
}

#[tokio::test]
async fn domains_are_joined() {
    let sql = "select c.campaign_id, count(*), sum(o.amount)
        from sales.orders o join marketing.campaigns c on o.campaign_id = c.campaign_id
        group by c.campaign_id order by 2 desc, 1 limit 3";
    let rows = ask("data_scientist", sql).await;
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows.iter().all(|row| row.starts_with("CMP-2026-")), "{rows:?}");
    let all = "select count(*) from sales.orders o join marketing.campaigns c on o.campaign_id = c.campaign_id";
    let matched = ask("data_scientist", all).await;
    check("data_scientist", "select count(campaign_id) from sales.orders", &[matched[0].as_str()]).await;
    // one domain of the two is not enough
    check("sales_analyst", all, &["Error 42501 permission denied for table campaigns"]).await;
    check("marketing_analyst", all, &["Error 42501 permission denied for table orders"]).await;
}

#[tokio::test]
async fn a_refusal_says_whom_to_ask() {
    for (principal, table, owner) in [
        ("marketing_analyst", "sales.orders", "sales-data-team@company.com"),
        ("data_scientist", "sales.customer_360", "sales-data-team@company.com"),
        ("data_scientist", "marketing.leads", "marketing-data-team@company.com"),
        ("data_scientist", "finance.transactions", "finance-data-team@company.com"),
        ("sales_analyst", "customer_success.tickets", "customer-success-data-team@company.com"),
    ] {
        let error = refusal(principal, &format!("select * from {table}")).await;
        let name = table.split('.').next_back().unwrap();
        assert_eq!(error.line(), format!("Error 42501 permission denied for table {name}"), "{principal}");
        let hint = error.field(b'H');
        assert!(hint.contains(owner) && hint.contains(&format!("request_access('{table}', ")), "{principal}: {hint}");
    }
}

#[tokio::test]
async fn what_may_not_be_discovered_does_not_exist() {
    for (principal, schema, hidden, absent) in [
        ("sales_analyst", "finance", "invoices", "invoicez"),
        ("sales_analyst", "finance", "transactions", "transactionz"),
        ("sales_analyst", "marketing", "leads", "leadz"),
        ("marketing_analyst", "sales", "customer_360", "customer_361"),
        ("auditor", "finance", "invoices", "invoicez"),
    ] {
        for sql in [
            "select * from S.T",
            "select 1 from product.features where exists (select 1 from S.T)",
            "with x as (select * from S.T) select count(*) from x",
            "explain select * from S.T",
            "select T.nothing from S.T",
            "select * from product.features join S.T using (sku)",
        ] {
            let of = |table: &str| sql.replace('S', schema).replace('T', table);
            let (hidden_says, absent_says) =
                (refusal(principal, &of(hidden)).await, refusal(principal, &of(absent)).await);
            let expected = format!("Error 42P01 relation \"{schema}.{absent}\" does not exist");
            assert_eq!(absent_says.line(), expected, "{principal}: {sql}");
            // byte for byte, the name aside
            let same = String::from_utf8_lossy(&hidden_says.body).replace(hidden, absent);
            assert_eq!(same.as_bytes(), &absent_says.body[..], "{principal}: {sql}");
        }
    }
}

#[tokio::test]
async fn what_may_not_be_discovered_is_in_no_relation() {
    for relation in ["products", "columns", "output_ports", "input_ports", "quality_checks", "quality_scores"] {
        let sql = format!(
            "select count(*) from data_catalog.{relation} where domain = 'finance' or product_name in ('leads')"
        );
        check("sales_analyst", &sql, &["0"]).await;
    }
    check("sales_analyst", "select count(*) from domains where domain = 'finance'", &["0"]).await;
    // where the data comes from is told as far as the source may be discovered
    let inputs = "select count(*) from input_ports where source_product_id like 'finance.%'";
    check("sales_analyst", inputs, &["0"]).await;
}

#[tokio::test]
async fn a_restricted_product_needs_a_policy() {
    let sql = "select count(*) from finance.transactions";
    check("finance_analyst", sql, &["6581"]).await;
    for principal in ["data_scientist", "mesh_admin"] {
        check(principal, sql, &["Error 42501 permission denied for table transactions"]).await;
    }
}

#[tokio::test]
async fn rows_belong_to_domains() {
    let sql = "select owning_domain, count(*) from product.feedback group by 1 order by 1";
    check("sales_analyst", sql, &["sales|497"]).await;
    check("marketing_analyst", sql, &["marketing|474"]).await;
    check("finance_analyst", sql, &[]).await;
    check("data_scientist", sql, &["customer-success|700", "marketing|474", "product|694", "sales|497"]).await;
    check("mesh_admin", sql, &[]).await;
    // rows of no domain are nobody's
    for principal in PRINCIPALS {
        check(principal, "select count(*) from product.feedback where owning_domain is null", &["0"]).await;
    }
    check("sales_analyst", "select count(*) from product.feedback where owning_domain <> 'sales'", &["0"]).await;
}

#[tokio::test]
async fn rows_belong_to_regions() {
    let sql = "select region, count(*) from customer_success.surveys group by 1 order by 1";
    check("sales_analyst", sql, &["EU|932"]).await;
    check("marketing_analyst", sql, &["US|287"]).await;
    for without_region in ["finance_analyst", "data_scientist", "mesh_admin", "auditor"] {
        check(without_region, sql, &[]).await;
    }
}

#[tokio::test]
async fn no_expression_runs_on_a_hidden_row() {
    // the rows of other domains would divide by zero
    let sql =
        "select count(*) from product.feedback where 1 / (case when owning_domain = 'sales' then 1 else 0 end) = 1";
    check("sales_analyst", sql, &["497"]).await;
    let sql = "select sum(1 / (case when region = 'EU' then 1 else 0 end)) from customer_success.surveys";
    check("sales_analyst", sql, &["932"]).await;
    check("sales_analyst", "select count(distinct cast(region as text)) from customer_success.surveys", &["1"]).await;
}

#[tokio::test]
async fn explain_names_tables_and_nothing_hidden() {
    for sql in [
        "explain select * from customer_success.surveys",
        "explain verbose select * from customer_success.surveys where score > 3",
        "explain analyze select * from product.feedback",
    ] {
        let sql = sql.replace(" where score > 3", "");
        let plan = ask("sales_analyst", &sql).await.join("\n");
        for hidden in ["region = ", "parquet", "owning_domain IN", "file", "1500", "2400", "Hash"] {
            assert!(!plan.contains(hidden), "{sql}: {hidden}\n{plan}");
        }
        assert!(plan.contains("surveys") || plan.contains("feedback"), "{plan}");
    }
}

#[tokio::test]
async fn who_manages_the_mesh_reads_no_data_by_that() {
    for principal in ["mesh_admin", "auditor"] {
        for (table, name) in [
            ("sales.orders", "orders"),
            ("marketing.campaigns", "campaigns"),
            ("customer_success.tickets", "tickets"),
            ("product.usage", "usage"),
        ] {
            let refused = format!("Error 42501 permission denied for table {name}");
            check(principal, &format!("select count(*) from {table}"), &[&refused]).await;
        }
    }
    // what is open to everyone is open to them
    check("mesh_admin", "select count(*) from product.features", &["240"]).await;
}

#[tokio::test]
async fn policies_are_for_those_who_govern() {
    let names = "select distinct policy_name from data_catalog.policies order by 1";
    let every = ["data-science-access", "finance-controllers-transactions", "no-pii-for-data-science"];
    for principal in PRINCIPALS {
        let governs = matches!(principal, "mesh_admin" | "auditor");
        let seen = ask(principal, names).await;
        if governs {
            assert!(every.iter().all(|name| seen.iter().any(|seen| seen == name)), "{principal}: {seen:?}");
        } else {
            assert_eq!(seen, Vec::<String>::new(), "{principal}");
        }
    }
    let deny = "select effect, scope, dnf_condition from policies where policy_name = 'no-pii-for-data-science'";
    let condition = "resource.classification includes [PERSONAL.*] AND principal.group included in [data-science]";
    check("auditor", deny, &[&format!("Deny|mesh|{condition}")]).await;
}

#[tokio::test]
async fn access_is_told_to_oneself_and_to_those_who_govern() {
    let users = "select distinct user_id from user_domain_access order by 1";
    for principal in ["sales_analyst", "marketing_analyst", "finance_analyst", "data_scientist"] {
        check(principal, users, &[principal]).await;
    }
    let mut everyone = PRINCIPALS;
    everyone.sort_unstable();
    check("mesh_admin", users, &everyone).await;
    check("auditor", users, &everyone).await;
    let own = "select domain, granted_via from user_domain_access where user_id = current_user and privilege = 'read'
        order by 1";
    check("sales_analyst", own, &["sales|group:sales"]).await;
    check("mesh_admin", own, &[]).await;
}

#[tokio::test]
async fn reload_status_is_for_those_who_govern() {
    for principal in PRINCIPALS {
        let expected: &[&str] = if matches!(principal, "mesh_admin" | "auditor") { &["ok|1"] } else { &[] };
        // members of a domain see what is wrong in its folder, but not when anything elsewhere changed
        let sql = "select distinct state, generation from data_catalog.reload_status where generation is not null";
        check(principal, sql, expected).await;
    }
}

#[tokio::test]
async fn row_counts_are_for_those_who_read_all_rows() {
    measured().await;
    let counts = "select product_name, row_count from data_catalog.products where row_count is not null order by 1";
    // of customer-360 two columns are masked
    check("sales_analyst", counts, &["features|240", "orders|6000"]).await;
    check("marketing_analyst", counts, &["campaigns|96", "features|240", "web-sessions|6000"]).await;
    check("finance_analyst", counts, &["features|240", "invoices|3962", "transactions|6581"]).await;
    check("mesh_admin", counts, &["features|240"]).await;
    check("auditor", counts, &["features|240"]).await;
}

#[tokio::test]
async fn columns_tell_what_is_personal() {
    let sql = "select column_name, classification from columns where domain = 'sales'
        and product_name = 'customer-360' and pii order by ordinal_position";
    check("sales_analyst", sql, &["email|PERSONAL.EMAIL", "name|PERSONAL.NAME"]).await;
    let masked = "select column_name from columns where product_name = 'customer-360' and masked order by 1";
    check("sales_analyst", masked, &["email", "name"]).await;
    check("marketing_analyst", sql, &[]).await;
    let ports = "select product_name, location is null from output_ports where format = 'delta' and domain = 'sales'
        order by 1";
    check("sales_analyst", ports, &["customer-360|f", "orders|f"]).await;
    check("marketing_analyst", ports, &["orders|t"]).await;
}

#[tokio::test]
async fn domains_are_listed_with_what_may_be_discovered() {
    let sql = "select domain, owner, product_count from domains order by 1";
    check(
        "sales_analyst",
        sql,
        &[
            "customer-success|customer-success-data-team@company.com|2",
            "marketing|marketing-data-team@company.com|2",
            "product|product-data-team@company.com|3",
            "sales|sales-data-team@company.com|2",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_sample_mesh_has_no_errors() {
    measured().await;
    let problems = "select path, message from data_catalog.reload_status where severity = 'error'";
    check("mesh_admin", problems, &[]).await;
}
