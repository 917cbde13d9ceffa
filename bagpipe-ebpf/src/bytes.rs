//! Reading packets: the linear part that a program sees, the same at both hooks.

/// The bytes of a packet that can be read directly.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    start: usize,
    end: usize,
}

impl Bytes {
    /// The bytes between two addresses, as the context gives them.
    #[inline(always)]
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Whether there are as many.
    #[inline(always)]
    pub(crate) fn has(self, length: usize) -> bool {
        self.start + length <= self.end
    }

    /// The header at `offset`, if all of it is there. The type consists of bytes.
    #[inline(always)]
    pub(crate) fn at<T>(self, offset: usize) -> Option<&'static T> {
        // SAFETY: inside the packet, which the verifier checks again; any alignment and any bytes will do. The
        // reference is dropped before the packet is changed: the verifier forgets packet pointers then.
        self.address::<T>(offset).map(|header| unsafe { &*(header as *const T) })
    }

    /// The header at `offset`, to be written, if there is room for all of it. The type consists of bytes.
    #[inline(always)]
    pub(crate) fn at_mut<T>(self, offset: usize) -> Option<&'static mut T> {
        // SAFETY: as in `at`; at the TC hook the kernel has made sure that no other packet shares these bytes.
        self.address::<T>(offset).map(|header| unsafe { &mut *(header as *mut T) })
    }

    #[inline(always)]
    fn address<T>(self, offset: usize) -> Option<usize> {
        const { assert!(align_of::<T>() <= 2) };
        let header = self.start + offset;
        (header + size_of::<T>() <= self.end).then_some(header)
    }
}

/// A packet address in a context. Read anew each time: the compiler would keep the 32 bits that it is declared as,
/// and extend them later, which the verifier does not take for an address.
#[inline(always)]
pub(crate) fn address(field: &u32) -> usize {
    // SAFETY: a reference is valid.
    unsafe { core::ptr::from_ref(field).read_volatile() as usize }
}
