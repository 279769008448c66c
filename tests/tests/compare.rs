//! `plimsoll compare` and `plimsoll trend` as people and scripts call them: what goes where, and how they end.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Desk, Target, alone};
use plimsoll_testkit::binary;
use serde_json::Value;

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the program in a folder, with a text on its standard input.
fn plimsoll(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    let mut child = Command::new(binary("plimsoll").unwrap())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without having read all of it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn samples(candidate: [f64; 5]) -> String {
    let base = [10.0, 10.1, 9.95, 10.05, 10.0];
    let mut text = "benchmark,metric,variant,run,value\n".to_owned();
    for (variant, values) in [("base", base), ("candidate", candidate)] {
        for (run, value) in values.iter().enumerate() {
            text += &format!("encode,p95,{variant},{run},{value}\n");
        }
    }
    text
}

const SLOWER: [f64; 5] = [12.0, 12.1, 11.95, 12.05, 12.02];
const EQUAL: [f64; 5] = [10.02, 10.0, 9.97, 10.06, 10.05];
const LOUD: [f64; 5] = [7.0, 14.0, 10.0, 8.0, 13.0];

fn history(after: f64) -> String {
    let value = |index: u8| (if index < 20 { 10.0 } else { after }) + f64::from(index % 3) / 10.0;
    let rows: String = (0..40).map(|index| format!("p95,{index},{}\n", value(index))).collect();
    format!("series,time,value\n{rows}")
}

const PLAN: &str = "
name: shop
target: http://127.0.0.1:1
load: { stages: [ { hold: 100/s, for: 3s } ] }
scenarios: [ { name: browse, steps: [ { name: page, get: /products/1 } ] } ]
";

/// Records a run of a version and says its id.
async fn record(desk: &Desk, target: &Target, version: &str) -> String {
    let ended =
        desk.run(PLAN).set([target.setting()]).args(["--tag", &format!("version={version}")]).ended().await;
    assert!([0, 4].contains(&ended.code), "{}", ended.stderr);
    desk.json()["run"]["id"].as_str().unwrap().to_owned()
}

fn of<'j>(json: &'j Value, metric: &str) -> &'j Value {
    let pairs = json["comparisons"].as_array().unwrap();
    pairs.iter().find(|pair| pair["metric"] == metric).unwrap_or_else(|| panic!("{metric} in {json:#}"))
}

#[tokio::test]
async fn recorded_runs_are_compared_by_their_steps() {
    let _machine = alone().await;
    let desk = Desk::new();
    let quick = Target::start(["--latency", "fixed:5ms"]).await;
    let slow = Target::start(["--latency", "fixed:80ms"]).await;
    let compare = async |arguments: &[&str]| {
        let mut all = vec!["compare"];
        all.extend(arguments);
        desk.plimsoll(all).args(["--json", "-"]).ended().await
    };
    let nothing = compare(&["version=1", "version=2"]).await;
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("base: no runs are recorded here"), "{}", nothing.stderr);

    // In turn, as they are to be made.
    let mut ids = Vec::new();
    for (target, version) in [(&quick, "1"), (&slow, "2"), (&slow, "2"), (&quick, "1")] {
        ids.push(record(&desk, target, version).await);
    }

    let one = compare(&[&ids[0], &ids[1]]).await;
    assert_eq!(one.code, 4, "{}", one.stderr);
    // A machine that stood still makes a run that cannot be compared, which is refused.
    if !one.stdout.is_empty() {
        let json: Value = serde_json::from_str(&one.stdout).unwrap();
        let p50 = of(&json, "p50");
        assert_eq!((&p50["verdict"], &p50["p_value"]), (&"inconclusive".into(), &Value::Null), "{p50}");
        assert!(
            p50["base"].as_f64().unwrap() >= 0.005 && p50["candidate"].as_f64().unwrap() >= 0.08,
            "{p50}"
        );
        assert!(one.stderr.contains("base and candidate have one run"), "{}", one.stderr);
    }

    let (first, second) = (format!("{},{}", ids[0], ids[3]), format!("{},{}", ids[1], ids[2]));
    for sides in [
        &["version=1", "plan=shop,version=2"][..],
        &["--plan", "shop", "version=1", "version=2"],
        &[&first, &second],
    ] {
        let ended = compare(sides).await;
        if ended.stdout.is_empty() {
            assert!(
                ended.code == 4 && ended.stderr.contains("no run that can be compared"),
                "{}",
                ended.stderr
            );
            continue;
        }
        let json: Value = serde_json::from_str(&ended.stdout).unwrap();
        let told = |name: &str| json["runs"][name].as_array().unwrap();
        assert_eq!(told("base").len() + told("candidate").len() + told("left_out").len(), 4, "{json:#}");
        assert_eq!(told("differences")[0]["what"], "target", "the targets have ports of their own: {json:#}");
        // The differences come before any number.
        let differs = ended.stderr.find("target differs: base http").unwrap();
        assert!(differs < ended.stderr.find("browse/page").unwrap(), "{}", ended.stderr);
        // What two runs a side see is a matter of what the machine did meanwhile; what was measured is not, nor how it ends.
        let p50 = of(&json, "p50");
        assert!(
            p50["base"].as_f64().unwrap() >= 0.005 && p50["candidate"].as_f64().unwrap() >= 0.08,
            "{p50}"
        );
        let code = if json["has_regression"] == true { 3 } else { 4 };
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert_eq!(json["has_regression"], !json["affected"].as_array().unwrap().is_empty(), "{json:#}");
        let errors = of(&json, "error_ratio");
        let failed = (errors["base"].as_f64().unwrap(), errors["candidate"].as_f64().unwrap());
        assert!((0.0..=1.0).contains(&failed.0) && (0.0..=1.0).contains(&failed.1), "{errors}");
    }

    for (sides, expected) in [
        ([ids[0].as_str(), ids[0].as_str()], "is on both sides"),
        (
            ["version=1", "version=3"],
            "candidate: no recorded run has version `3` (trials of `plimsoll limit` are not taken); there are plans shop; versions 1, 2",
        ),
        (
            ["version=1,last", "version=2"],
            "base `version=1,last`: found ids and what runs are side by side; write ids",
        ),
        (["nobody", "last"], "base `nobody`"),
    ] {
        let ended = compare(&sides).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[test]
fn a_comparison_ends_by_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    for (text, code, verdict) in [
        (samples(SLOWER), 3, "regression"),
        (samples(EQUAL), 0, "no_change"),
        (samples(LOUD), 4, "inconclusive"),
    ] {
        let ended = plimsoll(folder.path(), &["compare", "--data", "-", "--json", "-"], &text);
        assert_eq!(ended.code, code, "{}", ended.stderr);
        let json: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(json["comparisons"][0]["verdict"], verdict);
        assert_eq!(json["has_regression"], code == 3);
        assert!(ended.stderr.starts_with("standard input  "), "{}", ended.stderr);
    }
    let higher = ["compare", "--data", "-", "--higher", "p95"];
    assert_eq!(plimsoll(folder.path(), &higher, &samples(SLOWER)).code, 0);
}

#[test]
fn forms_go_to_their_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("samples.csv"), samples(SLOWER)).unwrap();
    let arguments = ["compare", "--data", "samples.csv", "--json", "out/c.json", "--markdown", "out/c.md"];
    let ended = plimsoll(folder.path(), &arguments, "");
    assert_eq!((ended.code, ended.stderr.as_str()), (3, ""));
    assert!(
        ended.stdout.starts_with("samples.csv  1 regression\n") && ended.stdout.contains("out/c.json"),
        "{}",
        ended.stdout
    );
    let json = std::fs::read_to_string(folder.path().join("out/c.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["affected"][0], "encode/p95");
    let markdown = std::fs::read_to_string(folder.path().join("out/c.md")).unwrap();
    assert!(markdown.starts_with("# Comparison of samples.csv: 1 regression\n"), "{markdown}");
}

#[test]
fn mistakes_are_told_with_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    with("nan.csv", "benchmark,metric,variant,run,value\na,b,base,1,NaN\n");
    with("time.csv", "series,time,value\na,soon,1\n");
    with("one.csv", "benchmark,metric,variant,run,value\na,b,base,1,1\n");
    for (command, file, expected) in [
        ("compare", "nan.csv", "error: nan.csv: line 2, column `value`: found `NaN`; write a finite number"),
        (
            "compare",
            "one.csv",
            "error: one.csv: base and candidate have no benchmark with a metric in common: base has `a/b`, candidate has nothing",
        ),
        ("compare", "none.csv", "error: cannot read none.csv: No such file"),
        ("trend", "time.csv", "error: time.csv: line 2, column `time`: found `soon`; write RFC 3339"),
        ("trend", ".", "error: cannot read .: "),
    ] {
        let ended = plimsoll(folder.path(), &[command, "--data", file], "");
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
        assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
    }
    let misspelt = plimsoll(folder.path(), &["compare", "--data", "-", "--higher", "p59"], &samples(SLOWER));
    assert_eq!(
        (misspelt.code, misspelt.stderr.trim_end()),
        (2, "error: standard input: there is no metric `p59`; there are `p95`")
    );
}

#[test]
fn a_trend_ends_with_3_where_that_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let short = "series,time,value\na,1,1\n";
    for (text, plain, strict, changes) in
        [(history(13.0), 0, 3, 1), (history(10.0), 0, 0, 0), (short.to_owned(), 0, 4, 0)]
    {
        let ended = plimsoll(folder.path(), &["trend", "--data", "-", "--json", "-"], &text);
        assert_eq!(ended.code, plain, "{}", ended.stderr);
        let json: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(json["series"][0]["change_points"].as_array().unwrap().len(), changes);
        let strictly = plimsoll(folder.path(), &["trend", "--data", "-", "--fail-on-change"], &text);
        assert_eq!((strictly.code, strictly.stderr.as_str()), (strict, ""));
    }
}
