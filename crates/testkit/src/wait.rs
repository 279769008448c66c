//! Waiting for a condition with a deadline: the only place in the tests that sleeps.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::bail;

/// How long to pause between two looks: short beside any server's start, long beside a system call.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `condition` holds.
///
/// # Errors
/// When it does not within `deadline`; the message says `what` was waited for.
pub async fn wait_until<F>(deadline: Duration, what: &str, mut condition: F) -> anyhow::Result<()>
where
    F: AsyncFnMut() -> bool,
{
    wait_for(deadline, what, async || if condition().await { Ok(()) } else { Err("it does not hold") }).await
}

/// Looks again and again until `attempt` succeeds, and returns what it found.
///
/// # Errors
/// When it does not within `deadline`; the message says `what` was waited for and why the last
/// attempt was not enough.
pub async fn wait_for<T, E, F>(deadline: Duration, what: &str, mut attempt: F) -> anyhow::Result<T>
where
    E: Display,
    F: AsyncFnMut() -> Result<T, E>,
{
    let started = Instant::now();
    loop {
        let reason = match attempt().await {
            Ok(found) => return Ok(found),
            Err(reason) => reason,
        };
        if started.elapsed() >= deadline {
            bail!("waited {deadline:?} in vain for {what}: {reason:#}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_holds_ends_the_wait() {
        let mut looks = 0;
        wait_until(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            looks == 3
        })
        .await
        .unwrap();
        assert_eq!(looks, 3);
    }

    #[tokio::test]
    async fn a_deadline_that_passes_says_what_and_why() {
        let error =
            wait_for(Duration::ZERO, "rain", async || Err::<(), _>("the sky is blue")).await.unwrap_err();
        assert_eq!(error.to_string(), "waited 0ns in vain for rain: the sky is blue");
    }
}
