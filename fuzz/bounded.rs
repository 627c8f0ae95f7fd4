//! Ends a target at an allocation that its input cannot be worth: what libFuzzer sees by itself only with a sanitizer.

use std::alloc::{GlobalAlloc, Layout, System};

/// The most that is asked for at once. The largest in the code are the buffers of a piece, a mebibyte.
const BYTES_MAX: usize = 64 << 20;

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

fn check(bytes: usize) {
    if bytes > BYTES_MAX {
        std::process::abort();
    }
}

// SAFETY: all of it is the system's allocator.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        check(bytes);
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
