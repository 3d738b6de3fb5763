//! Rows of typed columns, into Parquet or JSON Lines, one at a time.
//!
//! Parquet is written by levels, without Arrow. Columns of [`Kind::Json`] are text in Parquet, with
//! the logical type JSON and the mark by which `datasets` gives them back as objects: trainers want
//! the arguments of a call as an object, and a column of objects with other fields in every row would
//! be filled up with nulls.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::error::{ExportError, Result};

/// A row group is written when its rows hold this many bytes.
const GROUP_BYTES: usize = 32 << 20;

/// What a column holds. Everything may be null.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers.
    Int64,
    /// Numbers of 32 bits.
    Float32,
    /// Numbers of 64 bits.
    Float64,
    /// Text.
    Text,
    /// A JSON value, as text.
    Json,
    /// Lists of one kind.
    List(Box<Kind>),
    /// Named fields.
    Struct(Vec<(&'static str, Kind)>),
}

impl Kind {
    /// A list of these.
    pub fn list(self) -> Self {
        Self::List(Box::new(self))
    }

    /// What `datasets` calls it.
    fn feature(&self) -> serde_json::Value {
        use serde_json::json;
        let value = |dtype: &str| json!({"dtype": dtype, "_type": "Value"});
        match self {
            Self::Bool => value("bool"),
            Self::Int32 => value("int32"),
            Self::Int64 => value("int64"),
            Self::Float32 => value("float32"),
            Self::Float64 => value("float64"),
            Self::Text => value("string"),
            Self::Json => json!({"_type": "Json"}),
            Self::List(of) => json!({"feature": of.feature(), "_type": "List"}),
            Self::Struct(fields) => {
                let all = fields.iter().map(|(name, kind)| ((*name).to_owned(), kind.feature()));
                serde_json::Value::Object(all.collect())
            }
        }
    }

    fn declare(&self, name: &str) -> std::result::Result<TypePtr, ParquetError> {
        let plain = |physical, logical: Option<LogicalType>| {
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
                .map(Arc::new)
        };
        match self {
            Self::Bool => plain(Physical::BOOLEAN, None),
            Self::Int32 => plain(Physical::INT32, None),
            Self::Int64 => plain(Physical::INT64, None),
            Self::Float32 => plain(Physical::FLOAT, None),
            Self::Float64 => plain(Physical::DOUBLE, None),
            Self::Text => plain(Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Json => plain(Physical::BYTE_ARRAY, Some(LogicalType::Json)),
            Self::List(of) => {
                let middle = Type::group_type_builder("list")
                    .with_repetition(Repetition::REPEATED)
                    .with_fields(vec![of.declare("element")?])
                    .build()?;
                Type::group_type_builder(name)
                    .with_repetition(Repetition::OPTIONAL)
                    .with_logical_type(Some(LogicalType::List))
                    .with_fields(vec![Arc::new(middle)])
                    .build()
                    .map(Arc::new)
            }
            Self::Struct(fields) => {
                let fields = fields.iter().map(|(name, kind)| kind.declare(name));
                Type::group_type_builder(name)
                    .with_repetition(Repetition::OPTIONAL)
                    .with_fields(fields.collect::<std::result::Result<_, _>>()?)
                    .build()
                    .map(Arc::new)
            }
        }
    }
}

/// One value of a row. Fields of a struct stand in the order of its [`Kind::Struct`].
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, of 32 bits where the column says so.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text, or JSON as text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Cell<'a>>),
    /// Whole numbers of a list of such.
    Ints(Vec<i64>),
    /// Numbers of a list of such.
    Floats(Vec<f64>),
    /// Fields.
    Struct(Vec<Cell<'a>>),
}

impl<'a> Cell<'a> {
    /// Text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Text, or null.
    pub fn maybe(text: Option<impl Into<Cow<'a, str>>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    /// Any value as JSON.
    pub fn json(value: &impl serde::Serialize) -> Self {
        serde_json::to_string(value).map_or(Self::Null, Self::text)
    }
}

/// Names and kinds of the columns.
pub type Columns = Vec<(&'static str, Kind)>;

/// In which form rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileForm {
    /// Parquet, packed with Zstandard.
    #[default]
    Parquet,
    /// JSON, one row a line.
    Jsonl,
}

impl FileForm {
    /// What the names of such files end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Writes a table.
pub struct Table {
    path: PathBuf,
    columns: Columns,
    rows: u64,
    out: Out,
}

enum Out {
    Parquet(Box<Levels>),
    Jsonl(BufWriter<fs::File>, String),
}

impl Table {
    /// Begins a file.
    pub fn create(path: &Path, form: FileForm, columns: Columns) -> Result<Self> {
        let file = fs::File::create(path)?;
        let out = match form {
            FileForm::Parquet => Out::Parquet(Box::new(
                Levels::new(file, &columns).map_err(|source| parquet_error(path, source))?,
            )),
            FileForm::Jsonl => Out::Jsonl(BufWriter::with_capacity(256 << 10, file), String::new()),
        };
        Ok(Self { path: path.to_owned(), columns, rows: 0, out })
    }

    /// Adds a row: a cell for each column.
    pub fn write(&mut self, row: &[Cell<'_>]) -> Result<()> {
        self.rows += 1;
        match &mut self.out {
            Out::Parquet(levels) => {
                levels.write(&self.columns, row).map_err(|e| parquet_error(&self.path, e))
            }
            Out::Jsonl(out, line) => {
                line.clear();
                put_fields(line, &self.columns, row);
                line.push('\n');
                Ok(out.write_all(line.as_bytes())?)
            }
        }
    }

    /// Ends the file and says how many rows it has.
    pub fn finish(self) -> Result<u64> {
        match self.out {
            Out::Parquet(levels) => {
                let mut out = levels.finish().map_err(|e| parquet_error(&self.path, e))?;
                out.flush()?;
                out.get_ref().sync_data()?;
            }
            Out::Jsonl(mut out, _) => {
                out.flush()?;
                out.get_ref().sync_data()?;
            }
        }
        Ok(self.rows)
    }
}

fn parquet_error(path: &Path, source: ParquetError) -> ExportError {
    ExportError::Parquet { path: path.to_owned(), source }
}

fn put_fields(line: &mut String, columns: &[(&'static str, Kind)], row: &[Cell<'_>]) {
    line.push('{');
    let mut first = true;
    for ((name, kind), cell) in columns.iter().zip(row) {
        // Absent and null are one thing to who reads a table; templates tell them apart.
        if matches!(cell, Cell::Null) {
            continue;
        }
        if !std::mem::take(&mut first) {
            line.push_str(", ");
        }
        let _ = write!(line, "\"{name}\": ");
        put(line, kind, cell);
    }
    line.push('}');
}

fn put(line: &mut String, kind: &Kind, cell: &Cell<'_>) {
    match (kind, cell) {
        (_, Cell::Null) => line.push_str("null"),
        (_, Cell::Bool(value)) => line.push_str(if *value { "true" } else { "false" }),
        (_, Cell::Int(value)) => {
            let _ = write!(line, "{value}");
        }
        (_, Cell::Float(value)) => put_float(line, *value),
        (Kind::Json, Cell::Text(text)) => line.push_str(text),
        (_, Cell::Text(text)) => {
            line.push_str(&serde_json::to_string(&**text).unwrap_or_default());
        }
        (Kind::Struct(fields), Cell::Struct(cells)) => put_fields(line, fields, cells),
        (_, Cell::Struct(_)) => line.push_str("null"),
        (kind, Cell::List(cells)) => {
            let of = match kind {
                Kind::List(of) => of,
                other => other,
            };
            let mut between = "[";
            for cell in cells {
                line.push_str(std::mem::replace(&mut between, ", "));
                put(line, of, cell);
            }
            line.push_str(if cells.is_empty() { "[]" } else { "]" });
        }
        (_, Cell::Ints(all)) => {
            let mut between = "[";
            for value in all {
                let _ = write!(line, "{}{value}", std::mem::replace(&mut between, ", "));
            }
            line.push_str(if all.is_empty() { "[]" } else { "]" });
        }
        (_, Cell::Floats(all)) => {
            let mut between = "[";
            for value in all {
                line.push_str(std::mem::replace(&mut between, ", "));
                put_float(line, *value);
            }
            line.push_str(if all.is_empty() { "[]" } else { "]" });
        }
    }
}

fn put_float(line: &mut String, value: f64) {
    // JSON has no infinities.
    line.push_str(&serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned()));
}

/// The values of one leaf for the rows of a group.
enum Values {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

struct Leaf {
    defs: Vec<i16>,
    reps: Vec<i16>,
    values: Values,
}

struct Levels {
    out: SerializedFileWriter<BufWriter<fs::File>>,
    leaves: Vec<Leaf>,
    bytes: usize,
}

impl Levels {
    fn new(file: fs::File, columns: &Columns) -> std::result::Result<Self, ParquetError> {
        let fields = columns.iter().map(|(name, kind)| kind.declare(name));
        let root = Type::group_type_builder("schema")
            .with_repetition(Repetition::REQUIRED)
            .with_fields(fields.collect::<std::result::Result<_, _>>()?)
            .build()?;
        let features = Kind::Struct(columns.clone()).feature();
        let info = serde_json::json!({"info": {"features": features}}).to_string();
        let properties = WriterProperties::builder()
            .set_created_by("palestra".to_owned())
            .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::default()))
            .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), info)]))
            // Nobody filters training sets by ranges of their text.
            .set_statistics_enabled(EnabledStatistics::None)
            .set_write_batch_size(64)
            .build();
        let sink = BufWriter::with_capacity(256 << 10, file);
        let out = SerializedFileWriter::new(sink, Arc::new(root), Arc::new(properties))?;
        let mut leaves = Vec::new();
        columns.iter().for_each(|(_, kind)| grow(&mut leaves, kind));
        Ok(Self { out, leaves, bytes: 0 })
    }

    fn write(&mut self, columns: &Columns, row: &[Cell<'_>]) -> Result<(), ParquetError> {
        let mut at = 0;
        for (i, (name, kind)) in columns.iter().enumerate() {
            let cell = row.get(i).unwrap_or(&Cell::Null);
            self.put(&mut at, kind, cell, 0, 0, 0).map_err(|found| {
                ParquetError::General(format!("column {name} cannot hold {found}"))
            })?;
        }
        if self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    /// Puts a value. `def` is the level of what is around it, `rep` the repetition of its first part,
    /// `deep` how many lists are around it. The error names what does not fit.
    fn put(
        &mut self,
        at: &mut usize,
        kind: &Kind,
        cell: &Cell<'_>,
        def: i16,
        rep: i16,
        deep: i16,
    ) -> std::result::Result<(), String> {
        match (kind, cell) {
            (_, Cell::Null) => self.absent(at, kind, def, rep),
            (Kind::Struct(fields), Cell::Struct(cells)) => {
                for (i, (_, kind)) in fields.iter().enumerate() {
                    let cell = cells.get(i).unwrap_or(&Cell::Null);
                    self.put(at, kind, cell, def + 1, rep, deep)?;
                }
            }
            (Kind::List(of), Cell::List(cells)) => {
                if cells.is_empty() {
                    self.absent(at, of, def + 1, rep);
                    return Ok(());
                }
                let start = *at;
                for (i, cell) in cells.iter().enumerate() {
                    *at = start;
                    let rep = if i == 0 { rep } else { deep + 1 };
                    self.put(at, of, cell, def + 2, rep, deep + 1)?;
                }
            }
            (Kind::List(of), Cell::Ints(all)) => {
                self.numbers(at, of, all.len(), (def, rep, deep), |i| Cell::Int(all[i]))?;
            }
            (Kind::List(of), Cell::Floats(all)) => {
                self.numbers(at, of, all.len(), (def, rep, deep), |i| Cell::Float(all[i]))?;
            }
            (kind, cell) => {
                let leaf = &mut self.leaves[*at];
                self.bytes += 12 + leaf.push(kind, cell)?;
                leaf.defs.push(def + 1);
                leaf.reps.push(rep);
                *at += 1;
            }
        }
        Ok(())
    }

    fn numbers<'c>(
        &mut self,
        at: &mut usize,
        of: &Kind,
        count: usize,
        (def, rep, deep): (i16, i16, i16),
        cell: impl Fn(usize) -> Cell<'c>,
    ) -> std::result::Result<(), String> {
        if count == 0 {
            self.absent(at, of, def + 1, rep);
            return Ok(());
        }
        let start = *at;
        for i in 0..count {
            *at = start;
            let rep = if i == 0 { rep } else { deep + 1 };
            self.put(at, of, &cell(i), def + 2, rep, deep + 1)?;
        }
        Ok(())
    }

    fn absent(&mut self, at: &mut usize, kind: &Kind, def: i16, rep: i16) {
        for _ in 0..leaves(kind) {
            let leaf = &mut self.leaves[*at];
            leaf.defs.push(def);
            leaf.reps.push(rep);
            self.bytes += 4;
            *at += 1;
        }
    }

    fn flush(&mut self) -> std::result::Result<(), ParquetError> {
        let mut group = self.out.next_row_group()?;
        let mut leaves = self.leaves.iter_mut();
        while let Some(mut column) = group.next_column()? {
            if let Some(leaf) = leaves.next() {
                leaf.flush(&mut column)?;
            }
            column.close()?;
        }
        group.close()?;
        self.bytes = 0;
        Ok(())
    }

    fn finish(mut self) -> std::result::Result<BufWriter<fs::File>, ParquetError> {
        if self.bytes > 0 {
            self.flush()?;
        }
        self.out.into_inner()
    }
}

fn leaves(kind: &Kind) -> usize {
    match kind {
        Kind::List(of) => leaves(of),
        Kind::Struct(fields) => fields.iter().map(|(_, kind)| leaves(kind)).sum(),
        _ => 1,
    }
}

fn grow(all: &mut Vec<Leaf>, kind: &Kind) {
    let values = match kind {
        Kind::List(of) => return grow(all, of),
        Kind::Struct(fields) => return fields.iter().for_each(|(_, kind)| grow(all, kind)),
        Kind::Bool => Values::Bool(Vec::new()),
        Kind::Int32 => Values::Int32(Vec::new()),
        Kind::Int64 => Values::Int64(Vec::new()),
        Kind::Float32 => Values::Float(Vec::new()),
        Kind::Float64 => Values::Double(Vec::new()),
        Kind::Text | Kind::Json => Values::Bytes(Vec::new()),
    };
    all.push(Leaf { defs: Vec::new(), reps: Vec::new(), values });
}

impl Leaf {
    /// Adds a value and says how many bytes it takes.
    fn push(&mut self, kind: &Kind, cell: &Cell<'_>) -> std::result::Result<usize, String> {
        match (&mut self.values, cell) {
            (Values::Bool(all), Cell::Bool(value)) => all.push(*value),
            (Values::Int32(all), Cell::Int(value)) => {
                all.push(i32::try_from(*value).map_err(|_| format!("{value}"))?);
            }
            (Values::Int64(all), Cell::Int(value)) => all.push(*value),
            #[expect(clippy::cast_possible_truncation, reason = "the column has 32 bits")]
            (Values::Float(all), Cell::Float(value)) => all.push(*value as f32),
            (Values::Double(all), Cell::Float(value)) => all.push(*value),
            (Values::Bytes(all), Cell::Text(text)) => {
                all.push(ByteArray::from(text.as_bytes().to_vec()));
                return Ok(text.len());
            }
            (_, other) => return Err(format!("{other:?} as {kind:?}")),
        }
        Ok(8)
    }

    fn flush(&mut self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let (defs, reps) = (Some(&self.defs[..]), Some(&self.reps[..]));
        match &mut self.values {
            Values::Bool(all) => {
                column.typed::<BoolType>().write_batch(all, defs, reps)?;
                all.clear();
            }
            Values::Int32(all) => {
                column.typed::<Int32Type>().write_batch(all, defs, reps)?;
                all.clear();
            }
            Values::Int64(all) => {
                column.typed::<Int64Type>().write_batch(all, defs, reps)?;
                all.clear();
            }
            Values::Float(all) => {
                column.typed::<FloatType>().write_batch(all, defs, reps)?;
                all.clear();
            }
            Values::Double(all) => {
                column.typed::<DoubleType>().write_batch(all, defs, reps)?;
                all.clear();
            }
            Values::Bytes(all) => {
                column.typed::<ByteArrayType>().write_batch(all, defs, reps)?;
                all.clear();
            }
        }
        self.defs.clear();
        self.reps.clear();
        Ok(())
    }
}
