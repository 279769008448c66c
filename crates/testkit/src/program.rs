//! The programs of other people that tests run, and where each of them comes from.

use std::ffi::OsStr;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Folders looked through beside `PATH`: Debian keeps servers in `/usr/sbin`, which an ordinary
/// user's `PATH` lacks.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// Programs whose package is a Python one: `cargo xtask test --only packages` puts them below the target folder.
const OF_PYTHON: [&str; 6] = [
    Program::AWS.name,
    Program::KAFKA.name,
    Program::OPENSEARCH.name,
    Program::ROTEL.name,
    Program::SCHEMATHESIS.name,
    Program::SMTP.name,
];

/// An installed program and the Debian or Python package that brings it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub name: &'static str,
    pub package: &'static str,
}

impl Program {
    pub const PROMETHEUS: Self = Self { name: "prometheus", package: "prometheus" };
    pub const PROMTOOL: Self = Self { name: "promtool", package: "prometheus" };
    pub const ALERTMANAGER: Self =
        Self { name: "prometheus-alertmanager", package: "prometheus-alertmanager" };
    pub const AMTOOL: Self = Self { name: "amtool", package: "prometheus-alertmanager" };
    pub const PUSHGATEWAY: Self = Self { name: "prometheus-pushgateway", package: "prometheus-pushgateway" };
    pub const INFLUXD: Self = Self { name: "influxd", package: "influxdb" };
    pub const VICTORIA_METRICS: Self = Self { name: "victoria-metrics", package: "victoria-metrics" };
    pub const NGINX: Self = Self { name: "nginx", package: "nginx" };
    pub const CADDY: Self = Self { name: "caddy", package: "caddy" };
    pub const TINYPROXY: Self = Self { name: "tinyproxy", package: "tinyproxy-bin" };
    pub const CHROMIUM: Self = Self { name: "chromium", package: "chromium" };
    pub const CHROMEDRIVER: Self = Self { name: "chromedriver", package: "chromium-driver" };
    pub const OPENSEARCH: Self = Self { name: "osmem-server", package: "osmem-server" };
    pub const ROTEL: Self = Self { name: "rotel-agent", package: "rotel" };
    pub const AWS: Self = Self { name: "ministack", package: "ministack" };
    pub const KAFKA: Self = Self { name: "noida-db", package: "noida-db" };
    pub const SCHEMATHESIS: Self = Self { name: "schemathesis", package: "schemathesis" };
    pub const SMTP: Self = Self { name: "aiosmtpd", package: "aiosmtpd" };
    pub const SETPRIV: Self = Self { name: "setpriv", package: "util-linux" };

    /// Finds the program.
    ///
    /// # Errors
    /// When it is not installed; the message names the package to install.
    pub fn locate(self) -> anyhow::Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
            .chain(python_programs())
            .map(|folder| folder.join(self.name))
            .find(|file| file.is_file());
        found.with_context(|| {
            if OF_PYTHON.contains(&self.name) {
                return format!("`{}` is not installed: cargo xtask test --only packages", self.name);
            }
            format!(
                "`{}` is not installed: apt-get install --no-install-recommends {}",
                self.name, self.package
            )
        })
    }
}

/// The programs of Python packages, beside the running test: `target/<profile>/deps/..`.
fn python_programs() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    Some(test.ancestors().nth(3)?.join("tools/python/bin"))
}

/// Runs a script of the Python that has the tools' packages, on this input, and returns what it printed.
///
/// # Errors
/// When it is not installed or ends with another code than 0; the message holds its output.
pub fn python(script: &str, input: &[u8]) -> anyhow::Result<String> {
    let python = python_programs().map(|folder| folder.join("python")).filter(|file| file.is_file());
    let python = python.context("the Python tools are not installed: cargo xtask test --only packages")?;
    let mut file = tempfile::tempfile()?;
    file.write_all(input)?;
    file.rewind()?;
    let output = Command::new(python).args(["-c", script]).stdin(file).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "python ended with {}:\n{said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs `promtool` and returns what it printed.
///
/// # Errors
/// When it is not installed or ends with another code than 0; the message holds its output.
pub fn promtool<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> anyhow::Result<String> {
    run_to_end(Program::PROMTOOL, folder, arguments)
}

/// Runs `amtool` and returns what it printed.
///
/// # Errors
/// As [`promtool`].
pub fn amtool<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> anyhow::Result<String> {
    run_to_end(Program::AMTOOL, folder, arguments)
}

fn run_to_end<A: AsRef<OsStr>>(program: Program, folder: &Path, arguments: &[A]) -> anyhow::Result<String> {
    let output = Command::new(program.locate()?).args(arguments).current_dir(folder).output()?;
    let printed =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !output.status.success() {
        bail!("`{}` ended with {}:\n{printed}", program.name, output.status);
    }
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Program { name: "no-such-program", package: "some-package" }.locate().unwrap_err();
        assert!(error.to_string().contains("`no-such-program` is not installed"), "{error}");
        assert!(error.to_string().contains("some-package"), "{error}");
    }

    #[test]
    fn promtool_tells_good_rules_from_bad_ones() {
        let folder = tempfile::tempdir().unwrap();
        let rules = |expression: &str| {
            format!("groups: [{{ name: g, rules: [{{ record: r, expr: {expression} }}] }}]")
        };
        std::fs::write(folder.path().join("good.yml"), rules("sum(up)")).unwrap();
        std::fs::write(folder.path().join("bad.yml"), rules("sum(up")).unwrap();
        promtool(folder.path(), &["check", "rules", "good.yml"]).unwrap();
        let error = promtool(folder.path(), &["check", "rules", "bad.yml"]).unwrap_err();
        assert!(error.to_string().contains("parse"), "{error}");
    }

    #[test]
    fn amtool_checks_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("good.yml"),
            "{ route: { receiver: x }, receivers: [{ name: x }] }",
        )
        .unwrap();
        std::fs::write(folder.path().join("bad.yml"), "{ route: { receiver: y }, receivers: [{ name: x }] }")
            .unwrap();
        amtool(folder.path(), &["check-config", "good.yml"]).unwrap();
        amtool(folder.path(), &["check-config", "bad.yml"]).unwrap_err();
    }
}
