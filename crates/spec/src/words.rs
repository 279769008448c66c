//! Every key of a plan, with what it means: one table that reading, the JSON Schema and the errors share.

use plimsoll_run::{CloudWatchExport, Occasion};

use crate::flow::{MOST_RETRIES, MOST_TIMES};

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
    /// A number, fractions too.
    Number,
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
    /// A list of [`STEP`]s, which may have lists of steps within.
    Steps,
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
        key("load", Kind::Object(&LOAD), "how much load, when; absent only where each scenario has its own"),
        key("http", Kind::Object(&HTTP), "how requests are made"),
        key("tls", Kind::Object(&TLS), "how TLS is made"),
        key(
            "auth",
            Kind::Object(&AUTH),
            "credentials: sent with every request as an `authorization` header, or made for each request to the target",
        ),
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
            Kind::Steps,
            "steps run once before the load, by one user; their captures are visible to all",
        ),
        key("teardown", Kind::Steps, "steps run once after the load, whatever happened"),
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
        key(
            "profiles",
            Kind::Object(&PROFILES),
            "profiles in pprof's format that the target gives out, fetched at chosen moments",
        ),
        key("export", Kind::Object(&EXPORT), "where measurements go while the run goes on"),
        key("notify", Kind::Object(&NOTIFY), "who is told how it goes"),
        key(
            "trace",
            Kind::Object(&TRACE),
            "every request carries a `traceparent` header (W3C Trace Context); which of them are told with their trace",
        ),
        key("samples", Kind::Object(&SAMPLES), "a file that single requests are written to"),
        key(
            "resume",
            Kind::Flag,
            "a run whose process died goes on in another where it stood, by `plimsoll serve` that started it or by `plimsoll runs resume`; default false",
        ),
        key("limits", Kind::Object(&LIMITS), "what measuring may cost"),
    ],
    later: &[],
};

pub(crate) static PROFILES: Table = Table {
    name: "`profiles`",
    keys: &[
        must(
            "folder",
            Kind::Text,
            "where the files are kept as they came, relative to the working directory; it is made where it is missing",
        ),
        must("take", Kind::List(&Kind::Object(&PROFILE)), "which profiles are fetched, at most 16"),
    ],
    later: &[],
};

/// What a profile is of.
pub(crate) const PROFILE_KINDS: &[&str] = &["cpu", "heap", "allocs", "mutex", "block", "goroutine"];

/// When a profile is fetched.
pub(crate) const PROFILE_MOMENTS: &[&str] = &["start", "peak", "breach", "end"];

pub(crate) static PROFILE: Table = Table {
    name: "a profile",
    keys: &[
        must("kind", Kind::OneOf(PROFILE_KINDS), "what it is of"),
        key(
            "url",
            Kind::Text,
            "where it is, or a path below the target; default: where Go has it, like `/debug/pprof/heap`",
        ),
        key(
            "for",
            Kind::Duration,
            "how long the target is to look (it is told `seconds=`), whole seconds from 1s to 5m; default 10s for `cpu`, else what stands at the moment",
        ),
        key(
            "at",
            Kind::Either(&[Kind::OneOf(PROFILE_MOMENTS), Kind::List(&Kind::OneOf(PROFILE_MOMENTS))]),
            "when it is fetched: when the stages begin or end, when the greatest load begins, when an objective is missed for the first time; default `peak`",
        ),
        key("headers", Kind::Map(&Kind::Text), "sent with each question"),
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
        MODEL,
        ARRIVALS,
        key(
            "warmup",
            Kind::Duration,
            "how much of the first stages is left out of verdicts and totals; default 0",
        ),
        STAGES,
        PRESET,
        PRESET_BASE,
        PRESET_FOR,
        SCHEDULE,
        INTERPOLATE,
        key("grace", Kind::Duration, "how long requests in flight may finish after the stages; default 5s"),
        IN_FLIGHT,
        ITERATIONS,
        PER_USER,
        STARTS_AT_MOST,
    ],
    later: &[],
};

pub(crate) static OWN_LOAD: Table = Table {
    name: "a scenario's `load`",
    keys: &[
        MODEL,
        ARRIVALS,
        STAGES,
        PRESET,
        PRESET_BASE,
        PRESET_FOR,
        SCHEDULE,
        INTERPOLATE,
        IN_FLIGHT,
        ITERATIONS,
        PER_USER,
        STARTS_AT_MOST,
    ],
    later: &[],
};

const MODEL: Key = key(
    "model",
    Kind::OneOf(&["open", "closed"]),
    "`open`: arrivals per second, each timed from when it was due; `closed`: virtual users who start again when they are done; default `open`",
);

const ARRIVALS: Key = key(
    "arrivals",
    Kind::OneOf(&["uniform", "poisson"]),
    "how arrivals of the open model spread along the rate: evenly or at random; default `uniform`",
);

const STAGES: Key = key("stages", Kind::List(&STAGE), "the load over time, stage after stage, from zero");

const PRESET: Key = key(
    "preset",
    Kind::OneOf(&["normal", "peak", "stress", "spike", "endurance"]),
    "a ready-made shape around `base`, in place of `stages`: 1x, 2x, in steps to 5x, a moment at 10x, 1x for hours",
);

const PRESET_BASE: Key =
    key("base", Kind::Level, "the level that a preset multiplies: a rate, or users in the closed model");

const PRESET_FOR: Key = key("for", Kind::Duration, "how long a preset lasts; default 5m, endurance 4h");

const SCHEDULE: Key = key(
    "schedule",
    Kind::Text,
    "open model: a CSV file, relative to the plan, with the columns `time` and `rate`, in place of `stages`",
);

const INTERPOLATE: Key = key(
    "interpolate",
    Kind::OneOf(&["linear", "steps"]),
    "how the rate goes from one row of a `schedule` to the next: evenly, or held until it; default `linear`",
);

const IN_FLIGHT: Key = key(
    "max_in_flight",
    Kind::Whole(1, MOST_IN_FLIGHT),
    "iterations of the open model running at once; an arrival beyond is dropped; default: peak rate x the longest `timeout` of a step, from 1 to 100000",
);

const ITERATIONS: Key = key(
    "iterations",
    Kind::Whole(1, u64::MAX),
    "closed model: ends the load when so many iterations were started; the stages bound its time",
);

const PER_USER: Key = key(
    "iterations_per_user",
    Kind::Whole(1, u64::MAX),
    "closed model: each user starts so many iterations and leaves; the load ends when none is left",
);

const STARTS_AT_MOST: Key = key(
    "at_most",
    Kind::Rate,
    "closed model: the most iterations started per second, over all users; default: no limit",
);

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
        key(
            "connections_per_host",
            Kind::Whole(1, MOST_IN_FLIGHT),
            "HTTP/1.1: the most shared connections to each host, in place of `connections`",
        ),
        key(
            "reuse",
            Kind::OneOf(&["always", "per_user", "never"]),
            "HTTP/1.1: whose connections are: shared by all, a user's own from its first request to its end, or one for each request; default `always` in the open model and `per_user` in the closed one",
        ),
        key(
            "idle_timeout",
            Kind::Duration,
            "HTTP/1.1: a connection that nobody used for longer is closed; default: the target decides",
        ),
        key(
            "tls_timeout",
            Kind::Duration,
            "how long the TLS handshake may take, within `connect_timeout`; default: only that",
        ),
        key(
            "first_byte_timeout",
            Kind::Duration,
            "how long the first byte of an answer may take once its request has a connection; default: only `timeout`",
        ),
        key(
            "resolve",
            Kind::Map(&Kind::Text),
            "where hosts are: an IP address, maybe with a port, by name; without asking anybody",
        ),
        key(
            "dns",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "name servers that are asked in place of the system's, like `127.0.0.1:5353`; how long an answer counts is theirs to say",
        ),
        key("ip", Kind::OneOf(&["4", "6", "any"]), "which addresses of names are used; default `any`"),
        key(
            "unix_socket",
            Kind::Text,
            "the path of the socket that connections to the target go to; the target's host is what the `host` header says",
        ),
        key(
            "proxy",
            Kind::Text,
            "an HTTP proxy that everything goes through, like `http://127.0.0.1:3128`: requests without TLS in absolute form, those with TLS by CONNECT",
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
        key(
            "compression",
            Kind::Either(&[COMPRESSION_KIND, Kind::List(&COMPRESSION_KIND)]),
            "how bodies of answers may be coded: an `accept-encoding` header, and decoding where a step looks at the body; default: as they come",
        ),
        key("max_body", Kind::Size, "a larger answer ends the request as `too_large`; default 16MB"),
        key("headers", Kind::Map(&Kind::Template), "sent with every request, unless a step has its own"),
    ],
    later: &[],
};

const COMPRESSION_KIND: Kind = Kind::OneOf(&["gzip", "br", "zstd", "deflate"]);

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
        key("min_version", Kind::OneOf(&["1.2", "1.3"]), "the oldest version that is spoken; default 1.2"),
        key("max_version", Kind::OneOf(&["1.2", "1.3"]), "the newest version that is spoken; default 1.3"),
    ],
    later: &[],
};

pub(crate) static AUTH: Table = Table {
    name: "`auth`",
    keys: &[
        key("basic", Kind::Object(&BASIC), "user name and password"),
        key("bearer", Kind::Text, "a token"),
        key(
            "digest",
            Kind::Object(&DIGEST),
            "user name and password, for a target that asks for them (RFC 7616)",
        ),
        key(
            "oauth2",
            Kind::Object(&OAUTH2),
            "a token for client credentials (RFC 6749, section 4.4), renewed in time",
        ),
        key("aws", Kind::Object(&AWS), "a signature of AWS (Signature Version 4) for each request"),
    ],
    later: &[],
};

pub(crate) static DIGEST: Table = Table {
    name: "`auth.digest`",
    keys: &[
        must("username", Kind::Text, "the user name"),
        must("password", Kind::Text, "the password, best as `${NAME}`"),
    ],
    later: &[],
};

pub(crate) static OAUTH2: Table = Table {
    name: "`auth.oauth2`",
    keys: &[
        must("token_url", Kind::Text, "the token endpoint"),
        must("client_id", Kind::Text, "who asks"),
        must("client_secret", Kind::Text, "its secret, best as `${NAME}`"),
        key("scope", Kind::Text, "what the token is for"),
        key("audience", Kind::Text, "for whom the token is"),
        key(
            "credentials",
            Kind::OneOf(&["header", "body"]),
            "where id and secret stand: in an `authorization` header or in the body; default `header`",
        ),
    ],
    later: &[],
};

pub(crate) static AWS: Table = Table {
    name: "`auth.aws`",
    keys: &[
        must("service", Kind::Text, "the service's name in signatures, like `execute-api` or `s3`"),
        key(
            "region",
            Kind::Text,
            "like `eu-central-1`; default: AWS_REGION or AWS_DEFAULT_REGION of the environment",
        ),
        key("access_key_id", Kind::Text, "default: AWS_ACCESS_KEY_ID of the environment"),
        key("secret_access_key", Kind::Text, "default: AWS_SECRET_ACCESS_KEY of the environment"),
        key(
            "session_token",
            Kind::Text,
            "of temporary credentials; default: AWS_SESSION_TOKEN of the environment",
        ),
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
        key("csv", Kind::Text, "CSV file with a header line, relative to the plan; values are text"),
        key(
            "json",
            Kind::Text,
            "JSON file, relative to the plan: an array of objects with the same keys, at most 64 MiB",
        ),
        key(
            "ndjson",
            Kind::Text,
            "file with a JSON object on each line, relative to the plan; all have the same keys",
        ),
        key("delimiter", Kind::Text, "with `csv`: the character between values; default `,`"),
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
        key("load", Kind::Object(&OWN_LOAD), "its own load beside the plan's, in place of a weight"),
        key(
            "start_after",
            Kind::Duration,
            "how long after the start of the run its own `load` begins; default 0",
        ),
        key(
            "think_time",
            PAUSE_KIND,
            "how long its users think between two steps, and in the closed model between two iterations; a `pause` after a step stands in its place",
        ),
        key(
            "pacing",
            Kind::Duration,
            "closed model: iterations of a user start at least so far apart; default 0",
        ),
        key("steps", Kind::Steps, "what an iteration does, one after the other; required without `replay`"),
        key(
            "replay",
            Kind::Object(&REPLAY),
            "an access log: its requests, when they came, in place of steps and a load",
        ),
    ],
    later: &[],
};

pub(crate) static REPLAY: Table = Table {
    name: "`replay`",
    keys: &[
        must(
            "log",
            Kind::Text,
            "an access log, relative to the plan: in the Common or Combined Log Format, or JSON lines with `time`, `method` and `path`",
        ),
        key(
            "speed",
            Kind::Text,
            "how many times as fast as it was: `2x`, `0.5x`; from 0.001x to 1000x; default `1x`",
        ),
        key(
            "methods",
            Kind::List(&Kind::OneOf(&plimsoll_data::METHODS)),
            "requests with these methods are replayed, without bodies; default `[GET, HEAD]`",
        ),
        key(
            "tolerance",
            Kind::Duration,
            "how far a line may be behind the latest before it, which then is its time; default 10s",
        ),
        key("name", Kind::Text, "the name of its step: the `step` label; default `replay`"),
        key("headers", Kind::Map(&Kind::Template), "headers of each request; they win over the plan's"),
        key(
            "expect",
            Kind::Object(&EXPECT),
            "what each answer must be; without it, a status from 200 to 399",
        ),
        IN_FLIGHT,
    ],
    later: &[],
};

/// A step, or what stands in its place.
pub(crate) static STEP: Kind = Kind::Either(&[
    Kind::Object(&REQUEST),
    Kind::Object(&PAUSE),
    Kind::Object(&GROUP),
    Kind::Object(&REPEAT),
    Kind::Object(&IF),
    Kind::Object(&ONE_OF),
    Kind::Object(&PARALLEL),
    Kind::Object(&SET),
]);

/// What a failure of a step does.
pub(crate) const ON_FAILURE: [&str; 4] = ["continue", "end_journey", "end_iteration", "stop"];

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
        key(
            "method",
            Kind::Text,
            "any other method, like `PROPFIND`, with its `url` beside it; sent in upper case",
        ),
        key("url", Kind::Template, "path and query below the target, or a whole URL, of `method`"),
        key(
            "query",
            Kind::Map(&Kind::Either(&[Kind::Template, Kind::List(&Kind::Template)])),
            "names and values that are added to the URL's query, encoded; a list repeats its name",
        ),
        key("headers", Kind::Map(&Kind::Template), "headers of this step; they win over the plan's"),
        key("auth", Kind::OneOf(&["none"]), "`none` leaves the plan's credentials out of this step"),
        key("json", Kind::Any, "body as JSON; strings in it are templates"),
        key("body", Kind::Template, "body as text"),
        key("form", Kind::Map(&Kind::Template), "body as a form"),
        key(
            "file",
            Kind::Text,
            "body from a file of up to 16MB, relative to the plan, as it is; without a `content-type` of its own",
        ),
        key(
            "multipart",
            Kind::Map(&Kind::Either(&[
                Kind::Template,
                Kind::Object(&FORM_PART),
                Kind::List(&FORM_PART_KIND),
            ])),
            "body as `multipart/form-data` (RFC 7578): texts and files by the names of their fields",
        ),
        key(
            "compress_body",
            Kind::OneOf(&["gzip"]),
            "sends the body compressed, with its `content-encoding`",
        ),
        key(
            "timeout",
            Kind::Duration,
            "how long the step may take, redirects included; default: `http.timeout`",
        ),
        key("expect", Kind::Object(&EXPECT), "what the answer must be; without it, a status from 200 to 399"),
        key(
            "capture",
            Kind::Map(&CAPTURE_KIND),
            "what is taken from the answer, by the name it has in templates of later steps",
        ),
        key(
            "check",
            Kind::Map(&Kind::Object(&EXPECT)),
            "what is looked at in the answers and counted, by a name of your own; it never fails the step",
        ),
        key(
            "measure",
            Kind::Map(&MEASURE_KIND),
            "values taken from the replies of this step, by a name of your own; they win over the plan's",
        ),
        key(
            "on_failure",
            Kind::OneOf(&ON_FAILURE),
            "what a failure does: `end_journey` (or `end_iteration`) ends the iteration, `continue` goes on with the next step, `stop` ends the run as failed; default `end_journey`",
        ),
        key("retry", Kind::Object(&RETRY), "sends the request again after a failure; without it, never"),
        key(
            "until",
            Kind::Object(&UNTIL),
            "makes the step again and again until its answer says that something is done",
        ),
    ],
    later: &["check"],
};

const FORM_PART_KIND: Kind = Kind::Either(&[Kind::Template, Kind::Object(&FORM_PART)]);

pub(crate) static FORM_PART: Table = Table {
    name: "a part of `multipart`",
    keys: &[
        key("file", Kind::Text, "the path of a file of up to 16MB, relative to the plan"),
        key("text", Kind::Template, "a text, in place of `file`"),
        key("filename", Kind::Template, "what the file is called; default of a `file`: its own name"),
        key("type", Kind::Text, "its media type; default of a `file`: `application/octet-stream`"),
    ],
    later: &[],
};

pub(crate) static RETRY: Table = Table {
    name: "`retry`",
    keys: &[
        must("max", Kind::Whole(1, MOST_RETRIES), "how often it is sent again at most"),
        key(
            "backoff",
            Kind::Duration,
            "how long it waits before the first of these, and twice as long before each further one, up to a minute; default 100ms",
        ),
        key(
            "on",
            Kind::Either(&[Kind::Text, Kind::Status, Kind::List(&Kind::Either(&[Kind::Text, Kind::Status]))]),
            "failures that are tried again: outcomes like `timeout`, and statuses like `503` or `5xx`; default connect, reset, timeout, 502, 503 and 504",
        ),
    ],
    later: &[],
};

pub(crate) static UNTIL: Table = Table {
    name: "`until`",
    keys: &[
        key("jsonpath", Kind::Text, "a JSONPath whose first match must become what the words beside it say"),
        key("expect", Kind::Object(&EXPECT), "what the answer must become, in place of `jsonpath`"),
        EQUALS,
        NOT,
        ONE_OF_THESE,
        EXISTS,
        CONTAINS,
        MATCHES,
        ABOVE,
        AT_LEAST,
        BELOW,
        AT_MOST,
        key("every", Kind::Duration, "how long after an answer the next request is due; default 1s"),
        key(
            "timeout",
            Kind::Duration,
            "how long after the step was first due it is not made again: then it has failed; default 30s",
        ),
    ],
    later: &[],
};

pub(crate) static GROUP: Table = Table {
    name: "a group",
    keys: &[
        must("group", Kind::Text, "its name: the `group` label of its time, pauses included"),
        must("steps", Kind::Steps, "what is timed together"),
    ],
    later: &[],
};

pub(crate) static REPEAT: Table = Table {
    name: "a repetition",
    keys: &[
        must(
            "repeat",
            Kind::Either(&[Kind::Whole(0, MOST_TIMES), Kind::Text]),
            "how often: `3`, or `2..5` for anything between, drawn by the seed",
        ),
        must("steps", Kind::Steps, "what is repeated"),
    ],
    later: &[],
};

pub(crate) static IF: Table = Table {
    name: "a choice",
    keys: &[
        must("if", Kind::Object(&CONDITION), "the condition"),
        must("steps", Kind::Steps, "what is done where it holds"),
        key("else", Kind::Steps, "what is done where it does not hold"),
    ],
    later: &[],
};

pub(crate) static CONDITION: Table = Table {
    name: "`if`",
    keys: &[
        must("value", Kind::Template, "what is looked at; a hole without a value makes it absent"),
        EQUALS,
        NOT,
        ONE_OF_THESE,
        EXISTS,
        CONTAINS,
        MATCHES,
        ABOVE,
        AT_LEAST,
        BELOW,
        AT_MOST,
    ],
    later: &[],
};

pub(crate) static ONE_OF: Table = Table {
    name: "a draw",
    keys: &[must(
        "one_of",
        Kind::List(&Kind::Object(&BRANCH)),
        "branches of which one is taken, drawn by weight",
    )],
    later: &[],
};

pub(crate) static BRANCH: Table = Table {
    name: "a branch",
    keys: &[
        key("weight", Kind::Whole(0, 1_000_000), "its share among the weights; default 1"),
        must("steps", Kind::Steps, "what it does"),
    ],
    later: &[],
};

pub(crate) static PARALLEL: Table = Table {
    name: "steps at once",
    keys: &[
        must(
            "parallel",
            Kind::List(&Kind::Object(&REQUEST)),
            "requests that are sent at the same time, each on a connection of its own",
        ),
        key("name", Kind::Text, "the `group` label of their time together; default `parallel`"),
    ],
    later: &[],
};

pub(crate) static SET: Table = Table {
    name: "`set`",
    keys: &[must("set", Kind::Map(&Kind::Template), "values made once for the steps that follow, by name")],
    later: &[],
};

pub(crate) static PAUSE: Table = Table {
    name: "a pause",
    keys: &[must(
        "pause",
        PAUSE_KIND,
        "waits so long before the next step is due: `1s`, evenly drawn from `200ms..2s`, or drawn otherwise",
    )],
    later: &[],
};

const PAUSE_KIND: Kind = Kind::Either(&[Kind::Pause, Kind::Object(&DRAWN_PAUSE)]);

pub(crate) static DRAWN_PAUSE: Table = Table {
    name: "a pause that is drawn",
    keys: &[
        key(
            "exponential",
            Kind::Duration,
            "exponentially distributed with this mean; at most ten times as long",
        ),
        key("log_normal", Kind::Object(&LOG_NORMAL), "log-normally distributed"),
    ],
    later: &[],
};

pub(crate) static LOG_NORMAL: Table = Table {
    name: "`log_normal`",
    keys: &[
        must("median", Kind::Duration, "half of the pauses are shorter"),
        must(
            "sigma",
            Kind::Number,
            "standard deviation of the logarithm, above 0 and up to 2; pauses lie within four of it",
        ),
    ],
    later: &[],
};

static STATUSES: Kind = Kind::Status;

static STATUS_KINDS: &[Kind] = &[Kind::Status, Kind::List(&STATUSES)];
static HEADER_KIND: Kind = Kind::Either(&[Kind::Text, Kind::Flag, Kind::Object(&COMPARISON)]);
static TEXT_KINDS: &[Kind] = &[Kind::Text, Kind::Object(&COMPARISON)];
static TEXT_KIND: Kind = Kind::Either(&[Kind::Text, Kind::Object(&COMPARISON)]);
static SIZE_KINDS: &[Kind] = &[Kind::Size, Kind::Object(&SIZES)];

const STATUS: Key = key(
    "status",
    Kind::Either(STATUS_KINDS),
    "any of these: `200`, `[200, 201]` or `2xx`; default 200 to 399, in `not` and `check` none",
);
const HEADERS: Key = key(
    "headers",
    Kind::Map(&HEADER_KIND),
    "headers and what their values must be: a text, a comparison, or `true`: it is there",
);
const BODY_CONTAINS: Key = key(
    "body_contains",
    Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
    "texts that the body must contain",
);
const SHORT_CONTAINS: Key =
    key("contains", Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]), "short for `body_contains`");
const BODY: Key = key(
    "body",
    Kind::Either(TEXT_KINDS),
    "what the whole body must be, as text: this text, or a comparison like `{ matches: \"^ok\" }`",
);
const SIZE: Key = key(
    "size",
    Kind::Either(SIZE_KINDS),
    "how long the body must be in bytes, decoded: `2KB`, or a comparison like `{ at_most: 64KiB }`",
);
const JSON: Key = key(
    "json",
    Kind::Map(&COMPARISON_KIND),
    "JSONPaths and what the first match of each must be: a value, or a comparison like `{ at_least: 3 }`",
);
const XPATH: Key = key(
    "xpath",
    Kind::Map(&TEXT_KIND),
    "XPath 1.0 expressions and what the text that each finds first in a body of XML must be; not for HTML",
);
const SCHEMA: Key = key(
    "schema",
    Kind::Either(&[Kind::Text, Kind::Any]),
    "a JSON Schema that the body must keep to: a map, or the path of a file beside the plan; nothing is fetched",
);
const WITHIN: Key = key("within", Kind::Duration, "the longest response time");
const FIRST_BYTE_WITHIN: Key = key(
    "first_byte_within",
    Kind::Duration,
    "the longest time from the request's first byte to the answer's",
);

pub(crate) static EXPECT: Table = Table {
    name: "`expect`",
    keys: &[
        STATUS,
        HEADERS,
        BODY_CONTAINS,
        SHORT_CONTAINS,
        BODY,
        SIZE,
        JSON,
        XPATH,
        SCHEMA,
        WITHIN,
        FIRST_BYTE_WITHIN,
        key(
            "not",
            Kind::Object(&EXPECT_NOT),
            "the same words: none of what they say may hold, each by itself",
        ),
    ],
    later: &[],
};

pub(crate) static EXPECT_NOT: Table = Table {
    name: "`not`",
    keys: &[
        STATUS,
        HEADERS,
        BODY_CONTAINS,
        SHORT_CONTAINS,
        BODY,
        SIZE,
        JSON,
        XPATH,
        SCHEMA,
        WITHIN,
        FIRST_BYTE_WITHIN,
    ],
    later: &[],
};

/// The words of a comparison as they are written of sizes.
static SIZES: Table = Table {
    name: "a comparison",
    keys: &[
        key("equals", Kind::Size, "this very size"),
        key("not", Kind::Either(&[Kind::Size, Kind::Any]), "none of what is written here"),
        key("one_of", Kind::List(&Kind::Size), "any of these sizes"),
        key("above", Kind::Size, "more than this"),
        key("at_least", Kind::Size, "at least this"),
        key("below", Kind::Size, "less than this"),
        key("at_most", Kind::Size, "at most this"),
    ],
    later: &[],
};

const EQUALS: Key = key("equals", Kind::Any, "this very value");
const NOT: Key = key("not", Kind::Any, "none of what is written here: a value, or a comparison");
const ONE_OF_THESE: Key = key("one_of", Kind::List(&Kind::Any), "any of these values");
const EXISTS: Key = key("exists", Kind::Flag, "`true`: the value is there; `false`: it is not");
const CONTAINS: Key = key("contains", Kind::Text, "a text with this in it");
const MATCHES: Key = key("matches", Kind::Text, "a text in which this regular expression matches");
const ABOVE: Key = key("above", Kind::Number, "a number above this");
const AT_LEAST: Key = key("at_least", Kind::Number, "a number of at least this");
const BELOW: Key = key("below", Kind::Number, "a number below this");
const AT_MOST: Key = key("at_most", Kind::Number, "a number of at most this");

static COMPARISON_KIND: Kind = Kind::Either(&[Kind::Object(&COMPARISON), Kind::Any]);

pub(crate) static COMPARISON: Table = Table {
    name: "a comparison",
    keys: &[EQUALS, NOT, ONE_OF_THESE, EXISTS, CONTAINS, MATCHES, ABOVE, AT_LEAST, BELOW, AT_MOST],
    later: &[],
};

static CAPTURE_KIND: Kind = Kind::Object(&CAPTURE);

pub(crate) static CAPTURE: Table = Table {
    name: "a capture",
    keys: &[
        key("jsonpath", Kind::Text, "the matches of a JSONPath (RFC 9535) in the body"),
        key("regex", Kind::Text, "the matches of a regular expression in the body"),
        key("xpath", Kind::Text, "what an XPath 1.0 expression finds in a body of XML; not for HTML"),
        key("header", Kind::Text, "the values of a response header"),
        key(
            "cookie",
            Kind::Text,
            "a cookie that the answer sets, or that the user has for where it came from",
        ),
        key(
            "group",
            Kind::Text,
            "of a regex: a group by its number or name, 0 for the whole match; default the first, or the match where it has none",
        ),
        key(
            "match",
            Kind::Either(&[Kind::OneOf(&["first", "last", "random"]), Kind::Whole(1, 1_000_000)]),
            "which of many: `first`, `last`, `random` (drawn by the seed) or a number from 1; default first",
        ),
        key("default", Kind::Text, "what is captured where nothing is found; default the step fails"),
        key("optional", Kind::Flag, "`true`: where nothing is found the value stays unknown; default false"),
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

/// One occasion or several.
const OCCASIONS: Kind =
    Kind::Either(&[Kind::OneOf(&Occasion::LABELS), Kind::List(&Kind::OneOf(&Occasion::LABELS))]);

pub(crate) static NOTIFY: Table = Table {
    name: "`notify`",
    keys: &[
        key("on", OCCASIONS, "what receivers are told of; default failure, regression, breach and recovery"),
        must("receivers", Kind::Map(&Kind::Object(&RECEIVER)), "who is told, each by a name of your own"),
        key("link", Kind::Text, "where the pages of `plimsoll serve` are, for links in messages"),
        key("at_most", Kind::Rate, "messages to each receiver within any hour, 1/h to 3600/h; default 30/h"),
        key("gather", Kind::Duration, "for how long breaches are gathered into one message; default 5s"),
        key("settle", Kind::Duration, "for how long all is well before that is told; default 30s"),
    ],
    later: &[],
};

pub(crate) static RECEIVER: Table = Table {
    name: "a receiver",
    keys: &[
        key("on", OCCASIONS, "what this receiver is told of; default: what `notify` says"),
        key("at_most", Kind::Rate, "messages to it within any hour; default: what `notify` says"),
        key("slack", Kind::Object(&SLACK), "a channel of Slack"),
        key("teams", Kind::Object(&TEAMS), "a channel or chat of Microsoft Teams"),
        key("email", Kind::Object(&EMAIL), "mail over SMTP"),
        key("pagerduty", Kind::Object(&PAGERDUTY), "a service of PagerDuty"),
        key("webhook", Kind::Object(&WEBHOOK), "a webhook, signed as Standard Webhooks says"),
    ],
    later: &[],
};

pub(crate) static SLACK: Table = Table {
    name: "`slack`",
    keys: &[must("url", Kind::Text, "the URL of an incoming webhook, best as `${NAME}`; never shown")],
    later: &[],
};

pub(crate) static TEAMS: Table = Table {
    name: "`teams`",
    keys: &[must(
        "url",
        Kind::Text,
        "the URL of a workflow that posts cards it is sent, best as `${NAME}`; never shown",
    )],
    later: &[],
};

pub(crate) static PAGERDUTY: Table = Table {
    name: "`pagerduty`",
    keys: &[
        must("routing_key", Kind::Text, "the integration key of Events API v2, best as `${NAME}`"),
        key(
            "url",
            Kind::Text,
            "where events go; default `https://events.pagerduty.com/v2/enqueue`, in Europe `https://events.eu.pagerduty.com/v2/enqueue`",
        ),
    ],
    later: &[],
};

pub(crate) static WEBHOOK: Table = Table {
    name: "`webhook`",
    keys: &[
        must("url", Kind::Text, "where it is posted; never shown"),
        must(
            "secret",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]),
            "what it is signed with: `whsec_` and the base64 of 24 to 64 bytes, best as `${NAME}`; of several each gives a signature",
        ),
        key("headers", Kind::Map(&Kind::Text), "sent with it"),
    ],
    later: &[],
};

pub(crate) static EMAIL: Table = Table {
    name: "`email`",
    keys: &[
        must(
            "server",
            Kind::Text,
            "the host of an SMTP server, maybe with a port; default port 587, 465 with `tls: tls`, 25 with `tls: none`",
        ),
        key(
            "tls",
            Kind::OneOf(&["starttls", "tls", "none"]),
            "how the way there is covered: TLS before anything is said, TLS from the first byte, not at all; default starttls",
        ),
        key("username", Kind::Text, "user, with `password`"),
        key("password", Kind::Text, "password, best as `${NAME}`"),
        must("from", Kind::Text, "the address it comes from"),
        must("to", Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]), "addresses it goes to"),
    ],
    later: &[],
};
