//! Direct-action BPF filters at the ingress of an interface (tc-bpf(8)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::message::{Builder, Message, attributes, u32_at};
use super::request::Requests;

/// Behind filters whose owners ask to be early, such as policers, and before those that the kernel gives a number:
/// it starts with 49152. Fixed, so that a filter is found again after a restart.
const PRIORITY: u16 = 0x4250;
/// Tells filters of the same priority apart. There is one of ours on an interface.
const HANDLE: u32 = 1;

const TC_H_CLSACT: u32 = 0xffff_fff1;
const TC_H_CLSACT_HANDLE: u32 = 0xffff_0000;
const TC_H_CLSACT_INGRESS: u32 = 0xffff_fff2;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const ETH_P_ALL: u16 = 3;

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Name, that its owner has given it.
    pub name: String,
    /// Identifier of its program.
    pub program: u32,
}

impl Requests {
    /// Puts a filter at our place of an interface, which is made where there is none: a `clsact` qdisc, or somebody's
    /// `ingress`. A filter that is there already is an error.
    ///
    /// # Errors
    /// When the kernel refuses: `EEXIST` when the place is taken, `ENODEV` when there is no such interface.
    pub(crate) fn add_filter(&mut self, ifindex: u32, program: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let qdisc = self
            .request(libc::RTM_NEWQDISC, flags)
            .fixed(&head(ifindex, TC_H_CLSACT_HANDLE, TC_H_CLSACT, 0))
            .attribute(TCA_KIND, b"clsact\0");
        let filter = self.filter_with(ifindex, program, name, libc::NLM_F_EXCL);
        match self.exchange_both(qdisc, filter)? {
            (Err(error), Err(_)) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
            (_, filter) => filter,
        }
    }

    /// Gives the filter at our place of an interface this program, at once; puts it there if there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn replace_filter(
        &mut self,
        ifindex: u32,
        program: BorrowedFd<'_>,
        name: &str,
    ) -> io::Result<()> {
        let request = self.filter_with(ifindex, program, name, libc::NLM_F_REPLACE);
        self.exchange(request, |_| None::<()>).map(drop)
    }

    fn filter_with(&mut self, ifindex: u32, program: BorrowedFd<'_>, name: &str, flags: i32) -> Builder {
        self.request(libc::RTM_NEWTFILTER, libc::NLM_F_ACK | libc::NLM_F_CREATE | flags)
            .fixed(&place(ifindex))
            .attribute(TCA_KIND, b"bpf\0")
            .nested(TCA_OPTIONS, |options| {
                options
                    .attribute(TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes())
                    .attribute(TCA_BPF_NAME, &[name.as_bytes(), &[0]].concat())
                    .attribute(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes())
            })
    }

    /// The filter at our place of an interface; none when there is no such interface.
    ///
    /// # Errors
    /// When the kernel could not be asked.
    pub(crate) fn filter(&mut self, ifindex: u32) -> io::Result<Option<Filter>> {
        let request = self
            .request(libc::RTM_GETTFILTER, libc::NLM_F_ACK)
            .fixed(&place(ifindex))
            .attribute(TCA_KIND, b"bpf\0");
        match self.exchange(request, decode) {
            Ok(filters) => Ok(filters.into_iter().next()),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the filter at our place of an interface, if there is one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn remove_filter(&mut self, ifindex: u32) -> io::Result<()> {
        let request = self
            .request(libc::RTM_DELTFILTER, libc::NLM_F_ACK)
            .fixed(&place(ifindex))
            .attribute(TCA_KIND, b"bpf\0");
        match self.exchange(request, |_| None::<()>) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Our place of an interface.
fn place(ifindex: u32) -> [u8; 20] {
    let info = u32::from(PRIORITY) << 16 | u32::from(ETH_P_ALL.to_be());
    head(ifindex, HANDLE, TC_H_CLSACT_INGRESS, info)
}

/// `struct tcmsg` (linux/rtnetlink.h).
fn head(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    bytes[8..12].copy_from_slice(&handle.to_ne_bytes());
    bytes[12..16].copy_from_slice(&parent.to_ne_bytes());
    bytes[16..].copy_from_slice(&info.to_ne_bytes());
    bytes
}

fn decode(message: &Message<'_>) -> Option<Filter> {
    let (_, rest) = message.split::<20>()?;
    let (_, options) = attributes(rest).find(|(kind, _)| *kind == TCA_OPTIONS)?;
    let option = |wanted| attributes(options).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let name = option(TCA_BPF_NAME).unwrap_or_default();
    Some(Filter {
        name: String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned(),
        program: u32_at(option(TCA_BPF_ID)?, 0)?,
    })
}

/// No filter, no qdisc (`EINVAL`: the parent does not exist), no interface.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::ENODEV))
}
