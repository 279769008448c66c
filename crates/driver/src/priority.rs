//! Real-time priority for the threads that offer load, and for no other.
//!
//! Whoever starts the program with a real-time policy (`chrt --fifo 10 plimsoll run ...`) wants arrivals to
//! leave when they are due. Were every thread of the program as urgent, the work of judging, exporting
//! and recording a second would hold up arrivals on the same core for a millisecond: under one policy
//! of the kernel (`sched(7)`, SCHED_FIFO) a thread is not interrupted for another as urgent as itself.

use std::sync::OnceLock;

use thread_priority::{
    Error, NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id, thread_schedule_policy_param,
};

/// What the process was started with, where that was real-time.
static STARTED_WITH: OnceLock<(RealtimeThreadSchedulePolicy, ThreadPriority)> = OnceLock::new();

/// What the library makes a nice value of 0 of.
const NOT_NICE: u8 = 48;

/// What it makes 10 of: a thread that offers load gets ten times as much of a core that both want.
const NICE: u8 = 22;

/// Gives up a real-time policy for this thread and those it will start; workers take it again. To be called
/// once, before other threads are there. Without such a policy it does nothing.
pub fn keep_real_time_for_workers() {
    let this = thread_native_id();
    let Ok((ThreadSchedulePolicy::Realtime(policy), params)) = thread_schedule_policy_param(this) else {
        return;
    };
    // Deadlines belong to one thread and cannot be handed on.
    if policy == RealtimeThreadSchedulePolicy::Deadline {
        return;
    }
    let Ok(plain) = ThreadPriorityValue::try_from(NOT_NICE) else { return };
    let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    // Less can always be had.
    if set_thread_priority_and_policy(this, ThreadPriority::Crossplatform(plain), normal).is_ok() {
        let _ = STARTED_WITH.set((policy, ThreadPriority::from_posix(params)));
    }
}

/// Lets threads that offer load go before this one, and before those it will start: a nice value of 10, which cannot be taken
/// back. Where even that is forbidden the thread goes on as any other.
pub fn stand_back() {
    if let Ok(value) = ThreadPriorityValue::try_from(NICE) {
        let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        let value = ThreadPriority::Crossplatform(value);
        let _ = set_thread_priority_and_policy(thread_native_id(), value, normal);
    }
}

/// Takes for a worker's thread what the process was started with.
///
/// # Errors
/// When the right to it is gone; the thread goes on as any other.
pub(crate) fn take() -> Result<(), Error> {
    STARTED_WITH.get().map_or(Ok(()), |(policy, priority)| {
        set_thread_priority_and_policy(thread_native_id(), *priority, ThreadSchedulePolicy::Realtime(*policy))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn who_stands_back_has_a_nice_value_of_ten_and_so_have_its_threads() {
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // Field 19 of proc_pid_stat(5), the 17th after the name.
            stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = nice();
        let (own, child) = std::thread::spawn(move || {
            super::stand_back();
            (nice(), std::thread::spawn(nice).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((own, child), (before.max(10), before.max(10)));
        assert_eq!(nice(), before);
    }
}
