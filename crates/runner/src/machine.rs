use plimsoll_run::Machine;
use sha2::{Digest, Sha256};

/// What is known of the machine this process runs on. What cannot be read stays empty.
pub fn machine() -> Machine {
    let cpu = line_of("/proc/cpuinfo", "model name").unwrap_or_default();
    let memory_bytes = line_of("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let system = nix::sys::utsname::uname().ok();
    let text = |value: Option<&std::ffi::OsStr>| {
        value.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    // Memory in whole gigabytes: kernels of one machine class differ by what they keep to themselves.
    let class = format!("{cpu}|{cores}|{}", memory_bytes >> 30);
    let fingerprint =
        Sha256::digest(class.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Machine {
        host: text(system.as_ref().map(|system| system.nodename())),
        cpu,
        cores,
        memory_bytes,
        system: format!(
            "{} {}",
            text(system.as_ref().map(|system| system.sysname())),
            text(system.as_ref().map(|system| system.release()))
        ),
        fingerprint,
    }
}

fn line_of(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// CPU time of this process, user and system, in seconds.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_machines_have_equal_fingerprints() {
        let (one, other) = (machine(), machine());
        assert_eq!(one, other);
        assert_eq!(one.fingerprint.len(), 12);
        assert!(one.cores >= 1);
    }
}
