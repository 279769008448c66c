use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plimsoll_run::Targets;

/// Load tests that tell the truth: live metrics, SLA verdicts while the seconds pass, a record of every run.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a demo target, drives it, judges it and shows it in the browser; needs nothing installed
    Demo(DemoArguments),
    /// Asks one URL a number of times, for a quick look: a plan in flags
    Hit(Box<HitArguments>),
    /// Runs a plan
    Run(RunArguments),
    /// Serves the pages of live and past runs
    Serve(ServeArguments),
    /// Steers a run that goes on, in whatever process: its rate, its users, a pause, its end
    Control(ControlArguments),
    /// Learns what this machine adds to every figure and how much of a plan it can offer
    Calibrate(CalibrateArguments),
    /// Says where a service's limit lies and how sure that is
    Capacity(Box<CapacityArguments>),
    /// Says what got worse, what got better and what nobody can tell, of two sets of runs
    Compare(CompareArguments),
    /// Says where a history of values changed its level
    Trend(TrendArguments),
    /// Searches the highest load that still meets the objectives of a plan, on the live system
    Limit(LimitArguments),
    /// Checks plans and gives advice, without running anything
    Validate(ValidateArguments),
    /// Prints the JSON Schema of plans, for editors to complete from
    Schema,
    /// Looks after files of service-level objectives
    #[command(subcommand)]
    Sla(SlaCommand),
    /// Looks after recorded runs
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Looks after what waits for sinks
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Looks after who is told what has happened
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Renders recorded runs again
    Report(ReportArguments),
    /// Looks after the tokens that the service asks for
    #[command(subcommand)]
    Token(TokenCommand),
    /// Says where a program spends its time or memory, from profiles in pprof's format
    #[command(subcommand)]
    Profile(ProfileCommand),
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgument {
    /// File or `postgres://` database that runs are recorded in [default: plimsoll/history.db in the user's data directory]
    #[arg(long, value_name = "PATH", env = "PLIMSOLL_HISTORY", hide_env_values = true)]
    pub(crate) history: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How long one round of the story takes; without it rounds follow each other until Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) length: Option<Duration>,
    /// Where the pages are; a free port is taken when this one is not
    #[arg(long, default_value = "127.0.0.1:7700")]
    pub(crate) listen: SocketAddr,
    /// End with 3 when the incident broke an objective, as a real run would
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Args)]
pub(crate) struct HitArguments {
    /// The URL; without a scheme it is http
    pub(crate) url: String,
    /// Requests in all [default: 200]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Users that ask at once, each again when it was answered; with -r the most connections [default: 50]
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) concurrency: Option<u32>,
    /// Requests a second, each due on time whatever the target does, like 100 or 100/s
    #[arg(short = 'r', long, value_name = "RATE", value_parser = per_second)]
    pub(crate) rate: Option<plimsoll_units::Rate>,
    /// How long; wins over -n
    #[arg(short = 'd', short_alias = 'z', long = "for", value_name = "TIME", value_parser = some_time)]
    pub(crate) length: Option<Duration>,
    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// The method [default: GET, or POST where there is a body]
    #[arg(short = 'm', long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// The body, a text
    #[arg(short = 'b', long, value_name = "TEXT", conflicts_with = "body_file")]
    pub(crate) body: Option<String>,
    /// A file whose text is the body
    #[arg(short = 'D', long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,
    /// The content type of the body
    #[arg(short = 'T', long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Basic authentication
    #[arg(short = 'a', long = "basic", value_name = "USER:PASSWORD")]
    pub(crate) basic: Option<String>,
    /// How long one request may take [default: 5s]
    #[arg(short = 't', long, value_name = "TIME", value_parser = some_time)]
    pub(crate) timeout: Option<Duration>,
    /// Accepts any certificate
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    /// Speaks HTTP/2, without TLS too
    #[arg(long)]
    pub(crate) http2: bool,
    /// Threads that offer load [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Writes the plan that these flags stand for to standard output, and asks nothing
    #[arg(long)]
    pub(crate) print_plan: bool,
    /// Leaves no record
    #[arg(long)]
    pub(crate) no_history: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The plan, a YAML file; `-` is standard input
    pub(crate) plan: PathBuf,
    #[arg(
        long = "set",
        value_name = "PATH=VALUE",
        help = "Changes a value of the plan, like load.stages[1].for=10s or target=http://127.0.0.1:9000"
    )]
    pub(crate) set: Vec<String>,
    /// Adds a tag to the run
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Judges the run also by what OpenSLO documents promise of this plan; may be repeated
    #[arg(long = "sla", value_name = "FILE")]
    pub(crate) slas: Vec<PathBuf>,
    /// Decides every random choice
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The run's id, a UUID, for who must know it beforehand [default: a new one]
    #[arg(long, value_parser = run_id)]
    pub(crate) id: Option<String>,
    /// Names, networks and sockets that its connections may lead to, with `,` between [default: anywhere]; given again,
    /// what every list allows
    #[arg(long, value_name = "LIST")]
    pub(crate) targets: Vec<Targets>,
    /// Threads that offer load [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// A suspect generator counts like an invalid one: exit code 4
    #[arg(long)]
    pub(crate) strict: bool,
    /// Begin at once, without learning first what this machine adds and can offer
    #[arg(long)]
    pub(crate) no_calibrate: bool,
    /// One iteration of each scenario in place of the load; shows requests, answers, captures and what failed
    #[arg(long, conflicts_with_all = ["report", "junit", "markdown"])]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Sends a test to every receiver and says what each answered
    Test(NotifyTestArguments),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("of").required(true)))]
pub(crate) struct NotifyTestArguments {
    /// The plan whose `notify` it is
    #[arg(group = "of")]
    pub(crate) plan: Option<PathBuf>,
    /// The service's configuration whose `notify` it is
    #[arg(short = 'c', long = "config", value_name = "FILE", group = "of")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Lists the functions that a profile is about, the largest first
    Top {
        /// The profile, packed by gzip or not
        file: PathBuf,
        #[command(flatten)]
        forms: ProfileForms,
    },
    /// Says what is more and what is less in a second profile
    Diff {
        /// The first profile
        before: PathBuf,
        /// The second one
        after: PathBuf,
        #[command(flatten)]
        forms: ProfileForms,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ProfileForms {
    /// What is counted, like `cpu` or `inuse_space` [default: what the profile says]
    #[arg(long, value_name = "NAME")]
    pub(crate) kind: Option<String>,
    /// Functions in the table
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) rows: usize,
    /// Writes every function as JSON; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draws a flame graph; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArguments {
    /// The plan whose steps and connections to use; without it a plain GET on 64 connections
    pub(crate) plan: Option<PathBuf>,
    /// Changes a value of the plan
    #[arg(long = "set", value_name = "PATH=VALUE", requires = "plan")]
    pub(crate) set: Vec<String>,
    /// Threads that offer load [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source")))]
#[command(group(
    clap::ArgGroup::new("asked").args(["data", "plan", "prometheus", "track_record"]).required(true).multiple(true)
))]
#[command(group(clap::ArgGroup::new("known_traffic").multiple(true)))]
pub(crate) struct CapacityArguments {
    /// Points that were measured: CSV with a load, throughput and what else is known; - for standard input
    #[arg(long, value_name = "FILE", group = "source")]
    pub(crate) data: Option<PathBuf>,
    /// Plateaus of the recorded runs of this plan
    #[arg(long, value_name = "NAME", group = "source")]
    pub(crate) plan: Option<String>,
    /// Plateaus of what a Prometheus at this URL stored; needs --load and --throughput
    #[arg(long, value_name = "URL", group = "source", requires_all = ["load", "throughput"])]
    pub(crate) prometheus: Option<String>,
    /// Query for the load: users, or arrivals per second
    #[arg(long, value_name = "QUERY", requires = "prometheus")]
    pub(crate) load: Option<String>,
    /// Query for what succeeds per second
    #[arg(long, value_name = "QUERY", requires = "prometheus")]
    pub(crate) throughput: Option<String>,
    /// Query for how busy a resource is, a share of one; may be repeated
    #[arg(long = "resource", value_name = "NAME=QUERY", value_parser = key_value, requires = "prometheus")]
    pub(crate) resources: Vec<(String, String)>,
    /// From when on: RFC 3339, a date, seconds since 1970, or so long ago, like 6h [default: 1h]
    #[arg(long, value_name = "TIME", requires = "prometheus")]
    pub(crate) from: Option<String>,
    /// Until when, likewise [default: now]
    #[arg(long, value_name = "TIME", requires = "prometheus")]
    pub(crate) to: Option<String>,
    /// From one value to the next [default: so that there are 2,000 at most, 1s or more]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "prometheus")]
    pub(crate) step: Option<Duration>,
    /// Tells how good earlier predictions of the plan (of all, without --plan) were
    #[arg(long, conflicts_with_all = ["data", "prometheus"])]
    pub(crate) track_record: bool,
    /// How many of the latest recorded runs are read
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Points of earlier runs of the same service; may be repeated, the oldest first
    #[arg(long, value_name = "FILE")]
    pub(crate) history_data: Vec<PathBuf>,
    /// Reads only rows with this value in this column; may be repeated
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = key_value)]
    pub(crate) filters: Vec<(String, String)>,
    /// Loads whose throughput is to be foretold
    #[arg(long, value_name = "LOAD", value_delimiter = ',')]
    pub(crate) predict: Vec<f64>,
    /// An objective whose highest load is to be found, like "p95(response_time) <= 250ms"; may be repeated
    #[arg(long, value_name = "OBJECTIVE")]
    pub(crate) sla: Vec<String>,
    /// Today's traffic, to be held against the limit
    #[arg(long, value_name = "RATE", value_parser = rate, group = "known_traffic")]
    pub(crate) traffic: Option<f64>,
    /// The traffic of the busiest time
    #[arg(long, value_name = "RATE", value_parser = rate, group = "known_traffic")]
    pub(crate) peak_traffic: Option<f64>,
    /// By how much traffic grows, like 5%/month; says when --peak-traffic (or --traffic) reaches the limit
    #[arg(long, value_name = "SHARE/TIME", group = "growing", requires = "known_traffic")]
    pub(crate) growth: Option<plimsoll_capacity::GrowthRate>,
    /// Traffic over time, CSV `time,value`: its growth is fitted, with its weeks
    #[arg(long, value_name = "FILE", group = "growing")]
    pub(crate) traffic_data: Option<PathBuf>,
    /// Query for traffic, asked for hour by hour since --traffic-from; its growth is fitted
    #[arg(long, value_name = "QUERY", group = "growing", requires = "prometheus")]
    pub(crate) traffic_query: Option<String>,
    /// Recorded runs of a plan that replays traffic, each with its request rate; their growth is fitted
    #[arg(long, value_name = "NAME", group = "growing")]
    pub(crate) traffic_runs: Option<String>,
    /// From when on traffic is asked for, like --from [default: 90d]
    #[arg(long, value_name = "TIME", requires = "traffic_query")]
    pub(crate) traffic_from: Option<String>,
    /// What if there were so many times the machines
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub(crate) machines: Option<f64>,
    /// What if a request kept this resource busy for so many times as long; may be repeated
    #[arg(long, value_name = "RESOURCE=FACTOR", value_parser = named_factor)]
    pub(crate) demand: Vec<(String, f64)>,
    /// What if kinds of requests had these shares
    #[arg(long, value_name = "KIND=SHARE", value_delimiter = ',', value_parser = named_factor)]
    pub(crate) mix: Vec<(String, f64)>,
    /// Decides every random draw
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes a self-contained HTML report
    #[arg(long, value_name = "FILE", conflicts_with = "track_record")]
    pub(crate) report: Option<PathBuf>,
    /// Writes the result as Markdown
    #[arg(long, value_name = "FILE", conflicts_with = "track_record")]
    pub(crate) markdown: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Recorded runs that are compared with: ids, beginnings of ids or `last`, with commas between; or what they are, like
    /// `version=1.4` or `plan=shop,version=1.4`
    #[arg(required_unless_present = "data", conflicts_with = "data", requires = "candidate")]
    pub(crate) base: Option<String>,
    /// Recorded runs that are judged, named likewise
    #[arg(required_unless_present = "data", conflicts_with = "data")]
    pub(crate) candidate: Option<String>,
    /// Samples of both sides: CSV `benchmark,metric,variant,run,value` with the variants `base` and `candidate`; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// A metric that is better when it is higher, whatever its name says; may be repeated
    #[arg(long, value_name = "NAME", requires = "data")]
    pub(crate) higher: Vec<String>,
    /// Only runs of this plan, on both sides
    #[arg(long, value_name = "NAME", conflicts_with = "data")]
    pub(crate) plan: Option<String>,
    /// Only runs with this tag, on both sides; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value, conflicts_with = "data")]
    pub(crate) tags: Vec<(String, String)>,
    /// How many of the latest runs are taken where a side says what they are
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    #[command(flatten)]
    pub(crate) forms: AnswerForms,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Args)]
pub(crate) struct TrendArguments {
    /// Values over time: CSV `series,time,value`; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// End with 3 when a level changed
    #[arg(long)]
    pub(crate) fail_on_change: bool,
    #[command(flatten)]
    pub(crate) forms: AnswerForms,
}

/// Where an answer goes beside the terminal.
#[derive(Debug, Args)]
pub(crate) struct AnswerForms {
    /// Writes the answer as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the answer as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// The plan, a YAML file; `-` is standard input. Its steps and objectives are taken, its stages are not
    pub(crate) plan: PathBuf,
    /// Changes a value of the plan
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Adds a tag to every run
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Decides every random choice
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The load to begin with, arrivals per second or users [default: the lowest of the plan's stages]
    #[arg(long, value_name = "LOAD", value_parser = load)]
    pub(crate) from: Option<f64>,
    /// The highest load that may be tried [default: 1024 times the first]
    #[arg(long, value_name = "LOAD", value_parser = load)]
    pub(crate) most: Option<f64>,
    /// How near kept and missed load must come, as a share
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = share)]
    pub(crate) precision: f64,
    /// How often each of the two loads at the limit is tried in all
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) looks: u32,
    /// The most measured time of one trial, in whole seconds; most are decided sooner
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = whole_seconds)]
    pub(crate) longest: Duration,
    /// How long a trial runs before it is measured, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = whole_seconds)]
    pub(crate) warmup: Duration,
    /// How long the target is left alone after a load that it missed
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) cool_down: Duration,
    /// In place of a search: one run with this step of the load, to see how soon a target that scales settles
    #[arg(long, value_name = "LOAD..LOAD", value_parser = step, conflicts_with_all = ["from", "most", "overload"])]
    pub(crate) step: Option<(f64, f64)>,
    /// How soon it must have settled, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = whole_seconds, requires = "step")]
    pub(crate) within: Duration,
    /// Settled is a mean response time of up to so many times that before the step
    #[arg(long, value_name = "TIMES", default_value = "1.5", value_parser = times, requires = "step")]
    pub(crate) band: f64,
    /// The figure of the plan's resources that counts replicas: they must stand still too
    #[arg(long, value_name = "FIGURE", requires = "step")]
    pub(crate) replicas: Option<String>,
    /// Offers these multiples of the limit afterwards and tells what is left of the service, like 2,5,10
    #[arg(long, value_name = "TIMES", value_delimiter = ',', value_parser = times)]
    pub(crate) overload: Vec<f64>,
    /// End with 3 when less than this share of the throughput at the limit is left under overload, in place of the
    /// plan's `goodput_retained`
    #[arg(long, value_name = "SHARE", requires = "overload", value_parser = share)]
    pub(crate) goodput_retained: Option<f64>,
    /// The search's id, a UUID, which is the tag `limit` of its runs [default: a new one]
    #[arg(long, value_parser = run_id, conflicts_with = "step")]
    pub(crate) id: Option<String>,
    /// Names, networks and sockets that its connections may lead to, with `,` between [default: anywhere]; given again,
    /// what every list allows
    #[arg(long, value_name = "LIST")]
    pub(crate) targets: Vec<Targets>,
    /// Stops as soon as its parent is another process than this one
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) parent: Option<u32>,
    /// Where the pages of the service show its report, for whoever the plan tells
    #[arg(long, value_name = "PATH", hide = true, requires = "report")]
    pub(crate) report_page: Option<String>,
    /// Threads that offer load [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    #[command(flatten)]
    pub(crate) forms: LimitForms,
    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

/// The forms of what `limit` has found.
#[derive(Debug, Args, Clone)]
pub(crate) struct LimitForms {
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes a self-contained HTML report
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Writes the result as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct OutputArguments {
    #[command(flatten)]
    pub(crate) files: FileArguments,
    /// Print nothing but errors
    #[arg(long, conflicts_with = "no_tui")]
    pub(crate) quiet: bool,
    /// Plain lines instead of the live view
    #[arg(long)]
    pub(crate) no_tui: bool,
}

/// The forms a run's result can be written in; `-` is standard output.
#[derive(Debug, Args, Clone, Default)]
pub(crate) struct FileArguments {
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes a self-contained HTML report
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Writes the verdicts as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Writes the result as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// Id, the beginning of one, or `last`
    pub(crate) run: String,
    /// Also where the plan does not say `resume: true`, on another host, once more within an hour, or after a teardown
    #[arg(long)]
    pub(crate) anyway: bool,
    /// The plan's own file, where the record alone does not do [default: the plan as the record keeps it]
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    /// Gives a value that the record does not keep, like a secret that was typed
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Names, networks and sockets that its connections may lead to, with `,` between [default: anywhere]; given again,
    /// what every list allows
    #[arg(long, value_name = "LIST")]
    pub(crate) targets: Vec<Targets>,
    /// Threads that offer load [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// A suspect generator counts like an invalid one: exit code 4
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Args)]
pub(crate) struct RetainArguments {
    /// Configuration whose `retention` holds, like config/plimsoll.yaml [default: 7d, 90d, 730d, 1GB]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How long every second is kept
    #[arg(long, value_name = "DURATION")]
    pub(crate) seconds: Option<String>,
    /// How long minutes are kept
    #[arg(long, value_name = "DURATION")]
    pub(crate) minutes: Option<String>,
    /// How long hours are kept; then a run is deleted
    #[arg(long, value_name = "DURATION")]
    pub(crate) hours: Option<String>,
    /// How large the history may be, like 10GB, or `none`
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<String>,
    /// Says what it would do, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Configuration file, like config/plimsoll.yaml
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the pages are, in place of the configuration's [default: 127.0.0.1:7700]
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// Plans to check
    #[arg(required = true)]
    pub(crate) plans: Vec<PathBuf>,
    /// Changes a value of every plan
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Leaves the advice out
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ControlArguments {
    /// Id, the beginning of one, or `latest` of those that go on
    pub(crate) run: String,
    /// What is to change
    #[arg(value_enum)]
    pub(crate) change: ChangeWord,
    /// Of a rate like 800/s, of users like 200; x1.5 or 150% of what the plan says at each moment; `plan` for what it says
    pub(crate) value: Option<String>,
    /// Only the load of this scenario, which must have one of its own [default: the load as a whole]
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// Prints JSON to this file; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChangeWord {
    /// So many arrivals per second
    Rate,
    /// So many users
    Users,
    /// Nothing is offered, and the time of the stages goes on
    Pause,
    /// What the plan says again
    Resume,
    /// Nothing is offered any more: requests in flight have their grace, then the run ends
    Stop,
}

impl ChangeWord {
    /// As [`plimsoll_run::Change::asked`] reads it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Users => "users",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Lists recorded runs, the latest last
    List {
        /// Only those of this plan
        #[arg(long)]
        plan: Option<String>,
        /// Only those with this tag
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
        tags: Vec<(String, String)>,
        /// How many
        #[arg(long, default_value_t = 30)]
        limit: u32,
        /// Prints JSON to this file; - for standard output
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Shows the figures of a run
    Show {
        /// Id, the beginning of one, or `last`
        run: String,
        #[command(flatten)]
        files: FileArguments,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Writes the events of a run, a line of JSON each, or sends its points to a sink again
    Export {
        /// Id, the beginning of one, or `last`
        run: String,
        /// A file, - for standard output, or the name of a sink in the plan, like influxdb
        #[arg(long, value_name = "FILE|SINK", default_value = "-")]
        to: PathBuf,
        /// The plan whose `export` says where the sink is [default: the run's own]
        #[arg(long, value_name = "PLAN")]
        plan: Option<PathBuf>,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Deletes runs
    Delete {
        /// Ids, or beginnings of ids
        #[arg(required = true)]
        runs: Vec<String>,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Makes old seconds minutes and old minutes hours, and deletes what is older still
    Retain(RetainArguments),
    /// Goes on with a run whose process died
    Resume(Box<ResumeArguments>),
    /// Makes the teardown of a run that was killed before it could
    Teardown {
        /// Id, the beginning of one, or `last`
        run: String,
        /// Makes it also where it was made already
        #[arg(long)]
        again: bool,
        /// The plan's own file, where the record alone does not do [default: the plan as the record keeps it]
        #[arg(long, value_name = "PLAN")]
        plan: Option<PathBuf>,
        /// Replaces or adds a value of the plan, like `target=http://127.0.0.1:8080`
        #[arg(long, value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Prints JSON to this file; - for standard output
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Prints no result
        #[arg(long)]
        quiet: bool,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Folds an export, or a recorded run, back to its figures
    Replay {
        /// A file that `runs export` wrote, or a run
        source: String,
        #[command(flatten)]
        files: FileArguments,
        #[command(flatten)]
        history: HistoryArgument,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, this once: it is kept as a hash
    Create {
        /// Whose it is
        name: String,
        /// What it allows: read (ask), run (start and steer too) or admin (delete, and see who did what, too)
        #[arg(long, default_value = "read", value_parser = scope)]
        scope: plimsoll_history::Scope,
        /// How long it is good for, like 90d [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<Duration>,
        /// The highest rate of a run that it starts, like 500/s
        #[arg(long, value_name = "RATE")]
        max_rate: Option<plimsoll_units::Rate>,
        /// The most virtual users of a run that it starts
        #[arg(long, value_name = "USERS")]
        max_users: Option<u64>,
        /// A host or network that its runs may go to, among those the service allows; can be given several times
        #[arg(long = "target", value_name = "HOST|NETWORK")]
        targets: Vec<String>,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Lists tokens, without what is secret of them
    List {
        /// Prints JSON to this file; - for standard output
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Makes a token good for nothing, from now on
    Revoke {
        /// Its id or name
        token: String,
        #[command(flatten)]
        history: HistoryArgument,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SlaCommand {
    /// Checks OpenSLO documents, all of them together, without asking or sending anything
    Check {
        /// Files in YAML or JSON, one or more documents in each
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Writes what was found as JSON; - for standard output
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Writes recording and alerting rules for Prometheus, and tests of them for promtool
    Rules {
        /// OpenSLO files in YAML or JSON, read together
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// A folder that gets NAME.rules.yml and NAME.test.yml of each SLA; without it the rules of all go to standard output
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Writes dashboards for Grafana, one for each service that something is promised of
    Dashboards {
        /// Files of SLAs, all of them together
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The folder that they go to; it is made where there is none
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Shows how SLAs stand that `plimsoll serve` judges
    Status {
        /// Only what these files of SLAs promise
        files: Vec<PathBuf>,
        /// Shows it anew every second, until Ctrl-C
        #[arg(long)]
        watch: bool,
        /// Writes it as JSON; - for standard output
        #[arg(long, value_name = "FILE", conflicts_with = "watch")]
        json: Option<PathBuf>,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Writes what a calendar month came to: promised, attained, breaches, what did not count
    Report {
        /// Only what these files of SLAs promise
        files: Vec<PathBuf>,
        /// The month, like 2026-11
        #[arg(long)]
        month: String,
        /// Writes it as a page; - for standard output
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Writes it as Markdown; - for standard output, where it goes if no form is asked for
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
        /// Writes it as JSON; - for standard output
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        #[command(flatten)]
        history: HistoryArgument,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Shows what waits, run by run and sink by sink
    List {
        /// The folder of the spool [default: beside the history]
        #[arg(long, value_name = "FOLDER")]
        spool: Option<PathBuf>,
        /// Prints JSON to this file; - for standard output
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        #[command(flatten)]
        history: HistoryArgument,
    },
    /// Delivers what waits for the sinks of a plan, without a run
    Deliver {
        /// The plan whose `export` says where the sinks are
        plan: PathBuf,
        /// How long it is tried
        #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = duration)]
        patience: Duration,
        #[command(flatten)]
        history: HistoryArgument,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Ids, beginnings of ids, or `last`; several are set side by side in the HTML
    #[arg(required = true)]
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) files: FileArguments,
    #[command(flatten)]
    pub(crate) history: HistoryArgument,
}

fn duration(text: &str) -> Result<Duration, plimsoll_units::ParseError> {
    plimsoll_units::duration::parse(text)
}

/// A number of arrivals per second (`500`, `500/s`) or users (`64`, `64 users`), above zero.
fn load(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches("users").trim_end_matches("/s").trim();
    match number.parse::<f64>() {
        Ok(load) if load > 0.0 && load <= 1e7 => Ok(load),
        _ => Err("write a load above 0 and up to 10000000, like 500/s or 64".to_owned()),
    }
}

/// A share from a thousandth to one: `2%` or `0.02`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    match number.trim().parse::<f64>().map(|number| number * unit) {
        Ok(share) if (0.001..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share from 0.1% to 100%".to_owned()),
    }
}

/// Two loads: `100/s..400/s`.
fn step(text: &str) -> Result<(f64, f64), String> {
    let (from, to) = text.split_once("..").ok_or("write two loads, like 100/s..400/s")?;
    Ok((load(from)?, load(to)?))
}

/// A multiple of the limit: `5` or `5x`.
fn times(text: &str) -> Result<f64, String> {
    match text.trim().trim_end_matches('x').parse::<f64>() {
        Ok(times) if times > 1.0 && times <= 100.0 => Ok(times),
        _ => Err("write multiples above 1 and up to 100, like 2,5,10".to_owned()),
    }
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let length = duration(text).map_err(|error| error.to_string())?;
    match length.subsec_nanos() {
        0 if (1..=3600).contains(&length.as_secs()) => Ok(length),
        _ => Err("write whole seconds, from 1s to 1h".to_owned()),
    }
}

fn run_id(text: &str) -> Result<String, String> {
    match uuid::Uuid::try_parse(text) {
        Ok(id) => Ok(id.hyphenated().to_string()),
        Err(_) => Err("an id is a UUID, like 01a206cd-9668-7002-ba8f-904c382249fe".to_owned()),
    }
}

fn scope(text: &str) -> Result<plimsoll_history::Scope, &'static str> {
    plimsoll_history::Scope::from_label(text).ok_or("write read, run or admin")
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, plimsoll_units::ParseError> {
    text.parse::<plimsoll_units::Rate>().map(plimsoll_units::Rate::per_second)
}

/// `100` or `100/s`, above zero.
fn per_second(text: &str) -> Result<plimsoll_units::Rate, String> {
    let text = if text.contains('/') { text.to_owned() } else { format!("{text}/s") };
    match text.parse::<plimsoll_units::Rate>() {
        Ok(rate) if rate.per_second() > 0.0 => Ok(rate),
        Ok(_) => Err("write a rate above zero, like 100 or 100/s".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(Duration::ZERO) => Err("write a time above zero, like 10s".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        }
        _ => Err("write NAME: VALUE".to_owned()),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| "write a number above zero, like 2 or 0.5".to_owned())
}

fn named_factor(text: &str) -> Result<(String, f64), String> {
    let (name, value) = key_value(text)?;
    Ok((name, factor(&value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
