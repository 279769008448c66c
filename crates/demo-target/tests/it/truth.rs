//! The target does what its model says, and its record says what it did.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, DEADLINE, eventually, target};
use plimsoll_demo_target::{Autoscale, Config, DemoTarget, Latency, Model, Pool};

fn fixed(ms: f64) -> Model {
    Model { latency: Latency::Fixed { ms }, ..Model::default() }
}

#[test]
fn counts_add_up_over_routes_statuses_and_workers() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config { listen, workers: 3, ..Config::default() };
    let target = DemoTarget::spawn_thread(config).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..7 {
            scope.spawn(|| {
                let mut client = Client::to(target.addr());
                for _ in 0..100 {
                    client.get("/");
                    client.get("/products/1");
                    client.get("/products/0");
                }
                client.get("/health");
            });
        }
    });
    eventually("all are recorded", || target.record().in_flight() == 0);
    let record = target.record();
    assert_eq!((record.access_count(), record.answered(), record.abandoned()), (2100, 2100, 0));
    assert_eq!((record.with_status(200), record.with_status(404)), (1400, 700));
    assert_eq!(record.route("GET /products/{id}").unwrap().with_status(404), 700);
    assert_eq!(record.latency().len(), 2100);

    let metrics = Client::to(target.addr()).get("/metrics");
    let expected = "demo_requests_total{route=\"GET /products/{id}\",status=\"404\"} 700";
    assert!(metrics.text().contains(expected), "{}", metrics.text());
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
}

#[test]
fn the_record_says_null_where_it_has_no_data() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let empty = client.get("/record").json();
    assert_eq!((&empty["access_count"], &empty["routes"]), (&0.into(), &serde_json::json!([])));
    assert!(empty["latency"]["p50"].is_null() && empty["latency"]["mean"].is_null());

    for _ in 0..20 {
        client.get("/");
    }
    eventually("all are recorded", || target.record().answered() == 20);
    let some = client.get("/record").json();
    assert!(some["latency"]["p95"].is_number() && some["latency"]["p99"].is_null());
    assert_eq!(some["routes"][0]["statuses"]["200"]["count"], 20);
    assert_eq!(some["routes"][0]["route"], "GET /");
    assert_eq!(some["sent_bytes"], some["routes"][0]["sent_bytes"]);
}

#[test]
fn a_fixed_delay_is_what_the_record_and_the_client_see() {
    let target = target(fixed(5.0));
    let mut client = Client::to(target.addr());
    let mut seen = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        client.get("/");
        seen.push(started.elapsed());
    }
    eventually("all are recorded", || target.record().answered() == 50);
    let recorded = target.record().latency();
    seen.sort();
    assert!(recorded.min() >= 4_995_000, "{}", recorded.min());
    for (rank, seen) in seen.into_iter().enumerate() {
        let quantile = (rank as f64 + 0.5) / 50.0;
        let recorded = Duration::from_nanos(recorded.value_at_quantile(quantile));
        // Three significant digits.
        assert!(seen.as_secs_f64() >= recorded.as_secs_f64() * 0.998, "client {seen:?}, target {recorded:?}");
    }
}

#[test]
fn the_record_knows_the_gaps_between_arrivals_of_all_connections() {
    let target = target(Model::default());
    let (mut first, mut second) = (Client::to(target.addr()), Client::to(target.addr()));
    assert!(first.get("/record").json()["arrival_gap"]["p50"].is_null(), "nothing arrived");
    first.get("/");
    let before = Instant::now();
    second.get("/stall?for=20ms");
    first.get("/");
    first.get("/health");
    let (gaps, passed) = (target.record().arrival_gaps, before.elapsed().as_nanos() as u64);
    assert_eq!(gaps.len(), 2, "the first came after none, and /health does not count");
    // Three significant digits.
    assert!((20_000_000..=passed + passed / 500).contains(&gaps.max()), "{} of {passed}", gaps.max());
    target.control().reset_record();
    first.get("/");
    assert_eq!(target.record().arrival_gaps.len(), 0);
}

#[test]
fn a_request_may_ask_for_its_own_delay() {
    let target = target(fixed(600_000.0));
    let mut client = Client::to(target.addr());
    assert_eq!(client.get("/latency/20").status, 200);
    assert_eq!(client.get("/stall?for=20ms").status, 200);
    eventually("both are recorded", || target.record().answered() == 2);
    assert!(target.record().latency().min() >= 19_900_000);
}

#[test]
fn a_client_that_leaves_is_counted_as_abandoned() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    client.send("GET", "/stall?for=10m", &[], b"");
    eventually("it is worked on", || target.record().in_flight() == 1);
    drop(client);
    eventually("it is abandoned", || target.record().abandoned() == 1);
    let record = target.record();
    assert_eq!((record.access_count(), record.in_flight(), record.answered()), (1, 0, 0));
}

#[test]
fn a_reset_leaves_out_what_is_in_flight() {
    let target = target(Model::default());
    let (mut slow, mut client) = (Client::to(target.addr()), Client::to(target.addr()));
    slow.send("GET", "/stall?for=10m", &[], b"");
    eventually("it is worked on", || target.record().in_flight() == 1);
    assert_eq!(client.ask("DELETE", "/record", &[], "").status, 200);
    client.get("/");
    drop(slow);
    let gauge = "demo_in_flight_requests 0";
    eventually("nothing is in flight", || client.get("/metrics").text().contains(gauge));
    let record = target.record();
    assert_eq!((record.access_count(), record.answered(), record.abandoned()), (1, 1, 0));
}

#[test]
fn capacity_queues_in_order_and_refuses_beyond_the_queue() {
    let model = Model { capacity: Some(1), queue: 1, ..Model::default() };
    let target = target(model);
    let mut operator = Client::to(target.addr());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::to(target.addr())).collect();
    clients[0].send("GET", "/stall?for=10m", &[], b"");
    eventually("the first is worked on", || target.record().in_flight() == 1);
    clients[1].send("GET", "/products", &[], b"");
    eventually("the second waits", || operator.get("/metrics").text().contains("demo_waiting_requests 1"));
    let refused = clients[2].get("/");
    assert_eq!(
        (refused.status, refused.json()["error"].as_str()),
        (503, Some("every worker is busy and the queue is full"))
    );
    clients.remove(0);
    assert_eq!(clients[0].reply("GET").status, 200, "the place of the first goes to the second");
    assert!(operator.get("/metrics").text().contains("demo_capacity_places 1"));
}

#[test]
fn capacity_can_be_raised_while_requests_wait() {
    let target = target(Model { capacity: Some(1), ..Model::default() });
    let (mut slow, mut waiting) = (Client::to(target.addr()), Client::to(target.addr()));
    slow.send("GET", "/stall?for=10m", &[], b"");
    eventually("the first is worked on", || target.record().in_flight() == 1);
    waiting.send("GET", "/", &[], b"");
    eventually("the second waits", || target.record().in_flight() == 2);
    let reply = Client::to(target.addr()).ask("PUT", "/control", &[], r#"{"capacity": null}"#);
    assert_eq!(reply.json()["capacity"], serde_json::Value::Null);
    assert_eq!(waiting.reply("GET").status, 200);
}

/// The value of one series in a text of metrics.
fn metric(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

#[test]
fn workers_and_pool_limit_what_is_done_and_say_how_busy_they_were() {
    let pool = Some(Pool { places: 1, share: 0.25 });
    let model = Model { workers: Some(2), pool, contention: 0.1, ..fixed(8.0) };
    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), workers: 2, model, ..Config::default() };
    let target = DemoTarget::spawn_thread(config).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Client::to(target.addr());
                (0..20).for_each(|_| assert_eq!(client.get("/").status, 200));
            });
        }
    });
    // Two at a time, 6 ms each, slowed down by 1.1: no machine is faster than the model.
    let least = 120.0 * 0.006 * 1.1 / 2.0;
    assert!(started.elapsed().as_secs_f64() >= least, "{:?}", started.elapsed());
    eventually("all are recorded", || target.record().answered() == 120);
    let text = Client::to(target.addr()).get("/metrics").text().to_owned();
    let busy = |resource: &str| {
        metric(&text, &format!("demo_busy_seconds_total{{resource=\"{resource}\"}}")).unwrap()
    };
    // Alone a request takes 6 ms of a worker, beside another one 6.6 ms.
    assert!((0.72 - 1e-6..=0.792 + 1e-6).contains(&busy("workers")), "{text}");
    assert!((busy("pool") - 0.24).abs() < 1e-6 && (busy("serial") - 0.072).abs() < 1e-6, "{text}");
    assert_eq!(metric(&text, "demo_places{resource=\"workers\"}"), Some(2.0));
    let limit = metric(&text, "demo_limit_requests_per_second{load=\"best\"}").unwrap();
    assert!((limit - 1.0 / least * 120.0).abs() < 1e-6, "{limit}");
    let utilisation = "demo_utilisation_ratio{resource=\"workers\"}";
    eventually("a second is over", || {
        metric(Client::to(target.addr()).get("/metrics").text(), utilisation).is_some()
    });
}

#[test]
fn workers_have_a_queue_with_an_end() {
    let target = target(Model { workers: Some(1), queue: 1, ..Model::default() });
    let mut operator = Client::to(target.addr());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::to(target.addr())).collect();
    for (client, count) in clients.iter_mut().zip(1..).take(2) {
        client.send("GET", "/stall?for=10m", &[], b"");
        eventually("it is there", || target.record().in_flight() == count);
    }
    eventually("the second waits", || operator.get("/metrics").text().contains("demo_waiting_requests 1"));
    assert_eq!(clients[2].get("/").status, 503);
    drop(clients.remove(1));
    eventually("the second has left", || target.record().abandoned() == 1);
    clients[1].send("GET", "/", &[], b"");
    // Its place in the line is free again.
    eventually("the third waits", || {
        operator.get("/metrics").text().contains("demo_waiting_requests 1")
            && target.record().in_flight() == 2
    });
    let change = r#"{"workers": null, "latency": {"kind": "none"}}"#;
    assert_eq!(operator.ask("PUT", "/control", &[], change).status, 200);
    assert_eq!(clients[1].reply("GET").status, 200);
}

#[test]
fn an_autoscaler_adds_replicas_and_takes_them_away() {
    let autoscale = Autoscale { min: 1, max: 3, target_utilisation: 0.5, interval_ms: 20, delay_ms: 40 };
    let target = target(Model { workers: Some(1), autoscale: Some(autoscale), ..fixed(5.0) });
    let mut operator = Client::to(target.addr());
    assert_eq!(metric(operator.get("/metrics").text(), "demo_replicas"), Some(1.0));
    let (started, is_over) = (Instant::now(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Client::to(target.addr());
                while !is_over.load(Ordering::Relaxed) && started.elapsed() < DEADLINE {
                    client.get("/");
                }
            });
        }
        eventually("there are three", || {
            metric(operator.get("/metrics").text(), "demo_replicas") == Some(3.0)
        });
        is_over.store(true, Ordering::Relaxed);
    });
    eventually("there is one", || metric(operator.get("/metrics").text(), "demo_replicas") == Some(1.0));
    assert_eq!(metric(operator.get("/metrics").text(), "demo_places{resource=\"workers\"}"), Some(1.0));
}

#[test]
fn requests_burn_the_cpu_time_they_are_told_to() {
    let target = target(Model { cpu_us: 2_000, ..Model::default() });
    let mut client = Client::to(target.addr());
    let cpu =
        |client: &mut Client| metric(client.get("/metrics").text(), "process_cpu_seconds_total").unwrap();
    let before = cpu(&mut client);
    (0..50).for_each(|_| assert_eq!(client.get("/").status, 200));
    // The kernel counts in hundredths of a second.
    assert!(cpu(&mut client) - before >= 0.08, "{before}");
}

#[test]
fn nothing_is_answered_while_frozen() {
    let target = target(Model { capacity: Some(1), queue: 0, ..Model::default() });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::to(target.addr())).collect();
    let mut operator = Client::to(target.addr());
    let span = Duration::from_millis(300);
    let started = Instant::now();
    assert_eq!(operator.ask("POST", "/control/freeze?for=300ms", &[], "").status, 200);
    for client in &mut clients {
        client.send("GET", "/", &[], b"");
    }
    assert_eq!(operator.get("/health").status, 200);
    let answered_early = AtomicBool::new(false);
    let mut statuses: Vec<u16> = clients
        .iter_mut()
        .map(|client| {
            let status = client.reply("GET").status;
            answered_early.fetch_or(started.elapsed() < span, Ordering::Relaxed);
            status
        })
        .collect();
    assert!(!answered_early.into_inner());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503, 503], "the frozen one keeps its place");
    assert_eq!(operator.ask("POST", "/control/freeze?for=2", &[], "").status, 400);
}

#[test]
fn a_seed_decides_which_requests_fail() {
    let statuses = |seed| {
        let model = Model { error_ratio: 0.5, ..Model::default() };
        let listen = "127.0.0.1:0".parse().unwrap();
        let target = DemoTarget::spawn_thread(Config { listen, model, seed, ..Config::default() }).unwrap();
        let mut client = Client::to(target.addr());
        (0..64).map(|_| client.get("/").status).collect::<Vec<_>>()
    };
    let first = statuses(1);
    assert!(first.contains(&200) && first.contains(&500));
    assert_eq!(first, statuses(1));
    assert_ne!(first, statuses(2));
}

#[test]
fn control_is_read_changed_and_refused() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let change = r#"{"latency": {"kind": "bimodal", "fast_ms": 1, "slow_ms": 9, "slow_ratio": 0.1}, "body_bytes": 64}"#;
    let changed = client.ask("PUT", "/control", &[], change).json();
    assert_eq!(changed["latency"]["kind"], "bimodal");
    assert_eq!(client.get("/control").json(), changed);
    let refused = client.ask("PUT", "/control", &[], r#"{"error_ratio": 2}"#);
    assert_eq!(
        (refused.status, refused.json()["error"].as_str()),
        (400, Some("error_ratio 2 is not within 0 to 1"))
    );
    assert_eq!(client.get("/control").json(), changed, "a refused change changes nothing");
    assert_eq!(client.get("/").body.len(), 64);
    let page = client.get("/products/1");
    assert_eq!((page.body.len(), &page.json()["id"]), (64, &1.into()), "filled up, still JSON");
    assert_eq!(client.ask("DELETE", "/control", &[], "").header("allow"), Some("GET, HEAD, PUT"));
    assert_eq!(target.record().access_count(), 2);
}

#[test]
fn shutdown_frees_the_port_and_keeps_the_record() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listen = "127.0.0.1:0".parse().unwrap();
        let target = DemoTarget::start(Config { listen, ..Config::default() }).await.unwrap();
        let addr = target.addr();
        let mut client = Client::to(addr);
        client.get("/");
        client.send("GET", "/stall?for=10m", &[], b"");
        eventually("the second is worked on", || target.record().access_count() == 2);
        let taken = DemoTarget::start(Config { listen: addr, ..Config::default() }).await.unwrap_err();
        assert!(taken.to_string().starts_with(&format!("cannot listen on {addr}: Address already in use")));
        let record = target.shutdown().await;
        assert_eq!((record.answered(), record.abandoned(), record.in_flight()), (1, 1, 0));
        assert!(client.is_closed());
        let again = DemoTarget::start(Config { listen: addr, ..Config::default() }).await.unwrap();
        assert_eq!(again.shutdown().await.access_count(), 0);
    });
}
