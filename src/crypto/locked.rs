//! A value on memory pages of its own: not swapped, not dumped, empty after a fork, between two pages that nobody may touch.
//!
//! ```text
//! forbidden page │ zeros … value │ forbidden page
//! ```
//!
//! The value ends where its pages end, as nearly as its alignment allows, so that reading past it stops the process instead
//! of telling what is behind.
#![allow(unsafe_code, reason = "locked pages cannot be had without")]

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mlock, mmap_anonymous, mprotect, munmap};

/// A value on pages of its own. Costs two pages of addresses beside those of the value.
pub struct Locked<T> {
    /// The first forbidden page.
    base: NonNull<u8>,
    page: usize,
    /// Bytes of the pages between the forbidden ones.
    room: usize,
    locked: bool,
    value: PhantomData<T>,
}

// SAFETY: the pages belong to this value alone; it is shared and sent as the value itself would be.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// Moves a value onto its pages. Where it was before is the caller's to wipe.
    ///
    /// # Errors
    /// When the system gives no memory. That it refuses to lock is not an error: see [`Locked::is_locked`].
    pub fn new(value: T) -> io::Result<Self> {
        let page = rustix::param::page_size();
        if align_of::<T>() > page {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let room = size_of::<T>().max(1).div_ceil(page) * page;
        // SAFETY: a new private mapping wherever the system likes; nothing else refers to it.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), room + page * 2, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the pages between the first and the last of those that were just mapped.
        unsafe {
            let middle: *mut c_void = base.as_ptr().add(page).cast();
            if let Err(error) = mprotect(middle, room, MprotectFlags::READ | MprotectFlags::WRITE) {
                let _ = munmap(base.as_ptr().cast(), room + page * 2);
                return Err(error.into());
            }
            // Advice: an old kernel that does not know it is no reason to stop.
            let _ = madvise(middle, room, Advice::LinuxDontDump);
            let _ = madvise(middle, room, Advice::LinuxWipeOnFork);
            let locked = mlock(middle, room).is_ok();
            let whole = Self { base, page, room, locked, value: PhantomData };
            // Aligned, within the writable pages, and dropped by `drop` alone.
            whole.start().write(value);
            Ok(whole)
        }
    }

    /// Whether the pages stay out of swap. They do not where the limit on locked memory is reached.
    pub const fn is_locked(&self) -> bool {
        self.locked
    }

    fn middle(&self) -> *mut u8 {
        // SAFETY: within the mapping.
        unsafe { self.base.as_ptr().add(self.page) }
    }

    fn start(&self) -> *mut T {
        let offset = (self.room - size_of::<T>()) / align_of::<T>() * align_of::<T>();
        // SAFETY: within the writable pages, since they have room for the value; pages are aligned for all that `new` admits.
        unsafe { self.middle().add(offset).cast() }
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `new` wrote the value there, and it lives until `drop`.
        unsafe { &*self.start() }
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // SAFETY: the value that `new` wrote, then the pages that `new` mapped. The wiping is volatile: nobody reads the
        // pages again, and the compiler could leave it out. Unmapping unlocks.
        unsafe {
            std::ptr::drop_in_place(self.start());
            for at in 0..self.room {
                self.middle().add(at).write_volatile(0);
            }
            // It fails only for a mapping that is not ours.
            let _ = munmap(self.base.as_ptr().cast(), self.room + self.page * 2);
        }
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(..)")
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
    fn the_page_is_neither_swapped_nor_dumped_nor_inherited() {
        let key = Locked::new([7u8; 32]).unwrap();
        assert_eq!(*key, [7; 32]);
        let (locked, flags) = mapping(key.as_ptr());
        assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
        assert!(flags.split(' ').any(|flag| flag == "wf"), "{flags}");
        assert_eq!(key.is_locked(), flags.split(' ').any(|flag| flag == "lo"), "{flags}");
        assert_eq!(key.is_locked(), locked != "0 kB");
    }

    #[test]
    fn the_pages_around_it_are_forbidden_and_all_are_given_back() {
        let key = Locked::new([7u8; 48]).unwrap();
        let end = key.as_ptr().wrapping_add(48);
        let before = key.base.as_ptr().cast_const();
        for forbidden in [before, end] {
            assert!(!mapping(forbidden).1.split(' ').any(|flag| matches!(flag, "rd" | "wr")));
        }
        assert_eq!(format!("{key:?}"), "Locked(..)");
    }

    #[test]
    fn a_value_with_an_alignment_and_a_drop_is_treated_as_such() {
        #[repr(align(64))]
        struct Aligned(std::sync::Arc<()>);
        let counted = std::sync::Arc::new(());
        let locked = Locked::new(Aligned(counted.clone())).unwrap();
        assert_eq!(std::ptr::from_ref(&*locked).addr() % 64, 0);
        assert_eq!(std::sync::Arc::strong_count(&locked.0), 2);
        drop(locked);
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    }

    #[test]
    fn more_than_a_page_is_no_trouble() {
        let locked = Locked::new([7u8; 10_000]).unwrap();
        assert!(locked.iter().all(|b| *b == 7));
    }
}
