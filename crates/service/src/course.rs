//! A stretch of a run's course, for charts: as many points as are asked for, the least and the most of each kept.

use std::collections::BTreeMap;

use plimsoll_history::{Course, Error};
use plimsoll_run::{CoursePoint, Level, Levels};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::followed::Followed;
use crate::problem::Problem;
use crate::route::Parameter;
use crate::shapes::{COLUMNS, ERRORS, HEAT, HEAT_EDGES, point, timeline};

/// Points of one answer at most: more than any screen has pixels in a row.
const AT_MOST: usize = 10_000;

/// Points of an answer where nobody says how many.
const USUAL: usize = 1000;

/// What a timeline can be asked with.
pub(crate) const PARAMETERS: [Parameter; 3] = [
    Parameter {
        name: "from",
        says: "The first second, counted from the start of the run. With any of these parameters the answer has the course alone.",
        schema: r#"{"type":"integer","minimum":0,"default":0}"#,
    },
    Parameter {
        name: "to",
        says: "The second behind the last; without it the end of the run so far.",
        schema: r#"{"type":"integer","minimum":1}"#,
    },
    Parameter {
        name: "points",
        says: "So many points at most; fewer where only minutes or hours are kept.",
        schema: r#"{"type":"integer","minimum":1,"maximum":10000,"default":1000}"#,
    },
];

/// Which stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    from: u64,
    to: u64,
    points: usize,
}

/// The answer to a query: the whole timeline without one, else the course alone.
pub(crate) async fn answer(followed: &Followed, id: &str, query: &str) -> Result<Value, Problem> {
    if query.is_empty() {
        return Ok(timeline(&*followed.run(id).await?));
    }
    let asked = asked(query)?;
    let id = followed.history().find(id).await?;
    let course = match followed.history().course(&id, asked.from..asked.to, asked.points).await? {
        Some(course) => course,
        None => folded(followed, &id, asked).await?,
    };
    let (width, points) = (course.width, columns(&course));
    Ok(json!({ "run": id, "width": width, "heat_edges": HEAT_EDGES, "points": points }))
}

/// The course of a run that an older build recorded: what its fold has of this stretch.
async fn folded(followed: &Followed, id: &str, asked: Asked) -> Result<Course, Error> {
    let run = followed.run(id).await?;
    let points =
        run.summary.timeline.iter().filter(|point| {
            point.second < asked.to && point.second.saturating_add(point.seconds) > asked.from
        });
    let points: Vec<CoursePoint> = points
        .map(|point| CoursePoint { point: point.clone(), recorded: point.seconds, levels: Levels::default() })
        .collect();
    let width = points.iter().map(|point| point.point.seconds).max().unwrap_or(1);
    Ok(Course { width, points })
}

type OfLevels = fn(&Levels) -> &Level;

/// What is told of levels, beside what a point of a whole timeline has.
const LEVELS: [(&str, OfLevels); 5] = [
    ("offered", |levels| &levels.offered_rate),
    ("users", |levels| &levels.virtual_users),
    ("in_flight", |levels| &levels.in_flight),
    ("requests", |levels| &levels.requests),
    ("failed", |levels| &levels.failed),
];

/// The names of all columns.
pub(crate) fn columns_of_all() -> impl Iterator<Item = String> {
    let of_levels =
        LEVELS.into_iter().flat_map(|(name, _)| [format!("{name}_least"), format!("{name}_most")]);
    COLUMNS.into_iter().chain([HEAT, ERRORS, "recorded"]).map(str::to_owned).chain(of_levels)
}

fn columns(course: &Course) -> Map<String, Value> {
    let mut columns: BTreeMap<String, Vec<Value>> = columns_of_all().map(|name| (name, Vec::new())).collect();
    let mut push = |name: &str, value: Value| columns.entry(name.to_owned()).or_default().push(value);
    for of_course in &course.points {
        let Value::Object(figures) = point(&of_course.point) else { continue };
        figures.into_iter().for_each(|(name, value)| push(&name, value));
        push("recorded", json!(of_course.recorded));
        for (name, level) in LEVELS {
            let level = level(&of_course.levels);
            let known = |number: f64| (level.count > 0).then_some(number);
            push(&format!("{name}_least"), json!(known(level.least)));
            push(&format!("{name}_most"), json!(known(level.most)));
        }
    }
    columns.into_iter().map(|(name, column)| (name, Value::Array(column))).collect()
}

fn asked(query: &str) -> Result<Asked, Problem> {
    let (mut from, mut to, mut points) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let (place, most) = match &*name {
            "from" => (&mut from, u64::MAX),
            "to" => (&mut to, u64::MAX),
            "points" => (&mut points, AT_MOST as u64),
            _ => {
                let allowed = PARAMETERS.map(|parameter| parameter.name).join(", ");
                return Err(Problem::bad_request(format!("`{name}` is no parameter; there are {allowed}")));
            }
        };
        let least = u64::from(&*name == "points");
        let number = value.parse().ok().filter(|number| (least..=most).contains(number));
        let number = number.ok_or_else(|| {
            let range = if least == 1 {
                format!("a number from 1 to {most}")
            } else {
                "a whole number of seconds".to_owned()
            };
            Problem::bad_request(format!("`{name}={value}` is not understood; write {range}"))
        })?;
        if place.replace(number).is_some() {
            return Err(Problem::bad_request(format!("`{name}` is given twice")));
        }
    }
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(u64::MAX));
    if from >= to {
        return Err(Problem::bad_request(format!("`to={to}` must be greater than `from={from}`")));
    }
    let points = points.and_then(|points| usize::try_from(points).ok()).unwrap_or(USUAL);
    Ok(Asked { from, to, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_means_a_stretch() {
        assert_eq!(asked("from=5&to=9&points=3").unwrap(), Asked { from: 5, to: 9, points: 3 });
        assert_eq!(asked("from=0").unwrap(), Asked { from: 0, to: u64::MAX, points: 1000 });
        for (text, told) in [
            ("points=0", "a number from 1 to 10000"),
            ("points=10001", "a number from 1 to 10000"),
            ("from=-1", "a whole number of seconds"),
            ("from=9&to=9", "`to=9` must be greater than `from=9`"),
            ("from=1&from=2", "given twice"),
            ("width=2", "there are from, to, points"),
        ] {
            let problem = asked(text).unwrap_err();
            assert!(problem.detail().contains(told), "{text}: {problem:?}");
        }
    }
}
