//! The raw system calls of the data plane, of sockets and of labs, and the bytes of map types: all that is `unsafe` in the
//! agent.

#![allow(
    unsafe_code,
    reason = "this file is where the agent's unsafe code is; each use says why it is sound"
)]

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya::Pod;
use netlink_sys::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The bytes of a map key or value.
#[must_use]
pub(crate) fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: `Pod` types are plain data; the slice covers exactly the value and lives as long as it.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A map key or value from its bytes; `None` when there are not exactly as many as the type has.
#[must_use]
pub(crate) fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: the lengths are equal, the regions don't overlap, and any bytes are a valid `Pod` value.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), bytes.len());
        Some(value.assume_init())
    }
}

/// A batch of map elements that the kernel took only in part.
#[derive(Debug, thiserror::Error)]
#[error("{error} after {done} elements")]
pub(crate) struct BatchError {
    /// How many elements were handled before the one that failed.
    pub done: usize,
    /// Why it failed.
    pub error: io::Error,
}

/// Writes elements into a map: `keys` and `values` hold `count` elements each, one after the other.
///
/// # Errors
/// The number of elements written, and why the next one was not.
pub(crate) fn update_batch(
    map: BorrowedFd<'_>,
    keys: &[u8],
    values: &[u8],
    count: usize,
) -> Result<(), BatchError> {
    let mut attr = Batch::new(map, count);
    attr.keys = keys.as_ptr() as u64;
    attr.values = values.as_ptr() as u64;
    attr.run(BPF_MAP_UPDATE_BATCH, count)
}

/// Removes elements from a map.
///
/// # Errors
/// The number of elements removed, and why the next one was not.
pub(crate) fn delete_batch(map: BorrowedFd<'_>, keys: &[u8], count: usize) -> Result<(), BatchError> {
    let mut attr = Batch::new(map, count);
    attr.keys = keys.as_ptr() as u64;
    attr.run(BPF_MAP_DELETE_BATCH, count)
}

/// Reads all elements of a map: keys one after the other, and values likewise.
///
/// # Errors
/// Those of bpf(2).
pub(crate) fn read_all(
    map: BorrowedFd<'_>,
    key_size: usize,
    value_size: usize,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    // Where the kernel goes on: opaque, as large as a key at most, and at least a `u32`.
    let (mut cursor, mut next) = (vec![0_u8; key_size.max(8)], vec![0_u8; key_size.max(8)]);
    let mut started = false;
    let mut room = 4096_usize;
    loop {
        let (mut some_keys, mut some_values) = (vec![0_u8; room * key_size], vec![0_u8; room * value_size]);
        let mut attr = Batch::new(map, room);
        attr.in_batch = if started { cursor.as_ptr() as u64 } else { 0 };
        attr.out_batch = next.as_mut_ptr() as u64;
        attr.keys = some_keys.as_mut_ptr() as u64;
        attr.values = some_values.as_mut_ptr() as u64;
        let result = attr.call(BPF_MAP_LOOKUP_BATCH);
        let error = result.as_ref().err().and_then(io::Error::raw_os_error);
        if error == Some(libc::ENOSPC) {
            // One hash bucket holds more than there is room for.
            room *= 2;
            continue;
        }
        if error.is_some() && error != Some(libc::ENOENT) {
            result?;
        }
        let found = attr.count as usize;
        some_keys.truncate(found * key_size);
        some_values.truncate(found * value_size);
        keys.append(&mut some_keys);
        values.append(&mut some_values);
        if error.is_some() {
            return Ok((keys, values));
        }
        std::mem::swap(&mut cursor, &mut next);
        started = true;
    }
}

/// The name of an interface, in the network namespace of the calling thread.
///
/// # Errors
/// `ENXIO` when there is none of this index.
pub(crate) fn interface_name(ifindex: u32) -> io::Result<String> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer is as large as the function asks for.
    let result = unsafe { libc::if_indextoname(ifindex, name.as_mut_ptr().cast()) };
    if result.is_null() {
        return Err(io::Error::last_os_error());
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    Ok(name.to_string_lossy().into_owned())
}

/// Moves the calling thread into another network namespace: sockets that it makes from then on are there.
///
/// # Errors
/// Those of setns(2).
pub(crate) fn enter_network_namespace(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes two integers; the descriptor is open as long as it is borrowed.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option of a socket to a value of the form that the option has in memory.
///
/// # Errors
/// Those of setsockopt(2).
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: the kernel reads as many octets as we say there are.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            libc::socklen_t::try_from(value.len()).unwrap_or(0),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads an option of a socket into a buffer, and says how many octets the kernel wrote.
///
/// # Errors
/// Those of getsockopt(2).
pub(crate) fn get_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(buffer.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the kernel writes at most as many octets as we say there is room for, and then says how many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            buffer.as_mut_ptr().cast(),
            std::ptr::from_mut(&mut length),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(length as usize) }
}

/// Has the runtime tell when a socket is readable. The runtime must be there.
///
/// # Errors
/// Those of epoll_ctl(2).
pub(crate) fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket owns its file descriptor, keeps the same one, and is owned by what is returned; nothing
    // takes it out by `get_mut`.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_MAP_DELETE_BATCH: libc::c_long = 27;

/// The part of `union bpf_attr` that the batch commands use (linux/bpf.h).
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

impl Batch {
    fn new(map: BorrowedFd<'_>, count: usize) -> Self {
        Self {
            in_batch: 0,
            out_batch: 0,
            keys: 0,
            values: 0,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            map_fd: map.as_raw_fd().unsigned_abs(),
            elem_flags: 0,
            flags: 0,
        }
    }

    fn run(&mut self, command: libc::c_long, count: usize) -> Result<(), BatchError> {
        self.call(command).map_err(|error| {
            // An error before the first element (EFAULT, EPERM) leaves the count as it was given.
            let done = self.count as usize;
            BatchError { done: if done >= count { 0 } else { done }, error }
        })
    }

    fn call(&mut self, command: libc::c_long) -> io::Result<()> {
        // SAFETY: the structure is as large as we say, and the buffers behind its addresses are alive and hold
        // `count` elements of the map's sizes: the callers of this module pass sizes that were compared with
        // the map's own when it was opened.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(self), size_of::<Self>() as libc::c_long)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
