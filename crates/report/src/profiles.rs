//! Profiles of the target that were fetched while the run went on, in every form.

use plimsoll_profile::FlameBox;
use plimsoll_run::{ProfileTaken, Summary};
use serde_json::{Value, json};

use crate::html::Page;
use crate::run::capital;
use crate::words;

/// Functions that a page of text has room for; the JSON has more.
const IN_TEXT: usize = 5;
pub(crate) const COLUMNS: [&str; 6] =
    ["Profile", "Function", "In itself", "Share", "With what it called", "Share"];

pub(crate) fn json(summary: &Summary) -> Vec<Value> {
    let profile = |taken: &std::sync::Arc<ProfileTaken>| {
        let digest = &taken.digest;
        json!({
            "at": taken.at as f64 / 1e9,
            "kind": taken.kind.label(),
            "moment": taken.moment.label(),
            "objective": taken.objective,
            "file": taken.file,
            "bytes": taken.bytes,
            "counted": &*digest.kind.name,
            "unit": &*digest.kind.unit,
            "total": digest.total,
            "duration_seconds": digest.duration,
            "functions": digest.functions,
            "top": digest.top.iter().map(|row| json!({
                "name": &*row.name,
                "flat": row.flat,
                "cumulative": row.cumulative,
            })).collect::<Vec<_>>(),
        })
    };
    summary.profiles.iter().map(profile).collect()
}

/// Function, what was counted in itself and its share, and the same with what it called.
fn rows(taken: &ProfileTaken, most: usize) -> impl Iterator<Item = [String; 5]> {
    let digest = &taken.digest;
    let is_whole = digest.total != 0 && !digest.has_decreases();
    let share = move |value: i64| words::ratio(is_whole.then(|| value as f64 / digest.total as f64));
    digest.top.iter().take(most).map(move |row| {
        let amounts = [row.flat, row.cumulative].map(|value| digest.kind.amount(value));
        let [flat, cumulative] = amounts;
        [row.name.to_string(), flat, share(row.flat), cumulative, share(row.cumulative)]
    })
}

/// Of each profile the functions with the most, as cells of [`COLUMNS`].
pub(crate) fn cells(summary: &Summary) -> Vec<Vec<String>> {
    let of_profile = |taken: &std::sync::Arc<ProfileTaken>| {
        let words = taken.words();
        rows(taken, IN_TEXT)
            .map(move |cells| std::iter::once(words.clone()).chain(cells).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    summary.profiles.iter().flat_map(of_profile).collect()
}

/// When a profile is from, what it counted, in how many functions, and where it is.
pub(crate) fn about(taken: &ProfileTaken) -> String {
    let digest = &taken.digest;
    let during = digest.duration.map(|seconds| format!(" during {}", words::length(seconds)));
    let decreases = match digest.has_decreases() {
        true => " (what changed, so nothing has a share; a flame graph of it has only increases)",
        false => "",
    };
    format!(
        "from {}, {} of {}{} in {} functions{}, kept in {}",
        words::offset(taken.at as f64 / 1e9),
        digest.kind.amount(digest.total),
        digest.kind.name,
        during.unwrap_or_default(),
        words::count(digest.functions as u64),
        decreases,
        taken.file,
    )
}

pub(crate) fn section(page: &mut Page, summary: &Summary) {
    for taken in &summary.profiles {
        let title = format!("Profile: {}", taken.words());
        page.put("<section><h2>{}</h2><p>{}.</p>", &[&title, &capital(&about(taken))]);
        flame(page, taken);
        page.put("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>", &[]);
        for (column, name) in COLUMNS[1..].iter().enumerate() {
            match column {
                0 => page.put("<th scope=\"col\">{}</th>", &[name]),
                _ => page.put("<th scope=\"col\" class=\"n\">{}</th>", &[name]),
            };
        }
        page.put("</tr></thead><tbody>\n", &[]);
        for [name, numbers @ ..] in rows(taken, usize::MAX) {
            page.put("<tr><th scope=\"row\">{}</th>", &[&name]);
            for number in &numbers {
                page.put("<td class=\"n\">{}</td>", &[number]);
            }
            page.put("</tr>\n", &[]);
        }
        page.put("</tbody></table></div></section>\n", &[]);
    }
}

/// Callers below what they call. A pointer on a box shows the whole name.
fn flame(page: &mut Page, taken: &ProfileTaken) {
    let flame = &taken.digest.flame;
    if flame.calls.len() < 2 {
        return;
    }
    let (width, height) = flame.size();
    let about = format!("Flame graph: {}", taken.words());
    page.put(
        "<figure class=\"chart flame\"><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
        &[&width, &height, &about],
    );
    for FlameBox { left, top, width, height, colour, title, label } in flame.boxes() {
        let [x, y, w, h] = [left, top, width, height].map(|length| format!("{length:.1}"));
        page.put("<g><title>{}</title>", &[&title]);
        page.put(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
            &[&x, &y, &w, &h, &colour],
        );
        if !label.is_empty() {
            let [x, y] = [left + 3.0, top + 12.0].map(|length| format!("{length:.1}"));
            page.put("<text x=\"{}\" y=\"{}\">{}</text>", &[&x, &y, &label]);
        }
        page.put("</g>\n", &[]);
    }
    page.put("</svg></figure>\n", &[]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_profile::{Kind, Profile, Stack};
    use plimsoll_run::{ProfileKind, ProfileMoment};

    use super::*;

    fn taken(values: [i64; 2]) -> ProfileTaken {
        let stack = |frame: u32, value| Stack { frames: vec![0, frame], values: vec![value] };
        let profile = Profile {
            kinds: vec![Kind { name: "inuse_space".into(), unit: "bytes".into() }],
            usual: 0,
            duration: None,
            names: ["main", "grows", "shrinks"].map(Arc::from).to_vec(),
            stacks: vec![stack(1, values[0]), stack(2, values[1])],
        };
        ProfileTaken {
            at: 0,
            kind: ProfileKind::Heap,
            moment: ProfileMoment::Peak,
            objective: None,
            file: "f".into(),
            bytes: 1,
            digest: profile.digest(0).unwrap(),
        }
    }

    #[test]
    fn what_changed_has_no_shares() {
        let shares = |taken: &ProfileTaken| {
            rows(taken, 9).map(|[name, _, own, _, all]| format!("{name} {own} {all}")).collect::<Vec<_>>()
        };
        let (stood, changed, less) = (taken([300, 100]), taken([300, -200]), taken([-1, -2]));
        assert_eq!(shares(&stood), ["grows 75% 75%", "shrinks 25% 25%", "main 0% 100%"]);
        assert!(!about(&stood).contains("increases"), "{}", about(&stood));
        for taken in [changed, less] {
            let none = words::ratio(None);
            let found = shares(&taken);
            assert!(found.iter().all(|row| row.ends_with(&format!(" {none} {none}"))), "{found:?}");
            assert!(about(&taken).contains("only increases"), "{}", about(&taken));
        }
    }
}
