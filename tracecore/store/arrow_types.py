"""Bringing Arrow schemas to the types that Delta has, so that the same rows always have the same table schema."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pat

from tracecore.errors import UsageProblem

__all__ = ["conform", "delta_schema"]

_WIDENED: dict[pa.DataType, pa.DataType] = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def _type(type_: pa.DataType, column: str) -> pa.DataType:  # noqa: PLR0911  # one answer a family of types
    """Give the Delta-representable type that holds an Arrow type's values."""
    if type_ in _WIDENED:
        return _WIDENED[type_]
    if pat.is_dictionary(type_):
        return _type(type_.value_type, column)
    if pat.is_fixed_size_binary(type_):
        return pa.binary()
    if pat.is_timestamp(type_):
        return pa.timestamp("us", tz=type_.tz and "UTC")
    if pat.is_map(type_):
        return pa.map_(_type(type_.key_type, column), _type(type_.item_type, column))
    if pat.is_struct(type_):
        return pa.struct([_field(type_.field(index)) for index in range(type_.num_fields)])
    if pat.is_list(type_) or pat.is_large_list(type_) or pat.is_fixed_size_list(type_):
        return pa.list_(_type(type_.value_type, column))
    if pat.is_null(type_) or pat.is_time(type_) or pat.is_duration(type_) or pat.is_union(type_) or pat.is_interval(type_):
        raise UsageProblem(
            f"The column '{column}' has the type {type_}, which a Delta table can't hold: cast it to a number, text, date or timestamp."
        )
    return type_


def _field(field: pa.Field) -> pa.Field:
    # Parquet's own field ids come along when a table was read from a file; they say nothing of the rows.
    metadata = {key: value for key, value in (field.metadata or {}).items() if not key.startswith(b"PARQUET:")}
    return pa.field(field.name, _type(field.type, field.name), field.nullable, metadata or None)


def delta_schema(schema: pa.Schema) -> pa.Schema:
    """Give the schema of the table that a stage's rows are written to; pandas' and Parquet's metadata are left out.

    Raises:
        UsageProblem: a column that a Delta table can't hold, or two columns of one name.
    """
    names = [name.lower() for name in schema.names]
    doubled = next((name for name in schema.names if names.count(name.lower()) > 1), None)
    if doubled is not None:
        raise UsageProblem(f"The column name '{doubled}' stands twice in the table; names that differ by case alone count as one.")
    return pa.schema([_field(field) for field in schema])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table to its Delta schema.

    Raises:
        UsageProblem: values that do not fit, or nulls where the schema allows none.
    """
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise UsageProblem(f"The column '{field.name}' holds {table.column(field.name).null_count} nulls, but its schema allows none.")
    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise UsageProblem(f"The table does not fit its schema: {error}.") from error
