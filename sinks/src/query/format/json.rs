//! One JSON object a line.

use std::io::Write;

use super::{Cell, RowVisitor, Written, hex_literal};

pub(super) struct JsonWriter<W> {
    output: W,
    /// The names of the columns as JSON strings, no two of them equal.
    names: Vec<String>,
}

impl<W: Write> JsonWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, names: Vec::new() }
    }
}

impl<W: Write> RowVisitor for JsonWriter<W> {
    fn columns(&mut self, names: &[&str]) -> Written {
        let mut unique: Vec<String> = Vec::new();
        for name in names {
            let candidates =
                std::iter::once((*name).to_owned()).chain((2..).map(|n: u32| format!("{name}_{n}")));
            let mut free = candidates.filter(|name| !unique.contains(name));
            let free = free.next().expect("there are more numbers than columns");
            unique.push(free);
        }
        self.names = unique.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Written {
        for (at, (name, cell)) in self.names.iter().zip(cells).enumerate() {
            write!(self.output, "{}{name}:", if at == 0 { '{' } else { ',' })?;
            match cell {
                Cell::Null => self.output.write_all(b"null")?,
                Cell::Integer(number) => write!(self.output, "{number}")?,
                Cell::Real(number) => serde_json::to_writer(&mut self.output, number)?,
                Cell::Text(text) => serde_json::to_writer(&mut self.output, text)?,
                Cell::Blob(bytes) => serde_json::to_writer(&mut self.output, &hex_literal(bytes))?,
            }
        }
        self.output.write_all(b"}\n")
    }
}
