//! From what the agent says to the rows of a table that fits a screen.

use serde_json::{Map, Value};

use super::show::What;
use super::table::cell;

/// The rows of a table.
pub(super) fn rows(what: What, value: Value) -> Vec<Value> {
    let Value::Array(members) = value else { return Vec::new() };
    match what {
        What::Vpns => members.into_iter().map(vpn_row).collect(),
        What::Ports => members.iter().flat_map(port_rows).collect(),
        What::Fdb => members.into_iter().map(fdb_row).collect(),
        _ => members,
    }
}

/// The rows that are of one VPN instance.
pub(super) fn of_vpn(value: Value, vpn: &str) -> Value {
    let Value::Array(members) = value else { return value };
    let is_of = |row: &Value| ["vpn", "name"].iter().any(|key| row.get(*key).is_some_and(|name| name == vpn));
    Value::Array(members.into_iter().filter(is_of).collect())
}

/// A row for each hop of each prefix; the prefix is in the first of them.
pub(super) fn hop_rows(prefixes: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for route in prefixes.as_array().into_iter().flatten() {
        let mut prefix = route.get("prefix").cloned();
        for hop in members(route, "/hops") {
            let mut row = hop.clone();
            if let (Some(row), Some(prefix)) = (row.as_object_mut(), prefix.take()) {
                row.insert("prefix".to_owned(), prefix);
            }
            rows.push(row);
        }
    }
    rows
}

/// The members of a list.
pub(super) fn members<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Route targets in one column, and remote endpoints as their number: there may be hundreds.
fn vpn_row(mut vpn: Value) -> Value {
    let (import, export) = (texts(&vpn, "/import_rt"), texts(&vpn, "/export_rt"));
    let targets = if import == export {
        import
    } else {
        format!("import {} export {}", or_none(import), or_none(export))
    };
    let remotes = members(&vpn, "/remote_endpoints").len();
    let traffic = traffic(&vpn);
    if let Some(row) = vpn.as_object_mut() {
        row.insert("targets".to_owned(), targets.into());
        row.insert("remotes".to_owned(), remotes.into());
        row.extend(traffic.into_iter().flatten());
    }
    vpn
}

/// The remote endpoints of a segment in one column, and beside the target whether the MAC address is frozen.
fn fdb_row(mut entry: Value) -> Value {
    let endpoints = texts(&entry, "/endpoints");
    let frozen = entry.get("frozen") == Some(&Value::Bool(true));
    let target = format!("{} (frozen)", cell(entry.get("target")));
    if let Some(row) = entry.as_object_mut() {
        if !endpoints.is_empty() {
            row.insert("endpoint".to_owned(), endpoints.into());
        }
        if frozen {
            row.insert("target".to_owned(), target.into());
        }
    }
    entry
}

/// A row for each MAC and IP address of a port; what belongs to the port is in the first of them.
fn port_rows(port: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut interface = port.get("interface").cloned().unwrap_or_default();
    if port.get("present") == Some(&Value::Bool(false)) {
        interface = format!("{} (away)", cell(Some(&interface))).into();
    }
    for mac in members(port, "/macs") {
        let ips = members(mac, "/ips");
        let ips = if ips.is_empty() { vec![Value::from("any")] } else { ips.to_vec() };
        for ip in ips {
            let mut row = Map::new();
            row.insert("interface".to_owned(), interface.clone());
            row.insert("vpn".to_owned(), port.get("vpn").cloned().unwrap_or_default());
            for key in ["mac", "advertised"] {
                row.insert(key.to_owned(), mac.get(key).cloned().unwrap_or_default());
            }
            row.insert("ip".to_owned(), ip);
            if rows.is_empty() {
                row.extend(traffic(port).into_iter().flatten());
            }
            rows.push(Value::Object(row));
        }
    }
    rows
}

/// Packets and bytes in each direction, if there is a data plane that counts.
fn traffic(counted: &Value) -> Option<[(String, Value); 2]> {
    let traffic = counted.get("traffic")?.as_object()?;
    let count = |name: &str| traffic.get(name).and_then(Value::as_u64).unwrap_or_default();
    let both = |packets, bytes| Value::from(format!("{} {}B", scaled(count(packets)), scaled(count(bytes))));
    Some([
        ("rx".to_owned(), both("rx_packets", "rx_bytes")),
        ("tx".to_owned(), both("tx_packets", "tx_bytes")),
    ])
}

/// A number in few characters; exact numbers are in the JSON.
fn scaled(number: u64) -> String {
    let mut unit = 1;
    let mut prefix = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if number / unit < 10_000 {
            break;
        }
        (unit, prefix) = (unit * 1000, next);
    }
    format!("{}{prefix}", number / unit)
}

fn texts(value: &Value, path: &str) -> String {
    members(value, path).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        let cases = [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10k"),
            (9_999_999, "9999k"),
            (10_000_000, "10M"),
            (u64::MAX, "18E"),
        ];
        for (number, text) in cases {
            assert_eq!(scaled(number), text);
        }
    }
}
