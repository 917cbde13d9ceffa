//! `bagpipe attach`: the options about packets that have no route.

use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct FallbackArgs {
    /// IP-VPN: interface that packets without a route leave by; NAME:VLAN for a VLAN on it
    #[arg(long, value_name = "INTERFACE", requires_all = ["fallback_src_mac", "fallback_dst_mac"])]
    fallback: Option<String>,
    /// Source MAC address that they get
    #[arg(long, value_name = "MAC", requires = "fallback")]
    fallback_src_mac: Option<String>,
    /// Destination MAC address that they get
    #[arg(long, value_name = "MAC", requires = "fallback")]
    fallback_dst_mac: Option<String>,
}

impl FallbackArgs {
    /// What is asked for, if anything is.
    pub(super) fn request(&self) -> Option<Value> {
        self.fallback.as_ref().map(|interface| {
            json!({
                "interface": interface,
                "src_mac": self.fallback_src_mac,
                "dst_mac": self.fallback_dst_mac,
            })
        })
    }
}
