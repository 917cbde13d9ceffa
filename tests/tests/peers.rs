//! One list of cases against each BGP speaker that others wrote: who opens, families, signatures and distance, RT
//! Constraint, routes both ways field by field, refresh, and graceful restart in both roles.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{LabError, wait_until};
use bagpipe_tests::SOON;
use bagpipe_tests::peers::{self, Abilities, BLUE, IPV4, IPV6, Kind, Opens, Pair, RED, Terms};
use bagpipe_tests::routes::Route;
use serde_json::Value;

#[test]
fn gobgp() -> Result<(), LabError> {
    all(Kind::Gobgp, IPV4)
}

#[test]
fn frr() -> Result<(), LabError> {
    all(Kind::Frr, IPV4)
}

#[test]
fn bird() -> Result<(), LabError> {
    all(Kind::Bird, IPV6)
}

#[test]
fn exabgp() -> Result<(), LabError> {
    all(Kind::Exabgp, IPV4)
}

#[test]
fn bagpipe_bgp() -> Result<(), LabError> {
    all(Kind::BagpipeBgp, IPV4)
}

/// Once opened by us, signed and from nearby; once opened by them, and then everything.
fn all(kind: Kind, addresses: [&'static str; 2]) -> Result<(), LabError> {
    let abilities = kind.abilities();
    if abilities.waits {
        let terms = Terms { opens: Opens::We, secured: abilities.secured, addresses };
        let pair = Pair::new(kind, terms)?;
        negotiation(&pair, abilities)?;
    }
    let mut pair = Pair::new(kind, Terms { opens: Opens::They, secured: false, addresses })?;
    negotiation(&pair, abilities)?;
    exchange(&mut pair, abilities)?;
    refresh(&pair, abilities)?;
    their_restart(&mut pair, abilities)?;
    our_restart(&mut pair, abilities)?;
    withdrawal(&mut pair, abilities)
}

fn negotiation(pair: &Pair, abilities: Abilities) -> Result<(), LabError> {
    let peer = pair.established()?;
    let negotiated = &peer["negotiated"];
    let mut families: Vec<&str> =
        negotiated["families"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    families.sort_unstable();
    let mut expected = abilities.families.to_vec();
    expected.sort_unstable();
    assert_eq!(families, expected, "{negotiated}");
    let flags = (&negotiated["route_refresh"], &negotiated["enhanced_route_refresh"]);
    assert_eq!(flags, (&abilities.refreshes.into(), &abilities.marks.into()), "{negotiated}");
    Ok(())
}

/// What each has of the other is the same as the other has itself. Who asks by RT Constraint has what it asked for.
fn exchange(pair: &mut Pair, abilities: Abilities) -> Result<(), LabError> {
    pair.peer.want(RED)?;
    if abilities.families.contains(&"rtc") {
        let red = |route: &Route| route.communities.contains(&format!("rt:{RED}"));
        let red: BTreeSet<Route> = ours(pair, abilities)?.into_iter().filter(red).collect();
        same("of those it asked for they have", &red, || pair.peer.received())?;
    }
    pair.peer.want(BLUE)?;
    same("they have", &ours(pair, abilities)?, || pair.peer.received())?;

    pair.peer.announce()?;
    theirs_are_here(pair)
}

fn theirs_are_here(pair: &Pair) -> Result<(), LabError> {
    wait_until(SOON, "they have something to announce", || {
        (!pair.peer.theirs().ok()?.is_empty()).then_some(())
    })?;
    // What they announce may still be growing.
    let agreed = || (pair.routes(Opens::They).ok()? == pair.peer.theirs().ok()?).then_some(());
    let _ = wait_until(SOON, "we have theirs", agreed);
    same("we have", &pair.peer.theirs()?, || pair.routes(Opens::They))
}

/// They ask for our routes again, and have the same ones afterwards.
fn refresh(pair: &Pair, abilities: Abilities) -> Result<(), LabError> {
    if !abilities.asks {
        return Ok(());
    }
    let asked = || pair.shown()?.pointer("/counters/received/route_refreshes")?.as_u64();
    let before = asked();
    pair.peer.ask()?;
    wait_until(SOON, "a refresh is asked for", || (asked() > before).then_some(()))?;
    pair.established()?;
    same("after a refresh they have", &ours(pair, abilities)?, || pair.peer.received())
}

/// They are killed and come back: their routes are kept meanwhile if they said so before, and else are gone.
fn their_restart(pair: &mut Pair, abilities: Abilities) -> Result<(), LabError> {
    let theirs = pair.peer.theirs()?;
    pair.peer.kill();
    wait_until(SOON, "the session is over", || (pair.shown()?["state"] != "established").then_some(()))?;
    let kept = if abilities.restarts { theirs.clone() } else { BTreeSet::new() };
    same("while they are away we have", &kept, || pair.routes(Opens::They))?;
    pair.peer.resume()?;
    pair.established()?;
    for target in [RED, BLUE] {
        pair.peer.want(target)?;
    }
    pair.peer.announce()?;
    theirs_are_here(pair)?;
    let fresh = || pair.shown()?["stale"].as_array().map(Vec::is_empty).filter(|fresh| *fresh);
    wait_until(SOON, "nothing is stale any more", fresh)?;
    same("they are back, and have", &ours(pair, abilities)?, || pair.peer.received())
}

/// We are killed and come back: helpers keep our routes.
fn our_restart(pair: &mut Pair, abilities: Abilities) -> Result<(), LabError> {
    let ours = ours(pair, abilities)?;
    pair.agent.kill();
    wait_until(SOON, "they know", || (!pair.peer.has_session()).then_some(()))?;
    let kept = ours.iter().filter(|route| abilities.helps.contains(&route.kind.family(&route.prefix)));
    same("while we are away they have", &kept.cloned().collect(), || pair.peer.received())?;
    pair.agent.resume()?;
    pair.established()?;
    same("we are back, and they have", &ours, || pair.peer.received())
}

/// Either takes back what it announced, we a part of it.
fn withdrawal(pair: &mut Pair, abilities: Abilities) -> Result<(), LabError> {
    peers::detach(&pair.agent)?;
    same("after a withdrawal they have", &ours(pair, abilities)?, || pair.peer.received())?;
    pair.peer.withdraw()?;
    same("after a withdrawal we have", &BTreeSet::new(), || pair.routes(Opens::They))
}

/// What they should have of us: all that is of a family of theirs.
fn ours(pair: &Pair, abilities: Abilities) -> Result<BTreeSet<Route>, LabError> {
    let routes = pair.routes(Opens::We)?;
    Ok(routes.into_iter().filter(|it| abilities.families.contains(&it.kind.family(&it.prefix))).collect())
}

/// Waits until a speaker has these routes; else says what differs.
fn same(
    what: &str,
    wanted: &BTreeSet<Route>,
    routes: impl Fn() -> Result<BTreeSet<Route>, LabError>,
) -> Result<(), LabError> {
    let outcome = wait_until(SOON, what, || (routes().ok()? == *wanted).then_some(()));
    if outcome.is_err() {
        let found = routes()?;
        let missing: Vec<_> = wanted.difference(&found).collect();
        let extra: Vec<_> = found.difference(wanted).collect();
        panic!("{what} not the same routes; missing {missing:#?}, unexpected {extra:#?}");
    }
    Ok(())
}
