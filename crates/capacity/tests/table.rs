//! What people write as points, and what they are told when it is none.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use plimsoll_capacity::{LoadKind, Point, read_table};
use proptest::prelude::*;

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let error = read_table(text, &[]).unwrap_err().to_string();
    for words in expected {
        assert!(error.contains(words), "`{words}` is not in: {error}");
    }
}

#[test]
fn columns_say_what_they_hold() {
    let text = "users,throughput,p95_ms,p99_9_seconds,errors,requests,cpu_percent,pool_utilisation_ratio,throughput_buy\n\
                2,20,12.5,0.04,1,200,50,0.25,5\n1,10,,,,,,,\n";
    let table = read_table(text, &[]).unwrap();
    let points = &table.runs[0].points;
    assert_eq!(points.kind(), LoadKind::Users);
    assert_eq!(points.points()[0], Point::new(1.0, 10.0), "empty cells are no data, and loads are in order");
    let second = &points.points()[1];
    assert_eq!(second.error_ratio, Some(0.005));
    let of = |name: &str| second.response_time[&name.parse().unwrap()];
    assert_eq!((of("p95"), of("p99.9")), (0.0125, 0.04));
    let resources: Vec<_> = second.resources.iter().map(|(name, busy)| (name.as_str(), *busy)).collect();
    assert_eq!(resources, [("cpu", 0.5), ("pool", 0.25)]);
    assert_eq!(second.classes["buy"], 5.0);
}

#[test]
fn headings_may_be_written_in_many_ways() {
    for (text, kind) in [
        ("load,throughput\n1,2\n", LoadKind::Unknown),
        ("concurrency;throughput_rps\n1;2\n", LoadKind::Users),
        ("\u{feff}Processors, Throughput \r\n 1 , 2 \r\n", LoadKind::Users),
        ("# made by hand\nrate\tthroughput\n2\t2\n", LoadKind::Rate),
    ] {
        assert_eq!(read_table(text, &[]).unwrap().runs[0].points.kind(), kind, "{text}");
    }
}

#[test]
fn runs_are_told_apart_and_rows_chosen() {
    let text = "version,place,load,throughput\n1.0,a,1,10\n1.1,a,1,11\n1.0,a,2,19\n1.0,b,1,99\n";
    refused(text, &["column `place` has 2 values (a, b)", "--where place=a"]);
    let table = read_table(text, &[("place".into(), "a".into())]).unwrap();
    let runs: Vec<_> =
        table.runs.iter().map(|run| (run.name.as_deref().unwrap(), run.points.points().len())).collect();
    assert_eq!(runs, [("1.0", 2), ("1.1", 1)]);
    let error = read_table(text, &[("place".into(), "c".into())]).unwrap_err().to_string();
    assert_eq!(error, "no row has place=c");
    let error = read_table(text, &[("where".into(), "c".into())]).unwrap_err().to_string();
    assert!(error.contains("there is no column `where`"), "{error}");
}

#[test]
fn mistakes_have_their_place_what_was_found_and_what_is_allowed() {
    refused("", &["line 1", "no column is a load"]);
    refused("load,throughput\n", &["a heading and no rows"]);
    refused("load,latency\n1,2\n", &["no column is `throughput` among `load`, `latency`"]);
    refused("load,users,throughput\n1,2,3\n", &["`load` and `users` are both loads"]);
    refused("load,throughput\n1,2\n2\n", &["line 3", "1 fields where the heading has 2"]);
    refused("load,throughput\n1,fast\n", &["line 2, column throughput", "found `fast`", "a number"]);
    refused("load,throughput\n1,\n", &["line 2, column throughput", "found nothing"]);
    refused("load,throughput\n1,NaN\n", &["line 2", "found `NaN`"]);
    refused("load,throughput\n1,1e999\n", &["line 2", "found `1e999`"]);
    refused("load,throughput\n\n1,5\n0,2\n", &["line 4, column load", "found 0", "above zero"]);
    refused("load,throughput\n1,-2\n", &["line 2, column throughput", "found -2", "zero or more"]);
    refused("load,throughput,p95\n1,2,3\n", &["column `p95` says no unit", "`p95_seconds`"]);
    refused("load,throughput,cpu\n1,2,55\n", &["line 2, column cpu", "found 55", "a share from 0 to 1"]);
    refused("load,throughput,error_ratio\n1,2,3\n", &["line 2, column error_ratio", "from 0 to 1"]);
    refused("load,throughput,errors\n1,2,3\n", &["`errors` needs `requests`"]);
    refused("rate,throughput\n10,10\n20,25\n", &["line 3", "25 at an offered rate of 20", "per second"]);
    refused("load,throughput,p95_ms,p95_s\n1,2,3,4\n", &["`p95_s` says again"]);
}

#[test]
fn what_is_passed_over_is_said() {
    let many: String = (0..200).map(|row| format!("{},1,service {}\n", row + 1, row % 100)).collect();
    refused(&format!("load,throughput,name\n{many}"), &["column `name` has 100 values"]);
    let times = "load,throughput,time\n1,2,10:00\n2,3,10:05\n";
    assert_eq!(read_table(times, &[]).unwrap().warnings.len(), 1, "a time is no service's name");
    let table = read_table("load,throughput,note,memory_bytes\n1,2,x,5\n2,3,x,6\n", &[]).unwrap();
    assert_eq!(table.warnings, ["not understood and passed over: `note`, `memory_bytes`"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}|(load|rate|users|throughput|p95_ms|[,;\t\n\r\"#-]|[0-9.e]{1,8}){0,60}") {
        let _ = read_table(&text, &[]);
    }

    #[test]
    fn what_is_written_is_read(rows in proptest::collection::vec((1e-3_f64..1e9, 0.0_f64..1e9), 1..40)) {
        let text: String = std::iter::once("load,throughput\n".to_owned())
            .chain(rows.iter().map(|(load, throughput)| format!("{load},{throughput}\n")))
            .collect();
        let table = read_table(&text, &[]).unwrap();
        let mut found: Vec<(f64, f64)> =
            table.runs[0].points.points().iter().map(|point| (point.load, point.throughput)).collect();
        let mut rows = rows;
        found.sort_by(|left, right| left.partial_cmp(right).unwrap());
        rows.sort_by(|left, right| left.partial_cmp(right).unwrap());
        prop_assert_eq!(found, rows);
    }
}
