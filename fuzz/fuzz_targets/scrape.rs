//! No page of metrics makes reading it panic, and a sample that was read is written and read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_exposition::prometheus::scrape::{Sample, samples};

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// With the name among the labels, where it may hold any character.
fn written(sample: &Sample<'_>) -> String {
    let labels = sample.labels.iter().map(|(name, value)| format!(",\"{}\"=\"{}\"", escaped(name), escaped(value)));
    format!("{{\"{}\"{}}} {}", escaped(&sample.name), labels.collect::<String>(), sample.value)
}

fuzz_target!(|text: &str| {
    for sample in samples(text).map_while(Result::ok) {
        let line = written(&sample);
        let again = samples(&line).next().expect("there is a line").expect("what was written can be read");
        assert_eq!((&again.name, &again.labels), (&sample.name, &sample.labels), "{line}");
        assert!(again.value == sample.value || again.value.is_nan() && sample.value.is_nan(), "{line}");
    }
});
