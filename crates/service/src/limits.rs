//! How often one client may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are told apart. More than these at once share what is left for one.
const CLIENTS: usize = 10_000;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Address(IpAddr),
    /// Somebody whom the proxy names, since all of them come from its address.
    Named(String),
    /// All others, while there are too many to tell apart.
    Others,
}

impl Client {
    /// One client is an IPv4 address, or the network of IPv6 that a single customer gets.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let bits = address.to_bits() & !u128::from(u64::MAX);
                Ipv6Addr::from_bits(bits).into()
            }
        })
    }
}

/// A bucket for each client: each request takes one, and they fill up again.
#[derive(Debug)]
pub(crate) struct Buckets {
    per_second: f64,
    known: Mutex<HashMap<Client, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Buckets {
    pub(crate) fn new(per_second: f64) -> Self {
        Self { per_second, known: Mutex::default() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long until there is one again.
    pub(crate) fn take(&self, client: Client, now: Instant) -> Result<(), Duration> {
        let full = (self.per_second * 2.0).max(1.0);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CLIENTS && !known.contains_key(&client) {
            // Who has asked nothing for so long that the bucket is full again is as good as unknown.
            known.retain(|_, bucket| bucket.filled(self.per_second, full, now) < full);
        }
        let client =
            if known.len() >= CLIENTS && !known.contains_key(&client) { Client::Others } else { client };
        let bucket = known.entry(client).or_insert(Bucket { left: full, at: now });
        bucket.left = bucket.filled(self.per_second, full, now);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / self.per_second));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

impl Bucket {
    fn filled(self, per_second: f64, full: f64, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.at).as_secs_f64() * per_second).min(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_ask_twice_its_rate_at_once_and_then_at_its_rate() {
        let (buckets, start) = (Buckets::new(10.0), Instant::now());
        let ask = |client: &str, after: u64| {
            buckets.take(Client::at(client.parse().unwrap()), start + Duration::from_millis(after))
        };
        assert!((0..20).all(|_| ask("10.0.0.1", 0).is_ok()));
        let wait = ask("10.0.0.1", 0).unwrap_err();
        assert!((0.099..=0.101).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(ask("10.0.0.2", 0).is_ok(), "others are not held back");
        assert!(ask("10.0.0.1", 101).is_ok());
        assert!(ask("10.0.0.1", 101).is_err());
        assert_eq!(
            (0..30).filter(|_| ask("10.0.0.1", 100_000).is_ok()).count(),
            20,
            "it fills up and no more"
        );
        // A clock that goes back gives nothing and takes nothing.
        assert!(ask("10.0.0.1", 0).is_err());
    }

    #[test]
    fn clients_without_number_share_a_bucket_and_cost_no_memory() {
        let (buckets, start) = (Buckets::new(1.0), Instant::now());
        let client = |number: u32| Client::at(IpAddr::from(number.to_be_bytes()));
        let refused = (0..30_000).filter(|number| buckets.take(client(*number), start).is_err()).count();
        assert_eq!(refused, 30_000 - CLIENTS - 2);
        assert!(buckets.known.lock().unwrap().len() <= CLIENTS + 1);
        assert!(
            buckets.take(client(40_000), start + Duration::from_secs(3)).is_ok(),
            "the old are forgotten"
        );
        assert!(buckets.known.lock().unwrap().len() < 10);
    }

    #[test]
    fn the_addresses_of_one_customer_are_one_client() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
