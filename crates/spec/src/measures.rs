//! `measure`: values that are taken from replies, of a plan for all steps of its scenarios and of a step for itself.

use plimsoll_measure::{MOST_VALUES, ValueForm, ValueName, ValueUnit};
use plimsoll_run::{MeasureRead, MeasureSource, PlannedMeasure, RequestMeasure};
use plimsoll_sla::{OwnValue, figure_names};

use crate::diagnostic::{Finding, Place, listed};
use crate::expect::{fixed_text, is_jsonpath};
use crate::flow::entries_within;
use crate::http::{any_header_name, is_token};
use crate::read::{Object, Reader};
use crate::tree::{Entry, Node, shortened};
use crate::words;

/// Units as they are written: what a value is in, and how much of it one of them is.
const UNITS: [(&str, ValueUnit, f64); 5] = [
    ("seconds", ValueUnit::Seconds, 1.0),
    ("milliseconds", ValueUnit::Seconds, 1e-3),
    ("microseconds", ValueUnit::Seconds, 1e-6),
    ("bytes", ValueUnit::Bytes, 1.0),
    ("number", ValueUnit::Number, 1.0),
];

/// Every value of the plan, and who takes them.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    pub(crate) planned: Vec<PlannedMeasure>,
    /// Taken by every step of a scenario.
    everywhere: Vec<RequestMeasure>,
    /// Taken by single steps, by where their `measure` stands.
    of_steps: Vec<(Place, Vec<RequestMeasure>)>,
}

impl Measures {
    /// Reads the plan's own `measure`, and those of the steps of its scenarios.
    pub(crate) fn read(reader: &mut Reader<'_>, plans: Option<&Node>, scenarios: Option<&Node>) -> Self {
        let mut measures = Self::default();
        if let Some(node) = plans {
            measures.everywhere = measures.map(reader, node);
        }
        let mut own = Vec::new();
        for steps in scenarios.into_iter().flat_map(Node::items).filter_map(|item| item.get("steps")) {
            entries_within(steps, &mut |step| own.extend(step.get("measure")));
        }
        for node in own {
            // Steps that share a text by an anchor take the same.
            if !measures.of_steps.iter().any(|(place, _)| *place == node.place) {
                let of_step = measures.map(reader, node);
                measures.of_steps.push((node.place, of_step));
            }
        }
        measures
    }

    /// What a step of a scenario takes, by its own `measure` if it has one: its own words win.
    pub(crate) fn of_step(&self, own: Option<&Node>) -> Vec<RequestMeasure> {
        let own = own.and_then(|node| self.of_steps.iter().find(|(place, _)| *place == node.place));
        let own = own.map(|(_, measures)| measures.as_slice()).unwrap_or_default();
        let is_new = |common: &&RequestMeasure| !own.iter().any(|mine| mine.measure == common.measure);
        let mut all: Vec<_> = self.everywhere.iter().filter(is_new).chain(own).cloned().collect();
        all.sort_by_key(|measure| measure.measure);
        all
    }

    /// The values as objectives know them.
    pub(crate) fn own_values(&self) -> Vec<OwnValue> {
        let value = |(index, planned): (u16, &PlannedMeasure)| {
            let PlannedMeasure { name, form, unit } = *planned;
            OwnValue { index, name, form, unit }
        };
        (0..).zip(&self.planned).map(value).collect()
    }

    fn map(&mut self, reader: &mut Reader<'_>, node: &Node) -> Vec<RequestMeasure> {
        let mut taken = Vec::new();
        for Entry { key, key_place, node } in reader.entries(node, "measures") {
            let name = name(reader, key, *key_place);
            let read = measure(reader, node);
            let (Some(name), Some((form, unit, source, read))) = (name, read) else { continue };
            let planned = PlannedMeasure { name, form, unit };
            if let Some(measure) = self.index(reader, planned, *key_place) {
                taken.push(RequestMeasure { measure, source, read });
            }
        }
        taken
    }

    /// Where a value stands among the plan's; steps may take one of a name if it is the same kind of value.
    fn index(&mut self, reader: &mut Reader<'_>, planned: PlannedMeasure, place: Place) -> Option<u16> {
        let known = self.planned.iter().position(|known| known.name == planned.name);
        if let Some(position) = known {
            let PlannedMeasure { form, unit, .. } = self.planned[position];
            if (form, unit) != (planned.form, planned.unit) {
                let what =
                    |form: ValueForm, unit: ValueUnit| format!("a {} in {}", form.label(), unit.label());
                let message = format!(
                    "`{}` is {} here and {} before",
                    planned.name,
                    what(planned.form, planned.unit),
                    what(form, unit)
                );
                reader.report(Finding::error(place, message).help("give one of them another name"));
                return None;
            }
        } else if self.planned.len() == MOST_VALUES {
            reader.error(place, format!("the plan measures more than {MOST_VALUES} values"));
            return None;
        } else {
            self.planned.push(planned);
        }
        u16::try_from(known.unwrap_or(self.planned.len() - 1)).ok()
    }
}

fn name(reader: &mut Reader<'_>, text: &str, place: Place) -> Option<ValueName> {
    let Some(name) = ValueName::new(text) else {
        let message = format!("`{}` cannot be the name of a measure", shortened(text));
        reader.report(Finding::error(place, message).help(format!(
            "a name has lower-case letters, digits and `_`, a letter first, at most {} of them",
            ValueName::LONGEST
        )));
        return None;
    };
    if figure_names().any(|taken| taken == text) {
        let message = format!("the name `{text}` is taken: it is one of our own figures");
        reader.report(Finding::error(place, message).help("give the measure another name"));
        return None;
    }
    Some(name)
}

/// What a value is, where it stands and how it is read.
fn measure(
    reader: &mut Reader<'_>,
    node: &Node,
) -> Option<(ValueForm, ValueUnit, MeasureSource, MeasureRead)> {
    let object = reader.object(node, &words::MEASURE)?;
    let source = source(reader, &object);
    let form = object.get("as")?;
    let form = reader.word(form, "a form", &ValueForm::ALL.map(ValueForm::label))?;
    let form = ValueForm::from_label(form)?;
    let source = source?;
    let written = match object.get("unit") {
        Some(node) => Some((node, unit(reader, node)?)),
        None => None,
    };
    if let (Some(node), false) = (object.get("equals"), form == ValueForm::Ratio) {
        let finding = Finding::error(node.place, format!("a {} has no `equals`", form.label()));
        reader.report(finding.help("`equals` says what a `ratio` counts"));
        return None;
    }
    match form {
        ValueForm::Ratio => ratio(reader, &object, written.map(|(node, _)| node), source),
        ValueForm::Histogram => {
            let (unit, factor) = in_unit(reader, &source, written)?;
            Some((form, unit, source, MeasureRead::Number { factor }))
        }
        ValueForm::Counter => {
            if let MeasureSource::ServerTiming(_) = source {
                let finding = Finding::error(object.key_place("metric"), "a counter counts whole numbers");
                reader.report(finding.help("an entry's duration is a time: take it `as: histogram`"));
                return None;
            }
            let (unit, _) = in_unit(reader, &source, written)?;
            if unit == ValueUnit::Seconds {
                let place = written.map_or(object.place, |(node, _)| node.place);
                let finding = Finding::error(place, "a counter counts whole numbers");
                reader.report(finding.help("leave `unit` out, or write `unit: bytes`"));
                return None;
            }
            Some((form, unit, source, MeasureRead::Whole))
        }
    }
}

fn source(reader: &mut Reader<'_>, object: &Object<'_>) -> Option<MeasureSource> {
    let source = match (object.get("header"), object.get("jsonpath"), object.get("body")) {
        (Some(node), None, None) => {
            let name = reader.text(node, "the name of a header")?;
            let name = any_header_name(reader, &name, node.place)?;
            let is_timing = name == "server-timing";
            return match (is_timing, object.get("metric")) {
                (true, Some(metric)) => server_timing(reader, metric),
                (true, None) => {
                    let finding = Finding::error(node.place, "`server-timing` needs `metric`");
                    reader.report(finding.help("write the name of its entry, like `metric: db`"));
                    None
                }
                (false, Some(_)) => {
                    metric_elsewhere(reader, object);
                    None
                }
                (false, None) => Some(MeasureSource::Header(name)),
            };
        }
        (None, Some(node), None) => {
            let path = reader.text(node, "a JSONPath")?;
            is_jsonpath(reader, &path, node.place).then_some(MeasureSource::JsonPath(path))
        }
        (None, None, Some(node)) => reader.word(node, "a word", &["size"]).map(|_| MeasureSource::BodySize),
        _ => {
            let finding =
                Finding::error(object.place, "a measure has one of `header`, `jsonpath` and `body`");
            reader.report(finding.help("write `{ header: x-queue-length, as: histogram }`"));
            return None;
        }
    };
    if object.get("metric").is_some() {
        metric_elsewhere(reader, object);
        return None;
    }
    source
}

fn metric_elsewhere(reader: &mut Reader<'_>, object: &Object<'_>) {
    let finding = Finding::error(object.key_place("metric"), "`metric` belongs to `header: server-timing`");
    reader.report(finding.help("it is the name of one of its entries"));
}

fn server_timing(reader: &mut Reader<'_>, node: &Node) -> Option<MeasureSource> {
    let metric = reader.text(node, "the name of an entry")?;
    if !metric.chars().all(is_token) {
        reader.expected(node, "the name of an entry", Some("a name has letters, digits, `-` and `_`"));
        return None;
    }
    Some(MeasureSource::ServerTiming(metric))
}

fn unit(reader: &mut Reader<'_>, node: &Node) -> Option<(ValueUnit, f64)> {
    let word = reader.word(node, "a unit", &UNITS.map(|(word, ..)| word))?;
    UNITS.into_iter().find(|(known, ..)| *known == word).map(|(_, unit, factor)| (unit, factor))
}

/// The unit that was written, or that the source has anyway; a number in something else is refused.
fn in_unit(
    reader: &mut Reader<'_>,
    source: &MeasureSource,
    written: Option<(&Node, (ValueUnit, f64))>,
) -> Option<(ValueUnit, f64)> {
    let (own, what) = match source {
        MeasureSource::Header(_) | MeasureSource::JsonPath(_) => {
            return Some(written.map_or((ValueUnit::Number, 1.0), |(_, unit)| unit));
        }
        // Entries are in milliseconds, whatever they are shown in.
        MeasureSource::ServerTiming(_) => ((ValueUnit::Seconds, 1e-3), "seconds"),
        MeasureSource::BodySize => ((ValueUnit::Bytes, 1.0), "bytes"),
    };
    match written {
        Some((node, (unit, _))) if unit != own.0 => {
            let finding = Finding::error(node.place, format!("this is always in {what}"));
            reader.report(finding.help(format!("leave `unit` out, or write `unit: {what}`")));
            None
        }
        _ => Some(own),
    }
}

fn ratio(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    unit: Option<&Node>,
    source: MeasureSource,
) -> Option<(ValueForm, ValueUnit, MeasureSource, MeasureRead)> {
    if let Some(unit) = unit {
        reader.report(Finding::error(unit.place, "a ratio has no unit").help("leave `unit` out"));
        return None;
    }
    if source == MeasureSource::BodySize {
        let allowed = listed(["header", "jsonpath"]);
        let finding = Finding::error(object.key_place("body"), "a size is no ratio");
        reader.report(finding.help(format!("a ratio is of {allowed}")));
        return None;
    }
    let Some(node) = object.get("equals") else {
        let finding = Finding::error(object.place, "a ratio needs `equals`");
        reader.report(finding.help("write the value that counts, like `equals: HIT`"));
        return None;
    };
    let wanted = fixed_text(reader, node)?;
    Some((ValueForm::Ratio, ValueUnit::Number, source, MeasureRead::Equals(wanted.trim().to_owned())))
}
