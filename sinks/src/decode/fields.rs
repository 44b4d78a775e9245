//! The fields of a row's JSON object, each read as its column's type.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tidegate_model::EventTime;
use tidegate_model::row::{Column, ColumnType, Schema};

use super::{NUMBER_MAX, Problem, Quoted};
use crate::batch::Value;

/// The values found, by the position of their column.
pub(super) fn decode_fields(schema: &'static Schema, json: &[u8]) -> Result<Vec<Option<Value>>, Problem> {
    let mut values = vec![None; schema.columns.len()];
    let mut problem = None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let object = ObjectVisitor { schema, values: &mut values, problem: &mut problem };
    let read = deserializer.deserialize_map(object).and_then(|()| deserializer.end());
    match (read, problem) {
        (Ok(()), _) => Ok(values),
        (Err(_), Some(problem)) => Err(problem),
        (Err(error), None) => Err(Problem(format!("no JSON object of a row: {error}"))),
    }
}

/// Stops the parser. The problem itself travels beside it, without the position that `serde_json` adds.
fn stop<E: de::Error>(slot: &mut Option<Problem>, message: String) -> E {
    *slot = Some(Problem(message));
    E::custom("does not fit")
}

struct ObjectVisitor<'a> {
    schema: &'static Schema,
    values: &'a mut [Option<Value>],
    problem: &'a mut Option<Problem>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the columns of {}", self.schema.table)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let columns = self.schema.columns;
        // Rows are written in the order of the columns, so the next column is nearly always the one.
        let mut next = 0;
        while let Some(Name(name)) = fields.next_key()? {
            let at = if columns.get(next).is_some_and(|column| column.name == name) {
                Some(next)
            } else {
                columns.iter().position(|column| column.name == name)
            };
            let Some(at) = at else {
                let message = format!("{} is no column of {}", Quoted(&name), self.schema.table);
                return Err(stop(self.problem, message));
            };
            if self.values[at].is_some() {
                return Err(stop(self.problem, format!("column {name} is there twice")));
            }
            let seed = ValueSeed { column: &columns[at], problem: self.problem };
            self.values[at] = Some(fields.next_value_seed(seed)?);
            next = at + 1;
        }
        Ok(())
    }
}

/// A field's name, borrowed from the input unless it is written with escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> de::Deserialize<'de> for Name<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Reads one value as the type of its column.
struct ValueSeed<'a> {
    column: &'static Column,
    problem: &'a mut Option<Problem>,
}

impl ValueSeed<'_> {
    fn refuse<E: de::Error>(self, found: impl fmt::Display) -> E {
        let expected = match self.column.kind {
            ColumnType::Instant => "an instant such as \"2015-05-17T10:05:03.000Z\"",
            ColumnType::Text => "a string",
            ColumnType::UInt => "a whole number from 0 to 9223372036854775807",
            ColumnType::Float => "a number",
        };
        stop(self.problem, format!("column {} is {found}, expected {expected}", self.column.name))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        match self.column.kind {
            ColumnType::Text => Ok(Value::Text(text.into())),
            ColumnType::Instant => match EventTime::parse(text) {
                Ok(instant) if is_printed_with_four_digits(instant) => Ok(Value::Instant(instant)),
                _ => Err(self.refuse(Quoted(text))),
            },
            ColumnType::UInt | ColumnType::Float => Err(self.refuse(Quoted(text))),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        match self.column.kind {
            ColumnType::UInt if number <= NUMBER_MAX => Ok(Value::UInt(number)),
            ColumnType::Float => Ok(Value::Float(number as f64)),
            ColumnType::UInt | ColumnType::Instant | ColumnType::Text => Err(self.refuse(number)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        match self.column.kind {
            ColumnType::Float => Ok(Value::Float(number as f64)),
            _ => Err(self.refuse(number)),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        match self.column.kind {
            ColumnType::Float => Ok(Value::Float(number)),
            _ => Err(self.refuse(number)),
        }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Err(self.refuse(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Err(self.refuse("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Err(self.refuse("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(self.refuse("an object"))
    }
}

/// Whether the order of the text is the order of time: from the year 0000 to 9999.
fn is_printed_with_four_digits(instant: EventTime) -> bool {
    const YEAR_0: i64 = -62_167_219_200_000;
    const YEAR_10000: i64 = 253_402_300_800_000;
    (YEAR_0..YEAR_10000).contains(&instant.as_millis())
}
