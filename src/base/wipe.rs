//! The allocator that wipes what it frees.
//!
//! Secrets pass through buffers that no type of ours owns: the HTTP library's, the JSON writer's, a `String` that grew. All
//! of them end here. It does not reach stacks, registers, or what C code allocates for itself.
#![allow(
    unsafe_code,
    reason = "an allocator cannot be written without; this file and `crypto/locked.rs` alone have any"
)]

use std::alloc::{GlobalAlloc, Layout, System};

/// An allocator around another one. `#[global_allocator] static A: Wiping = Wiping::system();`
#[derive(Debug, Default)]
pub struct Wiping<A = System>(A);

impl Wiping {
    /// Around the system's.
    pub const fn system() -> Self {
        Self(System)
    }
}

// SAFETY: every call goes to the inner allocator with the layout that the caller vouches for; the only thing added is
// that memory which is ours until the inner `dealloc` is overwritten before it.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block has this layout's size, and is the caller's to give up.
        unsafe {
            wipe(block, layout.size());
            self.0.dealloc(block, layout);
        }
    }

    /// Always a new block: the inner allocator might move the content and leave the old copy behind.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is not 0 and, rounded up to the alignment, fits `isize`; both blocks
        // are at least as long as what is copied, and they do not overlap.
        unsafe {
            let moved = self.0.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Overwrites memory that is about to be freed, in a way that the compiler does not take for a useless write.
///
/// # Safety
/// The block must be writable for this size.
#[inline]
unsafe fn wipe(block: *mut u8, size: usize) {
    // SAFETY: see above. The empty assembly may, for all that the compiler knows, read what was written.
    unsafe {
        std::ptr::write_bytes(block, 0, size);
        std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags, readonly));
    }
}

/// Tells glibc to give memory back: few arenas, large blocks straight from and to the kernel, the heap's end trimmed. To
/// be called first in `main`, before there are threads. Does nothing elsewhere.
pub fn keep_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets numbers of the allocator, and is called before other threads exist.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        // Setting it also stops glibc from raising it after the first large block, which then would stay resident.
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_BYTES);
    }
}

/// Gives back to the system what is free in the middle of the heaps, as a storm of connections leaves it behind: glibc by
/// itself only trims their ends. Does nothing elsewhere.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time and from any thread; blocks in use are not touched.
    unsafe {
        libc::malloc_trim(TRIM_BYTES.unsigned_abs() as usize);
    }
}

/// Lets go of the program's own code and constants: what only its start needed stays in the system's page cache, for as long
/// as there is room, and is no longer counted and kept for this process. What is needed comes back at the next touch.
pub fn give_back_code() {
    #[cfg(target_os = "linux")]
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    // Read to the end before the reader itself is let go.
    #[cfg(target_os = "linux")]
    for (from, to) in maps.lines().filter_map(code).collect::<Vec<_>>() {
        // SAFETY: the pages are those of a file, mapped without leave to write since the start; they hold what the file
        // holds, and are read from there again. Whoever runs from them meanwhile waits for that.
        let _ = unsafe {
            let at = std::ptr::with_exposed_provenance_mut(from);
            rustix::mm::madvise(at, to - from, rustix::mm::Advice::LinuxDontNeed)
        };
    }
}

/// From where until where a line of `/proc/self/maps` tells of code, or of what lies before it in the same file: headers and
/// constants. What a loader has written to, and then closed, has another offset and is left out, as is what has no file.
#[cfg(target_os = "linux")]
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let (rights, offset, _device, inode) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let is_code = rights == "r-xp" || rights == "r--p" && offset.trim_matches('0').is_empty();
    let span = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
    (is_code && inode != "0" && span.0 < span.1).then_some(span)
}

/// Heaps that threads share; one for each core of a small machine.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;
/// From this size on a block comes from the kernel and goes back to it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 256 << 10;
/// Free bytes at the end of a heap that are kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_BYTES: libc::c_int = 512 << 10;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Looks at each block when it is given back, while it is still there.
    #[derive(Default)]
    struct Witness {
        freed: Cell<usize>,
        dirty: Cell<usize>,
    }

    // SAFETY: the system's allocator does the work; a block is read before it is freed, as long as its layout says.
    unsafe impl GlobalAlloc for Witness {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the tests below write whole blocks before they free them.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.freed.set(self.freed.get() + 1);
            self.dirty.set(self.dirty.get() + bytes.iter().filter(|byte| **byte != 0).count());
            // SAFETY: passed on.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn nothing_is_left_in_a_freed_block() {
        for size in [1, 7, 32, 4096, 1 << 20] {
            let wiping = Wiping(Witness::default());
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: the block is written within its layout and freed once with the same.
            unsafe {
                let block = wiping.alloc(layout);
                std::ptr::write_bytes(block, 0xa5, size);
                wiping.dealloc(block, layout);
            }
            assert_eq!((wiping.0.freed.get(), wiping.0.dirty.get()), (1, 0), "{size}");
        }
    }

    #[test]
    fn a_block_that_grows_or_shrinks_keeps_its_content_and_leaves_none_behind() {
        for (before, after) in [(64, 4096), (4096, 64), (64, 64)] {
            let wiping = Wiping(Witness::default());
            let layout = Layout::from_size_align(before, 16).unwrap();
            // SAFETY: each block is used within its layout and freed once with the one that it has by then.
            unsafe {
                let block = wiping.alloc(layout);
                std::ptr::write_bytes(block, 0xa5, before);
                let moved = wiping.realloc(block, layout, after);
                assert_eq!(moved.align_offset(16), 0);
                let kept = std::slice::from_raw_parts(moved, before.min(after));
                assert!(kept.iter().all(|byte| *byte == 0xa5));
                assert_eq!((wiping.0.freed.get(), wiping.0.dirty.get()), (1, 0));
                std::ptr::write_bytes(moved, 1, after);
                wiping.dealloc(moved, Layout::from_size_align(after, 16).unwrap());
            }
            assert_eq!((wiping.0.freed.get(), wiping.0.dirty.get()), (2, 0));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn code_that_was_given_back_runs_on_and_what_was_written_is_not_touched() {
        let written = "1000-2000 r--p 00001000 08:01 7 /bin/x";
        assert_eq!(code("00400000-00401000 r--p 00000000 08:01 7 /bin/x"), Some((0x40_0000, 0x40_1000)));
        assert_eq!(code("1000-2000 r-xp 00001000 08:01 7 /bin/x"), Some((0x1000, 0x2000)));
        for line in [written, "1000-2000 r-xp 00000000 00:00 0 [vdso]", "1000-2000 rw-p 00000000 08:01 7 /x", "", "x"] {
            assert_eq!(code(line), None, "{line}");
        }
        let before = std::fs::read_to_string("/proc/self/maps").unwrap();
        for _ in 0..100 {
            give_back_code();
        }
        assert_eq!(vec![7u8; 1000].iter().map(|byte| usize::from(*byte)).sum::<usize>(), 7000);
        assert!(before.lines().filter_map(code).count() >= 2);
    }

    #[test]
    fn keeping_small_leaves_an_allocator_that_works() {
        keep_small();
        let large = vec![1u8; 8 << 20];
        assert_eq!(large.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 8 << 20);
    }
}
