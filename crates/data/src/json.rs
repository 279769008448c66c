//! Rows of JSON: an object is a row, its keys are columns. What is nested is a column too, by its
//! dotted path, and the whole of it as JSON text.

use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::csv;
use crate::row::Row;
use crate::table::Fault;

/// The columns of an object, outer before inner.
pub(crate) fn columns(object: &Map<String, Value>) -> Vec<String> {
    let mut columns = Vec::new();
    collect("", object, &mut columns);
    columns
}

fn collect(prefix: &str, object: &Map<String, Value>, columns: &mut Vec<String>) {
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        columns.push(name.clone());
        if let Value::Object(inner) = value {
            collect(&format!("{name}."), inner, columns);
        }
    }
}

/// Reads one object.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, (usize, Fault)> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err((0, Fault::NoObject)),
        Err(error) => Err((error.column().saturating_sub(1), Fault::NoJson)),
    }
}

/// Writes the values of an object in the order of the columns. Its own columns must be these.
pub(crate) fn values(object: &Map<String, Value>, columns: &[String], row: &mut Row) -> Result<(), Fault> {
    if count(object) > columns.len() {
        let own = self::columns(object);
        let other = own.into_iter().find(|column| !columns.contains(column)).unwrap_or_default();
        return Err(Fault::OtherKey(other));
    }
    for column in columns {
        match find(object, column) {
            Some(Value::String(text)) => row.push_str(text),
            Some(value) => row.push_str(&value.to_string()),
            None => return Err(Fault::MissingKey(column.clone())),
        }
        row.end_value();
    }
    Ok(())
}

fn count(object: &Map<String, Value>) -> usize {
    let inner = object.values().filter_map(Value::as_object).map(count);
    object.len() + inner.sum::<usize>()
}

/// What a dotted path leads to; a key may hold dots itself.
fn find<'o>(object: &'o Map<String, Value>, path: &str) -> Option<&'o Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(dot, _)| match object.get(&path[..dot]) {
        Some(Value::Object(inner)) => find(inner, &path[dot + 1..]),
        _ => None,
    })
}

/// An array of objects as CSV with a header. The error comes with the position of the object.
pub(crate) fn array_as_csv(text: &str) -> Result<Vec<u8>, ArrayError> {
    struct Objects<'o> {
        out: &'o mut Vec<u8>,
        fault: &'o mut Option<(u64, Fault)>,
    }
    impl<'de> Visitor<'de> for Objects<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array of objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
            let (mut known, mut row, mut number) = (Vec::new(), Row::default(), 0);
            while let Some(element) = elements.next_element::<Value>()? {
                number += 1;
                let Value::Object(object) = &element else {
                    self.fault.get_or_insert((number, Fault::NoObject));
                    continue;
                };
                if number == 1 {
                    known = columns(object);
                    csv::write(known.iter().map(String::as_str), self.out);
                }
                row.clear();
                match values(object, &known, &mut row) {
                    Ok(()) => csv::write(row.values(), self.out),
                    Err(fault) => {
                        self.fault.get_or_insert((number, fault));
                    }
                }
            }
            Ok(())
        }
    }
    let (mut out, mut fault) = (Vec::new(), None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let read =
        reader.deserialize_seq(Objects { out: &mut out, fault: &mut fault }).and_then(|()| reader.end());
    if let Some((number, fault)) = fault {
        return Err(ArrayError::Object(number, fault));
    }
    read.map_err(|error| ArrayError::Text(error.line() as u64, error.column() as u64, error.is_data()))?;
    Ok(out)
}

/// Why a text is no array of objects.
#[derive(Debug)]
pub(crate) enum ArrayError {
    /// The n-th object, from 1.
    Object(u64, Fault),
    /// At this line and column the text is not JSON, or JSON that is no array.
    Text(u64, u64, bool),
}
