//! The kernel's texts under `/proc` and `/sys`, as far as vitals need them. What a text does not say
//! is `None`; formats are those of proc(5) and the kernel's documentation of cgroups and pressure.

/// Ticks per second in `/proc/*/stat`: part of Linux's binary interface, whatever the kernel counts in.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// Name and CPU time in ticks (user and system) of `/proc/<pid>/task/<tid>/stat`.
pub(crate) fn thread(text: &str) -> Option<(&str, u64)> {
    // The name stands in brackets and may hold any character, brackets too.
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let name = text.get(open + 1..close)?;
    // The first field behind the name is the third of the line; user time is the 14th, system time the 15th.
    let mut fields = text.get(close + 1..)?.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some((name, user.checked_add(system)?))
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// CPU time, user and system.
    pub(crate) ticks: u64,
    pub(crate) threads: u64,
    /// When it started, in ticks since the machine did.
    pub(crate) started: u64,
}

/// Reads `/proc/<pid>/stat`.
pub(crate) fn process(text: &str) -> Option<Process> {
    let (_, ticks) = thread(text)?;
    // Threads are the 20th field, the start the 22nd; the first behind the name is the third.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().skip(17);
    let (threads, started) = (fields.next()?.parse().ok()?, fields.nth(1)?.parse().ok()?);
    Some(Process { ticks, threads, started })
}

/// Nanoseconds on a processor, and nanoseconds ready to run without one, of `/proc/<pid>/task/<tid>/schedstat`.
pub(crate) fn schedule(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// Ticks of all processors, and of those the ones stolen, of `/proc/stat`.
pub(crate) fn machine_cpu(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // user nice system idle iowait irq softirq steal; what follows is part of user.
    let fields = line.split_ascii_whitespace().take(8).map(str::parse::<u64>);
    let fields: Vec<u64> = fields.collect::<Result<_, _>>().ok()?;
    let steal = *fields.get(7)?;
    Some((fields.iter().try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))?, steal))
}

/// The number of each processor and the ticks for which it was busy, of `/proc/stat`.
pub(crate) fn processors(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, fields) = line.split_once(' ')?;
        let number = name.strip_prefix("cpu").filter(|number| !number.is_empty())?;
        // user nice system idle iowait irq softirq: what is neither idle nor waits for a disk. Time that
        // the host gave to others comes after these.
        let fields = fields.split_ascii_whitespace().take(7).map(str::parse::<u64>);
        let fields: Vec<u64> = fields.collect::<Result<_, _>>().ok()?;
        let [user, nice, system, _, _, irq, softirq] = fields[..] else { return None };
        let busy = [user, nice, system, irq, softirq];
        Some((number, busy.iter().try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))?))
    })
}

/// Tasks that run or are ready to, of `/proc/stat`.
pub(crate) fn running(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("procs_running "))?.trim().parse().ok()
}

/// The sockets (by inode) that listen on a port, of `/proc/net/tcp` or `tcp6`.
pub(crate) fn listening(text: &str, port: u16) -> impl Iterator<Item = u64> {
    const LISTEN: &str = "0A";
    text.lines().filter_map(move |line| {
        // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (_, local) = fields.next()?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16).ok()? == port && fields.nth(1)? == LISTEN;
        fields.nth(5).filter(|_| is_it)?.parse().ok()
    })
}

/// A count of one line of `/proc/net/sockstat` or `sockstat6`: `TCP: inuse 5 orphan 0 tw 3`.
pub(crate) fn sockets(text: &str, protocol: &str, what: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'))?;
    let mut words = line.split_ascii_whitespace();
    words.by_ref().find(|word| *word == what)?;
    words.next()?.parse().ok()
}

/// How many ports `/proc/sys/net/ipv4/ip_local_port_range` spans.
pub(crate) fn port_range(text: &str) -> Option<u64> {
    let mut bounds = text.split_ascii_whitespace().map(str::parse::<u16>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    last.checked_sub(first).map(|more| u64::from(more) + 1)
}

/// A counter of `/proc/net/snmp` or `/proc/net/netstat`, where a line of names precedes each line of values.
pub(crate) fn network_counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(':'));
    let position = lines.next()?.split_ascii_whitespace().position(|known| known == name)?;
    lines.next()?.split_ascii_whitespace().nth(position)?.parse().ok()
}

/// Name, bytes received and bytes sent of each interface of `/proc/net/dev`.
pub(crate) fn interfaces(text: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    text.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let mut counters = counters.split_ascii_whitespace();
        let received = counters.next()?.parse().ok()?;
        Some((name.trim(), received, counters.nth(7)?.parse().ok()?))
    })
}

/// A count of a line `key: 123`, as in `/proc/<pid>/io`.
pub(crate) fn counted(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?.trim().parse().ok()
}

/// Name, bytes read and bytes written of each device and partition of `/proc/diskstats`.
pub(crate) fn disks(text: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    /// The kernel counts in these here, whatever the device's own are.
    const SECTOR: u64 = 512;
    text.lines().filter_map(|line| {
        // major minor name reads merged sectors-read ms writes merged sectors-written
        let mut fields = line.split_ascii_whitespace().skip(2);
        let name = fields.next()?;
        let mut sectors = |before: usize| fields.nth(before)?.parse::<u64>().ok()?.checked_mul(SECTOR);
        Some((name, sectors(2)?, sectors(3)?))
    })
}

/// Bytes per second that `/sys/class/net/*/speed` (in megabits per second) stands for. Interfaces
/// without a speed of their own say -1 or nothing.
pub(crate) fn link_speed(text: &str) -> Option<f64> {
    let megabits = text.trim().parse::<i64>().ok().filter(|megabits| *megabits > 0)?;
    Some(megabits as f64 * 1e6 / 8.0)
}

/// Bytes of a line `Key:   123 kB`, as in `/proc/meminfo` and `/proc/self/status`.
pub(crate) fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Microseconds in which some task waited, since the machine started, of `/proc/pressure/*`.
pub(crate) fn pressure(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split_ascii_whitespace().find_map(|field| field.strip_prefix("total="))?.parse().ok()
}

/// Seconds for which a quota held the group, of its `cpu.stat`: `throttled_usec` in the second version
/// of cgroups, `throttled_time` in nanoseconds in the first.
pub(crate) fn throttled(text: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        let scale = match key {
            "throttled_usec" => 1e-6,
            "throttled_time" => 1e-9,
            _ => return None,
        };
        Some(value.trim().parse::<u64>().ok()? as f64 * scale)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thread_has_a_name_and_time() {
        let rest = "S 1 1 1 0 -1 4194304 102 0 0 0 7 5 0 0 20 0 1 0 1192843 3133440";
        for (name, text) in [
            ("worker-0", format!("22169 (worker-0) {rest}")),
            ("a) (b", format!("1 (a) (b) {rest}")),
            ("", format!("1 () {rest}")),
        ] {
            assert_eq!(thread(&text), Some((name, 12)), "{text}");
        }
        for text in
            ["", "1 (worker-0", "1 (worker-0) S 1 1", "1 )worker( S", "1 (w) S 1 1 1 0 -1 4 1 0 0 0 x 5"]
        {
            assert_eq!(thread(text), None, "{text}");
        }
    }

    #[test]
    fn a_process_has_time_threads_and_a_start() {
        let stat = "7 (a ) odd) name) S 1 1 1 0 -1 4194304 102 0 0 0 7 5 0 0 20 0 3 0 1192843 3133440";
        assert_eq!(process(stat), Some(Process { ticks: 12, threads: 3, started: 1_192_843 }));
        for end in [10, 40, 65] {
            assert_eq!(process(&stat[..end]), None, "{}", &stat[..end]);
        }
    }

    #[test]
    fn a_machine_has_processors_tasks_and_listeners() {
        let stat = "cpu  9 9 9 9 9 9 9 9\ncpu0 1 2 3 100 100 4 5 100 1\ncpu12 10 0 0 1 1 0 0\ncpu1 1 2 x 1 1 1 1\ncpu2 1\nintr 5\nprocs_running 3\n";
        assert_eq!(processors(stat).collect::<Vec<_>>(), [("0", 15), ("12", 10)]);
        assert_eq!((running(stat), running("procs_blocked 1")), (Some(3), None));
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
                   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n\
                   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1\n\
                   3: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4714 1\n";
        assert_eq!(listening(tcp, 8080).collect::<Vec<_>>(), [4711, 4714]);
        assert_eq!(listening("0: :1F90 x 0A 1 2 3 4 5\n", 8080).count(), 0);
    }

    #[test]
    fn what_a_text_says_is_found_and_what_it_does_not_say_is_not() {
        assert_eq!(schedule("123 456 7\n"), Some((123, 456)));
        assert_eq!(
            (schedule(""), schedule("1"), schedule("a b c"), schedule("-1 2 3")),
            (None, None, None, None)
        );

        assert_eq!(
            machine_cpu("cpu  10 20 30 40 50 60 70 80 5 5\ncpu0 1 1 1 1 1 1 1 1 0 0\n"),
            Some((360, 80))
        );
        for text in [
            "",
            "cpu0 1 1 1 1 1 1 1 1",
            "cpu  1 2 3",
            "cpu  1 2 3 4 5 6 7 x",
            "cpu  18446744073709551615 1 0 0 0 0 0 0",
        ] {
            assert_eq!(machine_cpu(text), None, "{text}");
        }

        let sockstat = "sockets: used 27\nTCP: inuse 3 orphan 0 tw 41 alloc 3 mem 172\nUDP: inuse 9 mem 0\n";
        assert_eq!(sockets(sockstat, "TCP", "inuse"), Some(3));
        assert_eq!(sockets(sockstat, "TCP", "tw"), Some(41));
        assert_eq!(sockets(sockstat, "UDP", "tw"), None);
        assert_eq!(sockets(sockstat, "TCP6", "inuse"), None);
        assert_eq!(sockets("TCP: inuse", "TCP", "inuse"), None);

        assert_eq!(port_range("32768\t60999\n"), Some(28_232));
        assert_eq!(port_range("5 5"), Some(1));
        for text in ["", "1", "60999 32768", "1 70000"] {
            assert_eq!(port_range(text), None, "{text}");
        }

        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 743 0\n";
        assert_eq!(network_counter(snmp, "Tcp", "RetransSegs"), Some(743));
        assert_eq!(network_counter(snmp, "Tcp", "Else"), None);
        assert_eq!(network_counter(snmp, "Udp", "InErrs"), None);
        assert_eq!(network_counter("Tcp: RetransSegs\n", "Tcp", "RetransSegs"), None);

        let dev = "Inter-|   Receive\n face |bytes\n    lo: 31 15 0 0 0 0 0 0 32 15 0 0 0 0 0 0\n  eth0:624 3 0 0 0 0 0 0 22 2 0 0 0 0 0 0\n";
        assert_eq!(interfaces(dev).collect::<Vec<_>>(), [("lo", 31, 32), ("eth0", 624, 22)]);
        assert_eq!(interfaces("eth0: 1 2 3").count(), 0);
        let io = "rchar: 5\nread_bytes: 4096\nwrite_bytes: 0\ncancelled_write_bytes: 7\n";
        assert_eq!((counted(io, "read_bytes"), counted(io, "write_bytes")), (Some(4096), Some(0)));
        assert_eq!((counted(io, "bytes"), counted("read_bytes: x", "read_bytes")), (None, None));
        let stats = "   8       0 sda 10 1 200 5 20 2 400 6 0 7 8\n   8       1 sda1 1 0 2 0 0 0 0 0 0 0 0\nshort 1 x\n";
        assert_eq!(disks(stats).collect::<Vec<_>>(), [("sda", 102_400, 204_800), ("sda1", 1024, 0)]);

        assert_eq!(link_speed("1000\n"), Some(125e6));
        assert_eq!((link_speed("-1\n"), link_speed("0"), link_speed("")), (None, None, None));

        let meminfo = "MemTotal:  100 kB\nMemAvailable:    3 kB\nHugePages_Total:   0\n";
        assert_eq!(kilobytes(meminfo, "MemAvailable"), Some(3072));
        assert_eq!(kilobytes(meminfo, "Mem"), None);
        assert_eq!(kilobytes(meminfo, "HugePages_Total"), None);
        assert_eq!(kilobytes("A: 18446744073709551615 kB", "A"), None);

        assert_eq!(
            pressure("some avg10=0.00 avg60=0.00 avg300=0.10 total=647\nfull avg10=0.0 total=61\n"),
            Some(647)
        );
        assert_eq!((pressure(""), pressure("full total=61"), pressure("some avg10=0")), (None, None, None));

        assert_eq!(throttled("usage_usec 5\nnr_throttled 3\nthrottled_usec 2000000\n"), Some(2.0));
        assert_eq!(throttled("nr_periods 0\nnr_throttled 0\nthrottled_time 3000000000\n"), Some(3.0));
        assert_eq!((throttled("usage_usec 5\n"), throttled("throttled_usec\n")), (None, None));
    }

    proptest! {
        #[test]
        fn no_text_panics(
            pieces in prop::collection::vec(prop_oneof![
                Just("cpu ".to_owned()), Just("TCP:".to_owned()), Just("Tcp: A".to_owned()), Just("some total=".to_owned()),
                Just("throttled_usec ".to_owned()), Just("A: 1 kB".to_owned()), Just("(".to_owned()), Just(")".to_owned()),
                Just("\n".to_owned()), Just(" ".to_owned()), "[0-9]{1,22}", ".{0,9}",
            ], 0..30),
        ) {
            let text = pieces.concat();
            let _ = (thread(&text), schedule(&text), machine_cpu(&text), port_range(&text));
            let _ = (sockets(&text, "TCP", "tw"), network_counter(&text, "Tcp", "A"), interfaces(&text).count());
            let _ = (counted(&text, "read_bytes"), disks(&text).count());
            let _ = (process(&text), processors(&text).count(), running(&text), listening(&text, 8).count());
            let _ = (link_speed(&text), kilobytes(&text, "A"), pressure(&text), throttled(&text));
        }
    }
}
