//! Who the service tells, and a test that shows what each of them answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use plimsoll_notify::{Answer, Tested};
use plimsoll_run::NotifySettings;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::access::Caller;
use crate::problem::{Kind, Problem};
use crate::route::{ADMIN, Doc, Route};
use crate::routes::App;

/// Those whom the service's own configuration names.
#[derive(Debug, Default)]
pub(crate) struct Receivers {
    settings: NotifySettings,
    /// Held while a test is sent: people are not told twice by an impatient finger.
    testing: Arc<Mutex<()>>,
}

impl Receivers {
    pub(crate) fn new(settings: NotifySettings) -> Self {
        Self { settings, testing: Arc::default() }
    }

    /// Who they are, without a secret.
    pub(crate) fn told(&self) -> Vec<Value> {
        let told = self.settings.receivers.iter().map(|receiver| {
            json!({
                "name": receiver.name,
                "channel": receiver.channel.label(),
                "on": receiver.on.iter().map(|occasion| occasion.label()).collect::<Vec<_>>(),
                "at_most": receiver.at_most,
            })
        });
        told.collect()
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::post("/api/v1/notify/test", ADMIN, test).doc(Doc::json(
        "testNotify",
        "Sends a test to every receiver of the service's configuration and tells what each answered",
        "TestedReceivers",
    ))]
}

async fn test(State(app): State<App>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Problem> {
    let receivers = Arc::clone(&app.receivers);
    if receivers.settings.receivers.is_empty() {
        let words = "nobody is told: the service's configuration has no `notify`";
        return Err(Problem::new(Kind::Conflict, words));
    }
    let Ok(turn) = Arc::clone(&receivers.testing).try_lock_owned() else {
        return Err(Problem::new(Kind::Conflict, "a test is being sent already: wait for its end"));
    };
    let names: Vec<&str> = receivers.settings.receivers.iter().map(|receiver| &*receiver.name).collect();
    app.audit(&caller, "notify.test", &names.join(", "), json!({})).await?;
    // Whoever asked may go away meanwhile; what was begun is finished, and only then may the next one begin.
    let tested = tokio::spawn(async move {
        let tested = plimsoll_notify::test(&receivers.settings).await;
        drop(turn);
        tested
    });
    let failed = |error: String| Problem::new(Kind::Internal, format!("the test could not be sent: {error}"));
    let tested = tested.await.map_err(|_| failed("it panicked".to_owned()))?;
    let tested = tested.map_err(|error| failed(error.to_string()))?;
    Ok(Json(json!({ "receivers": tested.iter().map(told).collect::<Vec<_>>() })))
}

fn told(tested: &Tested) -> Value {
    let (taken, said) = match &tested.answer {
        Answer::Taken { said } => (true, said),
        Answer::Later { reason, .. } | Answer::Refused { reason } => (false, reason),
    };
    json!({
        "name": tested.receiver,
        "channel": tested.channel,
        "taken": taken,
        "said": said,
        "seconds": tested.took.as_secs_f64(),
    })
}
