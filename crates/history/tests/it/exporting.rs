use std::io::Write;

use plimsoll_history::{Error, Recorder, read_export};
use plimsoll_run::RunEvent;

use crate::sample;
use crate::support::{DEADLINE, history, lines, record, summary, told, until};

#[tokio::test]
async fn an_export_replays_to_the_same_summary() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 2), 70, 2, 3);
    record(&history, &events).await;
    let mut export = Vec::new();
    history.export("run", &mut export).await.unwrap();
    assert_eq!(String::from_utf8(export.clone()).unwrap().lines().collect::<Vec<_>>(), lines(&events));
    let replayed = read_export(export.as_slice()).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(summary(&replayed), summary(&events));
}

#[tokio::test]
async fn the_export_of_a_live_run_holds_what_is_there() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 3, 1, 1);
    let recorder = Recorder::start(&history, crate::support::first(&events)).await.unwrap();
    let so_far = &events[..5];
    so_far.iter().for_each(|event| recorder.record(event));
    until("recording", async || {
        let mut export = Vec::new();
        history.export("run", &mut export).await.unwrap();
        let replayed = read_export(export.as_slice()).collect::<Result<Vec<_>, _>>().unwrap();
        (lines(&replayed) == lines(so_far)).then_some(())
    })
    .await;
    recorder.finish(DEADLINE).await;
}

#[tokio::test]
async fn a_writer_that_fails_is_told() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_directory, history) = history().await;
    record(&history, &sample::events(&sample::started("run", 1), 1, 1, 1)).await;
    let error = history.export("run", Full).await.unwrap_err();
    assert!(matches!(error, Error::Write(_)), "{error}");
}

#[test]
fn what_is_wrong_with_an_export_is_told_by_its_line() {
    let good = lines(&sample::events(&sample::started("run", 1), 1, 1, 1));
    let (start, note, end) =
        (good[0].as_str(), r#"{"event":"note","at":1,"text":"t"}"#, good[good.len() - 1].as_str());
    let check = |text: &[&str], expected: &str| {
        let text = text.join("\n");
        let mut events = read_export(text.as_bytes());
        let error = events.by_ref().find_map(Result::err).map_or(String::new(), |error| told(&error));
        assert_eq!(error, expected, "{text}");
        assert!(events.next().is_none());
    };
    check(&[start, note, "", note, end, "", ""], "");
    check(&[start, note], "");
    check(&[], "the export is empty");
    check(&["", ""], "the export is empty");
    check(&[note], "line 1: the first event of an export is `started`");
    check(&[start, "", start], "line 3: a second run begins, an export holds one");
    check(&[start, end, note], "line 3: nothing may follow `ended`");
    check(&[start, "{}"], "line 2 cannot be read: not an event: missing field `event` at line 1 column 2");
    check(
        &[start, &note[..12]],
        "line 2 cannot be read: not an event: EOF while parsing a string at line 1 column 12",
    );
    check(
        &[&start.replacen("\"version\":1", "\"version\":99", 1)],
        "line 1 cannot be read: the record is of version 99, this build reads up to 1",
    );
}

#[test]
fn a_file_that_is_no_text_is_no_export() {
    let error = read_export([0xff, 0xfe, b'\n'].as_slice()).next().unwrap().unwrap_err();
    assert_eq!(told(&error), "line 1 cannot be read: stream did not contain valid UTF-8");
}

#[test]
fn a_line_without_end_is_given_up() {
    let endless = std::io::BufReader::new(std::io::repeat(b' '));
    let error = read_export(endless).next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "line 1 is longer than 64 MB");
}

#[test]
fn a_truncated_export_gives_its_whole_lines() {
    let text = lines(&sample::events(&sample::started("run", 1), 4, 1, 1)).join("\n");
    let cut = &text[..text.len() * 2 / 3];
    let events: Vec<_> = read_export(cut.as_bytes()).collect();
    assert!(events.len() > 3);
    assert!(matches!(events.first(), Some(Ok(RunEvent::Started(_)))));
    assert!(events.last().unwrap().is_err());
}
