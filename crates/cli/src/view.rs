//! placeholder until the view lands
use plimsoll_run::RunEvent;
use tokio::sync::mpsc;
pub(crate) enum Style {
    Live,
    Plain,
    Quiet,
}
pub(crate) async fn follow(
    mut events: mpsc::Receiver<RunEvent>,
    _style: Style,
    _stop: impl Fn() + Send,
    _banner: Vec<String>,
) {
    while events.recv().await.is_some() {}
}
