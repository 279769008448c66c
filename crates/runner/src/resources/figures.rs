//! What is read off a source, and how it becomes figures: levels as they are, counters as rates.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plimsoll_exposition::prometheus::scrape::{Kind, Malformed, Sample, samples};
use plimsoll_run::ResourceFigure;
use plimsoll_run::ResourceUnit::{self, Bytes, BytesPerSecond, Cores, Count, Ratio};

/// The most series kept of one source.
pub(super) const MOST_SERIES: usize = 100;
/// A longer name, labels included, is no name to show.
const LONGEST_NAME: usize = 200;

/// Something read off a source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub(super) name: Cow<'static, str>,
    /// Of a counter the unit of its rate.
    pub(super) unit: ResourceUnit,
    pub(super) value: f64,
    pub(super) is_counter: bool,
}

impl Figure {
    pub(super) fn level(name: &'static str, unit: ResourceUnit, value: f64) -> Self {
        Self { name: name.into(), unit, value, is_counter: false }
    }

    pub(super) fn counter(name: impl Into<Cow<'static, str>>, unit: ResourceUnit, value: f64) -> Self {
        Self { name: name.into(), unit, value, is_counter: true }
    }
}

/// What counters stood at before, for their rates.
#[derive(Debug, Default)]
pub(super) struct Rates {
    before: Option<(Duration, BTreeMap<String, f64>)>,
}

impl Rates {
    /// The figures as of `at`, and how many were left out because there are more than are kept.
    ///
    /// A rate is over the time since the last call. A counter that has no value before, or a larger one
    /// because its process started again, has no rate.
    pub(super) fn figures(&mut self, found: Vec<Figure>, at: Duration) -> (Vec<ResourceFigure>, u64) {
        let (mut figures, mut counters) = (Vec::new(), BTreeMap::new());
        let (mut names, mut left_out) = (BTreeSet::new(), 0);
        for figure in found.into_iter().filter(|figure| figure.value.is_finite()) {
            if figure.name.chars().count() > LONGEST_NAME || names.len() >= MOST_SERIES {
                left_out += 1;
                continue;
            }
            if !names.insert(figure.name.to_string()) {
                continue;
            }
            let value = if figure.is_counter {
                counters.insert(figure.name.to_string(), figure.value);
                self.rate(&figure, at)
            } else {
                Some(figure.value)
            };
            let name = figure.name.as_ref().into();
            figures.extend(value.map(|value| ResourceFigure { name, unit: figure.unit, value }));
        }
        self.before = Some((at, counters));
        (figures, left_out)
    }

    fn rate(&self, figure: &Figure, at: Duration) -> Option<f64> {
        let (since, counters) = self.before.as_ref()?;
        let elapsed = at.checked_sub(*since).filter(|elapsed| !elapsed.is_zero())?.as_secs_f64();
        let counted = figure.value - counters.get(figure.name.as_ref())?;
        let rate = (counted >= 0.0).then_some(counted / elapsed)?;
        // Kernels count in ticks: a processor that is always busy may seem a little more than that.
        Some(if figure.unit == Ratio { rate.min(1.0) } else { rate })
    }
}

/// What a text of metrics says of what is known by name, of shares, and of what is `wanted`.
pub(super) fn of_metrics(text: &str, wanted: &[String]) -> Result<Vec<Figure>, Malformed> {
    let (mut known, mut named) = (Known::default(), Vec::new());
    for sample in samples(text) {
        let sample = sample?;
        known.add(&sample);
        if wanted.iter().any(|name| *name == sample.name) || is_share(&sample) {
            named.push(by_its_name(&sample));
        }
    }
    let mut figures = known.figures();
    figures.extend(named);
    Ok(figures)
}

/// Names that people give to how busy something is, `_ratio` being Prometheus' own advice.
fn is_share(sample: &Sample<'_>) -> bool {
    sample.kind != Kind::Counter && sample.name.ends_with("_ratio")
}

fn by_its_name(sample: &Sample<'_>) -> Figure {
    let name = sample.name.as_ref();
    let is_counter = match sample.kind {
        Kind::Counter => true,
        Kind::Gauge => false,
        Kind::Unknown => ResourceUnit::counts_by_name(name),
    };
    let unit = ResourceUnit::of_metric(name, is_counter);
    let labels: Vec<_> = sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let name = match labels[..] {
        [] => name.to_owned(),
        _ => format!("{name}{{{}}}", labels.join(",")),
    };
    Figure { name: name.into(), unit, value: sample.value, is_counter }
}

/// How a figure is called by those who tell it.
struct Told {
    name: &'static str,
    unit: ResourceUnit,
    is_counter: bool,
    /// The preferred one first: of several there may be, one is taken.
    metrics: &'static [&'static str],
}

const fn level(name: &'static str, unit: ResourceUnit, metrics: &'static [&'static str]) -> Told {
    Told { name, unit, is_counter: false, metrics }
}

const fn counter(name: &'static str, unit: ResourceUnit, metrics: &'static [&'static str]) -> Told {
    Told { name, unit, is_counter: true, metrics }
}

/// What the client libraries of Go, Java (also Micrometer), Node.js, Python, .NET and others say of their process.
const OF_PROCESS: [Told; 8] = [
    counter("cpu", Cores, &["process_cpu_seconds_total"]),
    level("memory", Bytes, &["process_resident_memory_bytes", "process_working_set_bytes"]),
    level("open_fds", Count, &["process_open_fds", "process_files_open_files", "process_open_handles"]),
    level(
        "threads",
        Count,
        &[
            "process_threads",
            "go_threads",
            "jvm_threads_current",
            "jvm_threads_live_threads",
            "process_num_threads",
        ],
    ),
    level(
        "heap",
        Bytes,
        &[
            "go_memstats_heap_alloc_bytes",
            "jvm_memory_used_bytes",
            "jvm_memory_bytes_used",
            "nodejs_heap_size_used_bytes",
            "dotnet_total_memory_bytes",
        ],
    ),
    // Seconds of pauses per second.
    counter(
        "gc_pause",
        Ratio,
        &[
            "go_gc_duration_seconds_sum",
            "jvm_gc_collection_seconds_sum",
            "jvm_gc_pause_seconds_sum",
            "nodejs_gc_duration_seconds_sum",
        ],
    ),
    counter("network_in", BytesPerSecond, &["process_network_receive_bytes_total"]),
    counter("network_out", BytesPerSecond, &["process_network_transmit_bytes_total"]),
];

/// What node_exporter says of a machine, beside processors and memory.
const OF_MACHINE: [Told; 6] = [
    level("open_fds", Count, &["node_filefd_allocated"]),
    level("run_queue", Count, &["node_procs_running"]),
    counter("network_in", BytesPerSecond, &["node_network_receive_bytes_total"]),
    counter("network_out", BytesPerSecond, &["node_network_transmit_bytes_total"]),
    counter("disk_read", BytesPerSecond, &["node_disk_read_bytes_total"]),
    counter("disk_write", BytesPerSecond, &["node_disk_written_bytes_total"]),
];

/// What services say of their connections, whoever tells the rest.
const OF_BOTH: [Told; 1] = [level(
    "connections",
    Count,
    &[
        "node_netstat_Tcp_CurrEstab",
        "nginx_connections_active",
        "haproxy_process_current_connections",
        "demo_open_connections",
    ],
)];

/// What is not known by its name alone.
const PROCESSORS: &str = "node_cpu_seconds_total";
const TOTAL: &str = "node_memory_MemTotal_bytes";
const AVAILABLE: &str = "node_memory_MemAvailable_bytes";

/// The sums of what is known by name: several series of one name are added up.
#[derive(Debug, Default)]
struct Known {
    sums: BTreeMap<&'static str, f64>,
    processors: BTreeSet<String>,
}

impl Known {
    fn add(&mut self, sample: &Sample<'_>) {
        if sample.name == PROCESSORS {
            self.processors.extend(sample.label("cpu").map(str::to_owned));
        }
        let tables = OF_PROCESS.iter().chain(&OF_MACHINE).chain(&OF_BOTH);
        let mut names = tables.flat_map(|told| told.metrics).chain(&[PROCESSORS, TOTAL, AVAILABLE]);
        if let Some(name) = names.find(|name| **name == sample.name).filter(|_| counts(sample)) {
            *self.sums.entry(name).or_default() += sample.value;
        }
    }

    fn figure(&self, told: &Told) -> Option<Figure> {
        let value = *told.metrics.iter().find_map(|name| self.sums.get(name))?;
        let Told { name, unit, is_counter, .. } = *told;
        Some(Figure { name: name.into(), unit, value, is_counter })
    }

    fn figures(self) -> Vec<Figure> {
        let Some(&seconds) = self.sums.get(PROCESSORS) else {
            return OF_PROCESS.iter().chain(&OF_BOTH).filter_map(|told| self.figure(told)).collect();
        };
        // An exporter of a machine tells of its own process too, which is not what is asked for.
        let processors = self.processors.len() as f64;
        let share = (processors > 0.0).then(|| Figure::counter("cpu_ratio", Ratio, seconds / processors));
        let [total, available] = [TOTAL, AVAILABLE].map(|name| self.sums.get(name).copied());
        let used = total.zip(available).map(|(total, available)| total - available);
        let memory = [("memory", used), ("memory_available", available)];
        let memory = memory.into_iter().filter_map(|(name, bytes)| Some(Figure::level(name, Bytes, bytes?)));
        let others = OF_MACHINE.iter().chain(&OF_BOTH).filter_map(|told| self.figure(told));
        let cpu = [Figure::counter("cpu", Cores, seconds)];
        cpu.into_iter().chain(share).chain(memory).chain(others).collect()
    }
}

/// Whether a series is part of the sum of its name.
fn counts(sample: &Sample<'_>) -> bool {
    match sample.name.as_ref() {
        // What waits for a disk or was taken by the host is not used; guests are in user already.
        PROCESSORS => {
            matches!(sample.label("mode"), Some("user" | "nice" | "system" | "irq" | "softirq"))
        }
        "jvm_memory_used_bytes" | "jvm_memory_bytes_used" => sample.label("area") == Some("heap"),
        name if name.starts_with("node_network_") => sample.label("device").is_none_or(is_wire),
        name if name.starts_with("node_disk_") => sample.label("device").is_none_or(is_disk),
        _ => true,
    }
}

/// Whether an interface leads out of the machine: what goes through a bridge is counted at its wire again.
pub(super) fn is_wire(name: &str) -> bool {
    name != "lo" && !["veth", "docker", "br-", "virbr", "cni"].iter().any(|inside| name.starts_with(inside))
}

/// Whether a device is a disk: what lies on others (mapped, joined, in memory or a file) is counted there again.
pub(super) fn is_disk(name: &str) -> bool {
    !["dm-", "md", "loop", "ram", "zram"].iter().any(|upon| name.starts_with(upon))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The figures of texts that were read a second after each other, as `name value unit`.
    fn read(texts: &[&str], wanted: &[&str]) -> Vec<Vec<String>> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let mut rates = Rates::default();
        let mut read = Vec::new();
        for (second, text) in (0..).zip(texts) {
            let found = of_metrics(text, &wanted).unwrap();
            let (figures, _) = rates.figures(found, Duration::from_secs(second));
            let shown =
                |figure: &ResourceFigure| format!("{} {} {}", figure.name, figure.value, figure.unit.label());
            read.push(figures.iter().map(shown).collect());
        }
        read
    }

    #[test]
    fn a_process_is_known_by_its_clients_names() {
        let text = |cpu: f64| {
            format!(
                "process_cpu_seconds_total {cpu}\nprocess_resident_memory_bytes 1e6\nprocess_open_fds 7\nprocess_max_fds 9\ndemo_open_connections 3\n"
            )
        };
        let read = read(&[&text(10.0), &text(10.5), &text(3.0), &text(4.0)], &[]);
        let levels = ["memory 1000000 bytes", "open_fds 7 count", "connections 3 count"];
        assert_eq!(read[0], levels, "a rate has a before");
        assert_eq!(read[1][..1], ["cpu 0.5 cores"]);
        assert_eq!(read[1][1..], levels);
        assert_eq!(read[2], levels, "it was started again");
        assert_eq!(read[3][..1], ["cpu 1 cores"]);
    }

    #[test]
    fn a_machine_is_known_by_its_exporters_names() {
        let text = |user: f64, idle: f64| {
            format!(
                "process_cpu_seconds_total {idle}\nprocess_resident_memory_bytes 1\nprocess_open_fds 2\n\
                 node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {user}\nnode_cpu_seconds_total{{cpu=\"1\",mode=\"system\"}} {user}\n\
                 node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {idle}\nnode_cpu_seconds_total{{cpu=\"1\",mode=\"iowait\"}} {idle}\n\
                 node_memory_MemTotal_bytes 100\nnode_memory_MemAvailable_bytes 40\nnode_procs_running 5\n"
            )
        };
        let read = read(&[&text(1.0, 1.0), &text(1.75, 2.0)], &[]);
        let expected = [
            "cpu 1.5 cores",
            "cpu_ratio 0.75 ratio",
            "memory 60 bytes",
            "memory_available 40 bytes",
            "run_queue 5 count",
        ];
        assert_eq!(read[1], expected);
    }

    /// What exporters say of themselves, each with the name of a figure behind it.
    #[test]
    fn known_figures_are_called_the_same_whoever_tells_them() {
        for (before, after, expected) in [
            (
                "go_memstats_heap_alloc_bytes 3e6\ngo_gc_duration_seconds_sum 1\ngo_gc_duration_seconds_count 9\ngo_threads 9\n",
                "go_memstats_heap_alloc_bytes 4e6\ngo_gc_duration_seconds_sum 1.25\ngo_threads 8\n",
                vec!["threads 8 count", "heap 4000000 bytes", "gc_pause 0.25 ratio"],
            ),
            (
                "jvm_memory_used_bytes{area=\"heap\",id=\"old\"} 5\njvm_gc_pause_seconds_sum{cause=\"a\"} 1\njvm_gc_pause_seconds_sum{cause=\"b\"} 2\n",
                "jvm_memory_used_bytes{area=\"heap\",id=\"old\"} 5\njvm_memory_used_bytes{area=\"heap\",id=\"eden\"} 6\n\
                 jvm_memory_used_bytes{area=\"nonheap\",id=\"code\"} 900\njvm_threads_live_threads 40\n\
                 jvm_gc_pause_seconds_sum{cause=\"a\"} 1.5\njvm_gc_pause_seconds_sum{cause=\"b\"} 2\nprocess_files_open_files 12\n",
                vec!["open_fds 12 count", "threads 40 count", "heap 11 bytes", "gc_pause 0.5 ratio"],
            ),
            (
                "",
                "nodejs_heap_size_used_bytes 7\nprocess_resident_memory_bytes 8\n",
                vec!["memory 8 bytes", "heap 7 bytes"],
            ),
            (
                "",
                "process_working_set_bytes 9\nprocess_num_threads 3\nprocess_open_handles 4\ndotnet_total_memory_bytes 5\n",
                vec!["memory 9 bytes", "open_fds 4 count", "threads 3 count", "heap 5 bytes"],
            ),
            (
                "process_threads 2\nprocess_network_receive_bytes_total 100\n",
                "process_threads 2\ngo_threads 5\nprocess_network_receive_bytes_total 350\n",
                vec!["threads 2 count", "network_in 250 bytes_per_second"],
            ),
            (
                "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1\nnode_network_transmit_bytes_total{device=\"eth0\"} 10\n\
                 node_network_transmit_bytes_total{device=\"lo\"} 1\nnode_disk_written_bytes_total{device=\"sda\"} 5\n",
                "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1\nnode_network_transmit_bytes_total{device=\"eth0\"} 20\n\
                 node_network_transmit_bytes_total{device=\"lo\"} 9000\nnode_disk_written_bytes_total{device=\"sda\"} 9\n\
                 node_disk_written_bytes_total{device=\"dm-0\"} 4000\ngo_threads 7\n",
                vec![
                    "cpu 0 cores",
                    "cpu_ratio 0 ratio",
                    "network_out 10 bytes_per_second",
                    "disk_write 4 bytes_per_second",
                ],
            ),
        ] {
            assert_eq!(read(&[before, after], &[])[1], expected);
        }
    }

    #[test]
    fn what_the_plan_names_is_kept_and_shares_are_kept_unnamed() {
        let text = |count: f64| {
            format!(
                "# TYPE requests_total counter\nrequests_total{{route=\"/\",status=\"200\"}} {count}\nrequests_total{{route=\"/\",status=\"500\"}} 3\n\
                 # TYPE busy_ratio gauge\nbusy_ratio{{resource=\"pool\"}} 0.25\n# TYPE odd_ratio counter\nodd_ratio 9\nnever_ratio NaN\n\
                 # TYPE took_seconds summary\ntook_seconds_sum {count}\nuntyped_total {count}\nheld_bytes 12\nage_seconds 3\nqueue 4\nqueue 5\nother 6\n"
            )
        };
        let wanted = [
            "requests_total",
            "took_seconds_sum",
            "untyped_total",
            "held_bytes",
            "age_seconds",
            "queue",
            "absent",
        ];
        let read = read(&[&text(10.0), &text(30.0)], &wanted);
        let expected = [
            r#"requests_total{route="/",status="200"} 20 per_second"#,
            r#"requests_total{route="/",status="500"} 0 per_second"#,
            r#"busy_ratio{resource="pool"} 0.25 ratio"#,
            "took_seconds_sum 20 per_second",
            "untyped_total 20 per_second",
            "held_bytes 12 bytes",
            "age_seconds 3 seconds",
            "queue 4 count",
        ];
        assert_eq!(read[1], expected);
    }

    #[test]
    fn what_is_kept_of_a_source_is_bounded_and_the_rest_is_counted() {
        let text: String = (0..500).map(|number| format!("a_ratio{{n=\"{number}\"}} 1\n")).collect();
        let long = format!("process_open_fds 1\nb_ratio{{n=\"{}\"}} 1\n", "x".repeat(300));
        let mut rates = Rates::default();
        let (figures, left_out) = rates.figures(of_metrics(&text, &[]).unwrap(), Duration::ZERO);
        assert_eq!((figures.len(), left_out), (MOST_SERIES, 400));
        let (figures, left_out) = rates.figures(of_metrics(&long, &[]).unwrap(), Duration::ZERO);
        assert_eq!((figures.len(), left_out), (1, 1));
    }

    proptest! {
        #[test]
        fn any_text_has_figures_or_a_reason(
            texts in prop::collection::vec("((process_cpu_seconds_total|node_cpu_seconds_total|a_ratio)(\\{(cpu|mode)=\"(0|user)\"\\})? [-+0-9eINnafi.]{1,8}\n){0,6}\\PC{0,9}", 1..4),
            times in prop::collection::vec(0_u64..5, 4),
        ) {
            let mut rates = Rates::default();
            for (text, at) in texts.iter().zip(times) {
                if let Ok(found) = of_metrics(text, &["a_ratio".to_owned()]) {
                    let (figures, _) = rates.figures(found, Duration::from_secs(at));
                    prop_assert!(figures.iter().all(|figure| figure.value.is_finite()), "{:?}", figures);
                }
            }
        }
    }
}
