//! SET, SHOW and RESET as PostgreSQL has them, ParameterStatus, and what the startup message sets.

use crate::postgres::everywhere;
use crate::raw::{Client, Login};
use crate::serving::shared;

#[tokio::test]
async fn values_are_set_shown_and_refused_alike() {
    everywhere(async |c| {
        for (sql, shown) in [
            ("set work_mem = '1.5MB'; show work_mem", "1536kB"),
            ("set work_mem to 65536; show work_mem", "64MB"),
            ("set enable_seqscan = of; show enable_seqscan", "off"),
            ("set time zone -7.5; show timezone", "<-07:30>+07:30"),
            ("set time zone interval '+02:00' hour to minute; show time zone", "<+02>-02"),
            ("set time zone 'Europe/Berlin'; show timezone", "Europe/Berlin"),
            ("set time zone default; set search_path = 'a b', c; show search_path", "\"a b\", c"),
            ("set search_path to default; set a.b = 'x'; show a.b", "x"),
            ("reset a.b; set schema 'S'; show search_path", "\"S\""),
            ("set session characteristics as transaction isolation level serializable; show default_transaction_isolation", "serializable"),
            ("show transaction isolation level", "serializable"),
            ("reset default_transaction_isolation; begin isolation level repeatable read; show transaction_isolation; commit", "repeatable read"),
            ("show transaction_isolation", "read committed"),
            ("set statement_timeout = '90s'; show statement_timeout", "90s"),
            ("set statement_timeout = '2min'; show statement_timeout", "2min"),
            ("set statement_timeout to default; show lock_timeout", "0"),
            ("set bytea_output = 'ESCAPE'; show bytea_output", "escape"),
            ("reset all; show work_mem", "4MB"),
            ("show shared_buffers", "128MB"),
            ("show random_page_cost", "4"),
            ("show block_size", "8192"),
            ("show default_statistics_target", "100"),
            ("show jit", "on"),
            ("set names 'UTF-8'; show client_encoding", "UTF8"),
            ("set datestyle to iso, dmy; show datestyle", "ISO, DMY"),
            ("set xml option document; show xmloption", "document"),
            ("set datestyle to german; show datestyle", "German, DMY"),
            ("select date '2024-03-05'", "05.03.2024"),
            ("set datestyle to postgres, mdy; set timezone = 'UTC'; select timestamptz '2024-03-05 04:05:06+00'", "Tue Mar 05 04:05:06 2024 UTC"),
            ("set datestyle to sql, dmy; select timestamp '2024-03-05 04:05:06.5'", "05/03/2024 04:05:06.5"),
            ("set datestyle to iso; set intervalstyle = iso_8601; select interval '1 day 2 hours'", "P1DT2H"),
            ("set intervalstyle = 'SQL_STANDARD'; select interval '1 day 2 hours'", "1 2:00:00"),
            ("reset all; select interval '1 day 2 hours'", "1 day 02:00:00"),
        ] {
            assert_eq!(c.rows(sql).await, [shown], "{sql}");
        }
        for (sql, error) in [
            ("set work_mem = 'abc'", "22023 invalid value for parameter \"work_mem\": \"abc\""),
            ("set work_mem = 5", "22023 5 kB is outside the valid range for parameter \"work_mem\" (64 .. 2147483647)"),
            ("set work_mem = 1, 2", "22023 SET work_mem takes only one argument"),
            ("set enable_seqscan = 2", "22023 parameter \"enable_seqscan\" requires a Boolean value"),
            ("set client_min_messages = foo", "22023 invalid value for parameter \"client_min_messages\": \"foo\""),
            ("set max_connections = 3", "55P02 parameter \"max_connections\" cannot be changed without restarting the server"),
            ("set fsync = off", "55P02 parameter \"fsync\" cannot be changed now"),
            ("set server_version = 'x'", "55P02 parameter \"server_version\" cannot be changed"),
            ("reset server_version", "55P02 parameter \"server_version\" cannot be changed"),
            ("set no_such = 1", "42704 unrecognized configuration parameter \"no_such\""),
            ("show no_such", "42704 unrecognized configuration parameter \"no_such\""),
            ("reset no_such", "42704 unrecognized configuration parameter \"no_such\""),
            ("show no.such", "42704 unrecognized configuration parameter \"no.such\""),
            ("set timezone = 'Nope'", "22023 invalid value for parameter \"TimeZone\": \"Nope\""),
            ("set client_encoding = 'foo'", "22023 invalid value for parameter \"client_encoding\": \"foo\""),
            ("set x.y = 1 + 1", "42601 syntax error at or near \"+\""),
            ("set catalog 'x'", "0A000 current database cannot be changed"),
        ] {
            assert_eq!(c.query(sql).await, [format!("Error {error}"), "Ready I".to_owned()], "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_client_is_told_of_what_it_asked_to_be_told() {
    everywhere(async |c| {
        assert_eq!(
            c.query("set application_name = 'caf\u{e9} x'").await,
            ["Complete SET", "Parameter application_name=caf?? x", "Ready I"]
        );
        assert_eq!(c.query("set work_mem = '2MB'").await, ["Complete SET", "Ready I"]);
        assert_eq!(
            c.query("begin; set local timezone = 'Asia/Tokyo'").await,
            ["Complete BEGIN", "Complete SET", "Parameter TimeZone=Asia/Tokyo", "Ready T"]
        );
        let told = c.query("rollback").await;
        assert_eq!((told[0].as_str(), told[2].as_str()), ("Complete ROLLBACK", "Ready I"));
        assert!(told[1].starts_with("Parameter TimeZone="), "{told:?}");
        assert_eq!(
            c.query("set local timezone = 'Asia/Tokyo'").await,
            ["Notice WARNING 25P01 SET LOCAL can only be used in transaction blocks", "Complete SET", "Ready I"]
        );
        assert_eq!(c.query("select set_config('application_name', 'y', false)").await.last().unwrap(), "Ready I");
        assert_eq!(c.rows("show application_name").await, ["y"]);
    })
    .await;
}

#[tokio::test]
async fn the_startup_message_sets() {
    let address = shared().address;
    let options = [("options", "-c work_mem=3MB --search-path=sales -c geqo=off"), ("application_name", "it")];
    let login = Login { options: &options, ..Login::sample("sales_analyst") };
    let mut client = Client::login(address, &login).await.unwrap();
    for (name, value) in [("work_mem", "3MB"), ("search_path", "sales"), ("geqo", "off"), ("application_name", "it")] {
        assert_eq!(client.rows(&format!("show {name}")).await, [value]);
    }
    client.query("set work_mem = '8MB'; reset work_mem").await;
    assert_eq!(client.rows("show work_mem").await, ["3MB"]);
    for (option, code) in [("-c no_such=1", "42704"), ("-c work_mem=x", "22023"), ("-c fsync=off", "55P02")] {
        let options = [("options", option)];
        let refused = Client::login(address, &Login { options: &options, ..Login::sample("sales_analyst") }).await;
        assert_eq!(refused.err().unwrap().field(b'C'), code, "{option}");
    }
    assert!(client.rows("show data_directory").await[0].starts_with("Error 42501"));
    assert!(client.rows("show all").await.len() > 300);
    // what the server knows of itself
    assert_eq!(client.rows("show ssl").await, ["off"]);
    assert!(client.rows("show max_connections").await[0].parse::<u32>().is_ok());
}
