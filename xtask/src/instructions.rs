//! How many instructions of our own a request takes, counted by callgrind.
//!
//! Times tell little on a machine that others use; the number of instructions hardly changes. The
//! program counted is an example of the driver's crate: a closed loop of n requests against a server
//! in another process. What it takes to start and to end is the same for n and for 3n, so
//! `(I(3n) - I(n)) / 2n` is what one request takes, in user space; the kernel's part is not seen.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::command::{cargo, describe, read, run};
use crate::null_server;

/// The most instructions a request may take: what it takes now and 5%. It only ever goes down.
const LIMIT: f64 = 4_350.0;

/// n. Enough that the seconds which pass meanwhile do not matter, few enough for half a minute.
const REQUESTS: u64 = 40_000;

/// The count is exact for what the program did, and it does a little more where the server made it
/// wait: a count over the limit is taken again, and the least one stands.
const ATTEMPTS: u32 = 3;

/// How many functions are listed.
const LISTED: usize = 30;

/// Fails when a request takes more than the limit.
pub(crate) fn check() -> anyhow::Result<()> {
    let counted = Counted::build()?;
    let mut least = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        least = least.min(counted.per_request()?);
        if least <= LIMIT {
            break;
        }
    }
    println!("{least:.0} instructions per request, at most {LIMIT:.0} are allowed");
    ensure!(
        least <= LIMIT,
        "a request takes {least:.0} instructions in user space, more than {LIMIT:.0}: \
         `cargo xtask bench instructions` says in which functions"
    );
    Ok(())
}

/// Prints the count and the functions that take the most.
pub(crate) fn show() -> anyhow::Result<()> {
    let counted = Counted::build()?;
    println!("{:.0} instructions per request, {LIMIT:.0} are allowed\n", counted.per_request()?);
    let annotated =
        read(Command::new("callgrind_annotate").arg("--auto=no").arg(counted.profile(3 * REQUESTS)))?;
    print!("{}", functions(&annotated, 3 * REQUESTS));
    Ok(())
}

/// The count by itself, for tables.
pub(crate) fn per_request() -> anyhow::Result<f64> {
    Counted::build()?.per_request()
}

/// The program, built, and where its profiles go.
struct Counted {
    program: PathBuf,
    folder: PathBuf,
}

impl Counted {
    fn build() -> anyhow::Result<Self> {
        run(cargo()
            .args(["build", "--quiet", "--profile", "instructions", "--package", "plimsoll-driver"])
            .args(["--example", "closed_loop"]))?;
        let target = crate::target_folder()?;
        let folder = target.join("instructions");
        let counted = Self { program: folder.join("examples").join("closed_loop"), folder };
        // Failures may well be cheaper than answers, and are not what is counted.
        let mut checked = Command::new(&counted.program);
        run(checked.arg(null_server::start()?.to_string()).arg(REQUESTS.to_string()).arg("check"))?;
        Ok(counted)
    }

    fn profile(&self, requests: u64) -> PathBuf {
        self.folder.join(format!("callgrind.{requests}.out"))
    }

    fn per_request(&self) -> anyhow::Result<f64> {
        let few = self.total(REQUESTS)?;
        let many = self.total(3 * REQUESTS)?;
        ensure!(many > few, "{many} instructions for three times the requests that took {few}");
        Ok((many - few) as f64 / (2 * REQUESTS) as f64)
    }

    /// Instructions of a whole run of the program.
    fn total(&self, requests: u64) -> anyhow::Result<u64> {
        let server = null_server::start()?;
        let profile = self.profile(requests);
        let mut command = Command::new("valgrind");
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", profile.display()));
        command.arg(&self.program).arg(server.to_string()).arg(requests.to_string());
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}: is valgrind installed?", describe(&command)))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended with {}:\n{said}", describe(&command), output.status);
        total(&read_file(&profile)?)
    }
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The sum of a profile.
fn total(profile: &str) -> anyhow::Result<u64> {
    let line =
        profile.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total = line.and_then(|line| line.trim().parse().ok());
    total.context("callgrind wrote no total")
}

/// The functions of `callgrind_annotate`'s table, with their share in instructions per request.
fn functions(annotated: &str, requests: u64) -> String {
    let rows = annotated.lines().filter_map(|line| {
        let (count, rest) = line.trim_start().split_once(" (")?;
        let (_, name) = rest.split_once(")  ")?;
        let count: u64 = count.replace(',', "").parse().ok()?;
        let name = name.rsplit_once(" [").map_or(name, |(name, _)| name);
        // Where a dependency's source lies on this machine tells nothing.
        let name = name.rsplit_once("/registry/src/").map_or(name, |(_, rest)| rest);
        (!name.contains("PROGRAM TOTALS")).then_some((count, name))
    });
    let rows = rows.take(LISTED);
    rows.map(|(count, name)| format!("{:>8.1}  {name}\n", count as f64 / requests as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_profile_is_read() {
        assert_eq!(total("version: 1\nevents: Ir\nfn=(1) x\n1 2\n\ntotals: 1603422\n").unwrap(), 1_603_422);
        assert_eq!(total("summary: 7\n").unwrap(), 7);
        total("events: Ir\n").unwrap_err();
        total("totals: many\n").unwrap_err();
    }

    #[test]
    fn functions_are_listed_per_request() {
        let annotated = "\
--------------------------------------------------------------------------------\n\
Ir                      \n\
--------------------------------------------------------------------------------\n\
1,603,422 (100.0%)  PROGRAM TOTALS\n\
\n\
Ir                    file:function\n\
801,711 (50.00%)  ???:hyper::proto::h1::role::write_headers [/a/b/closed_loop]\n  \
300,000 (18.00%)  /home/x/.cargo/registry/src/index-1/hyper-1.12.0/src/role.rs:parse [/a/b]\n\
160,342 (10.00%)  memcpy-vec.S:__memcpy_avx [/usr/lib/libc.so.6]\n";
        assert_eq!(
            functions(annotated, 1000),
            "   801.7  ???:hyper::proto::h1::role::write_headers\n   300.0  index-1/hyper-1.12.0/src/role.rs:parse\n   160.3  memcpy-vec.S:__memcpy_avx\n"
        );
    }
}
