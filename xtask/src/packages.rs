//! The Debian packages whose servers and tools the tests run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::bail;
use nix::unistd::geteuid;

use crate::command::run;

/// What the tests need, each with the reason.
const PACKAGES: [&str; 16] = [
    "prometheus",              // scrapes us; promtool checks rules
    "prometheus-alertmanager", // amtool checks its configuration
    "postgresql",              // keeps a history for several machines
    "prometheus-pushgateway",  // reads our text with Go's own parser
    "influxdb",                // a real line-protocol parser
    "victoria-metrics",        // a second reader of the same writes
    "nginx",                   // the neutral target, and InfluxDB's version 2 route
    "caddy",                   // HTTP/2 without TLS, client certificates, codings
    "tinyproxy-bin",           // a proxy between us and a target
    "wrk",                     // what our speed is compared with
    "chromium",                // opens the page and the report
    "chromium-driver",
    "fonts-dejavu-core", // without a font, screenshots show no text
    "jq",                // what people read our JSON with
    "valgrind",          // counts instructions
    "python3-venv",      // the environment of the tools that come as Python packages
];

/// Debian asks this script before a package starts its service; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what the tests need and is missing when that is possible, else names it.
pub(crate) fn ensure() -> anyhow::Result<()> {
    install(&PACKAGES)
}

/// Installs those of some packages that are missing when that is possible, else names them.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        println!("all {} packages are installed", packages.len());
        return Ok(());
    }
    if !geteuid().is_root() || !Path::new("/etc/debian_version").exists() {
        bail!(
            "these Debian packages are missing: {}\n  sudo apt-get install --no-install-recommends {}",
            missing.join(", "),
            missing.join(" ")
        );
    }
    println!("installing {}", missing.join(", "));
    forbid_starting_services()?;
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(missing))
}

/// Tests start their own servers on loopback; the packages' services would listen everywhere.
fn forbid_starting_services() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if !Path::new(POLICY).exists() {
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(POLICY, PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status}", package]).stderr(Stdio::null());
    // Without dpkg nothing can be known to be installed, and the list of what is missing says so.
    query.output().is_ok_and(|output| output.stdout == b"installed")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
    command
}
