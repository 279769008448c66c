//! Single requests as rows of a file: one definition of the columns for every format.

use std::borrow::Cow;
use std::io::Write;

use jiff::Timestamp;
use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use plimsoll_measure::{Sample, SeriesKey, Single, Timing};
use plimsoll_run::{SamplesFormat, Started};

/// Nine decimals, so that every time has the same width and none is rounded.
const MOMENTS: DateTimePrinter = DateTimePrinter::new().precision(Some(9));

/// Writes single requests of one run as rows.
#[derive(Debug)]
pub struct SampleRows {
    format: SamplesFormat,
    started_nanos: i64,
    /// Scenario and step by the step's index, as they stand in a row.
    steps: Vec<(String, String)>,
}

/// What stands in a column.
enum Cell<'a> {
    /// As it stands in a row: text of ours, or what [`written`] made.
    Ready(&'a str),
    /// Text of ours without anything to escape.
    Word(&'static str),
    /// A length or an offset in nanoseconds, written in seconds.
    Nanos(u64),
    /// Nanoseconds since 1970.
    Moment(i64),
    Whole(u64),
    Flag(bool),
    Hex(&'a [u8]),
    Nothing,
}

impl Cell<'_> {
    fn some<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Nothing, cell)
    }
}

impl SampleRows {
    /// For requests of this run.
    pub fn new(started: &Started, format: SamplesFormat) -> Self {
        let steps = started.shape.steps.iter();
        Self {
            format,
            started_nanos: started.info.started_nanos,
            steps: steps.map(|step| (written(format, &step.scenario), written(format, &step.step))).collect(),
        }
    }

    /// What stands before the first row: the names of the columns in CSV, nothing in NDJSON.
    pub fn head(&self) -> String {
        match self.format {
            SamplesFormat::Ndjson => String::new(),
            SamplesFormat::Csv => {
                let key = SeriesKey {
                    step: 0,
                    phase: plimsoll_measure::Phase::Measured,
                    stage: None,
                    outcome: plimsoll_measure::Outcome::Ok,
                };
                let single = Single { sample: Sample::at(key, 0), trace: None, purposes: Default::default() };
                let names: Vec<_> = self.cells(&single).into_iter().map(|(name, _)| name).collect();
                names.join(",") + "\r\n"
            }
        }
    }

    /// Appends the row of a request.
    pub fn write(&self, single: &Single, out: &mut Vec<u8>) {
        let cells = self.cells(single);
        match self.format {
            SamplesFormat::Ndjson => {
                for (index, (name, cell)) in cells.into_iter().enumerate() {
                    let sign = if index == 0 { '{' } else { ',' };
                    put(out, format_args!("{sign}\"{name}\":"));
                    json(&cell, out);
                }
                out.extend_from_slice(b"}\n");
            }
            SamplesFormat::Csv => {
                for (index, (_, cell)) in cells.into_iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    csv(&cell, out);
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn cells<'a>(&'a self, single: &'a Single) -> [(&'static str, Cell<'a>); 19] {
        let Single { sample, trace, .. } = single;
        let step = self.steps.get(usize::from(sample.key.step));
        let due = i64::try_from(sample.due).unwrap_or(i64::MAX);
        let timing = |timing: Timing| Cell::some(timing.of(sample), Cell::Nanos);
        [
            ("time", Cell::Moment(self.started_nanos.saturating_add(due))),
            ("due", Cell::Nanos(sample.due)),
            ("scenario", Cell::some(step, |(scenario, _)| Cell::Ready(scenario))),
            ("step", Cell::some(step, |(_, step)| Cell::Ready(step))),
            ("phase", Cell::Word(sample.key.phase.label())),
            ("outcome", Cell::Word(sample.key.outcome.label())),
            ("status", Cell::some(sample.status, |status| Cell::Whole(status.into()))),
            ("response_time", timing(Timing::ResponseTime)),
            ("service_time", timing(Timing::ServiceTime)),
            ("schedule_lag", timing(Timing::ScheduleLag)),
            ("wait", timing(Timing::Wait)),
            ("connect_time", timing(Timing::ConnectTime)),
            ("tls_time", timing(Timing::TlsTime)),
            ("first_byte_time", timing(Timing::FirstByteTime)),
            ("received_bytes", Cell::Whole(sample.received_bytes)),
            ("sent_bytes", Cell::Whole(sample.sent_bytes)),
            ("trace_id", Cell::some(trace.as_ref(), |trace| Cell::Hex(&trace.trace_id))),
            ("span_id", Cell::some(trace.as_ref(), |trace| Cell::Hex(&trace.span_id))),
            ("sampled", Cell::some(trace.as_ref(), |trace| Cell::Flag(trace.sampled))),
        ]
    }
}

/// A text from outside as it stands in a row.
fn written(format: SamplesFormat, text: &str) -> String {
    match format {
        SamplesFormat::Ndjson => serde_json::Value::from(text).to_string(),
        SamplesFormat::Csv => {
            let is_plain = !text.contains(['"', ',', '\r', '\n']) && text.trim() == text && !text.is_empty();
            let text = Cow::from(text);
            if is_plain { text.into_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
        }
    }
}

fn json(cell: &Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Nothing => out.extend_from_slice(b"null"),
        Cell::Word(_) | Cell::Hex(_) | Cell::Moment(_) => {
            out.push(b'"');
            csv(cell, out);
            out.push(b'"');
        }
        Cell::Ready(_) | Cell::Nanos(_) | Cell::Whole(_) | Cell::Flag(_) => csv(cell, out),
    }
}

fn csv(cell: &Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Nothing => {}
        Cell::Ready(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Word(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Nanos(nanos) => {
            put(out, format_args!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000));
        }
        Cell::Moment(nanos) => {
            let moment = Timestamp::from_nanosecond(i128::from(*nanos)).unwrap_or_default();
            let mut text = String::with_capacity(32);
            // Writing into a text cannot fail.
            let _ = MOMENTS.print_timestamp(&moment, StdFmtWrite(&mut text));
            out.extend_from_slice(text.as_bytes());
        }
        Cell::Whole(number) => put(out, format_args!("{number}")),
        Cell::Flag(flag) => put(out, format_args!("{flag}")),
        Cell::Hex(bytes) => bytes.iter().for_each(|byte| put(out, format_args!("{byte:02x}"))),
    }
}

fn put(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing into a vector cannot fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use plimsoll_measure::{Outcome, Phase, Purposes, TraceContext};
    use proptest::prelude::*;

    fn key(step: u16, outcome: Outcome) -> SeriesKey {
        SeriesKey { step, phase: Phase::Measured, stage: Some(0), outcome }
    }

    fn whole() -> Single {
        Single {
            sample: Sample {
                key: key(0, Outcome::Ok),
                due: 1_500_000_000,
                ready: 1_500_000_001,
                sent: Some(1_500_020_001),
                done: 1_760_000_000,
                connect: Some(20_000),
                tls: Some(3_000_000),
                first_byte: Some(259_000_000),
                status: Some(200),
                received_bytes: 1234,
                sent_bytes: 99,
                address: 0,
            },
            trace: Some(TraceContext { trace_id: [0xab; 16], span_id: [1; 8], sampled: true }),
            purposes: Purposes { trace: false, samples: true },
        }
    }

    fn bare() -> Single {
        Single { sample: Sample::at(key(9, Outcome::Dns), 7), trace: None, ..whole() }
    }

    fn text(format: SamplesFormat, singles: &[Single]) -> String {
        let rows = SampleRows::new(&Fixture::new().started(), format);
        let mut out = rows.head().into_bytes();
        singles.iter().for_each(|single| rows.write(single, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_of_ndjson() {
        assert_eq!(
            text(SamplesFormat::Ndjson, &[whole(), bare()]),
            "{\"time\":\"2023-11-14T22:13:21.500000000Z\",\"due\":1.500000000,\"scenario\":\"browse\",\"step\":\"list\",\
             \"phase\":\"measured\",\"outcome\":\"ok\",\"status\":200,\"response_time\":0.260000000,\
             \"service_time\":0.259979999,\"schedule_lag\":0.000000001,\"wait\":0.000020000,\"connect_time\":0.000020000,\
             \"tls_time\":0.003000000,\"first_byte_time\":0.259000000,\"received_bytes\":1234,\"sent_bytes\":99,\
             \"trace_id\":\"abababababababababababababababab\",\"span_id\":\"0101010101010101\",\"sampled\":true}\n\
             {\"time\":\"2023-11-14T22:13:20.000000007Z\",\"due\":0.000000007,\"scenario\":null,\"step\":null,\
             \"phase\":\"measured\",\"outcome\":\"dns\",\"status\":null,\"response_time\":0.000000000,\
             \"service_time\":null,\"schedule_lag\":0.000000000,\"wait\":null,\"connect_time\":null,\
             \"tls_time\":null,\"first_byte_time\":null,\"received_bytes\":0,\"sent_bytes\":0,\
             \"trace_id\":null,\"span_id\":null,\"sampled\":null}\n"
        );
    }

    #[test]
    fn rows_of_csv() {
        assert_eq!(
            text(SamplesFormat::Csv, &[whole(), bare()]),
            "time,due,scenario,step,phase,outcome,status,response_time,service_time,schedule_lag,wait,connect_time,\
             tls_time,first_byte_time,received_bytes,sent_bytes,trace_id,span_id,sampled\r\n\
             2023-11-14T22:13:21.500000000Z,1.500000000,browse,list,measured,ok,200,0.260000000,0.259979999,\
             0.000000001,0.000020000,0.000020000,0.003000000,0.259000000,1234,99,\
             abababababababababababababababab,0101010101010101,true\r\n\
             2023-11-14T22:13:20.000000007Z,0.000000007,,,measured,dns,,0.000000000,,0.000000000,,,,,0,0,,,\r\n"
        );
    }

    proptest! {
        /// Whatever a step is called, independent readers get it back.
        #[test]
        fn any_name_survives(step in any::<String>(), scenario in any::<String>()) {
            let mut started = (*Fixture::new().started()).clone();
            started.shape.steps[0].step.clone_from(&step);
            started.shape.steps[0].scenario.clone_from(&scenario);
            let row = |format| {
                let rows = SampleRows::new(&started, format);
                let mut out = rows.head().into_bytes();
                rows.write(&whole(), &mut out);
                out
            };
            let line: serde_json::Value = serde_json::from_slice(&row(SamplesFormat::Ndjson)).unwrap();
            prop_assert_eq!((&line["step"], &line["scenario"]), (&step.as_str().into(), &scenario.as_str().into()));
            prop_assert_eq!(&line["response_time"], &serde_json::json!(0.26));
            let bytes = row(SamplesFormat::Csv);
            let mut reader = csv::Reader::from_reader(&bytes[..]);
            let record: std::collections::HashMap<String, String> =
                reader.deserialize().next().unwrap().unwrap();
            prop_assert_eq!((&record["step"], &record["scenario"]), (&step, &scenario));
            prop_assert_eq!(reader.deserialize::<Vec<String>>().count(), 0);
        }
    }
}
