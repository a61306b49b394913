//! The allocator that wipes what it frees.
//!
//! Secrets pass through buffers that no type of ours owns: the HTTP library's, the JSON writer's, a `String` that grew. All
//! of them end here. It does not reach stacks, registers, or what C code allocates for itself.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

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
}
