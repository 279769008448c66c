//! Steering a run over HTTP, in whatever process it is: what is asked goes through the history, where the run's process
//! finds it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Path, State};
use plimsoll_history::{Answered, Fate, KeptCommand};
use plimsoll_run::{Change, Command, Refusal, Shape, Steered, Steerings};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::plans::Demand;
use crate::problem::{Kind, Problem};
use crate::route::{Doc, RUN, Route};
use crate::routes::App;
use crate::sent::Sent;
use crate::starts::{may_send_to, within};

/// How long a run may take to answer. Its process looks every second, and a busy file takes a few more.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is waited for the answer when the service is stopping.
const AT_ONCE: Duration = Duration::ZERO;

const SECOND: f64 = 1e9;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::post("/api/v1/runs/{run}/control", RUN, control).doc(Doc {
        body: Some("SteerRun"),
        ..Doc::json("steerRun", "Steers a run that goes on, and tells from when on it holds", "SteeredRun")
    })]
}

/// What a run is to do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SteerRun {
    command: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    scenario: Option<String>,
}

async fn control(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(asked): Path<String>,
    Sent(body): Sent<SteerRun>,
) -> Result<Json<Value>, Problem> {
    let change = Change::asked(&body.command, body.value.as_deref())
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    let run = app.live_run(&asked).await?;
    let command = Command { change, scenario: body.scenario, by: caller.name.clone() };
    let number = app.ask(&caller, &run, &command).await?;
    // Whoever asked may go away meanwhile: what nobody took is taken back all the same.
    let answered = tokio::spawn(async move { app.answered(&run, number).await }).await;
    answered.unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "waiting for the run failed"))).map(Json)
}

/// How a run is steered, as far as is known.
struct Course {
    shape: Shape,
    steerings: Steerings,
    /// Up to where, in seconds.
    now: f64,
    /// Where it is sent.
    targets: Vec<String>,
}

impl Course {
    /// Folds what somebody asked and the record does not have yet.
    fn take(&mut self, kept: &KeptCommand) {
        let effective = match kept.fate {
            Fate::Refused(_) => return,
            Fate::Done { effective, .. } => effective,
            Fate::Waiting | Fate::Taken => self.offset(),
        };
        let change = kept.command.change;
        let is_known = |known: &Steered| known.change == change && known.effective == effective;
        if self.steerings.all().iter().any(is_known) {
            return;
        }
        if let Ok(steered) = self.steerings.decide(&self.shape, &kept.command, effective, effective) {
            self.steerings.apply(&steered);
            // What was before it took effect is over by the time that anything else does.
            self.now = self.now.max(effective as f64 / SECOND);
        }
    }

    fn offset(&self) -> u64 {
        (self.now * SECOND) as u64
    }

    /// The most that is still to come.
    fn demand(&self) -> Demand {
        let (rate, users) = self.steerings.most_from(&self.shape, self.now);
        Demand { rate, users: users.ceil() as u32 }
    }

    /// The most that would still be to come. A refusal stands: nothing that leads to one is ever taken back.
    fn demand_with(&self, command: &Command) -> Result<Demand, Refusal> {
        let offset = self.offset();
        let steered = self.steerings.decide(&self.shape, command, offset, offset)?;
        let mut steerings = self.steerings.clone();
        steerings.apply(&steered);
        let (rate, users) = steerings.most_from(&self.shape, self.now);
        Ok(Demand { rate, users: users.ceil() as u32 })
    }
}

impl App {
    /// The run that goes on and is meant.
    async fn live_run(&self, asked: &str) -> Result<String, Problem> {
        if self.daemon.as_ref().is_some_and(|daemon| daemon.is_starting(asked))
            && self.followed.history().find(asked).await.is_err()
        {
            return Err(Problem::new(
                Kind::Conflict,
                "the run is only being started: it cannot be steered yet",
            ));
        }
        Ok(self.followed.history().find_live(asked).await?)
    }

    /// Asks a run for what its caller may ask for; gives the number of the command.
    async fn ask(&self, caller: &Caller, run: &str, command: &Command) -> Result<i64, Problem> {
        // One after the other: two that each have room may have none together.
        let _turn = self.steering.lock().await;
        let history = self.followed.history();
        let course = self.course(run).await?;
        let before = course.demand();
        let after = course.demand_with(command).map_err(|refusal| {
            Problem::new(Kind::Conflict, format!("run {run} is not steered: {refusal}"))
        })?;
        may_send_to(caller, &course.targets).await?;
        within(caller, after.beyond(before))?;
        let details = json!({ "change": command.change.to_string(), "scenario": command.scenario });
        if let Some(daemon) = &self.daemon {
            daemon.make_room(run, before, after)?;
        }
        let asked = match self.audit(caller, "run.steer", run, details).await {
            Ok(()) => history.ask(run, command).await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        if asked.is_err() {
            self.give_back(run, before);
        }
        asked
    }

    /// What became of a command, and what the run takes of the ceilings from then on.
    async fn answered(&self, run: &str, number: i64) -> Result<Value, Problem> {
        let history = self.followed.history();
        let waited = tokio::select! {
            waited = history.answered(number, PATIENCE) => waited,
            () = self.ended.cancelled() => history.answered(number, AT_ONCE).await,
        };
        if self.daemon.is_some() {
            let _turn = self.steering.lock().await;
            // What cannot be read now stays counted as it was asked for.
            if let Ok(course) = self.course(run).await {
                self.give_back(run, course.demand());
            }
        }
        told(run, waited?)
    }

    fn give_back(&self, run: &str, demand: Demand) {
        if let Some(daemon) = &self.daemon {
            daemon.set_demand(run, demand);
        }
    }

    async fn course(&self, run: &str) -> Result<Course, Problem> {
        let of = |state: &plimsoll_run::State| Course {
            shape: state.shape().clone(),
            steerings: state.steerings().clone(),
            now: state.last_second().map_or(0.0, |second| second as f64),
            targets: targets(state),
        };
        let mut course = self.followed.with_state(run, of).await?;
        for kept in self.followed.history().commands(run).await? {
            course.take(&kept);
        }
        Ok(course)
    }
}

/// Where a run is sent.
fn targets(state: &plimsoll_run::State) -> Vec<String> {
    let several = state.shape().addresses.iter().map(|address| &address.name);
    let several = several.filter(|name| name.contains("://"));
    std::iter::once(&state.started().info.target).chain(several).cloned().collect()
}

fn told(run: &str, answered: Answered) -> Result<Value, Problem> {
    let seconds = PATIENCE.as_secs();
    match answered {
        Answered::Done { effective, words } => {
            Ok(json!({ "from": effective as f64 / SECOND, "text": words }))
        }
        Answered::Refused(reason) => {
            Err(Problem::new(Kind::Conflict, format!("run {run} is not steered: {reason}")))
        }
        Answered::TakenBack => Err(Problem::new(
            Kind::Unanswered,
            format!(
                "nothing has changed: the process of run {run} has not answered for {seconds} s, and the command is \
                 taken back. The process is gone, stopped, still in its setup, or of a version that cannot be steered"
            ),
        )),
        Answered::Unsaid => Err(Problem::new(
            Kind::Unanswered,
            format!(
                "the process of run {run} took the command and has not said for {seconds} s what became of it; \
                 `steered` of the run tells whether it was carried out"
            ),
        )),
        Answered::Gone => Err(Problem::not_found(format!("run {run} has just been deleted"))),
    }
}
