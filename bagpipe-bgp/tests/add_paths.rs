//! Path identifiers on the wire (RFC 7911 §3).

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{AddPathFamilies, Context, Message, Nlri, NlriBlock, Update, UpdateWriter};
use bytes::BytesMut;
use proptest::prelude::*;

use support::{attributes, decode, decode_update, nlri_list};

fn with_path_ids() -> Context {
    let families = vec![Family::EVPN, Family::VPNV4, Family::VPNV6];
    let add_paths = AddPathFamilies { receive: families.clone(), send: families };
    Context { add_paths, ..support::context() }
}

fn paths(blocks: &[NlriBlock]) -> Vec<(u32, Nlri)> {
    blocks.iter().flat_map(NlriBlock::paths).collect::<Result<_, _>>().expect("only routes that are right")
}

proptest! {
    #[test]
    fn identifiers_are_read_as_they_were_written(attributes in attributes(), routes in nlri_list(), first: u32) {
        let family = routes.first().map_or(Family::EVPN, Nlri::family);
        let identified = with_path_ids().add_paths.send.contains(&family);
        let mut writer = UpdateWriter::announce(&with_path_ids(), family, &attributes);
        let mut taken = Vec::new();
        for nlri in &routes {
            let id = first.wrapping_add(u32::try_from(taken.len()).unwrap_or(0));
            let mut encoded = BytesMut::new();
            nlri.encode(&mut encoded);
            if !writer.push_bytes(id, &encoded) {
                break;
            }
            taken.push((if identified { id } else { 0 }, nlri.clone()));
        }
        prop_assume!(!taken.is_empty());
        let update = decode_update(&writer.finish(), &with_path_ids());
        prop_assert_eq!(paths(&[update.announced.clone(), update.withdrawn.clone()].concat()), taken);
        if update.withdrawn.is_empty() {
            let again = Message::Update(Update { errors: Vec::new(), ..update.clone() }).encode(&with_path_ids());
            prop_assert_eq!(paths(&decode_update(&again, &with_path_ids()).announced), paths(&update.announced));
        }
    }
}

/// RFC 7606 §5.3: nothing after it can be found.
#[test]
fn an_identifier_that_is_cut_off_resets_the_session() {
    let nlri: Vec<u8> =
        [&[0, 0, 0, 1, 3, 17][..], &[0, 1, 10, 0, 0, 1, 0, 7], &[0; 4], &[32, 10, 0, 0, 1]].concat();
    let withdrawal = |length: usize| {
        let block = NlriBlock {
            family: Family::EVPN,
            path_ids: false,
            bytes: nlri.iter().copied().chain(nlri.iter().copied().take(length)).collect(),
        };
        let attribute =
            [&[0x80, 15, u8::try_from(3 + block.bytes.len()).unwrap()][..], &[0, 25, 70], &block.bytes];
        let attribute = attribute.concat();
        let body = [&[0, 0, 0, u8::try_from(attribute.len()).unwrap()][..], &attribute].concat();
        let length = u8::try_from(19 + body.len()).unwrap();
        [&[0xff; 16][..], &[0, length, 2], &body].concat()
    };
    let update = decode_update(&withdrawal(nlri.len()), &with_path_ids());
    assert_eq!(paths(&update.withdrawn).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 1]);
    for length in 1..nlri.len() {
        let error = decode(&withdrawal(length), &with_path_ids()).expect_err("a route that is cut off");
        assert_eq!((error.code, error.subcode), (3, 9), "{length}");
    }
}
