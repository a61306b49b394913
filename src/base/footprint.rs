//! How much memory the process holds: what is free, or only its start needed, goes back to the system.
#![allow(unsafe_code, reason = "the C library and the kernel are told by calls that Rust cannot check")]

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
    use super::*;

    #[test]
    fn keeping_small_leaves_an_allocator_that_works() {
        keep_small();
        let large = vec![1u8; 8 << 20];
        assert_eq!(large.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 8 << 20);
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
}
