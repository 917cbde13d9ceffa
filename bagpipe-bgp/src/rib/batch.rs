//! Parts of a log, sorted once for all peers that read it, with the UPDATEs packed from them.
//!
//! What a peer is sent of a route of which it gets the best path depends on the attributes and their source, and on a
//! few facts about the peer. So the routes of a batch stand together in runs of the same attributes and source:
//! whether a peer gets them is decided for a run at once, and peers that are alike share the messages. A route that
//! has changed since stands elsewhere in its log: a message that it is in serves no other peer.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::RibPeer;
use super::policy::NextHopPolicy;
use super::table::{FamilyId, Position, RouteId, Table};
use super::update_queue::Group;
use crate::wire::Context;
use crate::wire::update::UpdateWriter;

/// Places of a log in a batch: enough to pack well, little memory for a slow peer.
const LENGTH: u32 = 2048;
/// Batches that are kept though no peer is reading them: others may be about to.
const KEPT: usize = 2;

/// A part of a log.
#[derive(Debug)]
pub(super) struct Batch {
    family: FamilyId,
    from: Position,
    pub(super) to: Position,
    /// Its positions are those of the log before it was compacted once more.
    epoch: u32,
    /// In the order of their groups.
    entries: Vec<Entry>,
}

/// A route as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) group: Group,
    position: Position,
    pub(super) route: RouteId,
}

/// How far a peer has got in a batch.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) batch: Arc<Batch>,
    pub(super) next: usize,
}

impl Place {
    /// Whether it is a place in the log of a family.
    pub(super) fn is_of(&self, family: FamilyId) -> bool {
        self.batch.family == family
    }
}

/// What else than the route decides about the octets of an UPDATE: those of equal peers are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    context: Context,
    internal: bool,
    next_hop: NextHopPolicy,
    /// The version of the own address that may be the next hop.
    ipv4: bool,
}

/// An UPDATE for all peers that are alike.
#[derive(Clone, Debug)]
pub(super) struct Message {
    likeness: Arc<Likeness>,
    pub(super) bytes: Bytes,
    /// The part of the batch that it is made of.
    pub(super) part: Range<usize>,
    /// How many routes of that part are in it: the others had changed.
    pub(super) routes: usize,
}

/// The batches that peers read.
#[derive(Debug, Default)]
pub(super) struct Batches(Vec<Shared>);

#[derive(Debug)]
struct Shared {
    batch: Arc<Batch>,
    /// By where they begin.
    messages: FxHashMap<usize, Vec<Message>>,
}

impl Batches {
    /// The batch that begins at a position of a log; `None` at the end of the log.
    pub(super) fn read(&mut self, table: &Table, family: FamilyId, from: Position) -> Option<Arc<Batch>> {
        let epoch = table.epoch(family);
        let same = |batch: &Batch| (batch.family, batch.from, batch.epoch) == (family, from, epoch);
        if let Some(shared) = self.0.iter().find(|shared| same(&shared.batch)) {
            return Some(Arc::clone(&shared.batch));
        }
        let batch = Arc::new(Batch::read(table, family, from)?);
        if self.0.iter().filter(|shared| !shared.is_read()).count() >= KEPT {
            self.0.retain(Shared::is_read);
        }
        self.0.push(Shared { batch: Arc::clone(&batch), messages: FxHashMap::default() });
        Some(batch)
    }

    /// The message for a peer that begins at a place, if it was packed before.
    pub(super) fn message(&self, place: &Place, likeness: &Arc<Likeness>) -> Option<&Message> {
        let shared = self.0.iter().find(|shared| Arc::ptr_eq(&shared.batch, &place.batch))?;
        shared.messages.get(&place.next)?.iter().find(|message| message.likeness == *likeness)
    }

    /// Keep a message for other peers.
    pub(super) fn keep(&mut self, batch: &Arc<Batch>, message: Message) {
        if let Some(shared) = self.0.iter_mut().find(|shared| Arc::ptr_eq(&shared.batch, batch)) {
            shared.messages.entry(message.part.start).or_default().push(message);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nobody has anything to read.
    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

impl Shared {
    /// Whether a peer is in the middle of it.
    fn is_read(&self) -> bool {
        Arc::strong_count(&self.batch) > 1
    }
}

impl Batch {
    /// Batches end at the same places wherever they begin, so that peers at different places meet.
    fn read(table: &Table, family: FamilyId, mut from: Position) -> Option<Self> {
        let start = from;
        while from < table.end(family) {
            let to = from.next_multiple_of(LENGTH).min(table.end(family));
            let mut entries: Vec<_> = table
                .between(family, from, to)
                .filter_map(|route| {
                    let held = table.get(route)?;
                    Some(Entry { group: Group::of(held, held.best()), position: held.position, route })
                })
                .collect();
            if !entries.is_empty() {
                entries.sort_unstable();
                return Some(Self { family, from: start, to, epoch: table.epoch(family), entries });
            }
            from = to;
        }
        None
    }

    /// The entries from one on that have its group; `None` behind the last one.
    pub(super) fn run(&self, start: usize) -> Option<(Group, Range<usize>)> {
        let rest = self.entries.get(start..)?;
        let group = rest.first()?.group;
        Some((group, start..start + rest.partition_point(|entry| entry.group == group)))
    }

    /// Whether the positions of the log are still those that were read.
    pub(super) fn is_current(&self, table: &Table) -> bool {
        self.epoch == table.epoch(self.family)
    }

    /// The routes of a part that have not changed since they were read. If that can't be told any more, all of them.
    pub(super) fn unchanged<'a>(
        &'a self,
        table: &'a Table,
        part: Range<usize>,
    ) -> impl Iterator<Item = RouteId> + 'a {
        let current = self.is_current(table);
        let unchanged = move |entry: &&Entry| {
            let route = table.get(entry.route).filter(|route| route.family == self.family);
            !current || route.is_some_and(|route| route.position == entry.position)
        };
        self.entries.get(part).unwrap_or_default().iter().filter(unchanged).map(|entry| entry.route)
    }
}

impl Message {
    /// As much of a run as there is room for; `None` if there is none for a single route.
    pub(super) fn pack(
        likeness: &Arc<Likeness>,
        batch: &Batch,
        run: Range<usize>,
        table: &Table,
        mut writer: UpdateWriter,
    ) -> Option<Self> {
        let mut routes = 0;
        let mut end = run.start;
        for index in run.clone() {
            if let Some(route) = batch.unchanged(table, index..index + 1).next().and_then(|id| table.get(id))
            {
                let encoded = route.best().map_or(table.nlri(route), |path| table.nlri_of(route, path));
                if !writer.push_bytes(0, encoded) {
                    break;
                }
                routes += 1;
            }
            end = index + 1;
        }
        let part = run.start..end;
        (end > run.start).then(|| Self {
            likeness: Arc::clone(likeness),
            bytes: writer.finish(),
            part,
            routes,
        })
    }
}

impl Likeness {
    pub(super) fn of(facts: &RibPeer) -> Self {
        Self {
            context: facts.context.clone(),
            internal: facts.internal,
            next_hop: facts.policy.next_hop,
            ipv4: matches!(facts.address, IpAddr::V4(_)),
        }
    }
}
