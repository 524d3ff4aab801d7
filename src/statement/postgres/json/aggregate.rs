//! `json_agg`, `json_object_agg` and the same as `jsonb` (PostgreSQL 15, table 9.59).
//!
//! The engine's `array_agg` keeps the rows, in the order and with the DISTINCT that was asked for; what was kept becomes
//! JSON at the end. Objects keep their members as text.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as EngineResult, ScalarValue, exec_err};
use datafusion::functions_aggregate::array_agg::ArrayAgg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::super::function::Env;
use super::function::{Form, Give, Texts, check_size};
use super::write::Writer;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::read::json;
use crate::pgtype::show;
use crate::pgtype::show::json::text_of;
use crate::settings::time_zone::TimeZone;
use crate::statement::functions::call::{no_such_function, to_engine};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Array,
    Object,
}

const NAMES: [(&str, Shape, Form); 4] = [
    ("json_agg", Shape::Array, Form::Json),
    ("jsonb_agg", Shape::Array, Form::Jsonb),
    ("json_object_agg", Shape::Object, Form::Json),
    ("jsonb_object_agg", Shape::Object, Form::Jsonb),
];

/// The aggregate of this name; moments with time zone are written in `zone`.
pub fn function(name: &str, zone: Option<&str>) -> Option<Arc<AggregateUDF>> {
    let (name, shape, form) = *NAMES.iter().find(|(known, ..)| *known == name)?;
    let aggregate = JsonAggregate {
        name,
        shape,
        form,
        zone: zone.and_then(TimeZone::parse).unwrap_or(TimeZone::UTC),
        signature: Signature::user_defined(Volatility::Immutable),
        rows: Arc::new(ArrayAgg::default()),
    };
    Some(Arc::new(AggregateUDF::new_from_impl(aggregate)))
}

/// Whether it is one of these.
pub fn is_ours(name: &str) -> bool {
    NAMES.iter().any(|(known, ..)| *known == name)
}

#[derive(Debug)]
struct JsonAggregate {
    name: &'static str,
    shape: Shape,
    form: Form,
    zone: TimeZone,
    signature: Signature,
    /// What keeps the rows. It knows whether they come in order.
    rows: Arc<dyn AggregateUDFImpl>,
}

impl PartialEq for JsonAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone && *self.rows == *other.rows
    }
}

impl Eq for JsonAggregate {}

impl Hash for JsonAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl JsonAggregate {
    fn maker(&self, fields: &[FieldRef]) -> EngineResult<Maker> {
        let Some(field) = fields.first() else { return exec_err!("{} takes an argument", self.name) };
        Ok(Maker {
            shape: self.shape,
            form: self.form,
            zone: self.zone,
            key: Arc::clone(field),
            value: Arc::clone(fields.get(1).unwrap_or(field)),
        })
    }

    /// What is kept of each row.
    fn kept(&self, fields: &[FieldRef]) -> Vec<FieldRef> {
        match self.shape {
            Shape::Array => fields.iter().take(1).cloned().collect(),
            Shape::Object => vec![Arc::new(Field::new("member", DataType::Utf8, true))],
        }
    }

    /// Calls `make` with the arguments of the aggregate that keeps the rows.
    fn within<T>(
        &self,
        args: &AccumulatorArgs<'_>,
        make: impl FnOnce(&dyn AggregateUDFImpl, AccumulatorArgs<'_>) -> EngineResult<T>,
    ) -> EngineResult<T> {
        let kept = self.kept(args.expr_fields);
        let (Some(field), Some(exprs)) = (kept.first(), args.exprs.get(..1)) else {
            return exec_err!("{} takes an argument", self.name);
        };
        let list = DataType::List(Arc::new(Field::new_list_field(field.data_type().clone(), true)));
        make(
            self.rows.as_ref(),
            AccumulatorArgs {
                return_field: Arc::new(Field::new("rows", list, true)),
                schema: args.schema,
                ignore_nulls: false,
                order_bys: args.order_bys,
                is_reversed: args.is_reversed,
                name: args.name,
                is_distinct: args.is_distinct,
                exprs,
                expr_fields: &kept,
            },
        )
    }
}

impl AggregateUDFImpl for JsonAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field(&self, fields: &[FieldRef]) -> EngineResult<FieldRef> {
        let wanted = if self.shape == Shape::Array { 1 } else { 2 };
        if fields.len() != wanted {
            return Err(no_such_function(self.name, fields));
        }
        Ok(Arc::new(Give::Of(self.form).field(self.name)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> EngineResult<Vec<FieldRef>> {
        let kept = self.kept(args.input_fields);
        self.rows.state_fields(StateFieldsArgs { input_fields: &kept, ..args })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.rows.order_sensitivity()
    }

    fn with_beneficial_ordering(self: Arc<Self>, beneficial: bool) -> EngineResult<Option<Arc<dyn AggregateUDFImpl>>> {
        let Some(rows) = Arc::clone(&self.rows).with_beneficial_ordering(beneficial)? else { return Ok(None) };
        Ok(Some(Arc::new(Self {
            name: self.name,
            shape: self.shape,
            form: self.form,
            zone: self.zone,
            signature: self.signature.clone(),
            rows,
        })))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> EngineResult<Box<dyn Accumulator>> {
        let maker = self.maker(args.expr_fields)?;
        let rows = self.within(&args, AggregateUDFImpl::accumulator)?;
        Ok(Box::new(Collected { maker, rows }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.within(&args, |rows, args| Ok(rows.groups_accumulator_supported(args))).unwrap_or(false)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> EngineResult<Box<dyn GroupsAccumulator>> {
        let maker = self.maker(args.expr_fields)?;
        let rows = self.within(&args, AggregateUDFImpl::create_groups_accumulator)?;
        Ok(Box::new(CollectedGroups { maker, rows }))
    }
}

/// Makes JSON of what was kept.
#[derive(Debug)]
struct Maker {
    shape: Shape,
    form: Form,
    zone: TimeZone,
    /// The arguments; of an array both are the same.
    key: FieldRef,
    value: FieldRef,
}

impl Maker {
    fn env(&self) -> Env {
        Env { zone: self.zone }
    }

    /// What is kept of these rows, where a filter lets them through; behind the arguments comes what is ordered by.
    fn kept(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        if self.shape == Shape::Array {
            return Ok(values.to_vec());
        }
        let [keys, members, rest @ ..] = values else { return Err(Error::internal("an object has keys and values")) };
        let (env, mut texts, mut buffer) = (self.env(), Texts::new(), BytesMut::new());
        let (keys_of, values_of) = (Writer::new(&self.key, keys)?, Writer::new(&self.value, members)?);
        for row in 0..keys.len() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                texts.push(None)?;
                continue;
            }
            if keys_of.is_null(row) {
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "field name must not be null"));
            }
            buffer.clear();
            keys_of.key(row, &env, &mut buffer)?;
            buffer.put_slice(b" : ");
            values_of.write(row, &env, &mut buffer)?;
            texts.push(Some(text_of(&buffer)?))?;
        }
        let mut kept = vec![texts.finish()];
        kept.extend(rest.iter().cloned());
        Ok(kept)
    }

    /// A value for each list of what was kept; none for a group without rows.
    fn made(&self, lists: &ArrayRef) -> Result<ArrayRef> {
        let Some(lists) = lists.as_list_opt::<i32>() else {
            return Err(Error::internal("an aggregate of JSON keeps lists"));
        };
        let field = match self.shape {
            Shape::Array => Arc::clone(&self.key),
            // members are JSON already
            Shape::Object => Arc::new(Give::Of(Form::Json).field("member")),
        };
        let values = Writer::new(&field, lists.values())?;
        let (env, mut texts, mut buffer) = (self.env(), Texts::new(), BytesMut::new());
        let (open, close): (&[u8], &[u8]) = if self.shape == Shape::Array { (b"[", b"]") } else { (b"{ ", b" }") };
        for row in 0..lists.len() {
            if lists.is_null(row) {
                texts.push(None)?;
                continue;
            }
            buffer.clear();
            buffer.put_slice(open);
            let offsets = lists.value_offsets();
            for (position, item) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                if position > 0 {
                    buffer.put_slice(b", ");
                    if values.is_array_or_record() && !values.is_null(item) {
                        buffer.put_slice(b"\n ");
                    }
                }
                values.write(item, &env, &mut buffer)?;
                check_size(buffer.len())?;
            }
            buffer.put_slice(close);
            if self.form == Form::Jsonb {
                let mut normal = BytesMut::with_capacity(buffer.len());
                show::json::write(&json::parse(text_of(&buffer)?)?, &mut normal)?;
                texts.push(Some(text_of(&normal)?))?;
            } else {
                texts.push(Some(text_of(&buffer)?))?;
            }
        }
        Ok(texts.finish())
    }
}

#[derive(Debug)]
struct Collected {
    maker: Maker,
    rows: Box<dyn Accumulator>,
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> EngineResult<()> {
        self.rows.update_batch(&self.maker.kept(values, None).map_err(to_engine)?)
    }

    fn evaluate(&mut self) -> EngineResult<ScalarValue> {
        let lists = self.rows.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&self.maker.made(&lists).map_err(to_engine)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.size()
    }

    fn state(&mut self) -> EngineResult<Vec<ScalarValue>> {
        self.rows.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> EngineResult<()> {
        self.rows.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> EngineResult<()> {
        self.rows.retract_batch(&self.maker.kept(values, None).map_err(to_engine)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.rows.supports_retract_batch()
    }
}

struct CollectedGroups {
    maker: Maker,
    rows: Box<dyn GroupsAccumulator>,
}

impl GroupsAccumulator for CollectedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> EngineResult<()> {
        let kept = self.maker.kept(values, filter).map_err(to_engine)?;
        self.rows.update_batch(&kept, group_indices, filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> EngineResult<ArrayRef> {
        let lists = self.rows.evaluate(emit_to)?;
        self.maker.made(&lists).map_err(to_engine)
    }

    fn state(&mut self, emit_to: EmitTo) -> EngineResult<Vec<ArrayRef>> {
        self.rows.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> EngineResult<()> {
        self.rows.merge_batch(values, group_indices, total_num_groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> EngineResult<Vec<ArrayRef>> {
        let kept = self.maker.kept(values, filter).map_err(to_engine)?;
        self.rows.convert_to_state(&kept, filter)
    }

    fn size(&self) -> usize {
        self.rows.size()
    }
}
