//! Tables as files have them, wherever the bytes are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::io;
use std::sync::Arc;

use plimsoll_data::{Format, ReadAt, Row, RowReader, Source, Table, TableError};
use proptest::prelude::*;

const CSV: Format = Format::Csv { delimiter: b',' };

/// Bytes that are given out a few at a time, as a file may do.
#[derive(Debug)]
struct Slow(Vec<u8>);

impl ReadAt for Slow {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len()).min(3000);
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

type Read = (Vec<String>, Vec<Vec<String>>);

fn owned(row: &Row) -> Vec<String> {
    row.values().map(str::to_owned).collect()
}

fn open(source: Source, format: Format) -> Result<(Table, Read), TableError> {
    let mut rows = Vec::new();
    let table = Table::open(source, format, |_, row| rows.push(owned(row)))?;
    assert_eq!(table.rows(), rows.len() as u64);
    let columns = table.columns().to_vec();
    Ok((table, (columns, rows)))
}

/// Reads a table from memory and from a file, in order and in another one; all must say the same.
fn read(bytes: &[u8], format: Format) -> Result<Read, String> {
    let [memory, file] = [Source::Memory(bytes.into()), Source::File(Arc::new(Slow(bytes.to_vec())))]
        .map(|source| open(source, format).map_err(|error| error.to_string()));
    let (in_memory, in_file) = match (memory, file) {
        (Ok(memory), Ok(file)) => (memory, file),
        (Err(memory), Err(file)) => {
            assert_eq!(memory, file);
            return Err(memory);
        }
        other => panic!("memory and file differ: {other:?}"),
    };
    assert_eq!(in_memory.1, in_file.1);
    for (table, (_, rows)) in [&in_memory, &in_file] {
        let (mut reader, mut row) = (RowReader::default(), Row::default());
        let count = rows.len();
        for number in (0..count).chain((0..count).rev()).chain((0..count).map(|n| n * 7 % count)) {
            reader.read(table, number as u64, &mut row).unwrap();
            assert_eq!((row.number, &owned(&row)), (number as u64, &rows[number]));
        }
    }
    Ok(in_file.1)
}

fn table(columns: &[&str], rows: &[&[&str]]) -> Read {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    (owned(columns), rows.iter().map(|row| owned(row)).collect())
}

#[test]
fn csv_is_read() {
    for (text, expected) in [
        ("user,id\nann,1\nbob,2\n", table(&["user", "id"], &[&["ann", "1"], &["bob", "2"]])),
        ("\u{feff}user\r\nann\r\n", table(&["user"], &[&["ann"]])),
        ("a,b\n\"x, \"\"y\"\"\n z\",\n", table(&["a", "b"], &[&["x, \"y\"\n z", ""]])),
        (" a , b \n1, 2", table(&["a", "b"], &[&["1", " 2"]])),
        ("a\n\n\nx\n\r\n\"\"\ny\n\n", table(&["a"], &[&["x"], &[""], &["y"]])),
        ("ä,日\nö,本\n", table(&["ä", "日"], &[&["ö", "本"]])),
    ] {
        assert_eq!(read(text.as_bytes(), CSV), Ok(expected), "{text:?}");
    }
    let semicolons = read(b"a;b\n1,5;\"x;y\"\n", Format::Csv { delimiter: b';' });
    assert_eq!(semicolons, Ok(table(&["a", "b"], &[&["1,5", "x;y"]])));
}

#[test]
fn rows_know_their_lines() {
    let text = b"\xEF\xBB\xBFa,b\r\n\r\n1,\"x\ny\"\r\n\n2,z";
    let mut lines = Vec::new();
    Table::open(Source::Memory((&text[..]).into()), CSV, |_, row| lines.push((row.number, row.line)))
        .unwrap();
    assert_eq!(lines, [(0, 3), (1, 6)]);
}

#[test]
fn what_is_no_csv_is_told_with_its_place() {
    for (bytes, told) in [
        (&b""[..], "it has no header line"),
        (b"\xEF\xBB\xBF", "it has no header line"),
        (b"\n\n", "it has no header line"),
        (b"a,b\n", "it has no rows"),
        (b"a,b\n1,2\n3\n", "line 3, column 1: the row has 1 values where the header has 2"),
        (b"a,b\n\"1\n\",2\n3\n", "line 4, column 1: the row has 1 values where the header has 2"),
        (b"a\n1\n\xff\n", "line 3, column 1: this is not UTF-8"),
        (b"a,b\nx,\xc3\xbc\xff\n", "line 2, column 4: this is not UTF-8"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a,a\n1,2\n", "two columns are called `a`"),
        (b"{a}\n1\n", "the name `{a}` of a column holds a brace or a control character"),
        (
            b"a,b\nx,5\" pipe\ny,2\n",
            "line 2, column 4: a quote inside a value that does not begin with one; quote the value and double the quotes in it",
        ),
        (b"a\n\"x\ny\n", "line 2, column 1: this quote is not closed"),
        (
            b"a,b\n\"x\ny\"z,1\n",
            "line 3, column 3: the value goes on after its closing quote; a quote inside a value is doubled",
        ),
        (b"a\nx\ry\n", "line 2, column 2: a carriage return without a line feed"),
    ] {
        assert_eq!(read(bytes, CSV), Err(told.to_owned()), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_row_without_an_end_is_refused() {
    let mut long = b"a,b\n1,".to_vec();
    long.resize(3 << 20, b'x');
    assert_eq!(read(&long, CSV), Err("line 2, column 1: the row is longer than 1 MiB".to_owned()));
    let mut quote = b"a\n\"x\n".to_vec();
    quote.resize(3 << 20, b'\n');
    assert_eq!(read(&quote, CSV), Err("line 2, column 1: this quote is not closed".to_owned()));
    let mut line = b"{\"a\":1}\n\n".to_vec();
    line.resize(3 << 20, b' ');
    line.extend(b"{}");
    assert_eq!(read(&line, Format::Ndjson), Err("line 3, column 1: the row is longer than 1 MiB".to_owned()));
    let mut largest = b"a\n".to_vec();
    largest.resize(2 + (1 << 20) - 1, b'x');
    largest.extend(b"\ny\n");
    assert_eq!(read(&largest, CSV).map(|(_, rows)| rows.len()), Ok(2));
}

#[test]
fn lines_of_json_are_read() {
    let text = "\u{feff}{\"id\":1,\"user\":{\"name\":\"ann\",\"tags\":[\"x\",2]}}\r\n\n{\"user\":{\"tags\":[],\"name\":null},\"id\":\"2\"}";
    let expected = table(
        &["id", "user", "user.name", "user.tags"],
        &[
            &["1", "{\"name\":\"ann\",\"tags\":[\"x\",2]}", "ann", "[\"x\",2]"],
            &["2", "{\"tags\":[],\"name\":null}", "null", "[]"],
        ],
    );
    assert_eq!(read(text.as_bytes(), Format::Ndjson), Ok(expected));
    for (text, told) in [
        ("", "it has no rows"),
        ("  \n", "it has no rows"),
        ("{}", "it has no header line"),
        ("[1]", "line 1, column 1: this is not a JSON object"),
        ("{\"a\":1}\n{\"a\":}\n", "line 2, column 6: this is not JSON"),
        (
            "{\"a\":1,\"b\":2}\n{\"a\":1}\n",
            "line 2, column 1: `b` is missing, which the first object has; all objects have the same keys",
        ),
        (
            "{\"a\":1}\n\n{\"a\":1,\"c\":{\"d\":1}}\n",
            "line 3, column 1: `c` is not in the first object; all objects have the same keys",
        ),
        ("{\"a.b\":1,\"a\":{\"b\":1}}\n", "two columns are called `a.b`"),
    ] {
        assert_eq!(read(text.as_bytes(), Format::Ndjson), Err(told.to_owned()), "{text:?}");
    }
}

#[test]
fn arrays_of_json_are_read() {
    let array = |text: &str| {
        let mut rows = Vec::new();
        let table = Table::open_json(&Source::Memory(text.as_bytes().into()), |_, row| rows.push(owned(row)));
        table.map(|table| (table.columns().to_vec(), rows)).map_err(|error| error.to_string())
    };
    assert_eq!(
        array("\u{feff}[{\"a\":\"x\\\"\\n\",\"b\":true},\n{\"b\":{\"c\":1},\"a\":\"\"}]"),
        Err("object 2: `b.c` is not in the first object; all objects have the same keys".to_owned())
    );
    assert_eq!(
        array("[{\"a\":\"x\\\"\\n\",\"b\":true}, {\"b\":[1],\"a\":\"\"}]"),
        Ok(table(&["a", "b"], &[&["x\"\n", "true"], &["", "[1]"]]))
    );
    for (text, told) in [
        ("[]", "it has no rows"),
        ("{\"a\":1}", "it is not an array of objects"),
        ("[{\"a\":1},2]", "object 2: this is not a JSON object"),
        (
            "[{\"a\":1},\n{\"b\":2}]",
            "object 2: `a` is missing, which the first object has; all objects have the same keys",
        ),
        ("[{\"a\":1},\n{\"a\"]", "line 2, column 5: this is not JSON"),
        ("[{\"a\":1}] x", "line 1, column 11: this is not JSON"),
    ] {
        assert_eq!(array(text), Err(told.to_owned()), "{text}");
    }
    let deep = "[".repeat(1_000_000);
    assert!(array(&deep).is_err());
}

/// A file that changes while it is being used.
#[derive(Debug)]
struct Changing(std::sync::Mutex<Vec<u8>>, u64);

impl ReadAt for Changing {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        Slow(self.0.lock().unwrap().clone()).read_at(offset, into)
    }
}

#[test]
fn a_table_that_changed_is_told() {
    for (then, told) in [
        (&b"a,b\n"[..], "it is shorter than it was when it was opened"),
        (
            b"a,b\n1,2\n3,4,5\n..",
            "row 2 is not what it was when the table was checked: the row has 3 values where the header has 2",
        ),
    ] {
        let first = b"a,b\n1,2\n3,4\n5,6\n".to_vec();
        let file = Arc::new(Changing(first.clone().into(), first.len() as u64));
        let shared: Arc<dyn ReadAt> = Arc::<Changing>::clone(&file);
        let table = Table::open(Source::File(shared), CSV, |_, _| {}).unwrap();
        *file.0.lock().unwrap() = then.to_vec();
        let error = RowReader::default().read(&table, 1, &mut Row::default()).unwrap_err();
        assert_eq!(error.to_string(), told);
    }
}

#[test]
fn many_rows_are_found_by_few_positions() {
    let lines: String = (0..3_000_000).map(|n| format!("{n}\n")).collect();
    let table = Table::open(Source::File(Arc::new(Slow(format!("n\n{lines}").into_bytes()))), CSV, |_, _| {});
    let table = table.unwrap();
    let (mut reader, mut row) = (RowReader::default(), Row::default());
    for number in [0, 1, 2_999_999, 1_048_575, 1_048_576, 1_048_577, 5, 2_097_151, 2_097_152, 2_097_155] {
        reader.read(&table, number, &mut row).unwrap();
        assert_eq!(row.get(0), Some(&*number.to_string()));
    }
    assert!(reader.read(&table, 3_000_000, &mut row).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, CSV);
        let _ = read(&bytes, Format::Ndjson);
        let _ = Table::open_json(&Source::Memory(bytes.into()), |_, _| {});
    }

    #[test]
    fn csv_is_what_its_writer_wrote(
        rows in prop::collection::vec(prop::collection::vec("[a,\"\n\r ü]{0,6}", 3), 1..20),
        is_crlf: bool,
    ) {
        let terminator = if is_crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
        writer.write_record(["x", "y", "z"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let written = writer.into_inner().unwrap();
        prop_assert_eq!(read(&written, CSV).unwrap().1, rows);
    }

    #[test]
    fn what_is_taken_another_reader_takes_too(text in "[ab,\"\n]{0,60}") {
        if let Ok((columns, rows)) = read(text.as_bytes(), CSV) {
            let mut other = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
            let mut other = other.records().map(|record| {
                record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>()
            });
            prop_assert_eq!(columns, other.next().unwrap().iter().map(|name| name.trim().to_owned()).collect::<Vec<_>>());
            prop_assert_eq!(rows, other.collect::<Vec<_>>());
        }
    }
}
