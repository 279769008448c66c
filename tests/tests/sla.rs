//! Files of SLAs: what `plimsoll sla check` tells, and runs that are judged by them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use harness::{Desk, PATIENCE, Target, alone, beside_others, ends, free_port, verdict};
use nix::sys::signal::Signal;
use plimsoll_testkit::{binary, wait_for};
use serde_json::{Value, json};

const SLI: &str = "apiVersion: openslo/v1
kind: SLI
metadata: {name: good-requests}
spec:
  ratioMetric:
    good: {metricSource: {type: Prometheus, spec: {query: good}}}
    total: {metricSource: {type: Prometheus, spec: {query: all}}}
";

const SLO: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: web}
spec:
  service: web
  indicatorRef: good-requests
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999, op: gt}]
";

fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("plimsoll").unwrap());
    command.current_dir(folder).args(["sla", "check"]).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_name_does_not_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let service =
        "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: \"\\x1b[31mred\\nline\"}\nspec: {}\n";
    std::fs::write(folder.path().join("s.yaml"), service).unwrap();
    let told = check(folder.path(), &["s.yaml"]);
    let first = text(&told.stdout).lines().next().unwrap();
    assert_eq!(first, "s.yaml:1: Service ` [31mred line`: 1 error");
    assert_eq!(told.status.code(), Some(2));
}

#[test]
fn files_are_checked_together() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slo.yaml"), SLO).unwrap();
    std::fs::write(folder.path().join("sli.yaml"), SLI).unwrap();
    let output = check(folder.path(), &["slo.yaml", "sli.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        "slo.yaml:1: SLO `web`: 1 warning\nsli.yaml:1: SLI `good-requests`: ok\n2 objects in 2 files: 0 errors, 1 warning\n"
    );
    assert!(
        text(&output.stderr)
            .starts_with("warning[forbidden]: `spec.objectives[0].op` means nothing for a ratio")
    );

    let output = check(folder.path(), &["slo.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr)
            .starts_with("error[unresolved_reference]: `spec.indicatorRef` names the SLI `good-requests`")
    );
}

#[test]
fn what_was_found_is_told_to_programs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slo.yaml"), SLO.replace("0.999", "1.0001")).unwrap();
    std::fs::write(folder.path().join("sli.yaml"), SLI).unwrap();
    let output = check(folder.path(), &["slo.yaml", "sli.yaml", "--json", "-"]);
    assert_eq!(output.status.code(), Some(2));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        found,
        json!({
            "ok": false,
            "errors": 1,
            "warnings": 1,
            "objects": [
                {"file": "slo.yaml", "line": 1, "version": "openslo/v1", "kind": "SLO", "name": "web", "errors": 1, "warnings": 1},
                {"file": "sli.yaml", "line": 1, "version": "openslo/v1", "kind": "SLI", "name": "good-requests", "errors": 0, "warnings": 0},
            ],
            "issues": [
                {
                    "weight": "error", "rule": "less_than", "file": "slo.yaml", "line": 9, "column": 25, "object": 0,
                    "path": "spec.objectives[0].target",
                    "message": "`spec.objectives[0].target` must be below 1, found 1.0001",
                    "hint": null,
                    "help": "a promise without any room has no budget to spend or to burn",
                },
                {
                    "weight": "warning", "rule": "forbidden", "file": "slo.yaml", "line": 9, "column": 37, "object": 0,
                    "path": "spec.objectives[0].op",
                    "message": "`spec.objectives[0].op` means nothing for a ratio",
                    "hint": null,
                    "help": "the examples of the specification have it, its official validator refuses it: leave it out",
                },
            ],
        })
    );
    assert!(text(&output.stderr).contains("slo.yaml:1: SLO `web`: 1 error, 1 warning"));
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = check(folder.path(), &["missing.yaml"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert!(text(&output.stderr).starts_with("error: cannot read missing.yaml"));
    std::fs::write(folder.path().join("latin.yaml"), b"kind: \xfc\n").unwrap();
    assert_eq!(check(folder.path(), &["latin.yaml"]).status.code(), Some(2));
    std::fs::write(folder.path().join("plan.yaml"), "name: x\ntarget: http://127.0.0.1:1\n").unwrap();
    let output = check(folder.path(), &["plan.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).starts_with("plan.yaml:1: an object of no known kind: 2 errors\n"));
    assert_eq!(check(folder.path(), &[]).status.code(), Some(2));
}

/// The file that the page shows is good, and its mistake is told as the page tells it.
#[test]
fn the_page_is_true() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sla.md")).unwrap();
    let file = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slo.yaml"), file).unwrap();
    let output = check(folder.path(), &["slo.yaml"]);
    assert_eq!(
        text(&output.stdout),
        "slo.yaml:1: SLO `web-availability`: ok\nslo.yaml:22: AlertPolicy `page`: ok\n2 objects in 1 file: 0 errors, 0 warnings\n"
    );
    std::fs::write(folder.path().join("slo.yaml"), file.replace("0.999", "1.0001")).unwrap();
    let output = check(folder.path(), &["slo.yaml"]);
    let told = page.split("```\nslo.yaml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (line, diagnostic) = told.split_once('\n').unwrap();
    assert!(text(&output.stdout).starts_with(&format!("slo.yaml{line}\n")), "{}", text(&output.stdout));
    assert!(text(&output.stderr).starts_with(diagnostic), "{}", text(&output.stderr));
}

/// What goes wrong with the target.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Every answer is a 500.
    Errors,
    /// Nearly every third is.
    SomeErrors,
    /// The process stands still: nothing is answered and nothing refused.
    Stall,
    /// The process is gone: connections are refused.
    Refused,
}

/// An SLO of the plan `watched`: so many requests succeed within 250 ms.
fn promise(target: f64) -> String {
    format!(
        "apiVersion: openslo/v1
kind: SLO
metadata: {{name: answers, displayName: Answers}}
spec:
  service: shop
  indicator:
    metadata: {{name: good}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: Plimsoll, spec: {{plan: watched, within: 250ms}}}}}}
        total: {{metricSource: {{type: Plimsoll, spec: {{plan: watched}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: {target}}}]
"
    )
}

fn watched(target: &Target, load: &str, rest: &str) -> String {
    format!(
        "name: watched\ntarget: {}\nload: {{ stages: [{load}], grace: 1s }}\nhttp: {{ timeout: 5s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n{rest}",
        target.url()
    )
}

#[tokio::test]
async fn a_run_is_judged_by_what_a_file_promises_of_its_plan() {
    let _others = beside_others().await;
    for (arguments, code, kept) in
        [(["--latency", "fixed:5ms"], 0, "met"), (["--error-ratio", "20%"], 3, "missed")]
    {
        let (desk, target) = (Desk::new(), Target::start(arguments).await);
        let plan = watched(&target, "{ hold: 100/s, for: 2s }", "");
        let slo = desk.write("slo.yaml", &promise(0.9));
        let ended = desk.run(&plan).args(["--sla", &slo]).ended().await;
        let run = desk.json();
        ends(&ended, &run, code);
        assert_eq!(verdict(&run, "answers"), kept);
        assert_eq!(run["sla"][0]["objective"], "within(response_time, 250ms) >= 90%");
    }
    // Of another plan it promises nothing, and nothing is offered.
    let (desk, target) = (Desk::new(), Target::start(["--latency", "none"]).await);
    let plan = watched(&target, "{ hold: 100/s, for: 2s }", "").replace("name: watched", "name: other");
    let slo = desk.write("slo.yaml", &promise(0.9));
    let ended = desk.run(&plan).args(["--sla", &slo]).ended().await;
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("they are about runs of `watched`"), "{}", ended.stderr);
    assert_eq!(target.record().await.count(), 0);
}

/// A fault is told by `plimsoll_sla_met` while the run as a whole still keeps what was promised. How soon, this machine
/// decides; the seconds are printed.
#[tokio::test]
async fn an_outage_is_told_while_the_run_goes_on() {
    let _quiet = alone().await;
    for (fault, promised) in
        [(Fault::Errors, 0.5), (Fault::SomeErrors, 0.9), (Fault::Stall, 0.5), (Fault::Refused, 0.5)]
    {
        let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
        let (slo, port) = (desk.write("slo.yaml", &promise(promised)), free_port());
        let export = format!("export: {{ prometheus: {{ listen: \"127.0.0.1:{port}\" }} }}\n");
        let plan = watched(&target, "{ hold: 1000/s, for: 60s }", &export);
        let run = desk.run(&plan).args(["--sla", &slo, "--quiet", "--no-calibrate"]).start();
        target.asked(6_000).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let told = async || {
            let text = client.get(format!("http://127.0.0.1:{port}/metrics")).send().await.unwrap();
            let text = text.text().await.unwrap();
            let value = |metric: &str| -> Option<f64> {
                let series = format!("{metric}{{plan=\"watched\",sla=\"answers\"}} ");
                text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
            };
            (value("plimsoll_sla_met"), value("plimsoll_sla_observed"))
        };
        wait_for(PATIENCE, "health", async || match told().await {
            (Some(1.0), _) => Ok(()),
            other => Err(format!("before {fault:?}, met and observed are {other:?}")),
        })
        .await
        .unwrap();
        let began = Instant::now();
        let control = async |body: &'static str| {
            let put = client.put(format!("{}/control", target.url())).body(body).send().await.unwrap();
            assert!(put.status().is_success());
        };
        match fault {
            Fault::Errors => control("{\"error_ratio\": 1}").await,
            Fault::SomeErrors => control("{\"error_ratio\": 0.3}").await,
            Fault::Stall => target.freeze(),
            Fault::Refused => target.kill(),
        }
        let mut observed = None;
        wait_for(PATIENCE, "the breach to be told", async || match told().await {
            (Some(0.0), figure) => {
                observed = figure;
                Ok(())
            }
            other => Err(format!("met and observed are {other:?}")),
        })
        .await
        .unwrap();
        println!("{fault:?}: told after {:.2} s", began.elapsed().as_secs_f64());
        assert!(
            observed.is_some_and(|share| share >= promised),
            "{fault:?}: {observed:?} of the run is bad already"
        );
        run.signal(Signal::SIGKILL);
        if matches!(fault, Fault::Stall) {
            target.thaw();
        }
    }
}
