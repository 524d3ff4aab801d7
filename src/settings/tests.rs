//! Settings as a session sets, shows and resets them.

use super::*;

fn settings() -> Settings {
    Settings::new("ann", &[]).unwrap()
}

#[test]
fn names_are_case_insensitive_and_sorted() {
    let mut s = settings();
    s.set("TIMEZONE", "Europe/Berlin").unwrap();
    assert_eq!(s.show("timezone").unwrap(), "Europe/Berlin");
    assert_eq!(Settings::spelled("datestyle"), "DateStyle");
    let all = s.all();
    assert!(all.windows(2).all(|w| w[0].0.to_lowercase() < w[1].0.to_lowercase()) && all.len() > 300);
}

#[test]
fn unknown_bad_and_read_only_are_refused_with_postgres_codes() {
    let mut s = settings();
    assert_eq!(s.set("my.own", "1").err(), None, "a dotted name is a custom option");
    for name in ["datafusion.execution.batch_size", "DataFusion.x", "datafusion.no_such"] {
        assert_eq!(s.set(name, "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
        assert_eq!(s.set_local(name, "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
        assert_eq!(s.set_initial(name, "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
        assert_eq!(s.reset(name).unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
        assert_eq!(s.show(name).unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
    }
    assert_eq!(s.set("no_such", "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
    assert_eq!(s.set("TimeZone", "Mars/Base").unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
    assert_eq!(s.set("server_version", "9").unwrap_err().sqlstate(), SqlState::CANT_CHANGE_RUNTIME_PARAM);
    assert_eq!(s.set("session_authorization", "bob").unwrap_err().sqlstate(), SqlState::CANT_CHANGE_RUNTIME_PARAM);
    assert_eq!(s.set("row_security", "off").unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
    assert_eq!(s.set("transaction_read_only", "off").unwrap_err().sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(s.show("no_such").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
    assert_eq!(s.show("session_authorization").unwrap(), "ann");
}

#[test]
fn timeouts_take_units_and_show_the_largest() {
    let mut s = settings();
    s.set("statement_timeout", "1min").unwrap();
    assert_eq!(s.statement_timeout(), Some(Duration::from_mins(1)));
    assert_eq!(s.show("statement_timeout").unwrap(), "1min");
    s.set("statement_timeout", "1500").unwrap();
    assert_eq!(s.show("statement_timeout").unwrap(), "1500ms");
    s.set("statement_timeout", "0").unwrap();
    assert_eq!(s.statement_timeout(), None);
    assert!(s.set("statement_timeout", "soon").is_err());
    assert!(s.set("statement_timeout", "-1").is_err());
}

/// What PostgreSQL 15 answers to the same.
#[test]
fn values_are_read_and_shown_as_postgres_does() {
    let mut s = settings();
    for (name, value, shown) in [
        ("work_mem", "1.5MB", "1536kB"),
        ("work_mem", " 10 MB ", "10MB"),
        ("work_mem", "64", "64kB"),
        ("enable_seqscan", "of", "off"),
        ("jit", "1", "on"),
        ("vacuum_cost_delay", "1ms", "1ms"),
        ("vacuum_cost_delay", "1.5us", "1.5us"),
        ("statement_timeout", "1.5s", "1500ms"),
        ("seq_page_cost", "1.5", "1.5"),
        ("bytea_output", "ESCAPE", "escape"),
        ("application_name", "caf\u{e9}", "caf??"),
        ("client_encoding", "SQL-ASCII", "SQL_ASCII"),
        ("synchronous_commit", "yes", "on"),
        ("default_transaction_read_only", "off", "off"),
    ] {
        s.set(name, value).unwrap();
        assert_eq!(s.show(name).unwrap(), shown, "{name} = {value}");
    }
    for (name, shown) in [
        ("shared_buffers", "128MB"),
        ("wal_buffers", "4MB"),
        ("max_stack_depth", "2MB"),
        ("data_directory_mode", "0700"),
        ("autovacuum_naptime", "1min"),
        ("max_connections", "100"),
        ("random_page_cost", "4"),
        ("search_path", "\"$user\", public, data_catalog"),
    ] {
        assert_eq!(s.show(name).unwrap(), shown, "{name}");
    }
    for (name, value, code, message) in [
        ("work_mem", "abc", "22023", "invalid value for parameter \"work_mem\": \"abc\""),
        ("work_mem", "5xx", "22023", "invalid value for parameter \"work_mem\": \"5xx\""),
        ("work_mem", "5", "22023", "5 kB is outside the valid range for parameter \"work_mem\" (64 .. 2147483647)"),
        ("enable_seqscan", "2", "22023", "parameter \"enable_seqscan\" requires a Boolean value"),
        (
            "seq_page_cost",
            "-1",
            "22023",
            "-1 is outside the valid range for parameter \"seq_page_cost\" (0 .. 1.79769e+308)",
        ),
        (
            "max_connections",
            "3",
            "55P02",
            "parameter \"max_connections\" cannot be changed without restarting the server",
        ),
        ("fsync", "off", "55P02", "parameter \"fsync\" cannot be changed now"),
        (
            "ignore_system_indexes",
            "on",
            "55P02",
            "parameter \"ignore_system_indexes\" cannot be set after connection start",
        ),
        ("log_statement", "all", "42501", "permission denied to set parameter \"log_statement\""),
        (
            "statement_timeout",
            "-5",
            "22023",
            "-5 ms is outside the valid range for parameter \"statement_timeout\" (0 .. 2147483647)",
        ),
        ("intervalstyle", "foo", "22023", "invalid value for parameter \"intervalstyle\": \"foo\""),
        ("client_encoding", "foo", "22023", "invalid value for parameter \"client_encoding\": \"foo\""),
        ("client_encoding", "latin1", "0A000", "invalid value for parameter \"client_encoding\": \"latin1\""),
    ] {
        let error = s.set(name, value).unwrap_err();
        assert_eq!((error.sqlstate().code(), error.message()), (code, message), "{name} = {value}");
    }
    assert_eq!(s.show("data_directory").unwrap_err().sqlstate(), SqlState::INSUFFICIENT_PRIVILEGE);
}

#[test]
fn a_statement_timeout_has_a_ceiling() {
    let max = Duration::from_mins(1);
    let mut s = settings();
    s.limit_statement_timeout(max).unwrap();
    assert_eq!(s.statement_timeout(), Some(max));
    for raised in ["0", "2min", "1d"] {
        s.set_initial("statement_timeout", raised).unwrap();
        assert_eq!(s.show("statement_timeout").unwrap(), "1min", "{raised} in the startup message");
        s.set("statement_timeout", raised).unwrap();
        s.set_local("statement_timeout", raised).unwrap();
        assert_eq!(s.show("statement_timeout").unwrap(), "1min", "{raised}");
    }
    s.set("statement_timeout", "5s").unwrap();
    assert_eq!(s.statement_timeout(), Some(Duration::from_secs(5)), "shorter is the session's own business");
    s.reset("statement_timeout").unwrap();
    assert_eq!(s.statement_timeout(), Some(max));
    s.set("idle_in_transaction_session_timeout", "2h").unwrap();
    assert_eq!(s.idle_in_transaction_session_timeout(), Some(Duration::from_hours(2)));
    let mut short = Settings::new("ann", &[("statement_timeout", "5000".to_owned())]).unwrap();
    short.limit_statement_timeout(max).unwrap();
    assert_eq!(short.show("statement_timeout").unwrap(), "5s");
    short.limit_statement_timeout(Duration::ZERO).unwrap();
    short.set("statement_timeout", "0").unwrap();
    assert_eq!(short.statement_timeout(), None);
}

#[test]
fn break_glass_is_set_by_no_ordinary_way() {
    let mut s = settings();
    let reason = "the nightly load deleted orders";
    let code = |result: Result<()>| result.unwrap_err().sqlstate();
    for name in [BREAK_GLASS, "MESH.Break_Glass"] {
        assert_eq!(code(s.set(name, reason)), SqlState::INSUFFICIENT_PRIVILEGE);
        assert_eq!(code(s.set_local(name, reason)), SqlState::INSUFFICIENT_PRIVILEGE);
        assert_eq!(code(s.set_initial(name, reason)), SqlState::INSUFFICIENT_PRIVILEGE);
    }
    assert_eq!((s.break_glass(), s.show(BREAK_GLASS).unwrap().as_str()), (None, ""));
    s.begin_break_glass(reason, false);
    assert_eq!((s.break_glass(), s.show(BREAK_GLASS).unwrap().as_str()), (Some(reason), reason));
    s.reset(BREAK_GLASS).unwrap();
    assert_eq!(s.break_glass(), None);
    s.begin_break_glass(reason, true);
    assert_eq!(s.break_glass(), Some(reason));
    s.end_local();
    assert_eq!(s.break_glass(), None);
    s.begin_break_glass(reason, false);
    s.reset_all();
    assert_eq!(s.break_glass(), None);
}

#[test]
fn a_reason_says_something() {
    assert_eq!(break_glass_reason("  ten chars!  ").unwrap(), "ten chars!");
    for text in ["", "why", "         x         ", &"x".repeat(REASON_CHARS_MAX + 1)] {
        assert_eq!(break_glass_reason(text).unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
    }
}

#[test]
fn the_moment_is_read_in_the_session_s_zone_and_kept_as_one() {
    let mut s = settings();
    assert_eq!((s.as_of(), s.show("mesh.as_of").unwrap().as_str()), (None, ""));
    s.set("TimeZone", "Asia/Tokyo").unwrap();
    s.set("Mesh.AS_OF", "2026-05-01 12:00").unwrap();
    s.set("TimeZone", "UTC").unwrap();
    assert_eq!(s.show("mesh.as_of").unwrap(), "2026-05-01 03:00:00+00");
    assert_eq!(s.as_of().unwrap().timestamp(), 1_777_604_400);
    let refused = s.set("mesh.as_of", "soon").unwrap_err();
    assert_eq!(refused.sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
    assert!(refused.report().hint.is_some() && s.as_of().is_some());
    s.set_local("mesh.as_of", "").unwrap();
    assert_eq!(s.as_of(), None);
    s.end_local();
    assert!(s.as_of().is_some());
    s.reset("mesh.as_of").unwrap();
    assert_eq!(s.as_of(), None);
    assert_eq!(s.set("mesh.asof", "2026-05-01").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
}

#[test]
fn reset_goes_back_to_what_the_startup_message_said() {
    let mut s = settings();
    s.set_initial("application_name", "psql").unwrap();
    s.set("application_name", "other").unwrap();
    s.set("TimeZone", "Asia/Tokyo").unwrap();
    s.reset_all();
    assert_eq!(s.show("application_name").unwrap(), "psql");
    assert_eq!(s.time_zone().name(), "UTC");
    assert_eq!(s.reset("no_such").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
}

#[test]
fn set_local_ends_with_the_transaction() {
    let mut s = settings();
    s.set("application_name", "a").unwrap();
    s.set_local("application_name", "b").unwrap();
    s.set_local("TimeZone", "Asia/Tokyo").unwrap();
    s.set_local("application_name", "c").unwrap();
    s.end_local();
    assert_eq!(s.show("application_name").unwrap(), "a");
    assert_eq!(s.time_zone().name(), "UTC");
}

#[test]
fn a_plain_set_or_reset_after_set_local_outlives_the_transaction() {
    let mut s = settings();
    for name in ["application_name", "my.own"] {
        s.set(name, "before").unwrap();
        s.set_local(name, "local").unwrap();
        s.set(name, "kept").unwrap();
        s.end_local();
        assert_eq!(s.show(name).unwrap(), "kept", "{name}");
    }
    s.set_local("application_name", "local").unwrap();
    s.reset("application_name").unwrap();
    s.end_local();
    assert_eq!(s.show("application_name").unwrap(), "");
    s.set("application_name", "a").unwrap();
    s.set_local("application_name", "local").unwrap();
    s.reset_all();
    s.end_local();
    assert_eq!(s.show("application_name").unwrap(), "");
}

#[test]
fn set_local_to_default_ends_with_the_transaction() {
    let mut s = settings();
    s.set("TimeZone", "Asia/Tokyo").unwrap();
    s.reset_local("TimeZone").unwrap();
    assert_eq!(s.time_zone().name(), "UTC");
    s.end_local();
    assert_eq!(s.time_zone().name(), "Asia/Tokyo");
    assert!(s.reset_local("no_such").is_err());
}

#[test]
fn a_copy_costs_nothing_until_something_changes() {
    let mut s = settings();
    s.set("application_name", "abc").unwrap();
    let copy = s.clone();
    assert_eq!(copy.bytes_beside(&s), 0);
    s.set("my.own", "12345").unwrap();
    assert_eq!(s.bytes_beside(&copy), "application_nameabcmy.own12345".len());
    assert_eq!(copy.show("my.own").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
    let copy = s.clone();
    s.set_local("my.own", "6").unwrap();
    assert!(s.bytes_beside(&copy) > 0);
}

#[test]
fn search_path_is_split_with_quotes() {
    let mut s = settings();
    s.set("search_path", "Sales, \"Odd \"\"Name\"").unwrap();
    assert_eq!(s.search_path(), ["sales", "Odd \"Name"]);
}

#[test]
fn date_style_has_a_form_and_an_order() {
    let mut s = settings();
    s.set("datestyle", "dmy").unwrap();
    assert_eq!(s.show("DateStyle").unwrap(), "ISO, DMY");
    s.set("datestyle", "German").unwrap();
    assert_eq!(s.show("DateStyle").unwrap(), "German, DMY");
    assert!(s.date_style().day_first);
    let refused = s.set("datestyle", "Foo").unwrap_err();
    assert_eq!(refused.report().detail.as_deref(), Some("Unrecognized key word: \"foo\"."));
}

#[test]
fn custom_options_are_bounded() {
    let mut s = settings();
    for i in 0..CUSTOM_SETTINGS_MAX {
        s.set(&format!("app.k{i}"), "v").unwrap();
    }
    assert_eq!(s.set("app.more", "v").unwrap_err().sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
    assert!(s.set("1.bad", "v").is_err());
}
