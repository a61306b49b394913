//! A key on memory pages of its own: not swapped, not dumped, empty after a fork, between two pages that nobody may touch.
//!
//!     forbidden page │ zeros … key │ forbidden page
//!
//! The key ends where the page ends, so that reading past it stops the process instead of telling what is behind.
#![allow(unsafe_code, reason = "pages cannot be had without; this file and `base/wipe.rs` alone have any")]

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mlock, mmap_anonymous, mprotect, munmap};
use zeroize::Zeroize;

/// Bytes of a key on a page of its own. Each costs three pages of addresses and one of memory.
pub struct LockedKey<const N: usize> {
    /// The first forbidden page.
    base: NonNull<u8>,
    page: usize,
    locked: bool,
}

// SAFETY: the pages belong to this value alone, and are changed only through `&mut`.
unsafe impl<const N: usize> Send for LockedKey<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for LockedKey<N> {}

impl<const N: usize> LockedKey<N> {
    /// A key that `fill` writes in place; it starts as zeros. With `lock` false the pages may be swapped.
    ///
    /// # Errors
    /// When the system gives no memory. That it refuses to lock is not an error: see [`LockedKey::is_locked`].
    pub fn new(lock: bool, fill: impl FnOnce(&mut [u8; N])) -> io::Result<Self> {
        let page = rustix::param::page_size();
        if N == 0 || N > page {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a locked key has 1 byte to one page"));
        }
        // SAFETY: a new private mapping wherever the system likes; nothing else refers to it.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), page * 3, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on the value's drop gives the pages back.
        let mut key = Self { base, page, locked: false };
        let middle = key.middle();
        // SAFETY: the middle page of the three that were just mapped.
        unsafe {
            mprotect(middle, page, MprotectFlags::READ | MprotectFlags::WRITE)?;
            // Advice: an old kernel that does not know it is no reason to stop.
            let _ = madvise(middle, page, Advice::LinuxDontDump);
            let _ = madvise(middle, page, Advice::LinuxWipeOnFork);
            key.locked = lock && mlock(middle, page).is_ok();
        }
        fill(key.bytes_mut());
        Ok(key)
    }

    /// Whether the page stays out of swap. It does not where the limit on locked memory is reached.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// The one way out.
    pub fn reveal(&self) -> &[u8; N] {
        // SAFETY: N bytes at the end of the middle page, which is readable, initialised (by the kernel, with zeros) and
        // lives as long as self; bytes need no alignment.
        unsafe { &*self.start().cast::<[u8; N]>() }
    }

    fn bytes_mut(&mut self) -> &mut [u8; N] {
        // SAFETY: as in `reveal`, and the page is writable and borrowed by nobody else.
        unsafe { &mut *self.start().cast::<[u8; N]>() }
    }

    fn middle(&self) -> *mut c_void {
        // SAFETY: within the mapping of three pages.
        unsafe { self.base.as_ptr().add(self.page).cast() }
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: within the mapping of three pages, since N is at most a page.
        unsafe { self.base.as_ptr().add(self.page * 2 - N) }
    }
}

impl<const N: usize> Drop for LockedKey<N> {
    fn drop(&mut self) {
        // SAFETY: the three pages of `new`. Where the protection of the middle one failed nothing was written, and making
        // it writable here fails too; only then is there nothing to wipe. Unmapping unlocks.
        unsafe {
            if mprotect(self.middle(), self.page, MprotectFlags::READ | MprotectFlags::WRITE).is_ok() {
                self.bytes_mut().zeroize();
            }
            // It fails only for a mapping that is not ours.
            let _ = munmap(self.base.as_ptr().cast(), self.page * 3);
        }
    }
}

impl<const N: usize> fmt::Debug for LockedKey<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the mapping at this address: its size in KiB that is locked, and its flags.
    fn mapping(address: *const u8) -> (String, String) {
        let address = address as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut within = false;
        let (mut locked, mut flags) = (String::new(), String::new());
        for line in maps.lines() {
            if let Some((from, rest)) = line.split_once('-')
                && let Ok(from) = usize::from_str_radix(from, 16)
            {
                let to = usize::from_str_radix(rest.split(' ').next().unwrap(), 16).unwrap();
                within = (from..to).contains(&address);
            } else if within && line.starts_with("Locked:") {
                locked = line["Locked:".len()..].trim().to_owned();
            } else if within && line.starts_with("VmFlags:") {
                flags = line["VmFlags:".len()..].trim().to_owned();
            }
        }
        (locked, flags)
    }

    #[test]
    fn a_key_without_bytes_or_longer_than_a_page_is_refused() {
        assert!(LockedKey::<0>::new(true, |_| {}).is_err());
        assert!(LockedKey::<{ 1 << 20 }>::new(true, |_| {}).is_err());
    }

    #[test]
    fn a_refused_lock_is_told_and_the_key_is_there_all_the_same() {
        let key = LockedKey::<32>::new(false, |bytes| bytes.fill(7)).unwrap();
        assert!(!key.is_locked());
        assert_eq!(key.reveal(), &[7; 32]);
    }

    #[test]
    fn the_page_is_neither_swapped_nor_dumped_nor_inherited() {
        let key = LockedKey::<32>::new(true, |bytes| bytes.fill(7)).unwrap();
        assert_eq!(key.reveal(), &[7; 32]);
        let (locked, flags) = mapping(key.reveal().as_ptr());
        assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
        assert!(flags.split(' ').any(|flag| flag == "wf"), "{flags}");
        assert_eq!(key.is_locked(), flags.split(' ').any(|flag| flag == "lo"), "{flags}");
        assert_eq!(key.is_locked(), locked != "0 kB");
    }

    #[test]
    fn the_pages_around_it_are_forbidden_and_all_are_given_back() {
        let key = LockedKey::<48>::new(true, |bytes| bytes.fill(7)).unwrap();
        let end = key.reveal().as_ptr().wrapping_add(48);
        let before = key.base.as_ptr().cast_const();
        for forbidden in [before, end] {
            assert!(!mapping(forbidden).1.split(' ').any(|flag| matches!(flag, "rd" | "wr")));
        }
        assert_eq!(format!("{key:?}"), "LockedKey(..)");
    }
}
