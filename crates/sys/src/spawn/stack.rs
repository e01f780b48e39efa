//! Stacks of children that share this process's memory. Knows nothing of what runs on them.

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::AtomicI32;

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::param::page_size;

/// Of each: one that nobody may touch, far more than the child's few frames take, one for the errno.
const STACK_PAGES: usize = 16;

/// Where a child runs: above a page that nobody may touch, below one that it shares with its parent even
/// where it has a copy of everything else.
#[derive(Debug)]
pub(super) struct Stack(NonNull<c_void>);

// SAFETY: it is memory that its owner alone has.
unsafe impl Send for Stack {}

/// One that is not in use, since most commands come one after the other.
static SPARE: Mutex<Option<Stack>> = Mutex::new(None);

impl Stack {
    pub(super) fn take() -> io::Result<Self> {
        let spare = SPARE.lock().ok().and_then(|mut spare| spare.take());
        spare.map_or_else(Self::map, Ok)
    }

    fn map() -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE;
        // SAFETY: the kernel chooses a place that nothing else is at.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), stack_bytes(), access, flags) }?;
        Self::divide(start, access).inspect_err(|_| unmap(start))?;
        Ok(Self(NonNull::new(start).ok_or(Errno::NOMEM)?))
    }

    fn divide(start: *mut c_void, access: ProtFlags) -> rustix::io::Result<()> {
        // SAFETY: the page is of a mapping that nobody uses yet.
        unsafe { mprotect(start, page_size(), MprotectFlags::empty()) }?;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: so is this one, the last, which makes room for another of its size.
        unsafe { mmap_anonymous(last_page(start), page_size(), access, flags) }.map(drop)
    }

    pub(super) fn top(&self) -> *mut c_void {
        last_page(self.0.as_ptr())
    }

    /// Why there is no program.
    pub(super) fn errno(&self) -> &AtomicI32 {
        // SAFETY: the page is there as long as this is, begins as zeroes, and nothing else is in it.
        unsafe { &*last_page(self.0.as_ptr()).cast() }
    }
}

fn stack_bytes() -> usize {
    STACK_PAGES * page_size()
}

fn last_page(start: *mut c_void) -> *mut c_void {
    start.wrapping_byte_add(stack_bytes() - page_size())
}

fn unmap(start: *mut c_void) {
    // SAFETY: the mapping is a `Stack`'s, and nobody runs on it: a `Work` outlives its child's use of it.
    let _ = unsafe { munmap(start, stack_bytes()) };
}

impl Drop for Stack {
    fn drop(&mut self) {
        match SPARE.lock() {
            Ok(mut spare) if spare.is_none() => *spare = Some(Self(self.0)),
            _ => unmap(self.0.as_ptr()),
        }
    }
}
