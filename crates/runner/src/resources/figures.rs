//! What is read off a source, and how it becomes figures: levels as they are, counters as rates.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plimsoll_exposition::prometheus::scrape::{Kind, Malformed, Sample, samples};
use plimsoll_run::{ResourceFigure, ResourceUnit};

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
        Some(if figure.unit == ResourceUnit::Ratio { rate.min(1.0) } else { rate })
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
    let counts = ["_total", "_count", "_sum", "_bucket"];
    let is_counter = match sample.kind {
        Kind::Counter => true,
        Kind::Gauge => false,
        Kind::Unknown => counts.iter().any(|ending| name.ends_with(ending)),
    };
    let unit = match name {
        _ if is_counter => ResourceUnit::PerSecond,
        name if name.ends_with("_ratio") => ResourceUnit::Ratio,
        name if name.ends_with("_bytes") => ResourceUnit::Bytes,
        name if name.ends_with("_seconds") => ResourceUnit::Seconds,
        _ => ResourceUnit::Count,
    };
    let labels: Vec<_> = sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let name = match labels[..] {
        [] => name.to_owned(),
        _ => format!("{name}{{{}}}", labels.join(",")),
    };
    Figure { name: name.into(), unit, value: sample.value, is_counter }
}

/// What Prometheus' client libraries say of a process, node_exporter of a machine, and some services of
/// their connections. Several series of one name are added up.
#[derive(Debug, Default)]
struct Known {
    process_cpu: Option<f64>,
    process_memory: Option<f64>,
    process_fds: Option<f64>,
    process_threads: Option<f64>,
    machine_cpu: Option<f64>,
    processors: BTreeSet<String>,
    machine_memory: Option<f64>,
    machine_available: Option<f64>,
    machine_fds: Option<f64>,
    machine_running: Option<f64>,
    connections: Option<f64>,
}

impl Known {
    fn add(&mut self, sample: &Sample<'_>) {
        let sum = match sample.name.as_ref() {
            "process_cpu_seconds_total" => &mut self.process_cpu,
            "process_resident_memory_bytes" => &mut self.process_memory,
            "process_open_fds" => &mut self.process_fds,
            "process_threads" => &mut self.process_threads,
            "node_cpu_seconds_total" => {
                self.processors.extend(sample.label("cpu").map(str::to_owned));
                // What waits for a disk or was taken by the host is not used; guests are in user already.
                match sample.label("mode") {
                    Some("user" | "nice" | "system" | "irq" | "softirq") => &mut self.machine_cpu,
                    _ => return,
                }
            }
            "node_memory_MemTotal_bytes" => &mut self.machine_memory,
            "node_memory_MemAvailable_bytes" => &mut self.machine_available,
            "node_filefd_allocated" => &mut self.machine_fds,
            "node_procs_running" => &mut self.machine_running,
            "node_netstat_Tcp_CurrEstab"
            | "nginx_connections_active"
            | "haproxy_process_current_connections"
            | "demo_open_connections" => &mut self.connections,
            _ => return,
        };
        *sum = Some(sum.unwrap_or(0.0) + sample.value);
    }

    fn figures(self) -> Vec<Figure> {
        use ResourceUnit::{Bytes, Cores, Count, Ratio};
        // An exporter of a machine tells of its own process too, which is not what is asked for.
        let machine = self.machine_cpu;
        let of_machine = |of_machine, of_process| if machine.is_some() { of_machine } else { of_process };
        let used = self.machine_memory.zip(self.machine_available).map(|(total, free)| total - free);
        let processors = self.processors.len() as f64;
        [
            of_machine(machine, self.process_cpu).map(|seconds| Figure::counter("cpu", Cores, seconds)),
            machine
                .filter(|_| processors > 0.0)
                .map(|seconds| Figure::counter("cpu_ratio", Ratio, seconds / processors)),
            of_machine(used, self.process_memory).map(|bytes| Figure::level("memory", Bytes, bytes)),
            self.machine_available.map(|bytes| Figure::level("memory_available", Bytes, bytes)),
            of_machine(self.machine_fds, self.process_fds).map(|fds| Figure::level("open_fds", Count, fds)),
            of_machine(None, self.process_threads).map(|threads| Figure::level("threads", Count, threads)),
            self.machine_running.map(|running| Figure::level("run_queue", Count, running)),
            self.connections.map(|open| Figure::level("connections", Count, open)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
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
