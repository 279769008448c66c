//! `plimsoll profile`: what a profile in pprof's format says, as a table and as a picture.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use plimsoll_profile::{LARGEST, Profile, Row, flame_graph};
use plimsoll_run::ExitCode;
use plimsoll_units::duration;
use serde_json::{Value, json};

use crate::arguments::{ProfileCommand, ProfileForms};
use crate::{Outcome, Stop, files};

pub(crate) fn profile(command: &ProfileCommand) -> Outcome {
    match command {
        ProfileCommand::Top { file, forms } => show(&read(file)?, forms),
        ProfileCommand::Diff { before, after, forms } => {
            let (before, after) = (read(before)?, read(after)?);
            let more = after.less(&before).ok_or_else(|| {
                let (before, after) = (kinds(&before), kinds(&after));
                Stop::usage(anyhow::anyhow!("they count nothing in common: {before}, and {after}"))
            })?;
            show(&more, forms)
        }
    }
}

fn read(path: &Path) -> Result<Profile, Stop> {
    let problem = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(problem).map_err(Stop::usage)?;
    let mut bytes = Vec::new();
    // What is larger is no profile, and is not read into memory to find that out; some files have no end.
    let most = LARGEST as u64 + 1;
    file.take(most).read_to_end(&mut bytes).with_context(problem).map_err(Stop::usage)?;
    Profile::read(&bytes).with_context(problem).map_err(Stop::usage)
}

fn show(profile: &Profile, forms: &ProfileForms) -> Outcome {
    let kind = match forms.kind.as_deref() {
        None => profile.usual,
        Some(name) => profile.kind(name).ok_or_else(|| {
            Stop::usage(anyhow::anyhow!("it does not count `{}`; it has {}", plain(name), kinds(profile)))
        })?,
    };
    let is_stdout = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
    if let Some(path) = &forms.svg {
        files::put(path, &flame_graph(profile, kind)).map_err(Stop::internal)?;
    }
    if let Some(path) = &forms.json {
        files::put(path, &format!("{:#}\n", as_json(profile, kind))).map_err(Stop::internal)?;
    }
    let table = table(profile, kind, forms.rows);
    if is_stdout(&forms.svg) || is_stdout(&forms.json) {
        crate::say::err!("{table}");
    } else {
        crate::say::out!("{table}");
    }
    Ok(ExitCode::Success)
}

fn kinds(profile: &Profile) -> String {
    let names = profile.kinds.iter().map(|kind| format!("`{}`", plain(&kind.name)));
    names.collect::<Vec<_>>().join(", ")
}

/// Every function, in the unit of the kind.
fn as_json(profile: &Profile, kind: usize) -> Value {
    let what = profile.kinds.get(kind);
    let row = |row: Row| json!({ "name": &*row.name, "flat": row.flat, "cumulative": row.cumulative });
    json!({
        "kind": what.map(|kind| &*kind.name),
        "unit": what.map(|kind| &*kind.unit),
        "kinds": profile.kinds.iter().map(|kind| &*kind.name).collect::<Vec<_>>(),
        "total": profile.total(kind),
        "duration_seconds": profile.duration,
        "functions": profile.top(kind).into_iter().map(row).collect::<Vec<_>>(),
    })
}

fn table(profile: &Profile, kind: usize, rows: usize) -> String {
    let Some(what) = profile.kinds.get(kind) else { return String::new() };
    let total = profile.total(kind);
    let taken = profile.duration.map(|seconds| format!(" in {}", duration::human(seconds)));
    let has_decreases = profile.has_decreases(kind);
    let note = if has_decreases { " (what changed, so nothing has a share)" } else { "" };
    let mut text =
        format!("{}: {}{}{note}\n", plain(&what.name), what.amount(total), taken.unwrap_or_default());
    let _ = writeln!(text, "{:>12} {:>7} {:>12} {:>7}  function", "flat", "", "cumulative", "");
    let share = |value: i64| match total {
        0 => String::new(),
        _ if has_decreases => String::new(),
        total => format!("{:.1}%", value as f64 / total as f64 * 100.0),
    };
    let all = profile.top(kind);
    for Row { name, flat, cumulative } in all.iter().take(rows) {
        let (own, whole) = (what.amount(*flat), what.amount(*cumulative));
        let shares = [share(*flat), share(*cumulative)];
        let _ = writeln!(text, "{own:>12} {:>7} {whole:>12} {:>7}  {}", shares[0], shares[1], plain(name));
    }
    if all.len() > rows {
        let _ = writeln!(text, "and {} more", all.len() - rows);
    }
    text
}

/// A name without what would steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_profile::{Kind, Stack};

    fn profile(unit: &str, values: [i64; 3]) -> Profile {
        let stack = |frames: &[u32], value| Stack { frames: frames.to_vec(), values: vec![value] };
        Profile {
            kinds: vec![Kind { name: "cpu".into(), unit: unit.into() }],
            usual: 0,
            duration: Some(30.0),
            names: vec!["main.main".into(), "shop.hash".into(), "a\u{1b}[2Jb".into()],
            stacks: vec![stack(&[0, 1], values[0]), stack(&[0, 2], values[1]), stack(&[0], values[2])],
        }
    }

    #[test]
    fn the_table_is_read_by_people_and_steers_no_terminal_and_has_shares_of_a_whole_only() {
        let found = table(&profile("nanoseconds", [21_300_000_000, 1_500_000, 0]), 0, 2);
        let expected = "\
cpu: 21.3 s in 30.0 s
        flat           cumulative          function
      21.3 s  100.0%       21.3 s  100.0%  shop.hash
     1.50 ms    0.0%      1.50 ms    0.0%  a\u{fffd}[2Jb
and 1 more
";
        assert_eq!(found, expected);
        let found = table(&profile("bytes", [-4_000_000, 1_000_000, 0]), 0, 9);
        let expected = "\
cpu: -3.00 MB in 30.0 s (what changed, so nothing has a share)
        flat           cumulative          function
    -4.00 MB             -4.00 MB          shop.hash
     1.00 MB              1.00 MB          a\u{fffd}[2Jb
         0 B             -3.00 MB          main.main
";
        assert_eq!(found, expected);
        assert!(table(&profile("count", [0, 0, 0]), 0, 9).starts_with("cpu: 0 in 30.0 s\n"));
    }
}
