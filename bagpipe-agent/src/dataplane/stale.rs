//! What was adopted from the maps stays until it is told of again, or swept.
//!
//! Peers tell of routes one by one: of several equal hops, and of the nodes of a segment, some come first. Until the rest
//! have come too, or are known not to, the stale ones stay as they are (RFC 4724 §4.1 has a restarting speaker wait with
//! its selection for the same reason): no flow moves to a hop that was told of first, and back.

use super::tables::{Object, Tables};
use crate::fib::{Change, Target, VpnId};

impl Tables {
    /// Takes that there is news of an object. Whether it is to be applied now: a part of what is stale waits.
    pub(super) fn confirm(&mut self, change: &Change) -> bool {
        let object = Object::of(change);
        let waits = self.stale.contains_key(&object) && self.is_part(change);
        if waits {
            self.stale.insert(object, Some(change.clone()));
        } else {
            self.stale.remove(&object);
        }
        !waits
    }

    /// Removes what was adopted and has not been told of since; how many objects that was. What was told of in part is
    /// as it was told.
    pub(crate) fn sweep(&mut self) -> usize {
        let mut stale: Vec<_> = std::mem::take(&mut self.stale).into_iter().collect();
        stale.sort_unstable_by_key(|(object, _)| *object);
        for (object, part) in &stale {
            self.apply(part.as_ref().unwrap_or(&object.removal()));
        }
        stale.iter().filter(|(_, part)| part.is_none()).count()
    }

    /// Removes what is stale of an instance that is gone.
    pub(super) fn forget_stale(&mut self, vpn: VpnId) {
        let mut gone: Vec<Object> =
            self.stale.keys().copied().filter(|object| object.vpn() == Some(vpn)).collect();
        gone.sort_unstable();
        for object in gone {
            self.apply(&object.removal());
        }
    }

    /// Whether a change leaves some of the ways that there are, but not all, and adds none.
    fn is_part(&self, change: &Change) -> bool {
        match change {
            Change::Mac(vpn, mac, Some(value)) => {
                let old = self.fib.macs.get(&(*vpn, *mac)).map(|old| self.ways(&old.target));
                old.is_some_and(|old| is_part(self.ways(&value.target), old))
            }
            Change::Route(vpn, prefix, Some(route)) => {
                let old = self.fib.routes.get(&(*vpn, *prefix));
                old.is_some_and(|old| is_part(&route.hops, &old.hops))
            }
            _ => false,
        }
    }

    /// The remote endpoints of a segment; anything else is its only way.
    fn ways<'a>(&'a self, target: &'a Target) -> &'a [Target] {
        match target {
            Target::Segment(segment) => self.fib.segments.get(segment).map_or(&[], |targets| targets),
            _ => std::slice::from_ref(target),
        }
    }
}

fn is_part<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    !part.is_empty() && part.len() < whole.len() && part.iter().all(|way| whole.contains(way))
}
