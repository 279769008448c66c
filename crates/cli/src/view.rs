//! The run in the terminal while it goes on.
//!
//! It folds the same events as the record and draws what they say a few times a second, or writes a
//! sentence every few seconds where there is no terminal. It only looks: stopping a run is a signal's
//! work, and the verdict is told when the run has ended. A terminal that is slow, held or gone never
//! holds up the run; a view that missed seconds says so.

mod charts;
#[cfg(test)]
mod fixture;
mod lines;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;
mod watch;
mod words;

pub(crate) use words::plain;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_run::RunEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::plan::no_color_is_unset;
use lines::Lines;
use screen::Scene;
use terminal::{Output, Terminal};
use watch::Watch;

/// Time between pictures.
const FRAME: Duration = Duration::from_millis(250);
/// A picture has no more rows than this; on a larger terminal what came before stays in sight.
const TALLEST: u16 = 24;
/// Longer lines are hard to read, however wide the terminal.
const WIDEST: u16 = 140;
/// Where the terminal does not tell its size.
const USUAL_SIZE: (u16, u16) = (80, 24);
/// Pictures that may wait for a slow terminal: an old one is worth nothing.
const WAITING_PICTURES: usize = 1;
/// Lines that may wait for a slow reader.
const WAITING_LINES: usize = 64;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A picture on standard error, drawn anew a few times a second; in colour unless `NO_COLOR` is set.
    Live,
    /// A line on standard error every few seconds.
    Plain,
    /// Not at all.
    Quiet,
}

/// Shows a run until its last event, or until nobody tells of it any more. `banner` says where else to look.
pub(crate) async fn follow(events: mpsc::Receiver<RunEvent>, style: Style, banner: Vec<String>) {
    match style {
        Style::Live => {
            let terminal = Terminal::open(io::stderr(), no_color_is_unset(), WAITING_PICTURES);
            draw(events, terminal, &banner).await;
        }
        Style::Plain => {
            let terminal = Terminal::open(io::stderr(), false, WAITING_LINES);
            write(events, terminal, Lines::new(banner)).await;
        }
        Style::Quiet => {}
    }
}

async fn draw(mut events: mpsc::Receiver<RunEvent>, terminal: Terminal, banner: &[String]) {
    // Addresses stay above the picture, where they can be followed while it changes.
    if !banner.is_empty() {
        let lines = banner.iter().map(|line| plain(line)).collect::<Vec<_>>();
        terminal.show(Output::Line(lines.join("\n")));
    }
    let mut ticks = tokio::time::interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut run: Option<(Watch, Clock)> = None;
    loop {
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { break };
                match (&mut run, &event) {
                    (_, RunEvent::Started(started)) => run = Some((Watch::new(Arc::clone(started)), Clock::new())),
                    (Some((watch, clock)), event) => {
                        clock.hear(event);
                        watch.apply(event);
                    }
                    // Without the first event nothing after it can be read.
                    (None, _) => {}
                }
                if matches!(event, RunEvent::Ended(_)) {
                    break;
                }
            }
            _ = ticks.tick() => run.iter().for_each(|run| terminal.show(picture(run))),
        }
    }
    terminal.close(run.as_ref().map(picture)).await;
}

fn picture((watch, clock): &(Watch, Clock)) -> Output {
    let (columns, rows) = size();
    // The last column stays free, lest the cursor waits there for the next line; so does the last
    // row, where it stands between pictures.
    let area = Rect::new(0, 0, columns.saturating_sub(1).min(WIDEST), rows.saturating_sub(1).min(TALLEST));
    let mut buffer = Buffer::empty(area);
    screen::render(&Scene { watch, elapsed: clock.elapsed() }, area, &mut buffer);
    Output::Picture(buffer, columns)
}

/// Columns and rows of the terminal.
fn size() -> (u16, u16) {
    let told = crossterm::terminal::window_size().map(|size| (size.columns, size.rows));
    told.ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL_SIZE)
}

async fn write(mut events: mpsc::Receiver<RunEvent>, terminal: Terminal, mut lines: Lines) {
    while let Some(event) = events.recv().await {
        lines.tell(&event).into_iter().for_each(|line| terminal.show(Output::Line(line)));
        if matches!(event, RunEvent::Ended(_)) {
            break;
        }
    }
    terminal.close(None).await;
}

/// The time since the start of the run, between the events that tell it.
#[derive(Debug)]
struct Clock {
    zero: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { zero: Instant::now() }
    }

    /// News cannot come before what they tell, so the earliest start they allow is the true one.
    fn hear(&mut self, event: &RunEvent) {
        let told = watch::told_offset(event)
            .and_then(|nanos| Instant::now().checked_sub(Duration::from_nanos(nanos)));
        self.zero = told.map_or(self.zero, |zero| zero.min(self.zero));
    }

    fn elapsed(&self) -> f64 {
        self.zero.elapsed().as_secs_f64()
    }
}
