//! The lines of an export: none makes reading or folding them panic, and what was read is written the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_measure::Edges;
use plimsoll_run::{RunEvent, State, wire};

fuzz_target!(|text: &str| {
    let (mut edges, mut state) = (Edges::default(), None::<State>);
    for line in text.lines() {
        let Ok(event) = wire::from_line(line, &edges) else { return };
        if let Some(written) = wire::to_line(&event) {
            let again = wire::from_line(&written, &edges).expect("what was written can be read");
            assert_eq!(wire::to_line(&again).as_ref(), Some(&written));
        }
        match (&event, &mut state) {
            (RunEvent::Started(started), state) => {
                edges = started.shape.edges.clone();
                *state = Some(State::new(started.clone()));
            }
            (event, Some(state)) => state.apply(event),
            (_, None) => return,
        }
    }
    let _ = state.map(|state| state.summary());
});
