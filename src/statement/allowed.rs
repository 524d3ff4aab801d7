//! The functions that a statement may call: a list of what is allowed, not of what is banned.
//!
//! Left out of the engine's own are those that tell of files or of the engine's types, those that make types PostgreSQL
//! does not know, and those that panic or take time or memory without bound. A function that makes large values out of
//! small ones comes behind [`Sized`](super::sized). Before all of them come the functions that PostgreSQL has its own way
//! with ([`postgres`]).

use std::sync::Arc;

use datafusion::catalog::TableFunction;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

use super::{postgres, sized};

/// Scalar functions, by name.
const SCALAR: &str = " abs acos acosh array_any_value array_append array_cat array_concat array_contains \
    array_distance array_distinct array_element array_empty array_except array_extract array_has array_has_all \
    array_has_any array_indexof array_intersect array_join array_max array_min array_pop_back \
    array_pop_front array_prepend array_push_back array_push_front array_remove \
    array_remove_all array_remove_n array_repeat array_replace array_replace_all array_replace_n array_resize \
    array_reverse array_slice array_sort array_union arrays_overlap ascii asin asinh atan atan2 atanh \
    bit_length btrim cbrt ceil char_length character_length chr coalesce concat concat_ws contains cos cosh \
    cot current_date current_time current_timestamp date_bin date_format date_part date_trunc datepart datetrunc decode \
    degrees digest element_at empty encode ends_with exp factorial find_in_set flatten floor from_unixtime gcd get_field \
    greatest ifnull initcap instr isnan iszero lcm least left length ln log log10 log2 lower lpad ltrim make_array \
    make_date make_time map map_entries map_extract map_keys map_values md5 named_struct nanvl now nullif nvl nvl2 \
    octet_length overlay pi position pow power radians rand random regexp_count regexp_instr regexp_like regexp_match \
    regexp_replace repeat replace reverse right round row rpad rtrim sha224 sha256 sha384 sha512 signum sin sinh \
    split_part sqrt starts_with strpos struct substr substr_index substring substring_index tan tanh \
    to_char to_date to_hex to_local_time to_time to_timestamp to_timestamp_micros to_timestamp_millis \
    to_timestamp_nanos to_timestamp_seconds to_unixtime today translate trim trunc upper uuid ";

/// Aggregate functions, by name.
const AGGREGATE: &str = " any_value approx_distinct approx_median array_agg avg bit_and bit_or bit_xor bool_and bool_or \
    corr count covar covar_pop covar_samp first_value grouping last_value max mean median min nth_value percentile_cont \
    quantile_cont regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev \
    stddev_pop stddev_samp string_agg sum var var_pop var_population var_samp var_sample ";

/// Window functions, by name.
const WINDOW: &str =
    " cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number ";

/// Functions that take a function, by name.
const HIGHER_ORDER: &str = " any_match array_any_match array_filter array_first array_transform ";

/// Functions in FROM, by name.
const TABLE: &str = " generate_series ";

fn is_in(list: &str, name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && list.contains(&format!(" {name} "))
}

pub fn scalar(state: &SessionState, name: &str) -> Option<Arc<ScalarUDF>> {
    if let Some(function) = postgres::scalar(name) {
        return Some(sized::bounded(&function));
    }
    let function = is_in(SCALAR, name).then(|| state.scalar_functions().get(name))??;
    Some(sized::bounded(function))
}

pub fn aggregate(state: &SessionState, name: &str) -> Option<Arc<AggregateUDF>> {
    let zone = state.config_options().execution.time_zone.as_deref();
    if let Some(function) = postgres::aggregate_function(name, zone) {
        return Some(function);
    }
    is_in(AGGREGATE, name).then(|| state.aggregate_functions().get(name).cloned())?
}

pub fn window(state: &SessionState, name: &str) -> Option<Arc<WindowUDF>> {
    is_in(WINDOW, name).then(|| state.window_functions().get(name).cloned())?
}

pub fn higher_order(state: &SessionState, name: &str) -> Option<Arc<HigherOrderUDF>> {
    is_in(HIGHER_ORDER, name).then(|| state.higher_order_functions().get(name).cloned())?
}

pub fn table(state: &SessionState, name: &str) -> Option<Arc<TableFunction>> {
    is_in(TABLE, name).then(|| state.table_functions().get(name).cloned())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::session_state::SessionStateBuilder;

    #[test]
    fn what_reaches_out_or_has_no_bound_is_not_there() {
        let state = SessionStateBuilder::new().with_default_features().build();
        for name in [
            "input_file_name",
            "file_row_index",
            "arrow_metadata",
            "arrow_field",
            "arrow_typeof",
            "arrow_cast",
            "with_metadata",
            "union_extract",
            "cast_to_type",
            "levenshtein",
            "range",
            "generate_series",
            "version",
            "",
            "a b",
            " abs ",
        ] {
            assert!(scalar(&state, name).is_none(), "{name}");
        }
        assert!(aggregate(&state, "approx_percentile_cont").is_none());
        assert!(table(&state, "range").is_none());
        assert!(table(&state, "generate_series").is_some());
    }

    /// A name on the list that the engine does not have would be a promise that is not kept.
    #[test]
    fn every_name_on_the_lists_exists() {
        let state = SessionStateBuilder::new().with_default_features().build();
        for name in SCALAR.split_whitespace() {
            assert!(scalar(&state, name).is_some(), "{name}");
        }
        assert!(AGGREGATE.split_whitespace().all(|name| aggregate(&state, name).is_some()));
        assert!(WINDOW.split_whitespace().all(|name| window(&state, name).is_some()));
        assert!(HIGHER_ORDER.split_whitespace().all(|name| higher_order(&state, name).is_some()));
    }
}
