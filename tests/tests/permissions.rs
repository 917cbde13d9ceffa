//! An agent that may not do what it has to: it ends with an error that names what is missing, and the remedy.

use std::fs;

use bagpipe_agent::lab::{Lab, LabError, Node};
use bagpipe_tests::bagpipe;

#[test]
fn a_missing_capability_is_named() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let node = lab.node("a")?;
    // CAP_SYS_ADMIN stands for the other two, so it goes with each of them.
    for (dropped, named) in [
        ("-net_admin", "CAP_NET_ADMIN"),
        ("-sys_admin,-bpf", "CAP_BPF"),
        ("-sys_admin,-perfmon", "CAP_PERFMON"),
    ] {
        let (bounding, inherited) = (format!("--bounding-set={dropped}"), format!("--inh-caps={dropped}"));
        let error = refused(&lab, &node, &["setpriv", &bounding, &inherited, "--"])?;
        assert!(error.contains(&format!("lacks {named}: run the agent as root")), "{dropped}: {error}");
        assert_eq!(error.lines().count(), 1, "{dropped}: {error}");
    }
    Ok(())
}

#[test]
fn a_missing_bpf_file_system_is_named() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let node = lab.node("a")?;
    // It may be mounted more than once; the other mount namespaces keep theirs.
    let script = "while umount /sys/fs/bpf 2> /dev/null; do :; done; exec \"$@\"";
    let error = refused(&lab, &node, &["unshare", "--mount", "sh", "-c", script, "sh"])?;
    assert!(error.contains("'mount -t bpf bpf /sys/fs/bpf'"), "{error}");
    Ok(())
}

/// What an agent says that is started by a command and ends with exit code 1.
fn refused(lab: &Lab, node: &Node, by: &[&str]) -> Result<String, LabError> {
    let (directory, config) = (lab.directory().display(), lab.directory().join("refused.toml"));
    let text = format!(
        "[bgp]\nlocal_address = \"127.0.0.1\"\nas_number = 64512\n[dataplane]\nunderlay = [\"lo\"]\n\
         [api]\nlisten = \"\"\nsocket = \"{directory}/refused.sock\"\n[state]\ndirectory = \"{directory}/refused\"\n"
    );
    fs::write(&config, text).expect("the file is written");
    let (binary, config) = (bagpipe(), config.to_string_lossy().into_owned());
    // Short enough to name an agent, and told from those of other labs.
    let (binary, instance) = (binary.to_string_lossy(), node.namespace());
    // Should it start after all, it is ended, with another exit code.
    let agent = ["timeout", "10", &binary, "agent", "--instance", instance, "--config", &config];
    let output = node.output(&[by, &agent].concat())?;
    assert_eq!(output.code, Some(1), "{by:?}: {}", output.stderr);
    Ok(output.stderr)
}
