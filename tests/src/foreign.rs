//! A node of ours and a foreign label switching router on one link: Open vSwitch forwards there, and GoBGP speaks for
//! it.

use std::path::Path;

use bagpipe_agent::lab::{Agent, Capture, Lab, LabError, Node};
use serde_json::Value;

use crate::bagpipe;
use crate::edges::Family;
use crate::fabric::UNDERLAY;
use crate::gobgp::Reflector;
use crate::ovs::{OpenVSwitch, Way, mac};
use crate::tshark;

/// The two, with one session between them.
#[derive(Debug)]
pub struct Foreign {
    /// Ours.
    pub agent: Agent,
    /// Theirs: the speaker.
    pub gobgp: Reflector,
    /// Theirs: the router.
    pub ovs: OpenVSwitch,
    /// Its address.
    pub address: String,
    far: Node,
    form: &'static str,
    /// Our MAC address on the link.
    mac: String,
    /// What it all stands in; the last to go.
    pub lab: Lab,
}

impl Foreign {
    /// Both on one link, ours configured to send labels in a form. `sections` are more of its configuration.
    ///
    /// # Errors
    /// When a part does not come up.
    pub fn new(form: &'static str, family: Family, sections: &str) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (near, far) = (lab.node("near")?, lab.node("far")?);
        lab.link((&near, UNDERLAY), (&far, UNDERLAY))?;
        without_offloads(&near, UNDERLAY)?;
        near.address(UNDERLAY, &family.prefix(1))?;
        let (local, address) = (family.node(1), family.node(2));

        let ovs = OpenVSwitch::start(&lab, &far, &family.prefix(2))?;
        ovs.tunnel(&address, &local)?;
        let gobgp = Reflector::configured(&lab, &far, &speaker(&address, &local))?;
        let agent = Agent::configured(&lab, &bagpipe(), &near, &(router(&local, &address, form) + sections))?;
        let mac = mac(&near, UNDERLAY)?;
        Ok(Self { agent, gobgp, ovs, address, far, form, mac, lab })
    }

    /// Their node.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.far
    }

    /// How Open vSwitch sends to our node.
    #[must_use]
    pub fn way(&self) -> Way<'_> {
        if self.form == "gre" { Way::Gre } else { Way::Ethernet(&self.mac) }
    }

    /// What finds packets of the form in a capture.
    #[must_use]
    pub fn filter(&self) -> &'static str {
        if self.form == "gre" { "gre.proto == 0x8847" } else { "eth.type == 0x8847" }
    }

    /// Has GoBGP announce a route, which ends with route distinguisher, route target and next hop.
    ///
    /// # Errors
    /// When it refuses it.
    pub fn announce(&self, family: &str, route: &[&str], target: &str) -> Result<(), LabError> {
        self.announce_with(family, route, target, &[])
    }

    /// The same, with more attributes.
    ///
    /// # Errors
    /// When it refuses it.
    pub fn announce_with(
        &self,
        family: &str,
        route: &[&str],
        target: &str,
        attributes: &[&str],
    ) -> Result<(), LabError> {
        let words = ["global", "rib", "add", "-a", family];
        let more = ["rd", "64512:2", "rt", target, "nexthop", &self.address];
        self.gobgp.gobgp(&[&words[..], route, &more, attributes].concat()).map(drop)
    }

    /// The routes of a family that GoBGP has, and the best path of each.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn received(&self, family: &str) -> Result<Vec<Value>, LabError> {
        let shown = self.gobgp.gobgp(&["global", "rib", "-a", family, "-j"])?;
        let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
        let paths = shown.as_object().into_iter().flat_map(|paths| paths.values());
        Ok(paths.filter_map(|paths| paths.get(0).cloned()).collect())
    }

    /// Captures what is on the link, but for BGP.
    ///
    /// # Errors
    /// When the capture does not start.
    pub fn capture(&self) -> Result<Capture, LabError> {
        Capture::start(self.agent.node(), UNDERLAY, "not port 179")
    }

    /// Asserts that there is a packet in our form for each of the filters.
    ///
    /// # Panics
    /// When there is none, or a malformed one.
    pub fn assert_seen(&self, capture: &Path, filters: &[String]) {
        let filters: Vec<String> =
            filters.iter().map(|filter| format!("{} && {filter}", self.filter())).collect();
        tshark::assert_well_formed(capture, &filters.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// What reads packets in userspace gets them as they are on a wire: of the size of the MTU, with checksums.
///
/// # Errors
/// When the interface is not there.
pub fn without_offloads(node: &Node, interface: &str) -> Result<(), LabError> {
    let features = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"];
    node.run(&[&["ethtool", "-K", interface][..], &features].concat()).map(drop)
}

fn router(local: &str, remote: &str, form: &str) -> String {
    format!(
        "[bgp]\nlocal_address = \"{local}\"\nrouter_id = \"10.98.0.1\"\nas_number = 64512\nhold_time = 9\n\
         [[bgp.peers]]\naddress = \"{remote}\"\n\
         [dataplane]\nunderlay = [\"{UNDERLAY}\"]\nmpls = \"{form}\"\n"
    )
}

fn speaker(local: &str, remote: &str) -> String {
    let families = ["l3vpn-ipv4-unicast", "l3vpn-ipv6-unicast", "l2vpn-evpn"].map(|family| {
        format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n")
    });
    format!(
        "[global.config]\nas = 64512\nrouter-id = \"10.98.0.2\"\nlocal-address-list = [\"{local}\"]\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{remote}\"\npeer-as = 64512\n\
         [neighbors.transport.config]\npassive-mode = true\nlocal-address = \"{local}\"\n{}",
        families.concat()
    )
}
