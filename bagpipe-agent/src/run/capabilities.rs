//! What the agent must be permitted to do (capabilities(7)), looked at before anything is tried: the errors of
//! netlink and bpf(2) do not say which capability they miss.

const NET_ADMIN: (u32, &str) = (12, "CAP_NET_ADMIN");
const SYS_ADMIN: u32 = 21;
const PERFMON: (u32, &str) = (38, "CAP_PERFMON");
const BPF: (u32, &str) = (39, "CAP_BPF");

/// The capabilities that are missing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the data plane lacks {}: run the agent as root, or give it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON \
     (AmbientCapabilities= of its systemd unit, or setcap)",
    .0.join(" and ")
)]
pub struct CapabilityError(Vec<&'static str>);

/// Checks that this process may load programs and set up interfaces.
pub(super) fn check() -> Result<(), CapabilityError> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Without /proc the kernel's own refusal has to do.
    effective(&status).map_or(Ok(()), judge)
}

fn effective(status: &str) -> Option<u64> {
    let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(field.trim(), 16).ok()
}

fn judge(effective: u64) -> Result<(), CapabilityError> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let mut missing = Vec::new();
    for (bit, name) in [BPF, NET_ADMIN, PERFMON] {
        // CAP_SYS_ADMIN includes the two that were split off it.
        if !has(bit) && (bit == NET_ADMIN.0 || !has(SYS_ADMIN)) {
            missing.push(name);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(CapabilityError(missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let all = effective("Name:\tx\nCapEff:\t000001ffffffffff\n").unwrap();
        let without = |bits: &[u32]| judge(bits.iter().fold(all, |all, bit| all & !(1 << bit)));
        assert_eq!(without(&[]), Ok(()));
        assert_eq!(without(&[BPF.0, PERFMON.0]), Ok(()));
        assert_eq!(without(&[SYS_ADMIN]), Ok(()));
        assert_eq!(without(&[SYS_ADMIN, BPF.0]), Err(CapabilityError(vec!["CAP_BPF"])));
        assert_eq!(without(&[NET_ADMIN.0]), Err(CapabilityError(vec!["CAP_NET_ADMIN"])));
        assert_eq!(without(&[SYS_ADMIN, PERFMON.0]), Err(CapabilityError(vec!["CAP_PERFMON"])));
    }
}
