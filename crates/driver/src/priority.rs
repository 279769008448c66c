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

/// Takes for a worker's thread what the process was started with.
///
/// # Errors
/// When the right to it is gone; the thread goes on as any other.
pub(crate) fn take() -> Result<(), Error> {
    STARTED_WITH.get().map_or(Ok(()), |(policy, priority)| {
        set_thread_priority_and_policy(thread_native_id(), *priority, ThreadSchedulePolicy::Realtime(*policy))
    })
}
