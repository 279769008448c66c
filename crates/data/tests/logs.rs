//! Access logs: what their lines say, what is left out, and when requests came.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_data::{
    LineFault, LogError, LogRules, LogSummary, LogTimes, METHODS, Methods, ReadAt, Row, RowReader, Source,
    Table,
};
use proptest::prelude::*;

const RULES: LogRules = LogRules { methods: Methods::SAFE, tolerance: Duration::from_secs(10) };

/// A file that gives as little at once as a file may.
#[derive(Debug)]
struct Drops(Vec<u8>);

impl ReadAt for Drops {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(into.len()).min(1000);
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}

/// A line at a second of one minute.
fn at(second: u32, request: &str) -> String {
    format!("127.0.0.1 - ann [10/Oct/2000:13:55:{second:02} -0700] \"{request}\" 200 2326 \"-\" \"curl/8\"\n")
}

fn open(log: impl Into<Vec<u8>>, rules: LogRules) -> Result<(Table, LogSummary), LogError> {
    Table::open_log(Source::Memory(log.into().into()), rules, |_, _, _| {})
}

/// Methods and paths, in their order.
fn requests(table: &Table) -> Vec<String> {
    let (mut reader, mut row) = (RowReader::default(), Row::default());
    let read = |number| {
        reader.read(table, number, &mut row).unwrap();
        row.values().collect::<Vec<_>>().join(" ")
    };
    (0..table.rows()).map(read).collect()
}

fn times(table: Table) -> Vec<u64> {
    let mut times = LogTimes::new(Arc::new(table)).unwrap();
    std::iter::from_fn(|| times.next_time().unwrap()).collect()
}

/// What becomes of one line.
fn line(line: &str) -> Result<String, LineFault> {
    match open(line, LogRules { methods: Methods::of(METHODS).unwrap(), ..RULES }) {
        Ok((table, _)) => Ok(requests(&table).remove(0)),
        Err(LogError::Empty(summary)) => Err(summary.first_unreadable.unwrap().1),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn lines_of_common_servers_are_understood() {
    let get = |request: &str| line(&at(1, request));
    for (log, expected) in [
        ("GET /a?b=c%20d&e HTTP/1.1", "GET /a?b=c%20d&e"),
        ("HEAD / HTTP/2.0", "HEAD /"),
        ("OPTIONS /a HTTP/1.1", "OPTIONS /a"),
        // HTTP/0.9.
        ("GET /old", "GET /old"),
        // A proxy logs whole URLs; their host is left out.
        ("GET http://shop.example:8080/x?y HTTP/1.1", "GET /x?y"),
        ("GET HTTPS://shop.example HTTP/1.1", "GET /"),
        ("GET http://shop.example?q=1 HTTP/1.1", "GET /?q=1"),
        ("GET //twice//slashes HTTP/1.1", "GET //twice//slashes"),
        // Escapes of nginx and Apache.
        (r"GET /a\x22b\x5Cc HTTP/1.1", "GET /a%22b%5Cc"),
        (r#"GET /a\"b\\c\n HTTP/1.1"#, "GET /a%22b%5Cc%0A"),
        (r"GET /\xC3\xBC HTTP/1.1", "GET /%C3%BC"),
        (r"GET /a\q\xZZ HTTP/1.1", "GET /a%5Cq%5CxZZ"),
        // What a client should not have sent is sent as it can be.
        ("GET /ü?{x}|<y>#z HTTP/1.1", "GET /%C3%BC?%7Bx%7D%7C%3Cy%3E%23z"),
        ("GET /a b HTTP/1.1", "GET /a%20b"),
    ] {
        assert_eq!(get(log), Ok(expected.to_owned()), "{log}");
    }
    for (line, expected) in [
        // A virtual host before it; a name with brackets; no end of line; a fraction of a second.
        ("shop.example:80 ::1 - - [10/Oct/2000:13:55:36 +0000] \"GET /v HTTP/1.1\" 200 1\r\n", "GET /v"),
        ("1.1.1.1 - [x] y] [10/Oct/2000:13:55:36 +0000] \"GET /n HTTP/1.1\" 200 1", "GET /n"),
        ("1.1.1.1 - - [29/Feb/2024:23:59:60.123 +1400] \"GET /f HTTP/1.1\" 200 1", "GET /f"),
        (r#"{"time":"2024-01-01T00:00:00.5Z","method":"GET","path":"/j?x=y"}"#, "GET /j?x=y"),
        (r#"{"ts":1646861401.52,"request":{"method":"PUT","host":"a","uri":"/caddy"}}"#, "PUT /caddy"),
        (r#"  {"timestamp":1646861401,"method":"GET","path":"https://x/abs"}"#, "GET /abs"),
    ] {
        assert_eq!(self::line(line), Ok(expected.to_owned()), "{line}");
    }
}

#[test]
fn junk_is_named() {
    let get = |request: &str| at(1, request);
    let day = |day: &str| get("GET / HTTP/1.1").replace("10/Oct/2000", day);
    for (log, fault) in [
        ("nothing".to_owned(), LineFault::NoTime),
        ("\u{1f}\u{8b}\u{8}\0\0".to_owned(), LineFault::NoTime),
        (day("31/Sep/2000"), LineFault::NoTime),
        (day("29/Feb/2023"), LineFault::NoTime),
        (day("00/Oct/2000"), LineFault::NoTime),
        (day("10/Okt/2000"), LineFault::NoTime),
        (day("10/Oct/1969"), LineFault::NoTime),
        (day("10/Oct/9999"), LineFault::NoTime),
        (get("GET / HTTP/1.1").replace("13:55", "24:55"), LineFault::NoTime),
        (get("-"), LineFault::NoRequest),
        (get(""), LineFault::NoRequest),
        (get(r"\x16\x03\x01\x02"), LineFault::NoRequest),
        (get("get / HTTP/1.1"), LineFault::NoRequest),
        (get("GET / FTP/1.1"), LineFault::NoRequest),
        ("1.1.1.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /never ends".to_owned(), LineFault::NoRequest),
        (get("OPTIONS * HTTP/1.1"), LineFault::NoPath),
        (get("GET shop.example:443 HTTP/1.1"), LineFault::NoPath),
        (get(&format!("GET /{} HTTP/1.1", "a".repeat(60_000))), LineFault::LongPath),
        (get(&format!("GET /{} HTTP/1.1", "ü".repeat(10_001))), LineFault::LongPath),
        ("{".to_owned(), LineFault::NoJson),
        ("{\"a\":".repeat(10_000), LineFault::NoJson),
        (r#"{"method":"GET","path":"/"}"#.to_owned(), LineFault::NoTime),
        (r#"{"time":1646861401520,"method":"GET","path":"/"}"#.to_owned(), LineFault::NoTime),
        (r#"{"time":-1,"method":"GET","path":"/"}"#.to_owned(), LineFault::NoTime),
        (r#"{"time":1e300,"method":"GET","path":"/"}"#.to_owned(), LineFault::NoTime),
        (r#"{"time":1,"path":"/"}"#.to_owned(), LineFault::NoRequest),
        (r#"{"time":1,"method":"GET"}"#.to_owned(), LineFault::NoPath),
        ("x".repeat(1 << 21), LineFault::TooLong),
    ] {
        assert_eq!(line(&log), Err(fault), "{}", log.chars().take(200).collect::<String>());
    }
}

#[test]
fn every_line_is_counted_and_none_is_dropped_without_a_word() {
    let log = [
        "\u{feff}".to_owned() + &at(0, "GET /1 HTTP/1.1"),
        "\r\n".to_owned(),
        at(1, "POST /2 HTTP/1.1"),
        "x".repeat(3 << 20) + "\n",
        at(1, "PROPFIND /3 HTTP/1.1"),
        "junk\n".to_owned(),
        at(2, "HEAD /4 HTTP/1.1").replace('\n', "\r\n"),
    ]
    .concat();
    for source in [Source::Memory(log.as_bytes().into()), Source::File(Arc::new(Drops(log.clone().into())))] {
        let mut seen = Vec::new();
        let (table, summary) =
            Table::open_log(source, RULES, |at, method, path| seen.push(format!("{at} {method} {path}")))
                .unwrap();
        assert_eq!(requests(&table), ["GET /1", "HEAD /4"]);
        assert_eq!(seen, ["0 GET /1", "2000000000 HEAD /4"]);
        assert_eq!((summary.lines, summary.requests(), summary.blank), (7, 2, 1));
        assert_eq!((summary.unreadable, summary.first_unreadable), (2, Some((4, LineFault::TooLong))));
        assert_eq!(summary.left_out, [0, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!((summary.seconds, summary.busiest_second), (3, 1));
        assert_eq!((summary.stretch_seconds, summary.stretches), (1, vec![1, 0, 1]));
        assert_eq!(times(table), [0, 2_000_000_000]);
    }
    let (table, summary) = open(log, LogRules { methods: Methods::of(["POST"]).unwrap(), ..RULES }).unwrap();
    assert_eq!(
        (requests(&table), summary.left_out[..3].to_vec()),
        (vec!["POST /2".to_owned()], vec![1, 1, 0])
    );
}

#[test]
fn requests_of_one_time_are_spread_over_what_it_stands_for() {
    let log: String = [0, 0, 0, 0, 1, 3, 3].map(|second| at(second, "GET / HTTP/1.1")).concat();
    let expected = [0, 250, 500, 750, 1000, 3000, 3500].map(|millis| millis * 1_000_000);
    assert_eq!(times(open(log, RULES).unwrap().0), expected);
    // A time to the tenth stands for a tenth, and never goes beyond the next one.
    let json = |time: &str| format!("{{\"time\":{time},\"method\":\"GET\",\"path\":\"/\"}}\n");
    let log: String =
        ["\"2024-01-01T00:00:00.1Z\"", "\"2024-01-01T01:00:00.1+01:00\"", "1704067200.15", "1704067201"]
            .map(json)
            .concat();
    assert_eq!(times(open(log, RULES).unwrap().0), [0, 25_000_000, 50_000_000, 900_000_000]);
}

#[test]
fn a_little_disorder_is_usual_and_a_clock_that_runs_backwards_is_told() {
    let log = |seconds: &[u32]| -> String {
        seconds.iter().map(|second| at(*second, &format!("GET /{second} HTTP/1.1"))).collect()
    };
    let (table, summary) = open(log(&[20, 25, 15, 26]), RULES).unwrap();
    assert_eq!((summary.late, summary.latest), (1, 10_000_000_000));
    assert_eq!(requests(&table), ["GET /20", "GET /25", "GET /15", "GET /26"]);
    // What was late came with the latest before it: two at 5 s.
    assert_eq!(times(table), [0, 5_000_000_000, 5_500_000_000, 6_000_000_000]);

    let error = open(log(&[20, 25, 14, 26]), RULES).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3, column 18: the clock runs backwards: 2000-10-10T20:55:14Z comes after 2000-10-10T20:55:25Z"
    );
    let strict = LogRules { tolerance: Duration::ZERO, ..RULES };
    assert!(open(log(&[1, 1, 2]), strict).is_ok());
    assert!(matches!(open(log(&[2, 1]), strict), Err(LogError::Backwards { place, .. }) if place.line == 2));
}

#[test]
fn a_log_without_requests_says_why() {
    for (log, expected) in [
        (String::new(), "none of its lines (0) is a request to replay"),
        (at(1, "POST / HTTP/1.1"), "none of its lines (1) is a request to replay; with another method: 1"),
        (
            "a\nb\n".to_owned(),
            "none of its lines (2) is a request to replay; line 1: it has no time that is understood",
        ),
    ] {
        assert_eq!(open(log, RULES).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_long_log_is_counted_in_longer_stretches() {
    let at = |second: u64| format!("{{\"time\":{second},\"method\":\"GET\",\"path\":\"/\"}}\n");
    let log: String = (0..40_000).map(at).collect();
    let (table, summary) = open(log, RULES).unwrap();
    assert_eq!((summary.stretch_seconds, summary.stretches.len()), (4, 10_000));
    assert!(summary.stretches.iter().all(|count| *count == 4));
    assert_eq!((table.rows(), summary.busiest_second), (40_000, 1));
    // Rows are found in any order.
    let (mut reader, mut row) = (RowReader::default(), Row::default());
    for number in [39_999, 0, 7, 20_000, 20_001] {
        reader.read(&table, number, &mut row).unwrap();
        assert_eq!((row.number, row.get(1)), (number, Some("/")));
    }
}

/// Something like a log: whole lines, torn ones, and bytes of any kind.
fn logs() -> impl Strategy<Value = Vec<u8>> {
    let whole = (0..60_u32, "[A-Z]{1,4}", "[ -~]{0,12}")
        .prop_map(|(second, method, path)| at(second, &format!("{method} /{path} HTTP/1.1")).into_bytes());
    let json = (0..4_000_000_000_u64, "[ -~]{0,9}").prop_map(|(time, path)| {
        let path = serde_json::to_string(&format!("/{path}")).unwrap();
        format!("{{\"time\":{time},\"method\":\"GET\",\"path\":{path}}}\n").into_bytes()
    });
    let torn = (whole.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut line, at, byte)| {
        let at = at.index(line.len());
        line[at] = byte;
        line
    });
    let line = prop_oneof![
        4 => whole,
        1 => json,
        2 => torn,
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => Just(b"\r\n".to_vec()),
    ];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_bytes_break_it_and_every_line_is_accounted_for(log in logs(), all in any::<bool>()) {
        let methods = if all { Methods::of(METHODS).unwrap() } else { Methods::SAFE };
        let rules = LogRules { methods, tolerance: Duration::MAX };
        let bytes = log.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&log);
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
        let from = |source| Table::open_log(source, rules, |_, _, _| ());
        let counted = |summary: &LogSummary| {
            summary.requests() + summary.left_out.iter().sum::<u64>() + summary.blank + summary.unreadable
        };
        match (from(Source::Memory(log.clone().into())), from(Source::File(Arc::new(Drops(log.clone()))))) {
            (Ok((table, summary)), Ok((other, same))) => {
                prop_assert_eq!((summary.lines, counted(&summary)), (lines, lines));
                prop_assert_eq!(&summary, &same);
                prop_assert_eq!(table.rows(), summary.requests());
                prop_assert_eq!(summary.stretches.iter().sum::<u64>(), summary.requests());
                let rows = requests(&table);
                prop_assert_eq!(&rows, &requests(&other));
                prop_assert!(rows.iter().all(|row| row.is_ascii() && row.split(' ').count() == 2), "{:?}", rows);
                let times = times(table);
                prop_assert_eq!(times.len() as u64, summary.requests());
                prop_assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", times);
                prop_assert!(times.iter().all(|time| *time < summary.seconds * 1_000_000_000), "{:?}", times);
            }
            (Err(LogError::Empty(summary)), Err(LogError::Empty(same))) => {
                prop_assert_eq!((summary.lines, counted(&summary)), (lines, lines));
                prop_assert_eq!(summary, same);
            }
            (one, other) => prop_assert!(false, "{:?} {:?}", one.err(), other.err()),
        }
    }
}
