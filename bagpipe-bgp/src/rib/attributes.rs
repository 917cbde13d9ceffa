//! Attributes, held once however many paths share them, and found by route target.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::best_path::Preference;
use super::rt_constraint::{self, Target, TargetPrefix};
use super::table::RouteId;
use crate::wire::Attributes;

/// Names interned attributes while something refers to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AttributesId(u32);

/// Interned attributes, and what is read of them for each route.
#[derive(Debug)]
pub(super) struct Interned {
    pub(super) attributes: Arc<Attributes>,
    pub(super) preference: Preference,
    pub(super) targets: Box<[Target]>,
    /// The first route whose best path has these attributes; the others are chained to it.
    pub(super) first: Option<RouteId>,
    references: u32,
    hash: u64,
}

/// All attributes of the RIB.
#[derive(Debug, Default)]
pub(super) struct AttributeTable {
    entries: Vec<Option<Interned>>,
    free: Vec<AttributesId>,
    index: HashTable<AttributesId>,
    /// Seeded: peers choose the attributes, and must not choose them so that all fall together.
    hasher: RandomState,
    by_target: BTreeSet<(Target, AttributesId)>,
}

impl AttributeTable {
    /// Find or add, and count one reference.
    pub(super) fn intern(&mut self, attributes: &Arc<Attributes>) -> AttributesId {
        let hash = self.hasher.hash_one(attributes);
        let entries = &self.entries;
        let found = self.index.find(hash, |id| {
            entry(entries, *id).is_some_and(|held| held.hash == hash && held.attributes == *attributes)
        });
        if let Some(&id) = found {
            self.refer(id);
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            AttributesId(u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX))
        });
        let targets = rt_constraint::targets(attributes);
        self.by_target.extend(targets.iter().map(|target| (*target, id)));
        if let Some(slot) = self.entries.get_mut(id.0 as usize) {
            *slot = Some(Interned {
                attributes: Arc::clone(attributes),
                preference: Preference::of(attributes),
                targets,
                first: None,
                references: 1,
                hash,
            });
        }
        let entries = &self.entries;
        self.index.insert_unique(hash, id, |id| entry(entries, *id).map_or(0, |held| held.hash));
        id
    }

    /// Count one reference more.
    pub(super) fn refer(&mut self, id: AttributesId) {
        if let Some(held) = self.get_mut(id) {
            held.references += 1;
        }
    }

    /// Count one reference less; without any the attributes are dropped.
    pub(super) fn release(&mut self, id: AttributesId) {
        let Some(held) = self.get_mut(id) else { return };
        held.references -= 1;
        if held.references > 0 {
            return;
        }
        let hash = held.hash;
        if let Ok(place) = self.index.find_entry(hash, |other| *other == id) {
            place.remove();
        }
        if let Some(held) = self.entries.get_mut(id.0 as usize).and_then(Option::take) {
            for target in held.targets {
                self.by_target.remove(&(target, id));
            }
        }
        self.free.push(id);
    }

    pub(super) fn get(&self, id: AttributesId) -> Option<&Interned> {
        entry(&self.entries, id)
    }

    pub(super) fn get_mut(&mut self, id: AttributesId) -> Option<&mut Interned> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    /// All attributes with a target that begins with `prefix`, each once. An empty prefix means everything, also
    /// attributes without a target.
    pub(super) fn with_target(&self, prefix: TargetPrefix) -> BTreeSet<AttributesId> {
        if prefix.bits == 0 {
            let all = self.entries.iter().zip(0..).filter(|(held, _)| held.is_some());
            return all.map(|(_, number)| AttributesId(number)).collect();
        }
        let range = (prefix.target, AttributesId(0))..=(prefix.last(), AttributesId(u32::MAX));
        self.by_target.range(range).map(|(_, id)| *id).collect()
    }

    /// How many different attributes are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}

fn entry(entries: &[Option<Interned>], id: AttributesId) -> Option<&Interned> {
    entries.get(id.0 as usize)?.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_foretell_a_hash() {
        let attributes = Arc::new(Attributes::default());
        let hash = || {
            let mut table = AttributeTable::default();
            let id = table.intern(&attributes);
            table.get(id).map(|held| held.hash)
        };
        assert_ne!(hash(), hash());
    }
}
