//! Everything around a run that can go wrong: each ends in a clear word, the right exit code and a
//! record that is still whole, and none of it in a hang.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{
    Call, Desk, Ended, PATIENCE, Running, Target, alone, beside_others, ends, errors, free_port, notes,
    requests,
};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};
use plimsoll_demo_target::misbehave::{self, Kind};
use plimsoll_demo_target::{Config, DemoTarget, TlsConfig};
use plimsoll_testkit::{Answer, Authority, Receiver, binary, wait_for, wait_until};
use serde_json::Value;

/// Far above what any of these runs takes; a run that hangs is told from one on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

const OPEN: &str = "load: { stages: [ { hold: 20/s, for: 2s } ], grace: 3s }";
const CLOSED: &str = "load: { model: closed, stages: [ { hold: 4 users, for: 2s } ], grace: 3s }";

fn plan(load: &str, more: &str) -> String {
    format!(
        "
name: trouble
target: http://127.0.0.1:1
{load}
http: {{ timeout: 1500ms, connect_timeout: 1s, max_body: 1MB, redirects: 3 }}
scenarios: [ {{ name: read, steps: [ {{ name: page, get: /products/1 }} ] }} ]
sla: [ {{ name: few errors, objective: error_ratio <= 1% }} ]
{more}"
    )
}

/// How a run against each kind of bad server ends, and how its requests may fail.
fn told(kind: Kind) -> (i32, &'static [&'static str]) {
    match kind {
        Kind::Refuse => (5, &["connect"]),
        // A reset that comes before we know of the connection is that of connecting.
        Kind::ResetOnAccept => (5, &["reset", "connect"]),
        Kind::ResetMidResponse => (5, &["reset"]),
        Kind::Garbage { .. }
        | Kind::EndlessHeaders
        | Kind::BadChunked
        | Kind::NegativeContentLength
        | Kind::WrongStatusLine => (5, &["protocol"]),
        Kind::HalfThenStall | Kind::SilentAccept => (5, &["timeout"]),
        Kind::HugeBody => (3, &["too_large"]),
        // Each redirect was an answer; that there is no end to them is against the protocol.
        Kind::RedirectForEver => (3, &["protocol"]),
        Kind::CloseAfterEachReply | Kind::Http10 => (0, &[]),
    }
}

#[tokio::test]
async fn every_bad_server_ends_in_its_word_and_exit_code() {
    let _machine = alone().await;
    let mut runs = tokio::task::JoinSet::new();
    for kind in Kind::ALL {
        for load in [OPEN, CLOSED] {
            runs.spawn(against(kind, load));
        }
    }
    let wrong: Vec<String> = runs.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn against(kind: Kind, load: &str) -> Result<(), String> {
    let server = misbehave::serve(kind).await.unwrap();
    let desk = Desk::new();
    let target = format!("target=http://{}", server.addr());
    let ended = desk.run(&plan(load, "")).set([target]).start().ended_within(DEADLINE).await;
    let run = desk.json();
    let (code, outcomes) = told(kind);
    let found: Vec<_> =
        run["errors"].as_array().unwrap().iter().map(|error| error["kind"].as_str().unwrap()).collect();
    let context = format!("{kind:?} {load}: {} {found:?}\n{}", ended.code, ended.stderr);
    let disturbed = ended.code == 4 && harness::is_invalid(&run) && matches!(code, 0 | 3);
    let as_told = (ended.code == code || disturbed)
        && found.is_empty() == outcomes.is_empty()
        && found.iter().all(|outcome| outcomes.contains(outcome));
    // A request that left before the news of the closing came met a closed door: that is a reset.
    let crossed = kind == Kind::CloseAfterEachReply && found == ["reset"] && matches!(ended.code, 0 | 3 | 4);
    if !as_told && !crossed {
        return Err(format!("{code} {outcomes:?} was told, not {context}"));
    }
    assert!(requests(&run) > 0, "{context}");
    for error in run["errors"].as_array().unwrap() {
        let message = error["samples"][0]["message"].as_str().unwrap();
        let word = error["kind"].as_str().unwrap().replace('_', " ");
        assert!(!message.is_empty() && ended.stderr.contains(&word), "{context}");
    }
    if kind == Kind::HugeBody {
        let read = run["totals"]["received_bytes"].as_u64().unwrap();
        assert!(read < requests(&run) * 3_000_000, "no more of a body is read than is allowed: {read}");
    }
    let again = desk.plimsoll(["runs", "show", "last", "--json", "-"]).ended().await;
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    if again == run { Ok(()) } else { Err(format!("the record says\n{again}\nnot\n{run}\n{context}")) }
}

#[tokio::test]
async fn a_target_that_dies_is_blamed_for_it() {
    let _machine = beside_others().await;
    let target = DemoTarget::start(local()).await.unwrap();
    let desk = Desk::new();
    let setting = format!("target=http://{}", target.addr());
    let run = desk.run(&plan(OPEN, "")).set([setting, "load.stages[0].for=4s".to_owned()]).start();
    asked(&target, 20).await;
    let record = target.shutdown().await;
    let ended = run.ended_within(DEADLINE).await;
    let json = desk.json();
    ends(&ended, &json, 3);
    assert_eq!(json["totals"]["requests"], 80, "it goes on asking");
    assert!(errors(&json, "connect") >= 20, "{}", json["errors"]);
    let reached = requests(&json) - errors(&json, "connect") - errors(&json, "reset");
    assert!(reached <= record.access_count(), "{reached} of {}: {}", record.access_count(), json["errors"]);
}

fn local() -> Config {
    Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() }
}

async fn asked(target: &DemoTarget, count: u64) {
    wait_until(PATIENCE, "requests at the target", async || target.record().access_count() >= count)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_changes_in_the_middle_is_told() {
    let _machine = beside_others().await;
    let (known, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let certificate = |authority: &Authority| {
        let (cert, key) = authority.issue(&["127.0.0.1"]).unwrap();
        TlsConfig { cert_pem: cert.into_bytes(), key_pem: key.into_bytes() }
    };
    let target = DemoTarget::start(Config { tls: Some(certificate(&known)), ..local() }).await.unwrap();
    let desk = Desk::new();
    desk.write("ca.pem", &known.pem());
    // Each answer closes its connection, so that every request sees a certificate.
    let every = ["scenarios[0].steps[0].get=/close", "tls={ ca: ca.pem }", "load.stages[0].for=4s"];
    let setting = format!("target=https://{}", target.addr());
    let run = desk.run(&plan(OPEN, "")).set(every).set([setting.clone()]).start();
    asked(&target, 20).await;
    target.control().replace_certificate(&certificate(&stranger)).unwrap();
    let ended = run.ended_within(DEADLINE).await;
    let json = desk.json();
    ends(&ended, &json, 3);
    assert!(errors(&json, "tls") >= 20, "{}", json["errors"]);
    assert!(json["totals"]["succeeded"].as_u64().unwrap() >= 20);
    assert_eq!(json["totals"]["requests"], 80);
    let said = json["errors"][0]["samples"][0]["message"].as_str().unwrap();
    assert!(said.contains("certificate"), "{said}");

    // A stranger from the start answers nobody; who says so takes any certificate.
    let ended = desk.run(&plan(OPEN, "")).set(every).set([setting.clone()]).ended().await;
    assert_eq!(ended.code, 5, "{ended:?}");
    let ended = desk
        .run(&plan(OPEN, ""))
        .set(every)
        .set([setting, "tls={ insecure: true }".to_owned()])
        .ended()
        .await;
    ends(&ended, &desk.json(), 0);
}

#[tokio::test]
async fn a_history_that_cannot_be_used_is_said_before_anything_is_sent() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    desk.write("notes.txt", &"this is no database\n".repeat(100));
    std::fs::create_dir(desk.path("folder")).unwrap();
    let locked = desk.path("locked.db");
    let made = desk.plimsoll(["runs", "list", "--history"]).arg(&locked).ended().await;
    assert_eq!(made.code, 0, "{made:?}");
    let file = File::options().read(true).write(true).open(&locked).unwrap();
    lock(&file, SHARED_LOCKS, F_WRLCK);

    for (history, words) in [
        (desk.path("notes.txt").as_path(), "not a history file"),
        (desk.path("folder").as_path(), "cannot be opened"),
        (desk.path("notes.txt/below.db").as_path(), "cannot be used"),
        (Path::new("/proc/no/history.db"), "/proc/no"),
        (locked.as_path(), "locked by another process"),
        (Path::new("postgres://ann:hush@127.0.0.1:1/db"), "cannot be reached"),
    ] {
        let run = desk.run(&plan(OPEN, "")).set([target.setting()]).arg("--history").arg(history);
        let ended = run.start().ended_within(DEADLINE).await;
        assert_eq!(ended.code, 2, "{history:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{history:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
    }
    assert_eq!(target.record().await.count(), 0);
    // Whoever goes on with runs asks again where it is only for now.
    for (history, code) in [(&locked, 75), (&desk.path("notes.txt"), 2)] {
        let resumed = desk.plimsoll(["runs", "resume", "last", "--history"]).arg(history).ended().await;
        assert_eq!(resumed.code, code, "{history:?}: {resumed:?}");
    }
}

/// The bytes of a database file whose locks every user of it holds, and the byte of the file beside it
/// that the one who writes holds: SQLite's file format has them.
const SHARED_LOCKS: (i64, i64) = (0x4000_0000, 512);
const WRITE_LOCK: (i64, i64) = (120, 1);

fn lock(file: &File, (start, length): (i64, i64), kind: i32) {
    let lock =
        flock { l_type: kind as i16, l_whence: SEEK_SET as i16, l_start: start, l_len: length, l_pid: 0 };
    fcntl(file, FcntlArg::F_SETLK(&lock)).unwrap();
}

#[tokio::test]
async fn a_history_locked_for_a_while_loses_no_second() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let run = desk.run(&plan(OPEN, "")).set([target.setting(), "load.stages[0].for=7s".to_owned()]).start();
    target.asked(20).await;
    let beside = File::options().read(true).write(true).open(desk.path("history.db-shm")).unwrap();
    // Whoever writes holds it for milliseconds.
    wait_for(PATIENCE, "the write lock", async || {
        let (start, length) = WRITE_LOCK;
        let lock = flock {
            l_type: F_WRLCK as i16,
            l_whence: SEEK_SET as i16,
            l_start: start,
            l_len: length,
            l_pid: 0,
        };
        fcntl(&beside, FcntlArg::F_SETLK(&lock))
    })
    .await
    .unwrap();
    target.asked(100).await;
    lock(&beside, WRITE_LOCK, F_UNLCK);
    let ended = run.ended_within(DEADLINE).await;
    let json = desk.json();
    ends(&ended, &json, 0);
    assert!(notes(&json).contains("locked by another process"), "{}", notes(&json));
    let shown = desk.plimsoll(["runs", "show", "last", "--json", "-"]).ended().await;
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["totals"], json["totals"], "what waited was written");
    assert_eq!(desk.events().await.arrivals()[..7], [20; 7]);
}

/// `plimsoll` by a script, whose `$@` it is, on a disk of this size in the folder `small`. The disk exists for this one
/// process and goes with it.
fn on_a_small_disk(desk: &Desk, size: &str, script: &str) -> Call {
    std::fs::create_dir_all(desk.path("small")).unwrap();
    let program = binary("plimsoll").unwrap().display().to_string();
    let root = nix::unistd::geteuid().is_root();
    let call = desk.program("unshare", [if root { "-m" } else { "-rm" }, "sh", "-c"]);
    let script = format!("mount -t tmpfs -o size={size} none \"$0\" || exit 99; {script}");
    call.args([&script, "small", &program])
}

/// Fills the disk, so far as it goes.
const FILL: &str = "head -c 100M /dev/zero > small/fill 2> /dev/null;";

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_costs_no_point() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let exports = "export: { file: { path: points.ndjson }, spool: { directory: small/spool } }";
    let plan = desk.write("plan.yaml", &plan(OPEN, exports));
    let script = format!("{FILL} \"$@\"; code=$?; find small/spool -type f 1>&2; exit $code");
    let call = on_a_small_disk(&desk, "100k", &script).args(["run", &plan, "--quiet", "--json", "run.json"]);
    let ended = call.set([target.setting()]).ended().await;
    let json = desk.json();
    ends(&ended, &json, 0);
    let [count] = json["export"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((&count["acknowledged"], &count["lost"]), (&count["produced"], &0.into()), "{count}");
    assert_eq!(desk.text("points.ndjson").lines().count() as u64, count["produced"].as_u64().unwrap());
    assert_eq!(notes(&json).matches("points wait in memory only").count(), 1, "{}", notes(&json));
    assert!(!ended.stderr.contains("small/spool/"), "nothing is left behind: {}", ended.stderr);

    // With the history on it nothing begins.
    let asked = target.record().await.count();
    let script = format!("\"$1\" runs list --history small/history.db > /dev/null; {FILL} exec \"$@\"");
    let call = on_a_small_disk(&desk, "300k", &script);
    let ended =
        call.args(["run", &plan, "--history", "small/history.db"]).set([target.setting()]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("small/history.db: the disk is full"), "{}", ended.stderr);
    assert_eq!(target.record().await.count(), asked, "nothing was asked");
}

#[tokio::test]
async fn a_disk_that_one_sink_fills_costs_no_other_sink_a_point() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let silent = Receiver::start([Answer::Stall]).await.unwrap();
    let desk = Desk::new();
    let exports = format!(
        "export: {{ file: {{ path: points.ndjson }}, influxdb: {{ url: '{}', org: o, bucket: b }}, \
         spool: {{ directory: small/spool }} }}",
        silent.url()
    );
    let plan = desk.write("plan.yaml", &plan(OPEN, &exports));
    let call =
        on_a_small_disk(&desk, "48k", "exec \"$@\"").args(["run", &plan, "--quiet", "--json", "run.json"]);
    let ended = call.set([target.setting(), "load.stages[0].for=8s".to_owned()]).ended().await;
    let json = desk.json();
    ends(&ended, &json, 0);
    let counts = json["export"].as_array().unwrap();
    let count = |sink: &str| {
        let count = counts.iter().find(|count| count["sink"] == sink).unwrap();
        ["produced", "acknowledged", "backlog", "lost"].map(|fate| count[fate].as_u64().unwrap())
    };
    let [produced, acknowledged, backlog, lost] = count("file");
    assert_eq!((acknowledged, backlog, lost), (produced, 0, 0), "{}", notes(&json));
    assert_eq!(desk.text("points.ndjson").lines().count() as u64, produced);
    let [produced, acknowledged, backlog, lost] = count("influxdb");
    assert_eq!((acknowledged, backlog + lost), (0, produced));
    assert!(backlog > 0 && lost > 0, "the disk has room for some: {counts:?}");
    let told = notes(&json);
    assert!(
        told.lines().filter(|note| note.contains("takes no points: they wait in memory")).count() <= 2,
        "{told}"
    );
    assert!(told.contains(&format!("influxdb: {lost} points were not taken within")), "{told}");
    assert!(told.contains(&format!("influxdb: {backlog} points were not taken within")), "{told}");
}

#[tokio::test]
async fn a_full_disk_costs_seconds_of_the_record_and_says_how_many() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let plan = desk.write("plan.yaml", &plan(OPEN, ""));
    let call = on_a_small_disk(&desk, "468k", "exec \"$@\"");
    let call = call.args(["run", &plan, "--history", "small/history.db"]);
    let call = call.args(["--json", "run.json", "--report", "run.html"]);
    let ended = call.set([target.setting(), "load.stages[0].for=12s".to_owned()]).ended().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let json = desk.json();
    assert_eq!(json["totals"]["requests"], 240, "the run itself is whole");
    assert_eq!(json["run"]["status"], "completed");
    assert_eq!(harness::verdict(&json, "few errors"), "met");
    assert!(notes(&json).contains("the disk is full"), "{}", notes(&json));
    assert!(desk.text("run.html").contains("the disk is full"));
    let said = ended.stderr.lines().find(|line| line.contains("not in the history")).unwrap_or_default();
    let missing: u64 = said.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_default();
    assert!((1..=12).contains(&missing), "{}", ended.stderr);
}

#[tokio::test]
async fn a_result_that_cannot_be_written_keeps_no_other_back() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let wrong = ["--report", "/proc/no/run.html", "--markdown", "plan.yaml/run.md", "--junit", "run.xml"];
    let ended = desk.run(&plan(OPEN, "")).set([target.setting()]).args(wrong).ended().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    for path in ["/proc/no/run.html", "plan.yaml/run.md"] {
        assert!(ended.stderr.contains(&format!("cannot write {path}")), "{}", ended.stderr);
    }
    assert!(ended.stdout.contains("few errors"), "people see the result: {}", ended.stdout);
    assert_eq!(requests(&desk.json()), 40);
    assert!(desk.text("run.xml").contains("few errors"));
    let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[0]["verdict"], "met", "the record has its summary");
}

/// What must be told to nobody, and where it stands in the plan below.
const SECRETS: [(&str, &str); 6] = [
    ("BEARER", "hush-bearer"),
    ("PASSWORD", "hush-password"),
    ("API_KEY", "hush-api-key"),
    ("COOKIE", "hush-cookie"),
    ("QUERY", "hush-query"),
    ("INFLUX_TOKEN", "hush-influx"),
];

const SECRETIVE: &str = "
http: { headers: { x-api-key: '${secret:API_KEY}', cookie: 'id=${COOKIE}' } }
export: { influxdb: { url: 'http://127.0.0.1:1', org: o, bucket: b, token: '${INFLUX_TOKEN}' } }
";

#[tokio::test]
async fn secrets_are_told_to_nobody() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    // A server that quotes what it was sent.
    let influx =
        Receiver::start([Answer::Body(401, "{\"message\":\"bad token hush-influx\"}".to_owned())]).await;
    let influx = influx.unwrap();
    let steps = "
scenarios:
  - name: enter
    steps:
      - { name: log in, post: /login, json: { user: ann, password: '${secret:PASSWORD}' }, on_failure: continue,
          expect: { body_contains: '${secret:PASSWORD}' } }
      - { name: search, get: '/search?q=oak&key=${secret:QUERY}', expect: { status: 201 }, on_failure: continue }
      - { name: away, get: '/redirect-loop?key=${secret:QUERY}', expect: { status: 200 } }
";
    let plan = format!("name: secrets\ntarget: http://127.0.0.1:1\n{OPEN}\n{SECRETIVE}\n{steps}");
    let auth = "auth={ bearer: '${BEARER}' }";
    let nobody = free_port();
    let user = format!("target=http://ann:hush-user@127.0.0.1:{nobody}");
    let base64 = "YW5uOmh1c2gtdXNlcg"; // ann:hush-user
    for (settings, code) in [
        (vec![target.setting(), auth.to_owned()], 0),
        // Nobody there, and the credentials in the URL.
        (vec![user, auth.replace("auth", "tags").replace("bearer", "note").replace("${BEARER}", "x")], 5),
        // Mistakes beside secrets: what stands around them is shown.
        (vec!["auth.bearer=hush-bearer".to_owned(), "auth.loud=hush-password".to_owned()], 2),
        (vec!["export.influxdb.token=hush-influx".to_owned(), "export.influxdb.size=1".to_owned()], 2),
    ] {
        let desk = Desk::new();
        let files = ["--report", "run.html", "--junit", "run.xml", "--markdown", "run.md"];
        let mut call = desk.run(&plan).args(files).set(&settings);
        call = call.set([format!("export.influxdb.url={}", influx.url())]);
        for (name, value) in SECRETS {
            call = call.env(name, value);
        }
        let ended = call.ended().await;
        if code == 0 {
            ends(&ended, &desk.json(), 0);
            assert!(requests(&desk.json()) > 80);
        } else {
            assert_eq!(ended.code, code, "{settings:?}: {ended:?}");
        }
        let exported = desk.plimsoll(["runs", "export", "last"]).ended().await;
        let shown = desk.plimsoll(["runs", "show", "last"]).ended().await;
        let mut places = everything_in(&desk);
        for (name, ended) in [("run", &ended), ("export", &exported), ("show", &shown)] {
            places.push((name.to_owned(), format!("{}{}", ended.stdout, ended.stderr).into_bytes()));
        }
        for (place, bytes) in &places {
            let text = String::from_utf8_lossy(bytes);
            let heard = text.find("hush-").or_else(|| text.find(base64));
            let around = heard.map(|at| text[..at].chars().rev().take(200).collect::<String>());
            assert!(heard.is_none(), "{place} tells a secret after (read backwards): {around:?}");
        }
        assert!(places.len() >= 4, "{}", places.len());
    }
    assert!(influx.received().iter().any(|request| request.headers["authorization"] == "Token hush-influx"));
}

/// Every file on a desk but the plan, with its bytes.
fn everything_in(desk: &Desk) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(desk.path("")).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files
        .filter(|path| path.is_file() && name(path) != "plan.yaml")
        .map(|path| (name(&path), std::fs::read(&path).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = desk.plimsoll(["serve", "--listen", &address]).start().ended_within(DEADLINE).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
}

#[tokio::test]
async fn a_second_service_on_one_history_refuses_to_start() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let first = desk.plimsoll(["serve", "--listen", "127.0.0.1:0"]).start();
    wait_until(PATIENCE, "the service", async || first.stderr().contains("history")).await.unwrap();
    let second = desk.plimsoll(["serve", "--listen", "127.0.0.1:0"]).start();
    let second = second.ended_within(DEADLINE).await;
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.stderr.contains("another service"), "{}", second.stderr);
    assert_eq!(stopped(first).await.code, 0, "Ctrl-C is how a service ends");
}

async fn stopped(running: Running) -> Ended {
    let asked = Instant::now();
    running.signal(nix::sys::signal::Signal::SIGINT);
    let ended = running.ended_within(DEADLINE).await;
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    ended
}

#[tokio::test]
async fn a_run_that_nobody_listens_to_is_concluded_all_the_same() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let target = Target::start(["--latency", "none"]).await;
    let plan = desk.write("plan.yaml", &plan(OPEN, ""));
    let plimsoll = binary("plimsoll").unwrap();
    // The disk behind both outputs is full: every word fails, the run must not.
    let line = r#""$0" run "$1" --no-tui --set "$2" >/dev/full 2>/dev/full"#;
    let arguments = ["-c", line, plimsoll.to_str().unwrap(), &plan, &target.setting()];
    let ended = desk.program("sh", arguments).ended().await;
    let told = desk.plimsoll(["runs", "show", "last", "--json", "-"]).ended().await;
    ends(&ended, &serde_json::from_str(&told.stdout).unwrap(), 0);
    let shown = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
    let runs: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(runs[0]["status"], "completed", "{shown:?}");
    let unheard = desk.program("sh", ["-c", r#""$0" runs list >/dev/full"#, plimsoll.to_str().unwrap()]);
    assert_eq!(unheard.ended().await.code, 0);
}

/// A plan whose closed users or arrivals have so many connections at once.
const CROWD: &str = "load: { model: closed, stages: [ { hold: 400 users, for: 2s } ], grace: 3s }";
const FLOOD: &str = "load: { max_in_flight: 400, stages: [ { hold: 200/s, for: 2s } ], grace: 4s }";

/// A shell that sets a limit and becomes `plimsoll run`.
fn limited(desk: &Desk, shell: &str, plan: &str) -> Call {
    let program = binary("plimsoll").unwrap().display().to_string();
    let plan = desk.write("plan.yaml", plan);
    desk.program("sh", ["-c", shell, &program]).args(["run", &plan, "--json", "run.json"])
}

#[tokio::test]
async fn too_few_descriptors_are_told_before_the_load() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let call = limited(&desk, "ulimit -n 300 && exec \"$0\" \"$@\"", &plan(CROWD, ""));
    let ended = call.set([target.setting()]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("the plan needs 400 connections at once"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`ulimit -Hn` 300"), "{}", ended.stderr);
    assert_eq!(target.record().await.count(), 0, "nothing was offered");
    // A lower limit that may be raised is raised.
    let call = limited(&desk, "ulimit -Sn 300 && exec \"$0\" \"$@\"", &plan(CROWD, ""));
    let ended = call.set([target.setting()]).ended().await;
    ends(&ended, &desk.json(), 0);
    assert_eq!(requests(&desk.json()), target.record().await.count());
}

#[tokio::test]
async fn running_out_of_descriptors_is_named_and_touches_validity() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "fixed:3s"]).await;
    let desk = Desk::new();
    let call = limited(&desk, "ulimit -n 300 && exec \"$0\" \"$@\"", &plan(FLOOD, ""));
    let ended = call.set([target.setting(), "http.timeout=5s".to_owned()]).ended().await;
    out_of(&desk.json(), &ended, "no descriptor left for another connection");
    assert!(notes(&desk.json()).contains("the plan may need 400 connections at once"));
    // The record had what it needed.
    let events = desk.events().await;
    assert_eq!(events.arrivals().iter().sum::<u64>(), 400);
}

#[tokio::test]
async fn too_few_ports_are_told_before_the_load() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let ended = with_few_ports(&desk, "exec \"$@\"", &plan(CROWD, "")).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    let told = "the plan needs 400 connections at once to 127.0.0.1:1, and there are ports for 100 of them";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert!(ended.stderr.contains("list 4 addresses in `http.source`"), "{}", ended.stderr);
}

#[tokio::test]
async fn running_out_of_ports_is_named_and_touches_validity() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let target = binary("plimsoll-demo-target").unwrap().display().to_string();
    // The target lives in the same network, and no longer than the run or a minute.
    let shell = format!(
        "timeout 60 '{target}' --listen 127.0.0.1:7 --latency 'fixed:3s' > target & \
         until grep -q :// target; do sleep 0.05; done; \"$@\"; code=$?; kill $!; exit $code"
    );
    let call = with_few_ports(&desk, &shell, &plan(FLOOD, ""));
    let ended = call.set(["target=http://127.0.0.1:7", "http.timeout=5s"]).ended().await;
    out_of(&desk.json(), &ended, "no local port left for another connection");
    // Another source address has ports of its own.
    let call = with_few_ports(&desk, &shell, &plan(FLOOD, ""));
    let sources = "http.source=[127.0.0.2, 127.0.0.3, 127.0.0.4, 127.0.0.5, 127.0.0.6]";
    let ended = call.set(["target=http://127.0.0.1:7", "http.timeout=5s", sources]).ended().await;
    assert_eq!(requests(&desk.json()), 400, "{ended:?}");
    assert_eq!(desk.json()["validity"]["generator_drops"], 0, "{ended:?}");
}

/// `plimsoll run` in a network of its own, with a hundred ports, started by this shell as `\"$@\"`.
fn with_few_ports(desk: &Desk, shell: &str, plan: &str) -> Call {
    let program = binary("plimsoll").unwrap().display().to_string();
    let plan = desk.write("plan.yaml", plan);
    let root = nix::unistd::geteuid().is_root();
    let shell = format!(
        "ip link set lo up && echo '40000 40099' > /proc/sys/net/ipv4/ip_local_port_range && {{ {shell}; }}"
    );
    let call = desk.program("unshare", [if root { "-n" } else { "-rn" }, "sh", "-c", &shell, "sh", &program]);
    call.args(["run", &plan, "--json", "run.json"])
}

/// The run says what this machine ran out of and with how many connections, and nobody blames the target.
fn out_of(json: &Value, ended: &Ended, what: &str) {
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(notes(json).contains(what), "{}", notes(json));
    assert!(notes(json).contains(" connections are open"), "{}", notes(json));
    assert_eq!(json["validity"]["verdict"], "invalid");
    let drops = json["validity"]["generator_drops"].as_u64().unwrap();
    assert!((1..400).contains(&drops), "{drops}");
    assert_eq!(requests(json) + drops, 400);
    assert_eq!(json["errors"], serde_json::json!([]), "no request failed");
}
