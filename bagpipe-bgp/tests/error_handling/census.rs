//! How many malformed messages there are, and that nothing of what can be malformed is left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::messages::Answer;
use crate::table::{Outcome, octets};
use crate::{attributes, cases, matrix, messages, nlri, published};

/// UPDATEs that are written down, each once, whatever session it is received in.
fn updates() -> BTreeSet<Vec<u8>> {
    let nlri = [nlri::ROUTES, nlri::LENGTHS, nlri::IDENTIFIED].into_iter();
    let rows = nlri.chain([attributes::ADDED, attributes::WHOLE, published::UPDATES]);
    let wrong = rows.flatten().filter(|(.., outcome)| *outcome != Outcome::Accepted);
    wrong.map(|(_, text, ..)| octets(text)).collect()
}

/// Messages of the other types, each once.
fn others() -> BTreeSet<(u8, &'static str)> {
    let rows = [messages::MESSAGES, published::MESSAGES].into_iter().flatten();
    // A KEEPALIVE is there to compare with. Refreshes that are ignored are wrong all the same.
    let wrong = rows.filter(|(_, _, kind, _, answer)| (*kind, *answer) != (4, Answer::Nothing));
    wrong.map(|(_, _, kind, body, _)| (*kind, *body)).collect()
}

#[test]
fn there_are_many_malformed_messages() {
    let cases = cases::CASES.iter().filter(|case| case.4 != Outcome::Accepted || case.5 != Outcome::Accepted);
    let written = updates().len() + others().len() + cases.count();
    assert!(written >= 300, "{written} messages");
    let varied: BTreeSet<_> = matrix::cases().into_iter().map(|(_, text, ..)| octets(&text)).collect();
    assert!(varied.len() >= 120, "{} messages of the matrix", varied.len());
}

#[test]
fn each_type_of_message_is_among_them() {
    let mut counts = BTreeMap::new();
    for (kind, _) in others() {
        *counts.entry(kind).or_insert(0) += 1;
    }
    for (kind, least) in [(1, 30), (3, 10), (4, 1), (5, 8)] {
        assert!(counts.get(&kind).is_some_and(|count| *count >= least), "type {kind}: {counts:?}");
    }
}

/// Short, long, and with lengths that contradict each other, at least.
#[test]
fn each_type_of_route_is_among_them() {
    let mut counts = BTreeMap::new();
    for (_, text, _, outcome) in [nlri::ROUTES, nlri::LENGTHS].into_iter().flatten() {
        if let Some(kind) = route_type(text)
            && *outcome != Outcome::Accepted
        {
            *counts.entry(kind).or_insert(0) += 1;
        }
    }
    let evpn = (1..=5).map(|route_type| ("001946", route_type));
    for kind in evpn.chain([("000180", 0), ("000280", 0), ("000184", 0)]) {
        assert!(counts.get(&kind).is_some_and(|count| *count >= 5), "{kind:?}: {counts:?}");
    }
}

/// The family of an MP_REACH_NLRI, the last attribute of a row, and of E-VPN the type of its route.
fn route_type(text: &str) -> Option<(&'static str, u8)> {
    let digits: String = text.strip_prefix("O P 800e")?.split_whitespace().collect();
    let family = ["001946", "000180", "000280", "000184"]
        .into_iter()
        .find(|family| digits.get(2..8) == Some(*family))?;
    // The length of the next hop, the next hop, an octet of zero.
    let route_type = if family == "001946" { u8::from_str_radix(digits.get(20..22)?, 16).ok()? } else { 0 };
    Some((family, route_type))
}
