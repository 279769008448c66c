//! Packages of npm that tests and checks use, each pinned by a lock file, below the target folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::run;
use crate::packages;

/// Installs exactly what the lock file of the folder `source` says, and returns where: `target/tools/` and `name`.
pub(crate) fn installed(source: &str, name: &str) -> anyhow::Result<PathBuf> {
    if !is_there("npm") {
        packages::install(&["npm"])?;
    }
    let from = crate::root()?.join(source);
    let folder = crate::target_folder()?.join("tools").join(name);
    let (lock, marker) = ("package-lock.json", folder.join(".installed"));
    if read(&marker) != read(&from.join(lock)) {
        println!("installing what {source} names");
        std::fs::create_dir_all(&folder)?;
        for file in ["package.json", lock] {
            std::fs::copy(from.join(file), folder.join(file))?;
        }
        let quietly = ["--no-audit", "--no-fund", "--loglevel=error"];
        let mut npm = Command::new("npm");
        run(npm.args(["ci", "--ignore-scripts", "--legacy-peer-deps"]).args(quietly).current_dir(&folder))?;
        std::fs::copy(from.join(lock), marker)?;
    }
    Ok(folder)
}

fn read(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}
