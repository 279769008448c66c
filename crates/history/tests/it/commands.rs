//! What is asked of runs while they go on.

use plimsoll_history::{Fate, History, MOST_WAITING, Recorder};
use plimsoll_run::Command;

use crate::database::Place;
use crate::sample;
use crate::support::{DEADLINE, first, history, record, told};

fn command(change: &str) -> Command {
    Command { change: change.parse().unwrap(), scenario: None, by: "anna".into() }
}

/// A run that goes on in this process.
async fn live() -> (Place, History, Recorder) {
    let (directory, history) = history().await;
    let recorder = Recorder::start(&history, &sample::started("run", 1)).await.unwrap();
    (directory, history, recorder)
}

#[tokio::test]
async fn a_command_is_taken_once_and_tells_what_became_of_it() {
    let (_directory, history, recorder) = live().await;
    let rate = Command { scenario: Some("browse".into()), ..command("rate 800/s") };
    let first = history.ask("run", &rate).await.unwrap();
    let second = history.ask("run", &command("pause")).await.unwrap();
    let waiting = history.waiting_commands("run").await.unwrap();
    assert_eq!(waiting.iter().map(|kept| kept.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(waiting[0].command, rate);
    assert_eq!(history.fate(first).await.unwrap(), Some(Fate::Waiting));
    assert!(history.take_command(first).await.unwrap() && !history.take_command(first).await.unwrap());
    assert_eq!(history.fate(first).await.unwrap(), Some(Fate::Taken));
    assert!(!history.withdraw(first).await.unwrap(), "too late");
    history.settle_command(first, Ok((12_000_000_000, "from 12.0 s: 800/s"))).await.unwrap();
    let done = Fate::Done { effective: 12_000_000_000, words: "from 12.0 s: 800/s".into() };
    assert_eq!(history.fate(first).await.unwrap(), Some(done.clone()));
    assert!(history.withdraw(second).await.unwrap());
    assert!(!history.take_command(second).await.unwrap(), "nobody carries it out any more");
    assert_eq!(history.fate(second + 1).await.unwrap(), None);
    assert!(history.waiting_commands("run").await.unwrap().is_empty());
    let all: Vec<_> = history.commands("run").await.unwrap().into_iter().map(|kept| kept.fate).collect();
    let taken_back = "it was taken back before anybody had looked at it";
    assert_eq!(all, [done, Fate::Refused(taken_back.into())]);
    recorder.finish(DEADLINE).await;
}

#[tokio::test]
async fn a_run_that_is_not_there_or_not_live_is_not_asked() {
    let (_directory, history) = history().await;
    assert_eq!(told(&history.ask("run", &command("pause")).await.unwrap_err()), "no run is recorded yet");
    let events = sample::events(&sample::started("run", 1), 3, 1, 1);
    record(&history, &events).await;
    let error = history.ask("run", &command("pause")).await.unwrap_err();
    assert_eq!(told(&error), "run run has ended (completed): there is nothing left to steer");
    let error = history.ask("other", &command("pause")).await.unwrap_err();
    assert!(told(&error).starts_with("no run's id starts with `other`"), "{error}");
    assert!(history.commands("other").await.unwrap().is_empty());
    assert_eq!(first(&events).info.id, "run");
}

#[tokio::test]
async fn thousands_who_ask_leave_no_more_waiting_than_are_allowed() {
    let (_directory, history, recorder) = live().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let history = history.clone();
        asking.spawn(async move {
            let mut refused = 0;
            for _ in 0..10 {
                match history.ask("run", &command("pause")).await {
                    Ok(_) => {}
                    Err(error) => {
                        assert!(told(&error).contains("100 changes wait for run run already"), "{error}");
                        refused += 1;
                    }
                }
            }
            refused
        });
    }
    let refused: u32 = asking.join_all().await.into_iter().sum();
    assert_eq!(refused, 200 - MOST_WAITING);
    assert_eq!(history.waiting_commands("run").await.unwrap().len(), MOST_WAITING as usize);
    recorder.finish(DEADLINE).await;
}

#[tokio::test]
async fn commands_go_with_their_run() {
    let (_directory, history, recorder) = live().await;
    let asked = history.ask("run", &command("pause")).await.unwrap();
    recorder.finish(DEADLINE).await;
    history.delete(&["run"]).await.unwrap();
    assert_eq!(history.fate(asked).await.unwrap(), None);
}
