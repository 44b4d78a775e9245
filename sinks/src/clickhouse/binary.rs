//! The format `RowBinary`: values one after the other, without names.
//!
//! Whole numbers are little-endian; a string is its length as a LEB128 and its bytes; an instant is its
//! milliseconds since 1970 as an `Int64`. The bytes of a key's values, in the order of the key, also
//! serve as the key itself: they are equal exactly when the values are.

use tidegate_model::row::{ColumnType, Schema};

use crate::batch::Value;

/// A key is rarely longer.
const KEY_BYTES: usize = 64;

pub(super) fn put_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Instant(instant) => bytes.extend(instant.as_millis().to_le_bytes()),
        Value::Text(text) => put_text(bytes, text.as_bytes()),
        Value::UInt(number) => bytes.extend(number.to_le_bytes()),
        Value::Float(number) => bytes.extend(number.to_le_bytes()),
    }
}

pub(super) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("below 128"));
    bytes.extend(text);
}

pub(super) fn put_optional(bytes: &mut Vec<u8>, number: Option<u64>) {
    bytes.push(u8::from(number.is_none()));
    bytes.extend(number.map(u64::to_le_bytes).into_iter().flatten());
}

/// The key of a row of `schema`, as bytes.
pub(super) fn key_of_row(schema: &Schema, values: &[Value]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(KEY_BYTES);
    for name in schema.key {
        let at = schema.columns.iter().position(|column| column.name == *name);
        put_value(&mut bytes, &values[at.expect("a key consists of columns of its table")]);
    }
    bytes.into()
}

/// A key that is already in the order of the key, as bytes.
pub(super) fn key_of_values(key: &[Value]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(KEY_BYTES);
    for value in key {
        put_value(&mut bytes, value);
    }
    bytes.into()
}

/// The bytes ended, or a length is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer ends in the middle of a row")]
pub(super) struct Truncated;

/// Reads values from the front of a slice.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        Ok(self.take(N)?.try_into().expect("so many were taken"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, Truncated> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn optional(&mut self) -> Result<Option<u64>, Truncated> {
        let [is_null] = self.array()?;
        if is_null == 0 { self.u64().map(Some) } else { Ok(None) }
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], Truncated> {
        let mut length = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return self.take(length);
            }
        }
        Err(Truncated)
    }

    pub(super) fn string(&mut self) -> Result<String, Truncated> {
        Ok(String::from_utf8_lossy(self.text()?).into_owned())
    }

    /// The bytes of a value.
    pub(super) fn value(&mut self, kind: ColumnType) -> Result<&'a [u8], Truncated> {
        let before = self.0;
        match kind {
            ColumnType::Text => self.text().map(drop)?,
            ColumnType::Instant | ColumnType::UInt | ColumnType::Float => self.take(8).map(drop)?,
        }
        Ok(&before[..before.len() - self.0.len()])
    }

    /// The bytes of a key of `schema`.
    pub(super) fn key(&mut self, schema: &Schema) -> Result<&'a [u8], Truncated> {
        let before = self.0;
        for name in schema.key {
            let column = schema.columns.iter().find(|column| column.name == *name);
            self.value(column.expect("a key consists of columns of its table").kind)?;
        }
        Ok(&before[..before.len() - self.0.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::EventTime;
    use tidegate_model::row::{EventMetrics, MetricRow};

    #[test]
    fn what_was_put_is_read() {
        for length in [0, 1, 127, 128, 16_383, 16_384] {
            let text = vec![7; length];
            let mut bytes = Vec::new();
            put_text(&mut bytes, &text);
            put_optional(&mut bytes, None);
            put_optional(&mut bytes, Some(u64::MAX));
            let mut reader = Reader(&bytes);
            assert_eq!(reader.text(), Ok(&text[..]));
            assert_eq!((reader.optional(), reader.optional()), (Ok(None), Ok(Some(u64::MAX))));
            assert!(reader.is_empty());
            assert_eq!(Reader(&bytes[..length]).text(), Err(Truncated));
        }
    }

    #[test]
    fn a_key_is_the_same_from_a_row_from_its_values_and_from_an_answer() {
        let schema = &EventMetrics::SCHEMA;
        let (start, end) = (EventTime::from_millis(-1), EventTime::from_millis(60_000));
        let text = Value::Text("click".into());
        let (start, end) = (Value::Instant(start), Value::Instant(end));
        let row = [start.clone(), end.clone(), text.clone(), Value::UInt(1), Value::UInt(1)];
        let key = key_of_row(schema, &row);
        assert_eq!(key, key_of_values(&[start, text, end]));
        assert_eq!(&key[..9], [255, 255, 255, 255, 255, 255, 255, 255, 5]);
        let mut answer = key.to_vec();
        answer.extend(9_u64.to_le_bytes());
        let mut reader = Reader(&answer);
        assert_eq!(reader.key(schema), Ok(&*key));
        assert_eq!(reader.u64(), Ok(9));
    }
}
