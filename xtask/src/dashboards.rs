//! The dashboards against Grafana itself: its published types hold each file, and its own components draw them.
//!
//! There is no Grafana to be started, so both work without one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::command::{cargo, run};
use crate::npm;

const FOLDER: &str = "xtask/dashboards";

/// Compiles each dashboard as a value of Grafana's published types, and mistakes that must be found.
pub(crate) fn check_types() -> anyhow::Result<()> {
    let folder = installed("types")?;
    let source = crate::root()?.join(FOLDER).join("types");
    let mut boards = "import type { Board } from \"./board\";\nexport const boards: Board[] = [\n".to_owned();
    let promised = folder.join("promised");
    let promises = ["storefront", "checkout"].map(|name| format!("config/sla/{name}.yaml"));
    // Of the whole workspace, as the tests have it: alone it would be built once more, with other features.
    run(cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
    let mut rendered = Command::new(crate::target_folder()?.join("debug/plimsoll"));
    rendered.args(["sla", "dashboards"]).args(promises).current_dir(crate::root()?);
    run(rendered.arg("--out").arg(&promised))?;
    let mut files = within(&crate::root()?.join("grafana/dashboards"))?;
    files.extend(within(&promised)?);
    for file in &files {
        let text = std::fs::read_to_string(file)?;
        // JSON is TypeScript.
        write!(boards, "// {}\n{text},\n", file.display())?;
    }
    std::fs::write(folder.join("boards.ts"), boards + "];\n")?;
    for name in ["board.ts", "wrong.ts"] {
        std::fs::copy(source.join(name), folder.join(name))?;
    }
    let rules = ["--noEmit", "--strict", "--skipLibCheck", "--pretty", "false"];
    let modules = ["--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"];
    let mut compiler = Command::new("node_modules/.bin/tsc");
    run(compiler.args(rules).args(modules).args(["boards.ts", "wrong.ts"]).current_dir(&folder))?;
    println!("{} dashboards are as Grafana's types say", files.len());
    Ok(())
}

/// Draws every dashboard with Grafana's own components into `target/dashboards`, out of what a real run left in real servers.
pub(crate) fn draw() -> anyhow::Result<()> {
    let folder = installed("drawing")?;
    let source = crate::root()?.join(FOLDER).join("drawing");
    for name in ["draw.tsx", "index.html"] {
        std::fs::copy(source.join(name), folder.join(name))?;
    }
    let loaders =
        ["ttf", "woff", "woff2", "svg", "png", "gif"].map(|kind| format!("--loader:.{kind}=dataurl"));
    let mut bundler = Command::new("node_modules/.bin/esbuild");
    bundler.args(["draw.tsx", "--bundle", "--outfile=draw.js", "--jsx=automatic", "--log-level=error"]);
    bundler.args(["--define:process.env.NODE_ENV=\"production\"", "--define:global=window"]);
    run(bundler.args(loaders).current_dir(&folder))?;
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let pictures = crate::target_folder()?.join("dashboards");
    std::fs::create_dir_all(&pictures)?;
    let mut test = cargo();
    // The test of their queries has the servers, and draws where it is told what with.
    test.args(["test", "-p", "plimsoll-tests", "--test", "dashboards"]);
    run(test.env("PLIMSOLL_DASHBOARD_PAGE", &folder).env("PLIMSOLL_DASHBOARD_PICTURES", &pictures))?;
    println!("pictures: {}", pictures.display());
    Ok(())
}

/// The files of a folder, in order.
fn within(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{} is empty", folder.display());
    Ok(files)
}

fn installed(name: &str) -> anyhow::Result<PathBuf> {
    npm::installed(&format!("{FOLDER}/{name}"), &format!("dashboards/{name}"))
}
