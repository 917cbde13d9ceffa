//! Packets made by hand, byte by byte: what programs are fed with, and compared to.

/// A MAC address.
pub type Mac = [u8; 6];

/// The Internet checksum of `bytes` (RFC 1071), of an odd number as if a zero followed.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |byte| u32::from(*byte)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// A frame: addresses, EtherType, payload.
#[must_use]
pub fn ethernet(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &ethertype.to_be_bytes(), payload].concat()
}

/// The frame with a VLAN tag in front.
#[must_use]
pub fn tagged(frame: &[u8], ethertype: u16, control: u16) -> Vec<u8> {
    [&frame[..12], &ethertype.to_be_bytes(), &control.to_be_bytes(), &frame[12..]].concat()
}

/// What varies in an IPv4 header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4 {
    /// Source.
    pub source: [u8; 4],
    /// Destination.
    pub destination: [u8; 4],
    /// Protocol.
    pub protocol: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flags and offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
}

impl Ipv4 {
    /// A packet that must not be fragmented.
    #[must_use]
    pub fn new(source: [u8; 4], destination: [u8; 4], protocol: u8) -> Self {
        Self { source, destination, protocol, traffic_class: 0, fragment: 0x4000, ttl: 64 }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let length = (20 + payload.len()) as u16;
        let mut header = vec![0x45, self.traffic_class];
        header.extend(length.to_be_bytes());
        header.extend([0, 0]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend(self.source);
        header.extend(self.destination);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        [&header[..], payload].concat()
    }
}

/// An IPv6 packet.
#[must_use]
pub fn ipv6(
    source: [u8; 16],
    destination: [u8; 16],
    next_header: u8,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next_header, hop_limit]);
    header.extend(source);
    header.extend(destination);
    [&header[..], payload].concat()
}

/// A UDP packet without a checksum.
#[must_use]
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// A VXLAN header before a frame.
#[must_use]
pub fn vxlan(flags: u8, vni: u32, frame: &[u8]) -> Vec<u8> {
    let [_, vni @ ..] = vni.to_be_bytes();
    [&[flags, 0, 0, 0][..], &vni, &[0], frame].concat()
}

/// An ARP packet: operation 1 asks, 2 answers.
#[must_use]
pub fn arp(operation: u16, sender: (Mac, [u8; 4]), target: (Mac, [u8; 4])) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(sender.0);
    packet.extend(sender.1);
    packet.extend(target.0);
    packet.extend(target.1);
    packet
}

/// The packet with options between its IPv4 header, which has none, and its payload.
#[must_use]
pub fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut header = [&packet[..20], options].concat();
    header[0] += (options.len() / 4) as u8;
    let length = (packet.len() + options.len()) as u16;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[10..12].fill(0);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header[..], &packet[20..]].concat()
}

/// An ICMP message with its checksum.
#[must_use]
pub fn icmp(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0][..], body].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// An ICMPv6 message with its checksum.
#[must_use]
pub fn icmpv6(source: [u8; 16], destination: [u8; 16], kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0][..], body].concat();
    let mut covered = [source, destination].concat();
    covered.extend((message.len() as u32).to_be_bytes());
    covered.extend([0, 0, 0, 58]);
    covered.extend(&message);
    let sum = checksum(&covered);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// A neighbour solicitation (135) or advertisement (136): flags, target, and an option with a MAC address.
#[must_use]
pub fn neighbor(
    source: [u8; 16],
    destination: [u8; 16],
    kind: u8,
    flags: u8,
    target: [u8; 16],
    option: Option<(u8, Mac)>,
) -> Vec<u8> {
    let mut body = vec![flags, 0, 0, 0];
    body.extend(target);
    if let Some((kind, mac)) = option {
        body.extend([kind, 1]);
        body.extend(mac);
    }
    ipv6(source, destination, 58, 255, &icmpv6(source, destination, kind, &body))
}
