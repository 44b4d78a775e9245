//! Comma-separated values.

use std::io::Write;

use super::{Cell, RowVisitor, Written, hex_literal, real};

pub(super) struct CsvWriter<W: Write>(csv::Writer<W>);

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self(csv::Writer::from_writer(output))
    }

    /// Writes what is still held back.
    pub(super) fn finish(&mut self) -> Written {
        self.0.flush()
    }
}

impl<W: Write> RowVisitor for CsvWriter<W> {
    fn columns(&mut self, names: &[&str]) -> Written {
        self.0.write_record(names).map_err(into_io)
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Written {
        for cell in cells {
            let written = match cell {
                Cell::Null => self.0.write_field(""),
                Cell::Integer(number) => self.0.write_field(number.to_string()),
                Cell::Real(number) => self.0.write_field(real(*number)),
                Cell::Text(text) => self.0.write_field(text),
                Cell::Blob(bytes) => self.0.write_field(hex_literal(bytes)),
            };
            written.map_err(into_io)?;
        }
        self.0.write_record(None::<&[u8]>).map_err(into_io)
    }
}

/// The error beneath, so that a closed pipe is still recognised as one.
fn into_io(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}
