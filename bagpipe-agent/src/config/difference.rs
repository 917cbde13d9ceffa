//! What of a configuration a running agent cannot take over.

use serde_json::Value;

use super::Config;

/// Keys, with what is below them, that may change while the agent runs.
const CHANGEABLE: [&str; 12] = [
    "bgp.peers",
    "bgp.bmp",
    "bgp.hold_time",
    "bgp.restart_time",
    "bgp.long_lived_restart_time",
    "bgp.reflector.clients",
    "bgp.reflector.maximum_clients",
    "bgp.reflector.password",
    "bgp.reflector.tcp_ao",
    "bgp.reflector.ttl_security",
    "bgp.reflector.maximum_prefixes",
    "bgp.reflector.add_paths",
];

/// This may come and go as a whole.
const REFLECTOR: &str = "bgp.reflector";

impl Config {
    /// The keys that differ in another configuration and need a restart of the agent to count. What is written in
    /// either as a default counts as written.
    #[must_use]
    pub fn needs_restart(&self, other: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        // Both are trees of plain values, of which a program can always be told.
        let [before, after] = [self, other].map(|config| serde_json::to_value(config).unwrap_or_default());
        differing("", &before, &after, &mut keys);
        keys.retain(|key| !is_changeable(key));
        // Where both are reflectors, it is among the keys above.
        let [before, after] = [self, other].map(|config| config.bgp.reflector.as_ref());
        if before.is_some() != after.is_some() && before.or(after).is_some_and(|it| it.cluster_id.is_some()) {
            keys.push("bgp.reflector.cluster_id".to_owned());
        }
        // A reflector listens, also where nobody wrote that it should.
        let listens = |config: &Self| config.bgp.listen.is_empty() && config.bgp.reflector.is_some();
        if listens(self) != listens(other) && self.bgp.listen == other.bgp.listen {
            keys.push("bgp.reflector (without bgp.listen)".to_owned());
        }
        keys
    }
}

fn is_changeable(key: &str) -> bool {
    let below = |rest: &str| rest.is_empty() || rest.starts_with('.');
    key == REFLECTOR || CHANGEABLE.iter().any(|changeable| key.strip_prefix(changeable).is_some_and(below))
}

/// Lists the leaves that differ, by their keys with sections.
fn differing(key: &str, before: &Value, after: &Value, keys: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            keys.push(key.to_owned());
        }
        return;
    };
    // An enumeration's alternatives are one value of one key.
    if !key.is_empty() && !old.keys().eq(new.keys()) {
        return keys.push(key.to_owned());
    }
    for (name, value) in old {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        differing(&key, value, new.get(name).unwrap_or(&Value::Null), keys);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str =
        "[bgp]\nlocal_address = \"10.0.0.1\"\nas_number = 64512\n[dataplane]\ndriver = \"none\"\n";

    fn keys(before: &str, after: &str) -> Vec<String> {
        let [before, after] = [before, after].map(|text| Config::parse(text, Path::new("t"), "t").unwrap());
        before.needs_restart(&after)
    }

    #[test]
    fn what_is_the_same_or_changeable_needs_no_restart() {
        let peer = "[[bgp.peers]]\naddress = \"10.0.0.9\"\npassword = \"secret\"\n";
        assert!(keys(BASE, &format!("{BASE}{peer}")).is_empty());
        assert!(keys(&format!("{BASE}{peer}"), BASE).is_empty());
        let listen = BASE.replace("as_number", "hold_time = 9\nlisten = [\"10.0.0.1:179\"]\nas_number");
        let reflector = format!("{listen}[bgp.reflector]\nclients = [\"10.0.0.0/24\"]\n");
        assert!(keys(&listen, &reflector).is_empty());
        assert!(keys(&reflector, &reflector.replace("hold_time = 9", "restart_time = 7")).is_empty());
        let terms =
            "password = \"x\"\nttl_security = 2\nmaximum_clients = 3\nmaximum_prefixes = { evpn = 5 }\n";
        let changed = format!("{}{terms}add_paths = {{ send = 2 }}\n", reflector.replace("/24", "/25"));
        assert!(keys(&reflector, &changed).is_empty());
        assert!(keys(BASE, &format!("{BASE}[bgp.bmp]\nstation = \"192.0.2.9:11019\"\n")).is_empty());
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        for (from, to, expected) in [
            ("\"10.0.0.1\"", "\"eth0\"", "bgp.local_address"),
            ("as_number", "listen = [\"10.0.0.1:179\"]\nas_number", "bgp.listen"),
            ("driver = \"none\"", "driver = \"none\"\nvxlan_port = 8472", "dataplane.vxlan_port"),
            ("[dataplane]", "[api]\nlisten = \"\"\n[dataplane]", "api.listen"),
            ("[dataplane]", "[vpn]\nvnis = \"20-30\"\n[dataplane]", "vpn.vnis"),
            (
                "[dataplane]",
                "[bgp.reflector]\nclients = [\"10.0.0.0/24\"]\n[dataplane]",
                "bgp.reflector (without bgp.listen)",
            ),
        ] {
            assert_eq!(keys(BASE, &BASE.replace(from, to)), [expected], "{to}");
        }
        // Both: the one is the default of the other.
        let other_as = BASE.replace("64512", "64513");
        assert_eq!(keys(BASE, &other_as), ["bgp.as_number", "route_targets.as_number"]);
        let reflector = "listen = [\"10.0.0.1:179\"]\n[bgp.reflector]\nclients = [\"10.0.0.0/24\"]";
        let before = BASE.replace("[dataplane]", &format!("{reflector}\n[dataplane]"));
        let after =
            BASE.replace("[dataplane]", &format!("{reflector}\ncluster_id = \"1.2.3.4\"\n[dataplane]"));
        assert_eq!(keys(&before, &after), ["bgp.reflector.cluster_id"]);
        let listening = BASE.replace("[dataplane]", "listen = [\"10.0.0.1:179\"]\n[dataplane]");
        assert_eq!(keys(&listening, &after), ["bgp.reflector.cluster_id"]);
    }
}
