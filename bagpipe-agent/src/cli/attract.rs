//! `bagpipe attach`: the options that attract traffic, named as those of bagpipe-rest-attach.

use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct AttractArgs {
    /// IP-VPN: attract traffic of who imports this route target; may be repeated
    #[arg(long, value_name = "RT", value_delimiter = ',')]
    redirect_rts: Vec<String>,
    /// Attract what comes from this prefix only
    #[arg(long, value_name = "PREFIX", requires = "redirect_rts")]
    source_prefix: Option<String>,
    /// Attract what goes to this prefix only
    #[arg(long, value_name = "PREFIX", requires = "redirect_rts")]
    destination_prefix: Option<String>,
    /// Attract what comes from this port only, or FIRST:LAST
    #[arg(long, value_name = "PORT", requires = "redirect_rts")]
    source_port: Option<String>,
    /// Attract what goes to this port only, or FIRST:LAST
    #[arg(long, value_name = "PORT", requires = "redirect_rts")]
    destination_port: Option<String>,
    /// Attract this protocol: tcp, udp, icmp, icmpv6, sctp or a number [default: tcp]
    #[arg(long, value_name = "PROTOCOL", requires = "redirect_rts")]
    protocol: Option<String>,
    /// Route target of the default route that attracted traffic follows [default: that of --readv-to-rt]
    #[arg(long, value_name = "RT", requires_all = ["redirect_rts", "static_destination_prefix"])]
    attract_to_rt: Option<String>,
    /// Attract what goes to this prefix; may be repeated [default: that of the routes of --readv-from-rt]
    #[arg(long, value_name = "PREFIX", value_delimiter = ',', requires = "redirect_rts")]
    static_destination_prefix: Vec<String>,
}

impl AttractArgs {
    /// What is asked for, if anything is.
    pub(super) fn request(&self) -> Option<Value> {
        (!self.redirect_rts.is_empty()).then(|| {
            json!({
                "redirect_rts": self.redirect_rts,
                "classifier": {
                    "sourcePrefix": self.source_prefix,
                    "destinationPrefix": self.destination_prefix,
                    "sourcePort": self.source_port,
                    "destinationPort": self.destination_port,
                    "protocol": self.protocol,
                },
                "to_rt": self.attract_to_rt,
                "static_destination_prefixes": self.static_destination_prefix,
            })
        })
    }
}
