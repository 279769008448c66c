use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use plimsoll_measure::Outcome;
use plimsoll_run::{
    Ended, ResourceFigure, ResourceScrape, ResourceUnit, RunEvent, RunStatus, Second, Started,
};
use plimsoll_sla::Severity;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::mpsc;

use super::fixture::{closed, events, objective, started};
use super::lines::Lines;
use super::screen::{Scene, render};
use super::terminal::Terminal as Writing;
use super::watch::Watch;
use super::{draw, write};

static EVENTS: LazyLock<Vec<RunEvent>> = LazyLock::new(|| events(started()));

/// What is known after so many seconds.
fn after(seconds: u64, events: &[RunEvent]) -> Watch {
    let Some(RunEvent::Started(started)) = events.first() else { panic!("a run starts") };
    let mut watch = Watch::new(Arc::clone(started));
    let known = events.iter().take_while(|event| match event {
        RunEvent::Second(second) => second.frame.second < seconds,
        RunEvent::Judged(judged) => judged.second < seconds,
        RunEvent::Phase { at, .. } => *at <= seconds * 1_000_000_000,
        _ => true,
    });
    known.for_each(|event| watch.apply(event));
    watch
}

fn banner() -> Vec<String> {
    vec!["page     http://127.0.0.1:7700/".into(), "metrics  http://127.0.0.1:9464/metrics".into()]
}

fn screen(watch: &Watch, elapsed: f64, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let scene = Scene { watch, elapsed };
    terminal.draw(|frame| render(&scene, frame.area(), frame.buffer_mut())).unwrap();
    text(terminal.backend().buffer())
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| format!("{}\n", row.trim_end())).collect()
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it instead.
fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/view").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "{name} should be\n{expected}\nand is\n{found}\nUPDATE_GOLDEN=1 writes it anew"
    );
}

#[test]
fn the_incident_is_seen_at_every_size() {
    let watch = after(45, &EVENTS);
    for (width, height) in [(100, 22), (80, 20), (60, 16), (30, 8)] {
        golden(&format!("incident-{width}x{height}.txt"), &screen(&watch, 45.3, width, height));
    }
}

/// A second of the run, with these scrapes in place of its own.
fn with_resources(events: &[RunEvent], scrapes: Vec<ResourceScrape>) -> RunEvent {
    let second = events.iter().find_map(|event| match event {
        RunEvent::Second(second) => Some(second),
        _ => None,
    });
    RunEvent::Second(Arc::new(Second { resources: scrapes, ..Second::clone(second.unwrap()) }))
}

#[test]
fn what_the_target_uses_is_told_and_a_gap_is_no_figure() {
    let figure = |name: &str, unit, value| ResourceFigure { name: name.into(), unit, value };
    let scrape =
        |source: &str, figures| ResourceScrape { source: source.into(), at: 0, figures, left_out: 0 };
    let figures = vec![
        figure("cpu_ratio{cpu=\"0\"}", ResourceUnit::Ratio, 0.9),
        figure("memory", ResourceUnit::Bytes, 24e6),
        figure("cpu", ResourceUnit::Cores, 0.534),
        figure("busy_ratio", ResourceUnit::Ratio, 0.25),
        figure("open_fds", ResourceUnit::Count, 7.0),
    ];
    let scrapes = vec![scrape("shop\u{1b}[2J", Ok(figures)), scrape("slow", Err("no answer".to_owned()))];
    let mut watch = after(0, &EVENTS);
    watch.apply(&with_resources(&EVENTS, scrapes));
    let line = "shop [2J cpu 0.534 cores  shop [2J memory 24.0 MB  shop [2J busy_ratio 25%  slow -";
    let shown = screen(&watch, 1.0, 140, 30);
    let row = shown.lines().find(|row| row.starts_with("target")).unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(row.split_once(' ').unwrap().1.trim(), line);
    let told = super::lines::plain_line(&watch);
    assert!(
        told.contains(
            "; shop [2J cpu 0.534 cores, shop [2J memory 24.0 MB, shop [2J busy_ratio 25%, slow -; generator"
        ),
        "{told}"
    );
    watch.apply(&with_resources(&EVENTS, vec![scrape("shop\u{1b}[2J", Err("no answer".to_owned()))]));
    assert!(screen(&watch, 1.0, 140, 30).contains("shop [2J -"), "a gap is no zero and no old figure");
}

#[test]
fn before_the_first_second_nothing_is_claimed() {
    let watch = after(0, &EVENTS);
    let screen = screen(&watch, 0.4, 100, 22);
    golden("start-100x22.txt", &screen);
    let figures = screen.lines().filter(|line| {
        ["rate", "last", "measured", "so far", "errors", "generator"]
            .iter()
            .any(|head| line.starts_with(head))
    });
    for line in figures.filter(|line| !line.starts_with("last")) {
        assert!(line.contains('-') && !line.contains('0'), "no data is not zero: {line}");
    }
}

#[test]
fn the_last_picture_says_how_it_ended() {
    let mut watch = after(60, &EVENTS);
    let ended = Ended {
        at: 61_200_000_000,
        status: RunStatus::Aborted,
        reason: Some("`quick pages` was missed for 10s".into()),
        exports: Vec::new(),
        samples: None,
    };
    watch.apply(&RunEvent::Ended(Arc::new(ended)));
    golden("ended-80x20.txt", &screen(&watch, 61.2, 80, 20));
}

#[test]
fn a_closed_run_counts_iterations() {
    let watch = after(20, &events(closed(20_000)));
    golden("closed-80x20.txt", &screen(&watch, 20.0, 80, 20));
}

#[test]
fn many_objectives_are_counted_when_they_cannot_be_shown() {
    let mut started = started();
    let more = (0..20)
        .map(|number| objective(&format!("pages {number}"), "error_ratio <= 5%", None, Severity::Critical));
    started.shape.objectives.extend(more);
    let watch = after(45, &events(started));
    let tall = screen(&watch, 45.0, 80, 24);
    assert!(tall.contains("others: "), "{tall}");
    let flat = screen(&watch, 45.0, 60, 6);
    assert!(flat.contains("objectives: 2 missed, 22 undecided"), "{flat}");
}

#[test]
fn sentences_are_the_same_for_the_same_run() {
    let mut lines = Lines::new(banner());
    let told: Vec<_> = EVENTS.iter().flat_map(|event| lines.tell(event)).collect();
    golden("lines.txt", &format!("{}\n", told.join("\n")));
    assert_eq!(Lines::new(Vec::new()).tell(&EVENTS[5]), Vec::<String>::new(), "nothing before the start");
}

#[test]
fn seconds_that_were_not_told_are_admitted() {
    let missed: Vec<_> = EVENTS
        .iter()
        .filter(|event| !matches!(event, RunEvent::Second(second) if (10..13).contains(&second.frame.second)))
        .cloned()
        .collect();
    let watch = after(20, &missed);
    assert!(screen(&watch, 20.0, 80, 20).contains("this view missed 3 s; the record did not"));
}

/// Text that clears screens, sets titles, moves the cursor and turns the direction of writing.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;title\u{7}\r\n\u{9b}31m\u{202e}y\u{200b}z";

fn hostile() -> Vec<RunEvent> {
    let mut started = started();
    for place in [
        &mut started.shape.plan,
        &mut started.info.target,
        &mut started.info.id,
        &mut started.shape.steps[0].step,
    ] {
        *place = HOSTILE.into();
    }
    started.shape.stages.iter_mut().for_each(|stage| stage.kind = HOSTILE.into());
    for objective in &mut started.shape.objectives {
        (objective.name, objective.text) = (HOSTILE.into(), HOSTILE.into());
    }
    let mut events = events(started);
    for event in &mut events {
        match event {
            RunEvent::Note(note) => note.text = HOSTILE.into(),
            RunEvent::Second(second) => {
                Arc::make_mut(second)
                    .frame
                    .errors
                    .iter_mut()
                    .for_each(|error| error.message = HOSTILE.into());
            }
            RunEvent::Ended(ended) => Arc::make_mut(ended).reason = Some(HOSTILE.into()),
            _ => {}
        }
    }
    events
}

#[test]
fn nothing_from_outside_steers_the_terminal() {
    let events = hostile();
    let steers = |text: &str| {
        text.chars().any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}'))
    };
    let watch = after(45, &events);
    assert!(watch.failures.contains_key(&Outcome::Status));
    for watch in [watch, after(100, &events)] {
        for size in [(100, 24), (60, 16), (30, 8)] {
            let screen = screen(&watch, 45.0, size.0, size.1);
            assert!(!steers(&screen), "{screen:?}");
        }
    }
    let mut lines = Lines::new(vec![HOSTILE.into()]);
    for line in events.iter().flat_map(|event| lines.tell(event)) {
        assert!(!steers(&line) && !line.contains('\n'), "{line:?}");
    }
}

#[test]
fn a_run_without_stages_or_objectives_can_be_seen() {
    let mut bare: Started = started();
    bare.shape.stages.clear();
    bare.shape.objectives.clear();
    let watch = Watch::new(Arc::new(bare));
    let screen = screen(&watch, 3.0, 80, 20);
    assert!(screen.contains("0:03"), "{screen}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_size_panics(width in 1_u16..200, height in 1_u16..60, known in 0..EVENTS.len(), elapsed in -1.0..1e7_f64) {
        let mut watch = Watch::new(Arc::new(started()));
        EVENTS[..known].iter().skip(known.saturating_sub(20)).for_each(|event| watch.apply(event));
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        render(&Scene { watch: &watch, elapsed }, area, &mut buffer);
        // An area outside of the buffer is cut to it.
        render(&Scene { watch: &watch, elapsed }, Rect::new(3, 2, width, height), &mut buffer);
    }
}

/// What was written, shared with the thread that writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that is held for good.
struct Held(Receiver<()>);

impl Write for Held {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A run that is told at once.
fn told(events: &[RunEvent]) -> mpsc::Receiver<RunEvent> {
    let (sender, receiver) = mpsc::channel(events.len().max(1));
    events.iter().for_each(|event| sender.try_send(event.clone()).unwrap());
    receiver
}

#[tokio::test]
async fn the_view_ends_with_the_run_and_shows_its_end() {
    let written = Written::default();
    draw(told(&EVENTS), Writing::open(written.clone(), true, 1), &banner()).await;
    let text = written.text();
    assert!(text.starts_with("page     http://127.0.0.1:7700/\nmetrics"), "{text}");
    assert!(text.contains("completed") && text.contains("ended at 1:00"), "{text}");
    assert!(text.ends_with("\r\n\x1b[J\x1b[?2026l"), "the cursor is left on an empty line: {text:?}");
}

#[tokio::test]
async fn lines_are_all_written_when_the_channel_closes() {
    let written = Written::default();
    let events = &EVENTS[..40];
    write(told(events), Writing::open(written.clone(), false, 64), Lines::new(banner())).await;
    let mut lines = Lines::new(banner());
    let expected: Vec<_> = events.iter().flat_map(|event| lines.tell(event)).collect();
    assert_eq!(written.text(), format!("{}\n", expected.join("\n")));
}

#[tokio::test]
async fn a_held_terminal_does_not_hold_the_run() {
    let (release, held) = channel();
    let banner = banner();
    let view = draw(told(&EVENTS), Writing::open(Held(held), true, 1), &banner);
    tokio::time::timeout(Duration::from_secs(60), view).await.expect("the view gives up on it");
    drop(release);
}
