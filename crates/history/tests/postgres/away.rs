//! A database that is away for a while, or whose answers are lost.

use std::io;
use std::sync::Arc;

use plimsoll_history::{Error, History, Recorder};
use plimsoll_testkit::Postgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::sample;
use crate::support::{DEADLINE, connect, first, history, lines, until};

/// What becomes of what is said to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The next commit arrives, its answer does not.
    Deaf,
    Gone,
}

/// The way to a database, which can be cut.
struct Wire {
    way: Arc<watch::Sender<Way>>,
    location: String,
}

impl Wire {
    /// To the database of a location.
    async fn to(location: &str) -> Self {
        let (_, rest) = location.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let location = format!("postgres://postgres@{}/{database}", listener.local_addr().unwrap());
        let way = Arc::new(watch::Sender::new(Way::Open));
        let ways = Arc::clone(&way);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (ways, server) = (Arc::clone(&ways), server.clone());
                // However it ends, both sides are told by the end of their connections.
                tokio::spawn(async move { drop(carry(client, &server, &ways).await) });
            }
        });
        Self { way, location }
    }
}

/// Carries what both sides say until one of them, or the way, ends.
async fn carry(mut client: TcpStream, server: &str, ways: &watch::Sender<Way>) -> io::Result<()> {
    let mut way = ways.subscribe();
    if *way.borrow() == Way::Gone {
        return Ok(());
    }
    let mut server = TcpStream::connect(server).await?;
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let said = &asked[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                server.write_all(said).await?;
                let is_commit = said.windows(7).any(|word| word == b"COMMIT\0");
                if is_commit && ways.send_if_modified(|way| std::mem::replace(way, Way::Open) == Way::Deaf) {
                    // It is done, and that is the end of it.
                    return server.read(&mut answered).await.map(drop);
                }
            }
            read = server.read(&mut answered) => {
                let said = &answered[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                client.write_all(said).await?;
            }
            () = gone(&mut way) => return Ok(()),
        }
    }
}

async fn gone(way: &mut watch::Receiver<Way>) {
    let _ = way.wait_for(|way| *way == Way::Gone).await;
}

#[tokio::test]
async fn a_run_goes_on_while_the_database_is_away() {
    let (place, direct) = history().await;
    let wire = Wire::to(place.location().to_str().unwrap()).await;
    let history = History::open(&wire.location).await.unwrap();
    let events = sample::events(&sample::started("run", 2), 60, 2, 3);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let (before, after) = events.split_at(20);
    before.iter().for_each(|event| recorder.record(event));
    until("the first part", async || (direct.events("run").await.unwrap().len() == 20).then_some(())).await;
    wire.way.send_replace(Way::Gone);
    let error = History::open(&wire.location).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    after.iter().for_each(|event| recorder.record(event));
    let trouble = until("the trouble", async || recorder.trouble()).await;
    assert!(trouble.contains("the history cannot be reached"), "{trouble}");
    wire.way.send_replace(Way::Open);
    let recorded = recorder.finish(DEADLINE).await;
    assert_eq!((recorded.lost_seconds, recorded.ended), (0, true));
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
}

/// Whoever hears no answer does not know whether it was done.
#[tokio::test]
async fn what_was_written_although_nobody_said_so_is_not_written_twice() {
    let (place, direct) = history().await;
    let wire = Wire::to(place.location().to_str().unwrap()).await;
    let history = History::open(&wire.location).await.unwrap();
    let events = sample::events(&sample::started("run", 2), 60, 2, 3);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    wire.way.send_replace(Way::Deaf);
    events.iter().for_each(|event| recorder.record(event));
    let recorded = recorder.finish(DEADLINE).await;
    assert_eq!((recorded.lost_seconds, recorded.ended), (0, true));
    assert_eq!(*wire.way.borrow(), Way::Open, "no answer was lost");
    assert_eq!(lines(&direct.events("run").await.unwrap()), lines(&events));
}

/// The right to be the one service is that of a session, which a database may end.
#[tokio::test]
async fn a_service_that_lost_its_session_takes_it_again_or_is_told() {
    let (_place, history) = history().await;
    let mut lock = history.lock_service().await.unwrap();
    let task = tokio::spawn(async move { lock.lost().await });
    let mut other = connect(&history).await;
    let holder = "SELECT CAST(held.pid AS BIGINT) FROM pg_locks AS held JOIN pg_database AS its \
                  ON its.oid = held.database AND its.datname = current_database() \
                  WHERE held.locktype = 'advisory' AND held.classid = 1347176787 AND held.pid <> $1";
    let mut ended = 0_i64;
    for _ in 0..2 {
        // The second one is of the session that was made in place of the first.
        ended = until("a session with the right", async || {
            sqlx::query_scalar(holder).bind(ended).fetch_optional(&mut other).await.unwrap()
        })
        .await;
        let end = sqlx::query("SELECT 1 WHERE pg_terminate_backend(CAST($1 AS INTEGER))").bind(ended);
        assert_eq!(end.fetch_all(&mut other).await.unwrap().len(), 1);
    }
    let _faster = until("the right", async || history.lock_service().await.ok()).await;
    let error = tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    assert!(matches!(error, Error::ServiceRuns { .. }), "{error}");
}

#[tokio::test]
async fn who_may_not_and_what_is_not_there_are_told_without_a_password() {
    let server = Postgres::shared().await.unwrap();
    let location = server.database().await.unwrap();
    let nobody = location.replace("//postgres@", "//nobody:hush@");
    let nowhere = format!("{}_nowhere?password=hush", location.replace("//postgres@", "//postgres:hush@"));
    for (location, told) in [(nobody, "role \"nobody\" does not exist"), (nowhere, "does not exist")] {
        let error = History::open(&location).await.unwrap_err();
        let words = crate::support::told(&error);
        assert!(matches!(error, Error::Unreachable { .. }) && words.contains(told), "{words}");
        assert!(!format!("{words}{error:?}").contains("hush"), "{error:?}");
    }
    let history = History::open(format!("{location}?password=hush")).await.unwrap();
    assert!(!format!("{history:?}{}", history.path().display()).contains("hush"), "{history:?}");
    let error = History::open("postgres://ann:hush@[::").await.unwrap_err();
    assert!(!format!("{error:?}{}", crate::support::told(&error)).contains("hush"), "{error:?}");
}

#[tokio::test]
async fn a_database_is_the_same_by_every_address_and_no_other_is() {
    let (place, direct) = history().await;
    let wire = Wire::to(place.location().to_str().unwrap()).await;
    let over_wire = History::open(&wire.location).await.unwrap();
    assert_ne!(over_wire.location(), direct.location());
    let identity = direct.identity().await.unwrap();
    assert_eq!(over_wire.identity().await.unwrap(), identity);
    assert!(identity.starts_with("plimsoll_") && identity.contains(".public, made on 2"), "{identity}");
    let (_place, other) = history().await;
    assert_ne!(other.identity().await.unwrap(), identity);
}
