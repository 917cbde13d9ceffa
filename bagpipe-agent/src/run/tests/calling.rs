//! Calls that come together.

use tokio::sync::oneshot;

use super::*;
use crate::api::{Answer, Call, Request};

/// Calls with the places that their answers go to.
#[derive(Default)]
struct Calls {
    requests: Vec<Request>,
    answers: Vec<oneshot::Receiver<Answer>>,
}

impl Calls {
    fn add(&mut self, call: Call) {
        let (reply, answer) = oneshot::channel();
        self.requests.push(Request { call, reply });
        self.answers.push(answer);
    }
}

fn port(mac: &str, ip: &str) -> Value {
    json!({
        "vpn_type": "evpn",
        "vpn_instance_id": "red",
        "mac_address": mac,
        "ip_address": ip,
        "local_port": { "linuxif": "tap-red" },
        "import_rt": ["64512:1"],
        "export_rt": ["64512:1"],
    })
}

#[tokio::test]
async fn calls_that_came_together_are_answered_each_by_itself() {
    let mut node = Node::start("").await;
    let attach = |port: &Value| Call::Attach(vec![serde_json::from_value(port.clone()).unwrap()]);
    let detach = |port: &Value| Call::Detach(vec![serde_json::from_value(port.clone()).unwrap()]);
    let (first, second) = (port("02:00:00:00:00:01", "10.0.0.1"), port("02:00:00:00:00:02", "10.0.0.2"));
    let mut calls = Calls::default();
    calls.add(attach(&first));
    calls.add(attach(&port("no address", "10.0.0.3")));
    calls.add(attach(&second));
    calls.add(detach(&first));
    calls.add(detach(&first));

    node.agent.answer(calls.requests);
    let answers = calls.answers.iter_mut().map(|answer| answer.try_recv().unwrap().is_ok());
    assert_eq!(answers.collect::<Vec<_>>(), [true, false, true, true, false]);
    let ports: Vec<_> = node.agent.engine.ports().collect();
    let [left] = ports.as_slice() else { panic!("{ports:?}") };
    let macs: Vec<_> = left.macs.iter().map(|mac| mac.mac.to_string()).collect();
    assert_eq!(macs, ["02:00:00:00:00:02"]);
}
