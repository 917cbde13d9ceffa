//! Writes a corpus to begin with: what GoBGP and FRR have sent, as it was recorded for the tests.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::message::kind;
use bagpipe_bgp::wire::{Context, Message, frame};
use bytes::BytesMut;

/// An internal session with four-octet AS numbers, as those were that were recorded: see `bagpipe_fuzz::context`.
const RECORDED: u8 = 0b111;

type Seeds = BTreeSet<(&'static str, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Seeds::new();
    for name in ["frr.hex", "gobgp.hex"] {
        let text = fs::read_to_string(top.join("../bagpipe-bgp/tests/data").join(name))?;
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(octets);
        let messages = lines.collect::<Option<Vec<_>>>().ok_or("a line that is not hexadecimal")?;
        collect(&mut seeds, &messages)?;
    }
    for (number, (target, bytes)) in seeds.iter().enumerate() {
        let directory = top.join("corpus").join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("seed-{number:03}")), bytes)?;
    }
    println!("{} seeds", seeds.len());
    Ok(())
}

fn collect(seeds: &mut Seeds, messages: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let (context, _) = bagpipe_fuzz::context(&[RECORDED]).ok_or("no context")?;
    seeds.insert(("message", [&[RECORDED][..], &messages.concat()].concat()));
    // What the first of two internal peers says: a step of a message's type, with its body.
    let mut steps = vec![0];
    for message in messages {
        let frame = frame(&mut BytesMut::from(&message[..]), Context::default().max_length)?;
        let frame = frame.ok_or("a message that is cut short")?;
        let (kind, body) = (frame.kind, frame.body.clone());
        seeds.insert(("message", [&[RECORDED][..], message].concat()));
        match kind {
            kind::OPEN => drop(seeds.insert(("open", body.to_vec()))),
            kind::UPDATE => drop(seeds.insert(("update", [&[RECORDED][..], &body].concat()))),
            _ => {}
        }
        if let (kind::UPDATE, Ok(length)) = (kind, u8::try_from(body.len())) {
            steps.extend([kind << 1, length]);
            steps.extend(&body);
        }
        if let Message::Update(update) = Message::decode(frame, &context)? {
            for block in update.announced.iter().chain(&update.withdrawn) {
                if let Some(target) = target(block.family) {
                    seeds.insert((target, block.bytes.to_vec()));
                    seeds.extend(block.encoded().map(|(_, nlri)| (target, nlri.to_vec())));
                }
            }
        }
    }
    seeds.insert(("session", steps));
    Ok(())
}

fn target(family: Family) -> Option<&'static str> {
    match family {
        Family::EVPN => Some("evpn"),
        Family::VPNV4 => Some("vpnv4"),
        Family::VPNV6 => Some("vpnv6"),
        Family::FLOWSPEC_VPNV4 => Some("flowspec_vpnv4"),
        Family::FLOWSPEC_VPNV6 => Some("flowspec_vpnv6"),
        Family::ROUTE_TARGET => Some("route_target"),
        _ => None,
    }
}

fn octets(line: &str) -> Option<Vec<u8>> {
    let digits = line.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
