//! Every key of a plan, with what it means: one table that reading, the JSON Schema and the errors share.

use plimsoll_run::CloudWatchExport;

/// What may stand behind a key.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    /// A text in which `{{ name }}` is filled.
    Template,
    Duration,
    /// `500/s` or `64 users`.
    Level,
    /// `500/s`.
    Rate,
    Size,
    /// `1%` or `0.01`.
    Share,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    Flag,
    OneOf(&'static [&'static str]),
    /// An objective.
    Objective,
    /// A pause: a duration or `200ms..2s`.
    Pause,
    /// `200` or `2xx`.
    Status,
    Object(&'static Table),
    /// A map with free keys.
    Map(&'static Kind),
    List(&'static Kind),
    Either(&'static [Kind]),
    /// Any YAML.
    Any,
}

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// What it means, its unit and its default.
    pub(crate) about: &'static str,
}

/// The keys of a map.
#[derive(Debug)]
pub(crate) struct Table {
    /// What the map is, for messages.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys that are promised and not built.
    pub(crate) later: &'static [&'static str],
}

impl Table {
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }

    pub(crate) fn required(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().filter(|key| key.required).map(|key| key.name)
    }

    pub(crate) fn about(&self, name: &str) -> &'static str {
        self.keys.iter().find(|key| key.name == name).map_or("", |key| key.about)
    }

    pub(crate) fn listed(&self) -> String {
        crate::diagnostic::listed(self.names())
    }
}

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, required: false, about }
}

const fn must(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, required: true, about }
}

pub(crate) static PLAN: Table = Table {
    name: "the plan",
    keys: &[
        must("name", Kind::Text, "the plan's name: the `plan` label, and what history groups by"),
        must(
            "target",
            Kind::Either(&[Kind::Text, Kind::Object(&TARGET), Kind::List(&Kind::Object(&WEIGHTED_TARGET))]),
            "where requests go: scheme and host, maybe with a port and a path that prefixes every step's, like `http://127.0.0.1:8080`; or all addresses of a name; or several by weight",
        ),
        must("load", Kind::Object(&LOAD), "how much load, when"),
        key("http", Kind::Object(&HTTP), "how requests are made"),
        key("tls", Kind::Object(&TLS), "how TLS is made"),
        key("auth", Kind::Object(&AUTH), "credentials sent with every request, as an `authorization` header"),
        key(
            "tags",
            Kind::Map(&Kind::Text),
            "words kept with the run; `version` and `environment` say what is tested where",
        ),
        key(
            "seed",
            Kind::Whole(0, u64::MAX),
            "makes random choices the same in every run; default: another one each time",
        ),
        key("data", Kind::Map(&Kind::Object(&FEED)), "rows for templates, by the name of the feed"),
        key(
            "setup",
            Kind::List(&STEP),
            "steps run once before the load, by one user; their captures are visible to all",
        ),
        key("teardown", Kind::List(&STEP), "steps run once after the load, whatever happened"),
        must(
            "scenarios",
            Kind::List(&Kind::Object(&SCENARIO)),
            "what iterations do; which one each iteration is follows the weights",
        ),
        key(
            "measure",
            Kind::Map(&MEASURE_KIND),
            "values taken from the replies of every step of the scenarios, by a name of your own",
        ),
        key(
            "sla",
            Kind::Either(&[Kind::List(&Kind::Object(&OBJECTIVE)), Kind::Object(&SHORT)]),
            "what is promised, judged while the run goes on: a list of objectives, or the short form",
        ),
        key(
            "resources",
            Kind::Map(&Kind::Either(&[Kind::Text, Kind::Object(&RESOURCE)])),
            "where figures of the target and its machine come from, by a name: the URL of metrics in Prometheus' format or a path below the target, `host` for this machine, or a map",
        ),
        key("export", Kind::Object(&EXPORT), "where measurements go while the run goes on"),
        key(
            "trace",
            Kind::Object(&TRACE),
            "every request carries a `traceparent` header (W3C Trace Context); which of them are told with their trace",
        ),
        key("samples", Kind::Object(&SAMPLES), "a file that single requests are written to"),
        key("limits", Kind::Object(&LIMITS), "what measuring may cost"),
    ],
    later: &[],
};

pub(crate) static RESOURCE: Table = Table {
    name: "a resource",
    keys: &[
        key(
            "url",
            Kind::Text,
            "an endpoint in Prometheus' text format, like `http://127.0.0.1:8080/metrics`, or a path below the target",
        ),
        key(
            "metrics",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "names of its metrics to keep beside those that are known: gauges as they are, counters as rates",
        ),
        key("headers", Kind::Map(&Kind::Text), "sent with each scrape of the `url`"),
        key("pid", Kind::Whole(1, LAST_PID), "a process of this machine by its number, in place of a `url`"),
        key(
            "port",
            Kind::Whole(1, u16::MAX as u64),
            "the process of this machine that listens on this TCP port, in place of a `url`",
        ),
        key("interval", Kind::Duration, "how often, in whole seconds up to 1h; default 1s"),
    ],
    later: &[],
};

/// The largest number of a process that Linux gives.
pub(crate) const LAST_PID: u64 = 1 << 22;

pub(crate) static TARGET: Table = Table {
    name: "`target`",
    keys: &[
        must("url", Kind::Text, "scheme and host, maybe with a port and a path that prefixes every step's"),
        key(
            "addresses",
            Kind::OneOf(&["first", "all"]),
            "connections go to the first address of the name that accepts, or to all in turn, looked up once at the start; default `first`",
        ),
    ],
    later: &[],
};

pub(crate) static WEIGHTED_TARGET: Table = Table {
    name: "one of several targets",
    keys: &[
        must("url", Kind::Text, "scheme and host, maybe with a port and the path that all of them have"),
        key(
            "weight",
            Kind::Whole(1, MOST_WEIGHT),
            "its share of requests, or of closed users, among the weights; default 1",
        ),
    ],
    later: &[],
};

/// A larger ratio between two targets is a typing mistake.
pub(crate) const MOST_WEIGHT: u64 = 1_000;

pub(crate) static LIMITS: Table = Table {
    name: "`limits`",
    keys: &[
        key(
            "series",
            Kind::Whole(1, MOST_SERIES),
            "the most series of requests (by step, phase, stage, outcome) told apart; what comes beyond is counted together; default 10000",
        ),
        key("memory", Kind::Size, "the most memory for histograms; at least 1MB; default 256MB"),
    ],
    later: &[],
};

/// More than any plan tells apart or any sink takes.
pub(crate) const MOST_SERIES: u64 = 1_000_000;

pub(crate) static LOAD: Table = Table {
    name: "`load`",
    keys: &[
        key(
            "model",
            Kind::OneOf(&["open", "closed"]),
            "`open`: arrivals per second, each timed from when it was due; `closed`: virtual users who start again when they are done; default `open`",
        ),
        key(
            "arrivals",
            Kind::OneOf(&["uniform", "poisson"]),
            "how arrivals of the open model spread along the rate: evenly or at random; default `uniform`",
        ),
        key(
            "warmup",
            Kind::Duration,
            "how much of the first stages is left out of verdicts and totals; default 0",
        ),
        key("stages", Kind::List(&STAGE), "the load over time, stage after stage, from zero"),
        key(
            "preset",
            Kind::OneOf(&["normal", "peak", "stress", "spike", "endurance"]),
            "a ready-made shape around `base`, in place of `stages`: 1x, 2x, in steps to 5x, a moment at 10x, 1x for hours",
        ),
        key("base", Kind::Level, "the level that a preset multiplies: a rate, or users in the closed model"),
        key("for", Kind::Duration, "how long a preset lasts; default 5m, endurance 4h"),
        key("grace", Kind::Duration, "how long requests in flight may finish after the stages; default 5s"),
        key(
            "max_in_flight",
            Kind::Whole(1, MOST_IN_FLIGHT),
            "iterations of the open model running at once; an arrival beyond is dropped; default: peak rate x timeout, from 1 to 100000",
        ),
    ],
    later: &["at_most"],
};

/// More iterations at once than any machine has ports for.
pub(crate) const MOST_IN_FLIGHT: u64 = 1_000_000;

/// More streams than any server allows on a connection.
pub(crate) const MOST_STREAMS: u64 = 10_000;

static STAGE: Kind = Kind::Either(&[
    Kind::Object(&RAMP),
    Kind::Object(&HOLD),
    Kind::Object(&SPIKE),
    Kind::Object(&PAUSE_STAGE),
]);

pub(crate) static RAMP: Table = Table {
    name: "a ramp",
    keys: &[
        must(
            "ramp",
            Kind::Level,
            "from the level before it, evenly to this one: a rate like `500/s`, or `64 users`",
        ),
        must("over", Kind::Duration, "how long the ramp takes; longer than zero"),
    ],
    later: &[],
};

pub(crate) static HOLD: Table = Table {
    name: "a hold",
    keys: &[
        must("hold", Kind::Level, "this level throughout: a rate like `500/s`, or `64 users`"),
        key(
            "for",
            Kind::Duration,
            "how long the level is held; longer than zero; may be left out beside `iterations`",
        ),
        key(
            "iterations",
            Kind::Whole(1, u64::MAX),
            "ends a closed run when so many iterations were started; only where this is the only stage; `for` then bounds the time, 24h by default",
        ),
    ],
    later: &[],
};

pub(crate) static SPIKE: Table = Table {
    name: "a spike",
    keys: &[
        must(
            "spike",
            Kind::Level,
            "this level throughout; a ramp that follows starts from the level before the spike",
        ),
        must("for", Kind::Duration, "how long the spike lasts; longer than zero"),
    ],
    later: &[],
};

pub(crate) static PAUSE_STAGE: Table = Table {
    name: "a pause",
    keys: &[must("pause", Kind::Duration, "no load for so long; longer than zero")],
    later: &[],
};

pub(crate) static HTTP: Table = Table {
    name: "`http`",
    keys: &[
        key(
            "version",
            Kind::OneOf(&["1.1", "2"]),
            "the version of HTTP: `2` by ALPN over TLS, by prior knowledge without; default `1.1`",
        ),
        key(
            "connections",
            Kind::Whole(1, MOST_IN_FLIGHT),
            "the most connections that are shared, by the iterations of the open model and by all over HTTP/2; default: as many as may be in flight, over HTTP/2 divided by `streams`",
        ),
        key(
            "streams",
            Kind::Whole(1, MOST_STREAMS),
            "requests at once on a connection of HTTP/2; the target may allow fewer; default 100",
        ),
        key(
            "connect_rate",
            Kind::Rate,
            "the most connections started per second over the whole run; default: no limit",
        ),
        key(
            "source",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "addresses of this machine that connections are bound to in turn; default: the system chooses",
        ),
        key("timeout", Kind::Duration, "how long a step may take, redirects included; default 5s"),
        key(
            "connect_timeout",
            Kind::Duration,
            "how long TCP connect and TLS handshake may take together; default 2s",
        ),
        key(
            "redirects",
            Kind::Whole(0, 100),
            "how many redirects a step follows; 0 takes a redirect as the answer; default 10",
        ),
        key("max_body", Kind::Size, "a larger answer ends the request as `too_large`; default 16MB"),
        key("headers", Kind::Map(&Kind::Template), "sent with every request, unless a step has its own"),
    ],
    later: &[],
};

pub(crate) static TLS: Table = Table {
    name: "`tls`",
    keys: &[
        key(
            "ca",
            Kind::Text,
            "PEM file of certificates trusted instead of the system's, relative to the plan",
        ),
        key("cert", Kind::Text, "PEM file of our own certificate chain, with `key`"),
        key("key", Kind::Text, "PEM file of the key of `cert`"),
        key("server_name", Kind::Text, "the name to verify and to send, instead of the target's host"),
        key("insecure", Kind::Flag, "accepts any certificate; default false"),
        key(
            "resumption",
            Kind::Flag,
            "new connections resume TLS sessions where the target lets them; `false` makes every handshake in full; default true",
        ),
    ],
    later: &[],
};

pub(crate) static AUTH: Table = Table {
    name: "`auth`",
    keys: &[
        key("basic", Kind::Object(&BASIC), "user name and password"),
        key("bearer", Kind::Text, "a token"),
    ],
    later: &[],
};

pub(crate) static BASIC: Table = Table {
    name: "`auth.basic`",
    keys: &[
        must("username", Kind::Text, "the user name"),
        must("password", Kind::Text, "the password, best as `${NAME}`"),
    ],
    later: &[],
};

pub(crate) static FEED: Table = Table {
    name: "a feed",
    keys: &[
        must("csv", Kind::Text, "CSV file with a header line, relative to the plan; values are text"),
        key(
            "order",
            Kind::OneOf(&["unique", "sequential", "random", "shuffled"]),
            "how iterations draw rows: each once per run, in order again and again, any, all in a random order again and again; default `sequential`",
        ),
    ],
    later: &[],
};

pub(crate) static SCENARIO: Table = Table {
    name: "a scenario",
    keys: &[
        must("name", Kind::Text, "the scenario's name: the `scenario` label"),
        key("weight", Kind::Whole(0, u32::MAX as u64), "its share among the weights; default 1"),
        must("steps", Kind::List(&STEP), "what an iteration does, one after the other"),
    ],
    later: &["load", "start_after"],
};

static STEP: Kind = Kind::Either(&[Kind::Object(&REQUEST), Kind::Object(&PAUSE)]);

pub(crate) const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

pub(crate) static REQUEST: Table = Table {
    name: "a step",
    keys: &[
        key("name", Kind::Text, "the step's name: the `step` label; default: method and path"),
        key("get", Kind::Template, "path and query of a GET below the target, or a whole URL"),
        key("post", Kind::Template, "path and query of a POST below the target, or a whole URL"),
        key("put", Kind::Template, "path and query of a PUT below the target, or a whole URL"),
        key("patch", Kind::Template, "path and query of a PATCH below the target, or a whole URL"),
        key("delete", Kind::Template, "path and query of a DELETE below the target, or a whole URL"),
        key("head", Kind::Template, "path and query of a HEAD below the target, or a whole URL"),
        key("options", Kind::Template, "path and query of an OPTIONS below the target, or a whole URL"),
        key("headers", Kind::Map(&Kind::Template), "headers of this step; they win over the plan's"),
        key("json", Kind::Any, "body as JSON; strings in it are templates"),
        key("body", Kind::Template, "body as text"),
        key("form", Kind::Map(&Kind::Template), "body as a form"),
        key("expect", Kind::Object(&EXPECT), "what the answer must be; without it, a status from 200 to 399"),
        key(
            "capture",
            Kind::Map(&CAPTURE_KIND),
            "what is taken from the answer, by the name it has in templates of later steps",
        ),
        key(
            "measure",
            Kind::Map(&MEASURE_KIND),
            "values taken from the replies of this step, by a name of your own; they win over the plan's",
        ),
        key(
            "on_failure",
            Kind::OneOf(&["continue", "end_iteration"]),
            "what a failure does to the iteration; default `end_iteration`",
        ),
    ],
    later: &["check", "retry"],
};

pub(crate) static PAUSE: Table = Table {
    name: "a pause",
    keys: &[must(
        "pause",
        Kind::Pause,
        "waits so long before the next step is due: `1s`, or evenly drawn from `200ms..2s`",
    )],
    later: &[],
};

static STATUSES: Kind = Kind::Status;

pub(crate) static EXPECT: Table = Table {
    name: "`expect`",
    keys: &[
        key(
            "status",
            Kind::Either(&[Kind::Status, Kind::List(&STATUSES)]),
            "any of these: `200`, `[200, 201]` or `2xx`; default 200 to 399",
        ),
        key(
            "headers",
            Kind::Map(&Kind::Either(&[Kind::Text, Kind::Flag])),
            "headers that must have this value, or, with `true`, be there",
        ),
        key(
            "body_contains",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "texts that the body must contain",
        ),
        key("contains", Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]), "short for `body_contains`"),
        key("json", Kind::Map(&Kind::Any), "JSONPaths whose first match must equal the value"),
        key("within", Kind::Duration, "the longest response time"),
    ],
    later: &[],
};

static CAPTURE_KIND: Kind = Kind::Object(&CAPTURE);

pub(crate) static CAPTURE: Table = Table {
    name: "a capture",
    keys: &[
        key("jsonpath", Kind::Text, "the first match of a JSONPath (RFC 9535) in the body"),
        key(
            "regex",
            Kind::Text,
            "the first group of a regular expression's first match in the body, or the match",
        ),
        key("header", Kind::Text, "a response header"),
    ],
    later: &[],
};

static MEASURE_KIND: Kind = Kind::Object(&MEASURE);

pub(crate) static MEASURE: Table = Table {
    name: "a measure",
    keys: &[
        key("header", Kind::Text, "the first response header of this name; of `server-timing` an entry"),
        key(
            "metric",
            Kind::Text,
            "the name of an entry of `server-timing`: its `dur`, of a ratio its `desc`",
        ),
        key("jsonpath", Kind::Text, "the first match of a JSONPath (RFC 9535) in the body"),
        key("body", Kind::OneOf(&["size"]), "how many bytes the body has"),
        must(
            "as",
            Kind::OneOf(&["histogram", "counter", "ratio"]),
            "what becomes of the values: their distribution, their sum, or the share of those that are `equals`",
        ),
        key(
            "unit",
            Kind::OneOf(&["seconds", "milliseconds", "microseconds", "bytes", "number"]),
            "what the replies' numbers are in; times are shown in seconds; default `number`, of `server-timing` seconds, of `body` bytes",
        ),
        key("equals", Kind::Text, "the value that a ratio counts"),
    ],
    later: &[],
};

pub(crate) static SHORT: Table = Table {
    name: "the short form of `sla`",
    keys: &[
        key("max_average_latency", Kind::Duration, "the mean response time is at most this"),
        key("max_p50_latency", Kind::Duration, "half of the response times are at most this"),
        key("max_p75_latency", Kind::Duration, "75% of the response times are at most this"),
        key("max_p90_latency", Kind::Duration, "90% of the response times are at most this"),
        key("max_p95_latency", Kind::Duration, "95% of the response times are at most this"),
        key("max_p99_latency", Kind::Duration, "99% of the response times are at most this"),
        key("max_p99_9_latency", Kind::Duration, "99.9% of the response times are at most this"),
        key("max_latency", Kind::Duration, "every response time is at most this"),
        key("max_error_rate", Kind::Share, "at most this share of requests fails"),
        key("min_throughput", Kind::Rate, "at least so many requests a second succeed"),
    ],
    later: &[],
};

pub(crate) static OBJECTIVE: Table = Table {
    name: "an objective",
    keys: &[
        key("name", Kind::Text, "its name: the `sla` label; default: the objective as it is written"),
        must(
            "objective",
            Kind::Objective,
            "what is promised, like `p95(response_time) <= 250ms` or `error_ratio <= 1%`",
        ),
        key(
            "over",
            Kind::Duration,
            "length of the sliding window in whole seconds; default: the whole run, judged at its end",
        ),
        key("where", Kind::Object(&WHERE), "which requests it is about; default: all"),
        key(
            "abort_after",
            Kind::Duration,
            "ends the run after so many whole seconds of unbroken misses; needs `over`",
        ),
        key(
            "severity",
            Kind::OneOf(&["critical", "warning"]),
            "whether a miss changes the exit code; default `critical`",
        ),
        key("message", Kind::Text, "shown with a miss"),
    ],
    later: &[],
};

pub(crate) static WHERE: Table = Table {
    name: "`where`",
    keys: &[
        key("step", Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]), "one or more steps by name"),
        key(
            "scenario",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "one or more scenarios by name",
        ),
        key("stage", Kind::Whole(0, u16::MAX as u64), "a stage by its position, from 0"),
    ],
    later: &[],
};

pub(crate) static TRACE: Table = Table {
    name: "`trace`",
    keys: &[
        key(
            "share",
            Kind::Share,
            "the share of requests that the target is asked to record (sampled) and that are told, whatever becomes of them; default 1%",
        ),
        key(
            "slower_than",
            Kind::Duration,
            "requests with a longer response time are told too; default: none",
        ),
        key("failed", Kind::Flag, "whether failed requests are told too; default true"),
    ],
    later: &[],
};

/// Which failed requests are written to the file of samples.
pub(crate) const SAMPLES_FAILED: &[&str] = &["all", "none"];

/// What a file of samples may be.
pub(crate) const SAMPLES_FORMATS: &[&str] = &["ndjson", "csv"];

pub(crate) static SAMPLES: Table = Table {
    name: "`samples`",
    keys: &[
        must(
            "file",
            Kind::Text,
            "where it is written, relative to the working directory; it must be new or empty",
        ),
        key(
            "share",
            Kind::Share,
            "the share of requests that are written, whatever becomes of them; default 100%, or none where slow or failed ones are asked for",
        ),
        key(
            "slower_than",
            Kind::Duration,
            "requests with a longer response time are written too; default: none",
        ),
        key(
            "failed",
            Kind::OneOf(SAMPLES_FAILED),
            "whether failed requests are written too; default none but those of the share",
        ),
        key(
            "format",
            Kind::OneOf(SAMPLES_FORMATS),
            "what is written; default: by the end of the file's name",
        ),
    ],
    later: &[],
};

pub(crate) static EXPORT: Table = Table {
    name: "`export`",
    keys: &[
        key("prometheus", Kind::Object(&PROMETHEUS), "a `/metrics` endpoint for Prometheus"),
        key("otlp", Kind::Object(&OTLP), "a receiver of the OpenTelemetry protocol"),
        key("spool", Kind::Object(&SPOOL), "where points wait for their sinks, on disk"),
        key("remote_write", Kind::Object(&REMOTE_WRITE), "a receiver of Prometheus remote write"),
        key("influxdb", Kind::Object(&INFLUXDB), "an InfluxDB of version 1, 2 or 3"),
        key("file", Kind::Object(&FILE), "a file of NDJSON or CSV"),
        key(
            "series",
            Kind::Whole(1, MOST_SERIES),
            "the most series of a run that each sink is told one by one; further ones are told together; default 10000",
        ),
        key("statsd", Kind::Object(&STATSD), "a StatsD or DogStatsD server"),
        key("elasticsearch", Kind::Object(&ELASTICSEARCH), "an index of Elasticsearch or OpenSearch"),
        key("cloudwatch", Kind::Object(&CLOUDWATCH), "metrics of Amazon CloudWatch"),
        key("kafka", Kind::Object(&KAFKA), "a topic of Kafka; in builds with the feature `kafka`"),
    ],
    later: &["graphite"],
};

pub(crate) static SPOOL: Table = Table {
    name: "`export.spool`",
    keys: &[
        key("directory", Kind::Text, "the folder of all queues; default: beside the history"),
        key("size", Kind::Size, "the most that may wait for one sink, at least 1MB; default 1GB"),
        key(
            "when_full",
            Kind::OneOf(&["drop_oldest", "drop_newest"]),
            "what gives way then; default `drop_oldest`",
        ),
        key(
            "sync",
            Kind::Either(&[Kind::Duration, Kind::OneOf(&["always", "never"])]),
            "what a loss of power may cost at most; default 1s",
        ),
    ],
    later: &[],
};

pub(crate) static PROMETHEUS: Table = Table {
    name: "`export.prometheus`",
    keys: &[
        must("listen", Kind::Text, "address and port to listen on, like `127.0.0.1:9464`"),
        key(
            "linger",
            Kind::Duration,
            "how long it stays after the run for one last scrape; default: twice the scrape interval seen",
        ),
        key("keep", Kind::Duration, "how long a process that lives on shows the run's summary; default 10m"),
    ],
    later: &[],
};

pub(crate) static OTLP: Table = Table {
    name: "`export.otlp`",
    keys: &[
        must("url", Kind::Text, "scheme, host and port, like `http://127.0.0.1:4318`"),
        key("protocol", Kind::OneOf(&["http", "grpc"]), "HTTP with protobuf, or gRPC; default http"),
        key(
            "headers",
            Kind::Map(&Kind::Text),
            "sent with each request, like an authorization; best as `${NAME}`",
        ),
        key(
            "temporality",
            Kind::OneOf(&["cumulative", "delta"]),
            "whether counters and histograms count from the start of the run, or their own second; default cumulative",
        ),
        key(
            "histograms",
            Kind::OneOf(&["exponential", "explicit"]),
            "buckets that grow by a constant factor, or at fixed edges with the thresholds of objectives among them; \
             default exponential",
        ),
        key(
            "traces",
            Kind::Flag,
            "whether requests traced by `trace` are sent as spans too; default true, where the plan has `trace`",
        ),
        key("compression", Kind::OneOf(&["gzip", "none"]), "of requests; default gzip"),
    ],
    later: &[],
};

pub(crate) static FILE: Table = Table {
    name: "`export.file`",
    keys: &[must(
        "path",
        Kind::Text,
        "a file that ends in `.ndjson`, `.jsonl` or `.csv`; points are added to it",
    )],
    later: &[],
};

pub(crate) static STATSD: Table = Table {
    name: "`export.statsd`",
    keys: &[
        must(
            "address",
            Kind::Text,
            "host and port, like `127.0.0.1:8125`, or `unix:` and the path of a socket",
        ),
        key("tags", Kind::OneOf(&["dogstatsd", "none"]), "how labels are told; default `dogstatsd`"),
        key("prefix", Kind::Text, "what names begin with; default `plimsoll`"),
    ],
    later: &[],
};

pub(crate) static ELASTICSEARCH: Table = Table {
    name: "`export.elasticsearch`",
    keys: &[
        must("url", Kind::Text, "scheme, host and port, like `http://127.0.0.1:9200`"),
        key("index", Kind::Text, "index or data stream; default `plimsoll`"),
        key("data_stream", Kind::Flag, "whether it is a data stream; default false"),
        key("token", Kind::Text, "bearer token, best as `${NAME}`"),
        key("api_key", Kind::Text, "API key in its encoded form, best as `${NAME}`"),
        key("username", Kind::Text, "user"),
        key("password", Kind::Text, "password, best as `${NAME}`"),
    ],
    later: &[],
};

pub(crate) static CLOUDWATCH: Table = Table {
    name: "`export.cloudwatch`",
    keys: &[
        key(
            "region",
            Kind::Text,
            "like `eu-central-1`; default that of `AWS_REGION` or `AWS_DEFAULT_REGION`",
        ),
        key("namespace", Kind::Text, "what metrics stand under; default `Plimsoll`"),
        key("endpoint", Kind::Text, "scheme, host and port in place of the region's own"),
        key(
            "dimensions",
            Kind::Map(&Kind::Text),
            "of every metric, beside its labels; default `TestSuite`, the plan's name, and `Version`, the `version` tag",
        ),
        key(
            "metrics",
            Kind::List(&Kind::OneOf(&CloudWatchExport::METRICS)),
            "which are sent; default requests, response_time, dropped_arrivals, offered_rate, run_validity and sla_met",
        ),
        key("resolution", Kind::OneOf(&["1s", "1m"]), "how finely values are stored; default 1s"),
        key(
            "access_key_id",
            Kind::Text,
            "best as `${NAME}`; default that of `AWS_ACCESS_KEY_ID`, with the key and token beside it",
        ),
        key("secret_access_key", Kind::Text, "best as `${NAME}`"),
        key("session_token", Kind::Text, "of temporary credentials, best as `${NAME}`"),
    ],
    later: &[],
};

pub(crate) static KAFKA: Table = Table {
    name: "`export.kafka`",
    keys: &[
        must(
            "brokers",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "host and port like `127.0.0.1:9092`, of one broker or several, without TLS",
        ),
        key("topic", Kind::Text, "where messages go; default `plimsoll`"),
    ],
    later: &[],
};

pub(crate) static REMOTE_WRITE: Table = Table {
    name: "`export.remote_write`",
    keys: &[
        must("url", Kind::Text, "where requests go, like `http://127.0.0.1:9090/api/v1/write`"),
        key(
            "version",
            Kind::Either(&[Kind::OneOf(&["auto", "1", "2"]), Kind::Whole(1, 2)]),
            "of the protocol; default `auto`: 2.0, and 1.0 to who does not understand it",
        ),
        key("token", Kind::Text, "bearer token, best as `${NAME}`"),
        key("username", Kind::Text, "user, with `password`"),
        key("password", Kind::Text, "password, best as `${NAME}`"),
        key("headers", Kind::Map(&Kind::Text), "sent with every request"),
        key(
            "labels",
            Kind::Map(&Kind::Text),
            "labels of every series; default: `job: plimsoll` and `instance`, the machine's name",
        ),
        key(
            "histograms",
            Kind::OneOf(&["both", "native", "classic"]),
            "native buckets, classic ones, or both; default `both`",
        ),
        key(
            "lanes",
            Kind::Whole(1, 16),
            "requests under way at once, each with series of its own; default 4",
        ),
    ],
    later: &[],
};

pub(crate) static INFLUXDB: Table = Table {
    name: "`export.influxdb`",
    keys: &[
        must("url", Kind::Text, "scheme, host and port, like `http://127.0.0.1:8086`"),
        key("version", Kind::Whole(1, 3), "which InfluxDB it is; default 2"),
        key("org", Kind::Text, "organisation; for version 2"),
        key("bucket", Kind::Text, "bucket; for version 2"),
        key("database", Kind::Text, "database; for versions 1 and 3"),
        key("retention_policy", Kind::Text, "retention policy; for version 1, default that of the database"),
        key("token", Kind::Text, "API token, best as `${NAME}`; for versions 2 and 3"),
        key("username", Kind::Text, "user; for version 1"),
        key("password", Kind::Text, "password, best as `${NAME}`; for version 1"),
    ],
    later: &[],
};
