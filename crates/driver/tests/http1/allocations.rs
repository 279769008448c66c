//! How much memory some work takes, counted on its own thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count.
pub(crate) struct Counting;

/// What some work took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How often memory was asked for.
    pub(crate) count: usize,
    /// The most bytes held at once beyond what was held before.
    pub(crate) peak: usize,
}

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    COUNT.set(COUNT.get() + usize::from(bytes > 0));
    HELD.set(HELD.get() + bytes);
    PEAK.set(PEAK.get().max(HELD.get()));
}

#[expect(unsafe_code, reason = "only an allocator sees what is allocated; it hands on what it is given")]
// SAFETY: every call goes to the system's allocator unchanged. Counting allocates nothing: the cells are
// initialised at compile time and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Bytes that this thread holds: what it asked for less what it gave back.
pub(crate) fn held() -> isize {
    HELD.get()
}

/// Does the work and says what it took. Without [`Counting`] as the allocator of the program, nothing.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, Usage) {
    let (count, held) = (COUNT.get(), held());
    PEAK.set(held);
    let result = work();
    (result, Usage { count: COUNT.get() - count, peak: (PEAK.get() - held).unsigned_abs() })
}
