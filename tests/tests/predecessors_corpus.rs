//! The same requests to bagpipe-bgp and to an agent: statuses, and the names of what the looking glass shows.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Lab, LabError};
use bagpipe_tests::bagpipe_bgp::{Answer, BagpipeBgp, Driver, Options};
use bagpipe_tests::rest::RestAgent;
use serde_json::Value;

const CORPUS: &str = include_str!("../corpus/api.json");
const DIFFERENCES: &str = include_str!("../../docs/API-COMPATIBILITY.md");
const ADDRESS: &str = "127.0.0.11";

#[test]
fn corpus() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (old, new) = (lab.node("old")?, lab.node("new")?);
    for node in [&old, &new] {
        node.address("lo", &format!("{ADDRESS}/8"))?;
    }
    let options = Options { address: ADDRESS, peers: &[], rtc: true, driver: Driver::Dummy };
    let predecessor = BagpipeBgp::start(&lab, &old, &options)?;
    let agent = RestAgent::start(&lab, &new, ADDRESS)?;
    let corpus: Vec<Value> = serde_json::from_str(CORPUS).expect("the corpus is JSON");
    assert!(corpus.len() >= 60);
    let mut wrong = Vec::new();
    for case in &corpus {
        let text = |key: &str| case[key].as_str().unwrap_or_default();
        let (name, method, path) = (text("name"), text("method"), text("path"));
        let body = match &case["body"] {
            Value::Null => String::new(),
            Value::String(body) => body.clone(),
            body => body.to_string(),
        };
        let answers = [predecessor.request(method, path, &body)?, agent.request(method, path, &body)?];
        if let Err(cause) = compare(case, &answers) {
            wrong.push(format!("{name}: {cause}"));
        }
        let differs = case["status"].is_array() || case["keys"] == "differ";
        if differs != DIFFERENCES.contains(&format!("\n| {name} |")) {
            wrong.push(format!("{name}: docs/API-COMPATIBILITY.md does not say so"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Whether both answered as the corpus says.
fn compare(case: &Value, [theirs, ours]: &[Answer; 2]) -> Result<(), String> {
    let expected = match &case["status"] {
        Value::Array(both) => [both[0].as_u64(), both[1].as_u64()],
        status => [status.as_u64(); 2],
    };
    let found = [theirs, ours].map(|answer| Some(u64::from(answer.status)));
    if found != expected {
        return Err(format!("statuses {found:?}: {} / {}", theirs.body, ours.body));
    }
    if found != [Some(200); 2] {
        return Ok(());
    }
    let [their_shape, our_shape] = [theirs, ours].map(|answer| shape(&answer.body));
    let differ = their_shape != our_shape;
    if differ != (case["keys"] == "differ") {
        return Err(format!("{their_shape:?} / {our_shape:?}"));
    }
    Ok(())
}

/// The type of a JSON document, and the names of its members.
fn shape(body: &str) -> (&'static str, BTreeSet<String>) {
    match serde_json::from_str(body) {
        Ok(Value::Object(members)) => ("object", members.keys().cloned().collect()),
        Ok(Value::Array(_)) => ("array", BTreeSet::new()),
        Ok(Value::Number(_)) => ("number", BTreeSet::new()),
        Ok(Value::String(_)) => ("string", BTreeSet::new()),
        Ok(Value::Null) => ("null", BTreeSet::new()),
        _ => ("nothing", BTreeSet::new()),
    }
}
