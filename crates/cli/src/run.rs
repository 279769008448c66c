//! `plimsoll run`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use plimsoll_exporters::LiveMetrics;
use plimsoll_history::{History, Interrupted};
use plimsoll_report::{Run, Text};
use plimsoll_run::{Calibration, ExitCode, RunEvent, RunPlan, State};
use plimsoll_runner::{Control, Finished, RunConfig, sinks};
use tokio::sync::mpsc;

use crate::arguments::{OutputArguments, RunArguments};
use crate::plan::Changes;
use crate::{Outcome, Stop, calibrate, files, notify, once, plan, resume, signals, sla, view};

/// Events that may wait for the terminal. It draws several times a second, so they never do.
const WATCHED: usize = 1024;

pub(crate) async fn run(arguments: RunArguments) -> Outcome {
    let (_, slas) = sla::promises(&arguments.slas)?;
    let changes = Changes {
        set: arguments.set,
        tags: arguments.tags.into_iter().collect(),
        seed: arguments.seed,
        slas,
    };
    let mut parsed = plan::load(&arguments.plan, changes)?;
    parsed.plan.http.network.allowed = arguments.targets;
    if arguments.once {
        return once::once(parsed.plan, &arguments.output).await;
    }
    let history = files::history(&arguments.history).await?;
    let id = arguments.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let rows = resume::rows_of(&history, &parsed.plan, &id);
    let offered = Offered {
        plan: parsed.plan,
        begin: Begin { id: Some(id), resumed: None, rows },
        workers: arguments.workers.map_or_else(default_workers, usize::from),
        calibrates: !arguments.no_calibrate,
        strict: arguments.strict,
    };
    Box::pin(see_through(&history, offered, &arguments.output)).await
}

/// Which run it is.
#[derive(Debug, Default)]
pub(crate) struct Begin {
    /// Its id, where it is known beforehand.
    pub(crate) id: Option<String>,
    /// The run that it goes on with.
    pub(crate) resumed: Option<Box<Interrupted>>,
    /// Where it keeps which rows were used.
    pub(crate) rows: Option<PathBuf>,
}

/// A run that is recorded and told of.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) plan: RunPlan,
    pub(crate) begin: Begin,
    pub(crate) workers: usize,
    /// Whether it is learnt beforehand what this machine adds.
    pub(crate) calibrates: bool,
    pub(crate) strict: bool,
}

/// Runs a plan, records it, tells whom the plan names, and shows the result.
pub(crate) async fn see_through(history: &History, offered: Offered, output: &OutputArguments) -> Outcome {
    let Offered { plan, begin, workers, calibrates, strict } = offered;
    let control = Control::default();
    let stopper = control.clone();
    let _signals = signals::on_interrupt(move || stopper.stop()).map_err(Stop::internal)?;
    let live = Arc::new(LiveMetrics::new());
    let calibration = match calibrates {
        true => Box::pin(calibrate::before(&plan, workers, &control)).await,
        false => None,
    };
    let told = notify::Told::begin(&plan)?;
    // It had begun, and may well be going on: in another process.
    let has_begun = begin.resumed.is_some();
    let finished = offer(
        Arc::new(plan),
        begin,
        workers,
        calibration,
        Some(history),
        live,
        output,
        &control,
        Vec::new(),
        told.observer(),
    )
    .await;
    let finished = match finished {
        Ok(finished) => finished,
        Err(stop) => {
            if has_begun {
                told.finish().await;
            } else {
                told.not_begun(&stop).await;
            }
            return Err(stop);
        }
    };
    let summary = finished.state.summary();
    let code = ExitCode::of_run(&summary, strict);
    // It is told while everything else is concluded.
    told.ended(&summary, code, output.files.report.as_deref());
    let concluded = conclude(finished, Some(history), output, plimsoll_report::text).await;
    told.finish().await;
    // A run that is not wholly in the record is our failure, however it ended.
    concluded.map(|recorded| if recorded { code } else { ExitCode::Internal })
}

pub(crate) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs a plan with the view that was asked for. `observe` sees every event before the view does.
#[expect(clippy::too_many_arguments, reason = "each is one thing a command decides")]
pub(crate) async fn offer(
    plan: Arc<RunPlan>,
    begin: Begin,
    workers: usize,
    calibration: Option<Calibration>,
    history: Option<&History>,
    live: Arc<LiveMetrics>,
    output: &OutputArguments,
    control: &Control,
    mut banner: Vec<String>,
    mut observe: impl FnMut(&RunEvent) + Send + 'static,
) -> Result<Finished, Stop> {
    let exporters = sinks::exporters(&plan.export, history, live).await.map_err(Stop::usage)?;
    banner.extend(exporters.metrics_addr().map(|addr| format!("metrics  http://{addr}/metrics")));
    let (watcher, mut events) = mpsc::channel(WATCHED);
    let (shower, shown) = mpsc::channel(WATCHED);
    let view = tokio::spawn(view::follow(shown, style(output), banner));
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            observe(&event);
            // A terminal that hangs must not hold the observer back.
            let _ = shower.try_send(event);
        }
    });
    let config = RunConfig {
        plan,
        id: begin.id,
        resumed: begin.resumed,
        rows: begin.rows,
        workers,
        plimsoll: env!("CARGO_PKG_VERSION").to_owned(),
        calibration,
        history: history.cloned(),
        exporters,
        watcher: Some(watcher),
    };
    let finished = Box::pin(plimsoll_runner::run(config, control.clone())).await;
    // The channel is closed now, so the view ends by itself and gives the terminal back.
    let _ = view.await;
    finished.map_err(Stop::usage)
}

fn style(output: &OutputArguments) -> view::Style {
    if output.quiet {
        view::Style::Quiet
    } else if output.no_tui || !std::io::stderr().is_terminal() {
        view::Style::Plain
    } else {
        view::Style::Live
    }
}

/// How a result reads on a terminal.
pub(crate) type Form = fn(&Run, &Text) -> String;

/// Prints and writes the result, then does what need not be waited for. Says whether the record is whole, where there is one.
pub(crate) async fn conclude(
    finished: Finished,
    history: Option<&History>,
    output: &OutputArguments,
    form: Form,
) -> Result<bool, Stop> {
    let run = Run::of(&finished.state);
    let mut written = files::write(std::slice::from_ref(&run), &output.files);
    if !output.quiet {
        print(&run, form, std::mem::take(&mut written.files), files::uses_stdout(&output.files));
    }
    let told = written.tell();
    let whole = recorded(&finished);
    if let Some(history) = history {
        let summary = plimsoll_report::json(&run).to_string();
        if let Err(error) = history.set_summary(&run.summary.info.id, &summary).await {
            crate::say::errln!("warning: the summary is not in the history: {error}");
        }
    }
    finished.exporters.close().await;
    if let Some(history) = history {
        settle(history, &finished.state).await;
    }
    told.map(|()| whole)
}

/// What a record is given once nobody waits for it any more.
async fn settle(history: &History, state: &State) {
    if let Err(error) = Box::pin(crate::capacity::keep_soon(history, state)).await {
        crate::say::errln!("warning: what the run says about capacity is not in the history: {error:#}");
    }
    // Rows become chunks; a record that could not be compacted is as good, only larger.
    if let Err(error) = history.compact().await {
        crate::say::errln!("warning: the record was not compacted: {error}");
    }
}

fn recorded(finished: &Finished) -> bool {
    let Some(recorded) = &finished.recorded else { return true };
    if let Some(trouble) = &recorded.trouble {
        crate::say::errln!("warning: {trouble}");
    }
    if recorded.lost_seconds > 0 {
        let error = anyhow!("{} s of this run are not in the history", recorded.lost_seconds);
        crate::say::errln!("error: {error}");
    }
    recorded.lost_seconds == 0 && recorded.ended
}

/// How text for people looks where it goes.
pub(crate) fn text_options(files: Vec<(String, String)>, to_stderr: bool) -> Text {
    let terminal = if to_stderr { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    let color = terminal && plan::no_color_is_unset();
    let width = crossterm::terminal::size().map_or(100, |(width, _)| usize::from(width));
    Text { width, color, files }
}

fn print(run: &Run, form: Form, written: Vec<(String, String)>, to_stderr: bool) {
    let text = form(run, &text_options(written, to_stderr));
    if to_stderr {
        crate::say::err!("{text}");
    } else {
        crate::say::out!("{text}");
    }
}
