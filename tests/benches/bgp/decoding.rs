//! Decoding of UPDATEs, on one processor: from the octets of a message to the fields of each of its routes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::LabError;
use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{Message, frame};
use bytes::{Bytes, BytesMut};
use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;

use crate::process::own_time;
use crate::routes::{Routes, context};
use crate::{ROUNDS, median};

/// How long each is measured in a round.
const TIME: Duration = Duration::from_millis(500);

/// Prints the figures, beside those of netgauze-bgp-pkt.
pub fn report() -> Result<(), LabError> {
    for (family, name) in [(Family::VPNV4, "VPN-IPv4"), (Family::EVPN, "E-VPN type 2")] {
        let routes = Routes::of_many_vpns(family, 100_000);
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(rate(&routes, |messages| ours_once(messages, family)));
            others.push(rate(&routes, |messages| messages.iter().for_each(|message| netgauze_once(message))));
        }
        let (ours, others) = (median(ours), median(others));
        println!("{name} routes decoded by one processor");
        println!("  {:<18}{ours:>10.1} million/s", "bagpipe");
        println!("  {:<18}{others:>10.1} million/s   ratio {:.1}", "netgauze-bgp-pkt", ours / others);
        println!();
    }
    Ok(())
}

/// Million routes in a second of the processor's time: others may want the processor, too.
fn rate(routes: &Routes, decode: impl Fn(&[Bytes])) -> f64 {
    let (start, before, mut times) = (Instant::now(), own_time(), 0);
    while start.elapsed() < TIME {
        decode(&routes.messages);
        times += 1;
    }
    f64::from(times) * routes.count as f64 / (own_time() - before) / 1e6
}

fn ours_once(messages: &[Bytes], family: Family) {
    let context = context(family);
    for message in messages {
        let mut bytes = BytesMut::from(&message[..]);
        let frame =
            frame(&mut bytes, context.max_length).expect("a header that is right").expect("a message");
        let Ok(Message::Update(update)) = Message::decode(frame, &context) else { panic!("an UPDATE") };
        for block in &update.announced {
            // Looked at where it is made: moving it would be a good part of the time.
            block.iter().for_each(|route| match &route {
                Ok(route) => _ = black_box(route),
                Err(error) => panic!("{error}"),
            });
        }
    }
}

fn netgauze_once(message: &[u8]) {
    let mut context = BgpParsingContext::asn2_default();
    context.set_asn4(true);
    let message = BgpMessage::parse(&mut SliceReader::new(message), &mut context);
    black_box(message.expect("a message that is right"));
}
