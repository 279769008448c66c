//! What the tests run that comes as packages of Python and npm, each pinned, below the target folder: of Python in a
//! virtual environment.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::command::run;
use crate::npm;

/// A package with its version and, where tests start a program of it that is not among the environment's programs by itself, the
/// program's name and where it lies in the environment's packages.
const TOOLS: [(&str, Option<(&str, &str)>); 7] = [
    ("aiosmtpd==1.4.6", None),   // a mail server that keeps what it takes
    ("ministack==1.5.33", None), // an emulator of Amazon Web Services; its start script becomes the server
    ("noida-db==0.2.3", Some(("noida-db", "noida_db/noida-db"))), // an emulator of Kafka
    ("osmem-server==0.1.6", Some(("osmem-server", "osmem_server/bin/osmem-server"))), // an emulator of OpenSearch
    ("rotel==0.0.1a15", Some(("rotel-agent", "rotel/rotel-agent"))), // a collector that reads the OpenTelemetry protocol
    ("prometheus_client==0.26.0", None),                             // the reference parser of OpenMetrics
    ("schemathesis==4.32.5", None), // makes requests out of the document of an HTTP API and holds the answers against it
];

/// axe-core, which the tests of the pages run in a browser: MPL-2.0, a tool of the tests and part of nothing that is built.
const ACCESSIBILITY: &str = "xtask/accessibility";

/// Installs what is missing.
pub(crate) fn ensure() -> anyhow::Result<()> {
    npm::installed(ACCESSIBILITY, "accessibility")?;
    let environment = crate::target_folder()?.join("tools/python");
    let missing: Vec<_> =
        TOOLS.iter().filter(|(package, ..)| !marker(&environment, package).exists()).collect();
    if missing.is_empty() {
        println!("all {} Python tools are installed", TOOLS.len());
        return Ok(());
    }
    if !environment.join("bin/pip").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    for (package, program) in missing {
        println!("installing {package}");
        let mut pip = Command::new(environment.join("bin/pip"));
        run(pip.args(["install", "--quiet", "--disable-pip-version-check", package]))?;
        if let Some((program, file)) = program {
            link(&environment, program, file).with_context(|| format!("{package} has no {file}"))?;
        }
        std::fs::write(marker(&environment, package), "")?;
    }
    Ok(())
}

/// Puts the program itself among the environment's programs: a start script would be one process more to stop.
fn link(environment: &Path, program: &str, file: &str) -> anyhow::Result<()> {
    let python = environment.join("bin/python");
    let code = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let packages = crate::command::read(Command::new(python).args(["-c", code]))?;
    let target = Path::new(packages.trim()).join(file).canonicalize()?;
    let link = environment.join("bin").join(program);
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(&link)?;
    }
    Ok(std::os::unix::fs::symlink(target, link)?)
}

/// Is there once a package is installed whole.
fn marker(environment: &Path, package: &str) -> std::path::PathBuf {
    environment.join(format!(".installed-{package}"))
}
