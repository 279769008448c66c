//! `server-timing` headers that anybody may have sent: what is read of an entry and written is read the same.

#![no_main]

#[path = "../../crates/driver/src/server_timing.rs"]
mod server_timing;

use libfuzzer_sys::fuzz_target;
use server_timing::{Entry, find};

fn written(name: &str, entry: &Entry) -> String {
    let quoted = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let parameters = [("dur", &entry.duration), ("desc", &entry.description)];
    let parameters = parameters.map(|(key, value)| value.as_ref().map(|value| format!(";{key}={}", quoted(value))));
    [name.to_owned()].into_iter().chain(parameters.into_iter().flatten()).collect()
}

fuzz_target!(|bytes: &[u8]| {
    // The name that is looked for, then the headers, one below the other.
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(Ok(name)) = lines.next().map(str::from_utf8) else { return };
    // No entry can be written that has none.
    if name.is_empty() {
        return;
    }
    let Some(entry) = find(lines, name) else { return };
    let line = written(name, &entry);
    assert_eq!(find([line.as_bytes()], name), Some(entry), "{line}");
    // What stands behind it changes nothing, and before it only what has its name.
    let among = format!("{line}, {name}x;dur=1, other;desc=\"{name}, {name};dur=2\"");
    assert_eq!(find([among.as_bytes()], name), find([line.as_bytes()], name), "{among}");
});
