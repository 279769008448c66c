/// What the machine did to the generator in one second, as far as it tells.
///
/// Shares are of one and cover the second; levels are those at its end. What the machine does not
/// tell, and what lay too close to the second before to be measured, is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Vitals {
    /// Our own CPU time as a share of the processors we may use.
    pub cpu_ratio: Option<f64>,
    /// CPU time of the busiest worker's thread as a share of one processor.
    pub worker_cpu_ratio: Option<f64>,
    /// Share of the second in which a worker's thread was ready to run and others had the processor;
    /// the worker that waited longest.
    pub worker_wait_ratio: Option<f64>,
    /// Share of the machine's CPU time that its host gave to others (steal).
    pub steal_ratio: Option<f64>,
    /// Share of the second for which a CPU quota (cgroup) held us, summed over processors: it may exceed one.
    pub throttled_ratio: Option<f64>,
    /// How late a worker came to an appointment with itself, in seconds; the latest of any worker.
    pub stall_seconds: Option<f64>,
    /// Open file descriptors of this process.
    pub descriptors: Option<u64>,
    /// How many it may have.
    pub descriptor_limit: Option<u64>,
    /// TCP sockets in use in our network namespace, ours and others'.
    pub tcp_sockets: Option<u64>,
    /// TCP sockets there in TIME_WAIT: each keeps its port from being used for the same peer.
    pub time_wait_sockets: Option<u64>,
    /// Ports the system may choose from for a connection to one address and port.
    pub local_ports: Option<u64>,
    /// TCP segments sent again in our network namespace.
    pub retransmits: Option<u64>,
    /// Smoothed TCP round-trip time to the target, in seconds: the median over some of our connections.
    pub round_trip_seconds: Option<f64>,
    /// Bytes that have arrived from the target and that we have not read: the most on one of some of
    /// our connections.
    pub receive_queue_bytes: Option<u64>,
    /// Bytes received or sent, whichever are more, as a share of what the busiest network link carries.
    pub link_ratio: Option<f64>,
    /// Memory of this process that is in use (resident).
    pub rss_bytes: Option<u64>,
    /// Memory the machine can still give without swapping.
    pub memory_available_bytes: Option<u64>,
    /// Share of the second in which some task of the machine waited for memory.
    pub memory_pressure_ratio: Option<f64>,
}
