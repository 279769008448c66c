//! What a service starts by itself, as its configuration says it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use plimsoll_service::{Job, Missed, Month, Most, Overlap, Schedule, When};
use plimsoll_units::{Rate, Users};
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::arguments::Arguments;
use crate::{Stop, capacity, sla};

/// The most reports of a schedule that can be kept.
const MOST_KEPT: usize = 10_000;

/// An entry of `schedules` as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSchedule {
    name: String,
    plan: Option<String>,
    limit: Option<String>,
    most: Option<String>,
    capacity: Option<RawCapacity>,
    sla: Option<RawSla>,
    keep: Option<usize>,
    when: String,
    zone: Option<String>,
    #[serde(default)]
    overlap: RawOverlap,
    #[serde(default)]
    missed: RawMissed,
}

/// What `plimsoll capacity` is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCapacity {
    plan: String,
    runs: Option<u32>,
    #[serde(default)]
    predict: Vec<f64>,
    #[serde(default)]
    sla: Vec<String>,
    traffic: Option<String>,
    peak_traffic: Option<String>,
    growth: Option<String>,
    traffic_runs: Option<String>,
    machines: Option<f64>,
}

/// What `plimsoll sla report` is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSla {
    #[serde(default)]
    files: Vec<PathBuf>,
    #[serde(default)]
    month: RawMonth,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawMonth {
    #[default]
    Last,
    This,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawOverlap {
    #[default]
    Skip,
    Queue,
    Replace,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawMissed {
    #[default]
    Skip,
    Once,
}

/// What schedules mean. The error says which one, where, and what is allowed.
pub(crate) fn read(raw: Vec<Spanned<RawSchedule>>, has_reports: bool) -> anyhow::Result<Vec<Schedule>> {
    let mut schedules: Vec<Schedule> = Vec::new();
    for raw in raw {
        let place = format!("schedules, line {}, column {}", raw.referenced.line(), raw.referenced.column());
        let schedule = meant(raw.value, has_reports).map_err(|error| anyhow!("{place}: {error:#}"))?;
        if schedules.iter().any(|known| known.name == schedule.name) {
            bail!("{place}: two are called `{}`; the record tells them apart by their names", schedule.name);
        }
        schedules.push(schedule);
    }
    Ok(schedules)
}

fn meant(raw: RawSchedule, has_reports: bool) -> anyhow::Result<Schedule> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if raw.name.is_empty() || !raw.name.bytes().all(is_allowed) {
        bail!("`{}` is not a name; it has letters, digits, `.`, `-` and `_`", raw.name.escape_debug());
    }
    let name = raw.name.clone();
    let of_it = || format!("`{name}`");
    let when = When::parse(&raw.when, raw.zone.as_deref().unwrap_or("UTC")).with_context(of_it)?;
    if raw.zone.is_some() && !matches!(when, When::Cron(_)) {
        bail!("`{name}`: `zone` is for a cron line");
    }
    let overlap = match raw.overlap {
        RawOverlap::Skip => Overlap::Skip,
        RawOverlap::Queue => Overlap::Queue,
        RawOverlap::Replace => Overlap::Replace,
    };
    let missed = match raw.missed {
        RawMissed::Skip => Missed::Skip,
        RawMissed::Once => Missed::Once,
    };
    let keep = raw.keep;
    let job = job(raw).with_context(of_it)?;
    let is_report = matches!(job, Job::Capacity { .. } | Job::Sla { .. });
    if is_report && !has_reports {
        bail!("`{name}`: the report has no place to go; name a folder with `reports: FOLDER`");
    }
    if is_report && matches!(when, When::Continuous) {
        bail!("`{name}`: one report after the other tells nothing new; give a cron line or `on_demand`");
    }
    let makes_reports = has_reports && !matches!(job, Job::Plan(_));
    // Its reports lie in a folder of this name.
    if makes_reports && (name.len() > 100 || !name.starts_with(|first: char| first.is_ascii_alphanumeric())) {
        bail!(
            "`{name}` is not a name of what makes reports: up to 100 characters, and a letter or digit first"
        );
    }
    if keep.is_some() && !makes_reports {
        bail!("`{name}`: `keep` is how many reports are kept, and it makes none");
    }
    let keep = keep.unwrap_or(Schedule::KEPT);
    if !(1..=MOST_KEPT).contains(&keep) {
        bail!("`{name}`: `keep` is {keep}; write 1 to {MOST_KEPT}");
    }
    Ok(Schedule { name, job, keep, when, overlap, missed })
}

/// What is started: exactly one thing.
fn job(raw: RawSchedule) -> anyhow::Result<Job> {
    let RawSchedule { plan, limit, most, capacity, sla, .. } = raw;
    let given = [
        ("plan", plan.is_some()),
        ("limit", limit.is_some()),
        ("capacity", capacity.is_some()),
        ("sla", sla.is_some()),
    ];
    let given: Vec<String> =
        given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| format!("`{key}`")).collect();
    if most.is_some() && limit.is_none() {
        bail!("`most` is how far `limit` searches, and there is no `limit`");
    }
    match (plan, limit, capacity, sla) {
        (Some(plan), None, None, None) => Ok(Job::Plan(without_ending(&plan))),
        (None, Some(plan), None, None) => {
            let most = most.ok_or_else(|| {
                anyhow!(
                    "a search doubles its load until something breaks, and no plan says where it has to stop; give \
                     `most`, the highest load that it may try, like `most: 2000/s` or `most: 500 users`"
                )
            })?;
            Ok(Job::Limit { plan: without_ending(&plan), most: bound(&most)? })
        }
        (None, None, Some(capacity), None) => {
            let options = options(&capacity).context("capacity")?;
            Ok(Job::Capacity { plan: capacity.plan, options })
        }
        (None, None, None, Some(RawSla { files, month })) => {
            let month = match month {
                RawMonth::Last => Month::Last,
                RawMonth::This => Month::This,
            };
            Ok(Job::Sla { files, month })
        }
        (None, None, None, None) => {
            bail!("nothing is said to start; give one of `plan`, `limit`, `capacity` and `sla`")
        }
        _ => bail!("it starts one thing, and {} are given: make a schedule of each", given.join(", ")),
    }
}

fn without_ending(plan: &str) -> String {
    plan.strip_suffix(".yaml").or_else(|| plan.strip_suffix(".yml")).unwrap_or(plan).to_owned()
}

/// The highest load of a search: a rate, or users.
fn bound(text: &str) -> anyhow::Result<Most> {
    let zero = || anyhow!("most: `{text}` is no load; write more than that, like `2000/s` or `500 users`");
    if text.trim_end().ends_with("users") || text.trim_end().ends_with("user") {
        let Users(users) = text.parse().context("most")?;
        return if users == 0 { Err(zero()) } else { Ok(Most::Users(users)) };
    }
    let rate: Rate = text.parse().map_err(|_| {
        anyhow!("most: `{text}` is no load; write a rate or users, like `2000/s` or `500 users`")
    })?;
    if rate.per_second() > 0.0 { Ok(Most::Rate(rate.per_second())) } else { Err(zero()) }
}

/// The options of `plimsoll capacity` beside its plan, read as the command reads them.
fn options(raw: &RawCapacity) -> anyhow::Result<Vec<String>> {
    let mut options = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        options.extend(value.map(|value| format!("--{name}={value}")));
    };
    add("runs", raw.runs.map(|runs| runs.to_string()));
    for load in &raw.predict {
        add("predict", Some(load.to_string()));
    }
    for objective in &raw.sla {
        capacity::bound(objective)?;
        add("sla", Some(objective.clone()));
    }
    add("traffic", raw.traffic.clone());
    add("peak-traffic", raw.peak_traffic.clone());
    add("growth", raw.growth.clone());
    add("traffic-runs", raw.traffic_runs.clone());
    add("machines", raw.machines.map(|factor| factor.to_string()));
    let asked = ["plimsoll".to_owned(), "capacity".to_owned(), format!("--plan={}", raw.plan)];
    match Arguments::try_parse_from(asked.iter().chain(&options)) {
        Ok(_) => Ok(options),
        Err(error) => Err(anyhow!("{}", first_sentence(&error.to_string()))),
    }
}

/// What of a message of the command line is not about the command line.
fn first_sentence(message: &str) -> String {
    let told: Vec<&str> = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty() && !line.starts_with("Usage"))
        .collect();
    told.join(" ").trim_start_matches("error: ").to_owned()
}

/// The same with files of SLAs from where the configuration is. They are read once, so that mistakes are told at once.
pub(crate) fn placed(mut schedules: Vec<Schedule>, beside: &Path) -> Result<Vec<Schedule>, Stop> {
    for schedule in &mut schedules {
        let Job::Sla { files, .. } = &mut schedule.job else { continue };
        for file in files.iter_mut() {
            *file = std::path::absolute(beside.join(&*file)).map_err(Stop::usage)?;
        }
        sla::promises(files)?;
    }
    Ok(schedules)
}

/// The folder of reports, made where there is none. What cannot be written is said before anything is started, not
/// at night.
pub(crate) fn reports(folder: &Path) -> Result<PathBuf, Stop> {
    let folder = std::path::absolute(folder).map_err(Stop::usage)?;
    let probe = folder.join(format!(".plimsoll.{}.part", std::process::id()));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&probe, ""))
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| format!("reports: the folder {} cannot be written", folder.display()))
        .map_err(Stop::usage)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schedules of a list in YAML.
    fn read_text(text: &str, has_reports: bool) -> anyhow::Result<Vec<Schedule>> {
        read(serde_saphyr::from_str(text).map_err(|error| anyhow!("{error}"))?, has_reports)
    }

    fn job_of(entry: &str) -> Job {
        let text = format!("[{{ name: a, when: \"0 2 * * *\", {entry} }}]");
        let read = read_text(&text, true);
        read.unwrap_or_else(|error| panic!("{entry}: {error:#}")).remove(0).job
    }

    #[test]
    fn a_schedule_starts_one_of_four_things() {
        let limit = |most| Job::Limit { plan: "shop".to_owned(), most };
        let capacity = |options: &[&str]| Job::Capacity {
            plan: "storefront".to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        let sla =
            |files: &[&str], month| Job::Sla { files: files.iter().map(PathBuf::from).collect(), month };
        for (entry, expected) in [
            ("plan: shop", Job::Plan("shop".to_owned())),
            ("plan: shop.yml", Job::Plan("shop".to_owned())),
            ("limit: shop.yaml, most: 2000/s", limit(Most::Rate(2000.0))),
            ("limit: shop, most: 600/min", limit(Most::Rate(10.0))),
            ("limit: shop, most: 500 users", limit(Most::Users(500))),
            ("capacity: { plan: storefront }", capacity(&[])),
            (
                "capacity: { plan: storefront, runs: 90, predict: [200, 400.5], peak_traffic: 900/s, growth: 5%/month, \
                 sla: [\"p95(response_time) <= 250ms\"] }",
                capacity(&[
                    "--runs=90",
                    "--predict=200",
                    "--predict=400.5",
                    "--sla=p95(response_time) <= 250ms",
                    "--peak-traffic=900/s",
                    "--growth=5%/month",
                ]),
            ),
            ("sla: {}", sla(&[], Month::Last)),
            ("sla: { month: this, files: [sla/shop.yaml] }", sla(&["sla/shop.yaml"], Month::This)),
        ] {
            assert_eq!(job_of(entry), expected, "{entry}");
        }
        let read = read_text(
            "[{ name: a, sla: {}, when: on_demand, keep: 12 }, { name: b, plan: c, when: on_demand }]",
            true,
        );
        let keeps: Vec<usize> = read.unwrap().iter().map(|schedule| schedule.keep).collect();
        assert_eq!(keeps, [12, 50]);
    }

    #[test]
    fn mistakes_say_where_they_are_and_what_is_allowed() {
        let daily = "when: \"0 2 * * *\"";
        for (entry, has_reports, told) in [
            ("name: a b, plan: b, when: continuous", true, "`a b` is not a name"),
            ("name: a, plan: b, when: hourly", true, "`a`: `hourly` is neither"),
            ("name: a, plan: b, when: \"0 0 30 2 *\"", true, "never comes"),
            ("name: a, plan: b, when: \"0 0 * * *\", zone: Mars", true, "`Mars` is not known"),
            ("name: a, plan: b, when: continuous, zone: UTC", true, "`zone` is for a cron line"),
            ("name: a, plan: b, when: continuous, overlap: both", true, "skip"),
            (
                "name: a, DAILY",
                true,
                "nothing is said to start; give one of `plan`, `limit`, `capacity` and `sla`",
            ),
            (
                "name: a, plan: b, limit: c, most: 5/s, DAILY",
                true,
                "it starts one thing, and `plan`, `limit` are given",
            ),
            ("name: a, plan: b, sla: {}, DAILY", true, "`plan`, `sla` are given"),
            ("name: a, suite: b, DAILY", true, "suite"),
            ("name: a, limit: b, DAILY", true, "like `most: 2000/s` or `most: 500 users`"),
            ("name: a, limit: b, most: fast, DAILY", true, "most: `fast` is no load"),
            ("name: a, limit: b, most: 0/s, DAILY", true, "most: `0/s` is no load"),
            ("name: a, limit: b, most: 0 users, DAILY", true, "most: `0 users` is no load"),
            ("name: a, plan: b, most: 5/s, DAILY", true, "there is no `limit`"),
            ("name: a, sla: {}, DAILY", false, "name a folder with `reports: FOLDER`"),
            ("name: a, sla: { month: 2026-11 }, DAILY", true, "last"),
            ("name: a, sla: { file: x }, DAILY", true, "files"),
            ("name: a, sla: {}, when: continuous", true, "give a cron line or `on_demand`"),
            ("name: a, capacity: {}, DAILY", true, "plan"),
            (
                "name: a, capacity: { plan: b, runs: 0 }, DAILY",
                true,
                "`a`: capacity: invalid value '0' for '--runs <N>'",
            ),
            (
                "name: a, capacity: { plan: b, traffic: fast }, DAILY",
                true,
                "invalid value 'fast' for '--traffic <RATE>'",
            ),
            ("name: a, capacity: { plan: b, growth: 5%/month }, DAILY", true, "--traffic"),
            ("name: a, capacity: { plan: b, sla: [fast] }, DAILY", true, "--sla `fast`"),
            ("name: .., sla: {}, DAILY", true, "a letter or digit first"),
            ("name: a, plan: b, keep: 5, DAILY", true, "it makes none"),
            ("name: a, limit: b, most: 5/s, keep: 5, DAILY", false, "it makes none"),
            ("name: a, sla: {}, keep: 0, DAILY", true, "write 1 to 10000"),
        ] {
            let text = format!("[\n  {{ {} }}]", entry.replace("DAILY", daily));
            let error = read_text(&text, has_reports).unwrap_err().to_string();
            assert!(error.contains(told), "{entry}: {error}");
            assert!(error.contains("line 2"), "{entry}: {error}");
        }
        let two = "- { name: a, plan: b, when: continuous }\n- { name: a, plan: c, when: on_demand }\n";
        let error = read_text(two, true).unwrap_err().to_string();
        assert!(error.starts_with("schedules, line 2, column 3: two are called `a`"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said_at_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("new/reports");
        assert_eq!(reports(&folder).unwrap(), folder);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left in it");
        std::fs::write(place.path().join("file"), "").unwrap();
        let stop = reports(&place.path().join("file/reports")).unwrap_err();
        let told = format!("{:#}", stop.error.unwrap());
        assert!(told.contains("file/reports cannot be written: "), "{told}");
    }
}
