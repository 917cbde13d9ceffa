//! What a machine can check without running the programs.

use crate::command::{TaskError, cargo, run};
use crate::ebpf;

/// Formatting, lints, documentation and dependencies. The programs come first: the agent embeds them.
pub(crate) fn check() -> Result<(), TaskError> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    ebpf::build(ebpf::Telling::Counters)?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Private items are documented as well: then links to them lead somewhere.
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    let scope = ["--workspace", "--no-deps", "--document-private-items"];
    run(cargo().env("RUSTDOCFLAGS", flags).arg("doc").args(scope))?;
    // Not the advisories: they come from the network, and a commit would pass or fail by the day.
    run(cargo().args(["deny", "--workspace", "check", "bans", "licenses", "sources"]))
}
