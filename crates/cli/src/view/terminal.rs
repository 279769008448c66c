//! Pictures and lines on their way to the terminal.
//!
//! A picture is drawn over the one before it by moving the cursor up, relative to where it is.
//! Nothing is asked of the terminal and none of its modes is left changed between two pictures:
//! standard output may be a file with the JSON, Ctrl-C stays a signal, and whatever ends the process
//! finds the cursor on an empty line of a terminal as it was.
//!
//! Writing happens on a thread of its own. A terminal that is held (Ctrl-S) or slow costs pictures,
//! never the run.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use ratatui::text::Span;

/// How long the last output may take before a held terminal is left alone.
const CLOSING: Duration = Duration::from_secs(1);

/// Something to show.
#[derive(Debug)]
pub(super) enum Output {
    /// A picture for a terminal of so many columns.
    Picture(Buffer, u16),
    /// A line, without its end. None comes after a picture.
    Line(String),
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Terminal {
    sender: SyncSender<Output>,
    thread: JoinHandle<()>,
}

impl Terminal {
    /// Writes to `out` from now on. At most `waiting` outputs wait for it.
    pub(super) fn open(out: impl Write + Send + 'static, colored: bool, waiting: usize) -> Self {
        let (sender, receiver) = sync_channel(waiting);
        let thread = std::thread::spawn(move || write_all(&receiver, Painter::new(out, colored)));
        Self { sender, thread }
    }

    /// Shows it, unless the terminal is still busy with what came before.
    pub(super) fn show(&self, output: Output) {
        let _ = self.sender.try_send(output);
    }

    /// Shows the last output and waits, for a bounded time, until all of it is out.
    pub(super) async fn close(self, last: Option<Output>) {
        let Self { sender, thread } = self;
        let (done, is_done) = tokio::sync::oneshot::channel();
        // On a thread that the runtime does not wait for: sending and joining block as long as the terminal does.
        std::thread::spawn(move || {
            last.into_iter().for_each(|output| drop(sender.send(output)));
            drop(sender);
            drop(thread.join());
            let _ = done.send(());
        });
        let _ = tokio::time::timeout(CLOSING, is_done).await;
    }
}

fn write_all(receiver: &Receiver<Output>, mut painter: Painter<impl Write>) {
    // Nobody reads standard error any more once writing fails; the run goes on without a view.
    while let Ok(output) = receiver.recv() {
        let written = match output {
            Output::Picture(picture, columns) => painter.paint(&picture, columns),
            Output::Line(line) => painter.line(&line),
        };
        if written.is_err() {
            return;
        }
    }
}

/// Draws pictures over each other.
#[derive(Debug)]
struct Painter<W> {
    out: W,
    colored: bool,
    /// Columns of each row of the picture above the cursor.
    drawn: Vec<usize>,
}

impl<W: Write> Painter<W> {
    fn new(out: W, colored: bool) -> Self {
        Self { out, colored, drawn: Vec::new() }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.out.write_all(format!("{line}\n").as_bytes())?;
        self.out.flush()
    }

    /// In one write, so that no half picture stays when the process ends.
    fn paint(&mut self, picture: &Buffer, columns: u16) -> io::Result<()> {
        // Between these marks a terminal that knows them shows nothing half drawn.
        let mut text = "\x1b[?2026h".to_owned();
        // Rows wider than a terminal that was made narrower now stand on several lines.
        let columns = usize::from(columns.max(1));
        let up: usize = self.drawn.iter().map(|row| row.div_ceil(columns).max(1)).sum();
        if up > 0 {
            text.push_str(&format!("\r\x1b[{up}A"));
        }
        self.drawn.clear();
        for row in picture.content.chunks(usize::from(picture.area.width).max(1)) {
            let blank = |cell: &&Cell| cell.symbol() == " ";
            let used = row.len() - row.iter().rev().take_while(blank).count();
            self.write_row(&row[..used], &mut text);
            text.push_str("\x1b[K\r\n");
            self.drawn.push(used);
        }
        text.push_str("\x1b[J\x1b[?2026l");
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn write_row(&self, row: &[Cell], text: &mut String) {
        let mut style = (Color::Reset, Modifier::empty());
        let mut covered = 0;
        for cell in row {
            // The cell after a wide character is covered by it.
            if covered > 0 {
                covered -= 1;
                continue;
            }
            covered = Span::raw(cell.symbol()).width().saturating_sub(1);
            let wanted = (if self.colored { cell.fg } else { Color::Reset }, cell.modifier);
            if wanted != style {
                text.push_str(&select(wanted.0, wanted.1));
                style = wanted;
            }
            text.push_str(cell.symbol());
        }
        if style != (Color::Reset, Modifier::empty()) {
            text.push_str("\x1b[0m");
        }
    }
}

/// The sequence that selects a style anew. The terminal's own palette decides what colours look like.
fn select(color: Color, modifier: Modifier) -> String {
    let mut codes = vec!["0"];
    if modifier.contains(Modifier::BOLD) {
        codes.push("1");
    }
    if modifier.contains(Modifier::DIM) {
        codes.push("2");
    }
    codes.extend(match color {
        Color::Red => Some("31"),
        Color::Green => Some("32"),
        Color::Yellow => Some("33"),
        Color::Blue => Some("34"),
        Color::Cyan => Some("36"),
        // The view draws in no other colour.
        _ => None,
    });
    format!("\x1b[{}m", codes.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;

    fn picture(rows: &[&str]) -> Buffer {
        Buffer::with_lines(rows.iter().copied())
    }

    fn painted(painter: &mut Painter<Vec<u8>>, picture: &Buffer, columns: u16) -> String {
        painter.out.clear();
        painter.paint(picture, columns).unwrap();
        String::from_utf8(painter.out.clone()).unwrap()
    }

    #[test]
    fn a_picture_is_drawn_over_the_one_before() {
        let mut painter = Painter::new(Vec::new(), true);
        let first = painted(&mut painter, &picture(&["ab  ", "日本"]), 20);
        assert_eq!(first, "\x1b[?2026hab\x1b[K\r\n日本\x1b[K\r\n\x1b[J\x1b[?2026l");
        let second = painted(&mut painter, &picture(&["c"]), 20);
        assert_eq!(second, "\x1b[?2026h\r\x1b[2Ac\x1b[K\r\n\x1b[J\x1b[?2026l");
        let third = painted(&mut painter, &picture(&["d"]), 20);
        assert!(third.contains("\r\x1b[1A"), "{third:?}");
    }

    #[test]
    fn rows_that_a_narrower_terminal_broke_are_drawn_over_too() {
        let mut painter = Painter::new(Vec::new(), true);
        painted(&mut painter, &picture(&["abcdefghij", "", "abcd"]), 20);
        let narrower = painted(&mut painter, &picture(&["a"]), 4);
        assert!(narrower.contains("\r\x1b[5A"), "3 + 1 + 1 lines: {narrower:?}");
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        let mut picture = picture(&["ab"]);
        picture[(0, 0)].set_style(Style::new().fg(Color::Red).bold());
        let colored = painted(&mut Painter::new(Vec::new(), true), &picture, 20);
        assert!(colored.contains("\x1b[0;1;31ma\x1b[0mb\x1b[K"), "{colored:?}");
        let plain = painted(&mut Painter::new(Vec::new(), false), &picture, 20);
        assert!(plain.contains("\x1b[0;1ma\x1b[0mb\x1b[K"), "{plain:?}");
    }

    #[test]
    fn a_reader_that_went_away_ends_the_writing() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, receiver) = sync_channel(2);
        sender.send(Output::Line("nobody".into())).unwrap();
        write_all(&receiver, Painter::new(Gone, true));
        drop(receiver);
        assert!(sender.try_send(Output::Line("reads".into())).is_err());
    }
}
