//! wrk against itself: how far apart equal things look on this machine.

use super::machine::{Server, free_port, pinned, run, wrk_requests};
use super::ratio::{interleave, table};
use super::{Arguments, GENERATOR_CORE, TARGET_CORE};

pub(super) fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = crate::target_folder()?.join("bench");
    std::fs::create_dir_all(&folder)?;
    let port = free_port()?;
    let _nginx = Server::nginx(TARGET_CORE, &folder, port)?;
    let url = format!("http://127.0.0.1:{port}/");
    let duration = format!("{}s", arguments.seconds);
    let wrk = || {
        let mut command = pinned(GENERATOR_CORE, "wrk");
        let finished =
            run(command.args(["--threads", "1", "--connections", "64", "--duration", &duration, &url]))?;
        Ok(wrk_requests(&finished.output)? / finished.cpu_seconds)
    };
    let pairs = interleave(arguments.rounds, wrk, wrk)?;
    print!("{}", table("requests per generator CPU-second", ["wrk", "wrk again"], &pairs));
    Ok(())
}
