//! When to connect again.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use rustc_hash::FxHasher;

use crate::types::RouterId;

const FIRST: Duration = Duration::from_secs(1);

/// The time to wait after so many failures in a row: none after none, then 1 s, doubled each time up to `limit`.
///
/// A quarter of it is jitter (RFC 4271 §10), so that the clients of a reflector do not come back all at once. It
/// comes from the names of both ends rather than from chance: the same inputs give the same behaviour.
pub(super) fn delay(failures: u32, limit: Duration, us: RouterId, peer: IpAddr) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let full = FIRST.saturating_mul(1 << doublings.min(16)).min(limit);
    let mut hasher = FxHasher::default();
    (us, peer, failures).hash(&mut hasher);
    // The upper bits are the well mixed ones.
    let jitter = u32::try_from(hasher.finish() >> 54).unwrap_or_default();
    full - full / 4 * jitter / 1024
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_are_spread() {
        let (us, peer) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2).into());
        let limit = Duration::from_secs(30);
        assert_eq!(delay(0, limit, us, peer), Duration::ZERO);
        for (failures, full) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (u32::MAX, 30)] {
            let full = Duration::from_secs(full);
            let delay = delay(failures, limit, us, peer);
            assert!(delay <= full && delay >= full * 3 / 4, "{delay:?} after {failures} failures");
        }
        let clients = (0..=255).map(|last| delay(6, limit, Ipv4Addr::new(10, 0, 0, last), peer));
        let distinct: std::collections::BTreeSet<_> = clients.collect();
        assert!(distinct.len() > 128, "only {} distinct delays for 256 clients", distinct.len());
    }
}
