use plimsoll_run::NotifySettings;

use super::*;

fn message(id: &str, thread: Option<(&str, bool)>, event: &'static str) -> Arc<Message> {
    let test = crate::message::test(id.to_owned(), 0, "team", &NotifySettings::default());
    Arc::new(Message { event, thread: thread.map(|(outage, first)| (outage.to_owned(), first)), ..test })
}

fn plain(id: &str) -> Arc<Message> {
    message(id, None, "run.failed")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn later(after: Option<u64>) -> Answer {
    Answer::Later { reason: String::new(), after: after.map(seconds) }
}

const TAKEN: Answer = Answer::Taken { said: String::new() };

/// What is sent at a time, and how many lost messages are told with it.
fn sent(lane: &mut Lane, now: u64) -> Option<(String, u64)> {
    lane.next_try(seconds(now)).map(|next| (next.message.id.clone(), next.lost))
}

#[test]
fn messages_go_one_at_a_time_in_their_order() {
    let mut lane = Lane::default();
    ["a", "b"].into_iter().for_each(|id| lane.push(plain(id), seconds(0)));
    assert_eq!(sent(&mut lane, 0), Some(("a".to_owned(), 0)));
    assert_eq!((sent(&mut lane, 0), lane.next()), (None, None));
    lane.answered(&TAKEN, 0, seconds(1), 0.0);
    assert_eq!(sent(&mut lane, 1), Some(("b".to_owned(), 0)));
    lane.answered(&Answer::Refused { reason: String::new() }, 0, seconds(1), 0.0);
    assert_eq!(lane.fate(), Fate { taken: 1, lost: 1, waiting: 0, merged: 0 });
}

#[test]
fn waits_grow_to_minutes_and_a_receiver_may_ask_for_more() {
    let mut lane = Lane::default();
    lane.push(plain("a"), seconds(0));
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..11 {
        assert!(sent(&mut lane, now).is_some());
        lane.answered(&later(None), 0, seconds(now), 0.0);
        let next = lane.next().unwrap().as_secs();
        waits.push(next - now);
        now = next;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    for (asked, waited) in [(7, 7), (1200, 1200), (1_000_000, 3600)] {
        assert!(sent(&mut lane, now).is_some());
        lane.answered(&later(Some(asked)), 0, seconds(now), 0.5);
        assert_eq!(lane.next().unwrap().as_secs() - now, waited);
        now += waited;
    }
}

#[test]
fn many_do_not_come_back_at_once() {
    let wait = |random| {
        let mut lane = Lane::default();
        lane.push(plain("a"), seconds(0));
        let _ = lane.next_try(seconds(0));
        lane.answered(&later(None), 0, seconds(0), random);
        lane.next().unwrap()
    };
    assert_eq!(wait(0.0), seconds(1));
    assert!(wait(0.999) < Duration::from_millis(501));
}

/// A receiver that is away for an hour, and comes back.
#[test]
fn after_an_hour_away_everything_arrives() {
    let mut lane = Lane::default();
    let mut arrived = Vec::new();
    for now in 0..4500 {
        if now % 120 == 0 && now < 3600 {
            lane.push(plain(&now.to_string()), seconds(now));
        }
        while let Some((id, lost)) = sent(&mut lane, now) {
            let is_back = now >= 3600;
            let answer = if is_back { TAKEN } else { later(None) };
            lane.answered(&answer, lost, seconds(now), 0.3);
            arrived.extend(is_back.then_some(id));
        }
    }
    let expected: Vec<String> = (0..30).map(|number| (number * 120).to_string()).collect();
    assert_eq!(arrived, expected);
    assert_eq!(lane.fate(), Fate { taken: 30, lost: 0, waiting: 0, merged: 0 });
}

#[test]
fn what_finds_no_room_is_counted_and_said_until_somebody_heard_it() {
    let mut lane = Lane::default();
    (0..MOST as u64 + 5).for_each(|number| lane.push(plain(&number.to_string()), seconds(0)));
    assert_eq!(lane.fate(), Fate { taken: 0, lost: 5, waiting: MOST as u64, merged: 0 });
    assert_eq!(sent(&mut lane, 0), Some(("5".to_owned(), 5)), "the oldest went");
    lane.answered(&later(None), 5, seconds(0), 0.0);
    assert_eq!(sent(&mut lane, 1), Some(("5".to_owned(), 5)), "it was not heard");
    // One more finds no room while it is under way: it is not the one that is being sent.
    lane.push(plain("new"), seconds(1));
    lane.answered(&TAKEN, 5, seconds(1), 0.0);
    assert_eq!(sent(&mut lane, 1), Some(("7".to_owned(), 1)));
}

#[test]
fn what_is_a_day_old_is_no_news() {
    let mut lane = Lane::default();
    lane.push(plain("old"), seconds(0));
    lane.push(plain("new"), seconds(86_000));
    assert_eq!(sent(&mut lane, 86_401), Some(("new".to_owned(), 1)));
}

#[test]
fn an_outage_that_is_over_before_anybody_heard_of_it_is_one_message() {
    let mut lane = Lane::default();
    lane.push(plain("first"), seconds(0));
    lane.push(message("began", Some(("o", true)), "sla.breached"), seconds(0));
    lane.push(message("other", Some(("p", true)), "sla.breached"), seconds(0));
    lane.push(message("over", Some(("o", false)), "sla.recovered"), seconds(1));
    let mut order = Vec::new();
    while let Some((id, _)) = sent(&mut lane, 2) {
        lane.answered(&TAKEN, 0, seconds(2), 0.0);
        order.push(id);
    }
    assert_eq!(order, ["first", "other", "over"]);
    assert_eq!(lane.fate(), Fate { taken: 3, lost: 0, waiting: 0, merged: 1 });
}

#[test]
fn what_is_under_way_is_not_taken_back() {
    let mut lane = Lane::default();
    lane.push(message("began", Some(("o", true)), "sla.breached"), seconds(0));
    assert!(sent(&mut lane, 0).is_some());
    lane.push(message("over", Some(("o", false)), "sla.recovered"), seconds(1));
    lane.answered(&TAKEN, 0, seconds(2), 0.0);
    assert_eq!(sent(&mut lane, 2), Some(("over".to_owned(), 0)));
    assert_eq!(lane.fate().taken, 1);
}

#[test]
fn at_the_end_only_waits_that_were_asked_for_are_long() {
    for (after, waited) in [(None, Duration::from_millis(500)), (Some(60), seconds(60))] {
        let mut lane = Lane::default();
        lane.push(plain("a"), seconds(0));
        for _ in 0..8 {
            let now = lane.not_before;
            let _ = lane.next_try(now);
            lane.answered(&later(after), 0, now, 0.0);
        }
        let now = lane.not_before - Duration::from_secs(if after.is_some() { 60 } else { 128 });
        lane.hurry(now);
        assert_eq!(lane.not_before - now, waited);
    }
}
