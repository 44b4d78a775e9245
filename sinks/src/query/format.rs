//! Results of queries as text: for people, for programs, for spreadsheets.

mod csv;
mod json;
mod table;

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use super::{Cell, QueryError, RowVisitor, query};

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns under a header; `NULL` where there is no value.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    /// Comma-separated values under a header (RFC 4180); nothing where there is no value.
    Csv,
}

impl Format {
    /// The names, as on the command line.
    pub const NAMES: [&'static str; 3] = ["table", "json", "csv"];
}

/// The name is no format.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no format; there are {names}", names = Format::NAMES.join(", "))]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err(UnknownFormat(name.to_owned())),
        }
    }
}

/// Runs [`query`] and writes its result to `output`. Returns the number of rows.
///
/// # Errors
/// Those of [`query`]; a closed pipe is [`QueryError::Output`].
pub fn write(
    path: &Path,
    sql: &str,
    parameters: &[Cell<'_>],
    format: Format,
    output: &mut impl Write,
) -> Result<u64, QueryError> {
    let count = match format {
        Format::Table => {
            let mut table = table::TableWriter::new(&mut *output);
            let count = query(path, sql, parameters, &mut table)?;
            table.finish().map_err(QueryError::Output)?;
            count
        }
        Format::Json => query(path, sql, parameters, &mut json::JsonWriter::new(&mut *output))?,
        Format::Csv => {
            let mut csv = csv::CsvWriter::new(&mut *output);
            let count = query(path, sql, parameters, &mut csv)?;
            csv.finish().map_err(QueryError::Output)?;
            count
        }
    };
    output.flush().map_err(QueryError::Output)?;
    Ok(count)
}

/// Bytes as SQL writes them: `x'00ff'`.
fn hex_literal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len() + 3);
    text.push_str("x'");
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text.push('\'');
    text
}

/// A number so that it reads back as the same number, and as a number with a fraction.
fn real(number: f64) -> String {
    format!("{number:?}")
}

/// The parts of a writer that the formats share.
type Written = io::Result<()>;
