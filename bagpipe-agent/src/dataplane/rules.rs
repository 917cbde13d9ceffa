//! Rules for packets that are routed by another instance. Each is numbered together with those that follow it: a list
//! that changes is written beside the one in use, up to the rules that both end with, and put in its place at once.

use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::types::{IpPrefix, IpVersion};
use bagpipe_common::{self as abi, Address, rule_flags};

use super::address::{address_of, ip_of};
use super::entry::{Key, Map};
use super::tables::{Failure, Tables};
use super::value::Value;
use crate::fib::{Rule, VpnId};

/// Rules in their order; never empty.
pub(crate) type Rules = Arc<[Rule]>;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ALL_PORTS: (u16, u16) = (0, u16::MAX);

impl Tables {
    /// Counts the rules of an instance in place of those that it had before.
    pub(super) fn replace_rules(&mut self, vpn: VpnId, rules: Option<&Rules>) {
        for tail in rules.into_iter().flat_map(|rules| tails(rules)) {
            self.rules.acquire(&tail.into());
        }
        for tail in self.fib.classifiers.get(&vpn).into_iter().flat_map(|rules| tails(rules)) {
            self.rules.release(&tail.into());
        }
    }

    /// The keys of all entries of rules that there should be.
    pub(super) fn rule_keys(&self) -> impl Iterator<Item = Key> {
        self.rules
            .numbers()
            .map(Key::Rule)
            .chain(self.fib.classifiers.keys().map(|vpn| Key::Classifier(*vpn)))
    }

    pub(super) fn first_rule(&self, vpn: VpnId) -> Result<Option<Value>, Failure> {
        let rules = self.fib.classifiers.get(&vpn);
        // All or none: without the last rules, others would apply to what those are for.
        if rules.is_some_and(|rules| tails(rules).any(|tail| self.rules.number(tail).is_none())) {
            return Err(Failure::Full { map: Map::Rules });
        }
        Ok(rules.and_then(|rules| self.rules.number(&**rules)).map(Value::Number))
    }

    pub(super) fn rule(&self, slot: u32) -> Result<Option<Value>, Failure> {
        let Some((rule, rest)) = self.rules.of_number(slot).and_then(|rules| rules.split_first()) else {
            return Ok(None);
        };
        let next = match rest {
            [] => 0,
            _ => self.rules.number(rest).ok_or(Failure::Full { map: Map::Rules })?,
        };
        Ok(Some(Value::Rule(Box::new(entry(rule, next)))))
    }
}

/// Each rule with those that follow it.
fn tails(rules: &[Rule]) -> impl Iterator<Item = &[Rule]> {
    (0..rules.len()).filter_map(|first| rules.get(first..))
}

fn entry(rule: &Rule, next: u32) -> abi::Rule {
    let (source, source_mask) = bits(rule.source);
    let (destination, destination_mask) = bits(rule.destination);
    let ((first, last), (start, end)) =
        (rule.source_ports.unwrap_or(ALL_PORTS), rule.destination_ports.unwrap_or(ALL_PORTS));
    let has_ports = rule.source_ports.is_some() || rule.destination_ports.is_some();
    let protocol = if rule.protocol.is_some() { rule_flags::PROTOCOL } else { 0 };
    abi::Rule {
        source,
        source_mask,
        destination,
        destination_mask,
        source_ports: [first, last],
        destination_ports: [start, end],
        ethertype: match rule.version {
            IpVersion::V4 => ETHERTYPE_IPV4,
            IpVersion::V6 => ETHERTYPE_IPV6,
        },
        protocol: rule.protocol.unwrap_or_default(),
        flags: protocol | if has_ports { rule_flags::PORTS } else { 0 },
        next,
        vrf: rule.vrf.into(),
    }
}

/// What an entry says; none if no rule is written so.
pub(super) fn rule_of(entry: &abi::Rule) -> Option<Rule> {
    let version = match entry.ethertype {
        ETHERTYPE_IPV4 => IpVersion::V4,
        ETHERTYPE_IPV6 => IpVersion::V6,
        _ => return None,
    };
    let has_ports = entry.flags & rule_flags::PORTS != 0;
    let ports =
        |[first, last]: [u16; 2]| Some((first, last)).filter(|range| has_ports && *range != ALL_PORTS);
    Some(Rule {
        version,
        source: prefix(&entry.source, &entry.source_mask),
        destination: prefix(&entry.destination, &entry.destination_mask),
        protocol: (entry.flags & rule_flags::PROTOCOL != 0).then_some(entry.protocol),
        source_ports: ports(entry.source_ports),
        destination_ports: ports(entry.destination_ports),
        vrf: entry.vrf.try_into().ok()?,
    })
}

/// The prefix with these bits, if any count.
fn prefix(address: &Address, mask: &Address) -> Option<IpPrefix> {
    let (address, counting) = (ip_of(address), u128::from_be_bytes(*mask).leading_ones());
    let before = if address.is_ipv4() { u128::BITS - u32::BITS } else { 0 };
    let length = u8::try_from(counting.checked_sub(before)?).ok()?;
    IpPrefix::new(address, length).filter(|_| counting > 0)
}

/// The address and the mask of a prefix; no bits if there is none.
fn bits(prefix: Option<IpPrefix>) -> (Address, Address) {
    let Some(prefix) = prefix else { return Default::default() };
    let ignored = match prefix.address() {
        IpAddr::V4(_) => u32::BITS.saturating_sub(prefix.length().into()),
        IpAddr::V6(_) => u128::BITS.saturating_sub(prefix.length().into()),
    };
    let mask = u128::MAX.checked_shl(ignored).unwrap_or(0);
    (address_of(prefix.address()), mask.to_be_bytes())
}
