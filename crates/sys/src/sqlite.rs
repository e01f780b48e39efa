//! What a thread may take of SQLite's memory, and until when.
//!
//! SQLite knows a limit for the whole process alone, which the database of the installation would meet as
//! well. So its allocator is wrapped once, before anything uses SQLite: a thread with an [`Allowance`] gets
//! memory until that is spent or its time is over, every other thread as before. SQLite takes a refusal as
//! it takes a machine without memory: the statement fails and is rolled back.
//!
//! What is freed by another thread than the one that took it (pages of caches, which the library shares
//! between connections) is counted where it is freed; an allowance ends with its thread's work, so that
//! adds up to no more than those caches hold.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;
use std::time::Instant;

use libsqlite3_sys as ffi;

/// Allocations between two looks at the clock.
const LOOK_EVERY: u32 = 64;

/// SQLite was used before its allocator could be wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

impl std::fmt::Display for TooLate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SQLite was used before its memory was bounded")
    }
}

impl std::error::Error for TooLate {}

/// What refused an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    Memory,
    Time,
}

/// This thread's share, until it is dropped.
#[derive(Debug)]
pub struct Allowance {
    /// It is the thread's that has it.
    _not_send: PhantomData<*const ()>,
}

#[derive(Clone, Copy)]
struct Share {
    left: i64,
    until: Instant,
    since_look: u32,
    spent: Option<Spent>,
    /// Allocations are let through meanwhile.
    suspended: bool,
}

thread_local! {
    // Nothing to drop, so that it can be read in a thread that ends.
    static SHARE: Cell<Option<Share>> = const { Cell::new(None) };
}

/// The allocator that SQLite would have used.
#[derive(Clone, Copy)]
struct Below {
    malloc: unsafe extern "C" fn(c_int) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    realloc: unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void,
    size: unsafe extern "C" fn(*mut c_void) -> c_int,
}

static BELOW: OnceLock<Below> = OnceLock::new();
static BOUNDED: OnceLock<Result<(), TooLate>> = OnceLock::new();

/// Wraps SQLite's allocator. To be called at the start of a process, before a thread uses SQLite; later
/// calls answer what the first did.
pub fn bound_memory() -> Result<(), TooLate> {
    *BOUNDED.get_or_init(wrap)
}

fn wrap() -> Result<(), TooLate> {
    let mut methods = ffi::sqlite3_mem_methods {
        xMalloc: None,
        xFree: None,
        xRealloc: None,
        xSize: None,
        xRoundup: None,
        xInit: None,
        xShutdown: None,
        pAppData: ptr::null_mut(),
    };
    let into: *mut ffi::sqlite3_mem_methods = &mut methods;
    // SAFETY: the option takes one pointer to such a structure, which is writable for the call. Once SQLite
    // is in use the call does nothing and says so.
    let got = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, into) };
    if got != ffi::SQLITE_OK {
        return Err(TooLate);
    }
    let (Some(malloc), Some(free), Some(realloc), Some(size)) = (
        methods.xMalloc,
        methods.xFree,
        methods.xRealloc,
        methods.xSize,
    ) else {
        return Err(TooLate);
    };
    let below = Below {
        malloc,
        free,
        realloc,
        size,
    };
    BELOW.get_or_init(|| below);
    methods.xMalloc = Some(bounded_malloc);
    methods.xFree = Some(counted_free);
    methods.xRealloc = Some(bounded_realloc);
    let from: *const ffi::sqlite3_mem_methods = &methods;
    // SAFETY: the option takes one pointer to such a structure, which SQLite copies. Its functions are those
    // of the allocator below, or hand on to them what they were given.
    match unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, from) } {
        ffi::SQLITE_OK => Ok(()),
        _ => Err(TooLate),
    }
}

impl Allowance {
    /// Lets this thread take `bytes` until `until`. One at a time: a second one takes the first one's place.
    ///
    /// # Errors
    /// [`TooLate`] where nothing bounds SQLite's memory.
    pub fn new(bytes: u64, until: Instant) -> Result<Self, TooLate> {
        bound_memory()?;
        SHARE.set(Some(Share {
            left: i64::try_from(bytes).unwrap_or(i64::MAX),
            until,
            since_look: 0,
            spent: None,
            suspended: false,
        }));
        Ok(Self {
            _not_send: PhantomData,
        })
    }

    /// What has refused an allocation so far, if anything did.
    #[must_use]
    pub fn spent(&self) -> Option<Spent> {
        SHARE.get().and_then(|share| share.spent)
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        SHARE.set(None);
    }
}

/// Does `work` without the thread's bounds, for what is small and must not fail half-way.
pub fn unbounded<T>(work: impl FnOnce() -> T) -> T {
    let _again = Again(suspend(true));
    work()
}

/// Puts back what was, also where the work panics.
struct Again(bool);

impl Drop for Again {
    fn drop(&mut self) {
        suspend(self.0);
    }
}

fn suspend(suspended: bool) -> bool {
    let Some(mut share) = SHARE.get() else {
        return false;
    };
    let before = std::mem::replace(&mut share.suspended, suspended);
    SHARE.set(Some(share));
    before
}

/// Takes `bytes` of this thread's share; `false` where there is not enough.
fn take(bytes: c_int) -> bool {
    let Some(mut share) = SHARE.get() else {
        return true;
    };
    if !share.suspended {
        share.since_look += 1;
        if share.since_look >= LOOK_EVERY {
            share.since_look = 0;
            if Instant::now() >= share.until {
                share.spent = share.spent.or(Some(Spent::Time));
            }
        }
        if share.left < i64::from(bytes) {
            share.spent = share.spent.or(Some(Spent::Memory));
        }
        // Once refused, always refused: the end comes sooner.
        if share.spent.is_some() {
            SHARE.set(Some(share));
            return false;
        }
    }
    share.left -= i64::from(bytes);
    SHARE.set(Some(share));
    true
}

fn give_back(bytes: c_int) {
    if let Some(mut share) = SHARE.get() {
        share.left += i64::from(bytes);
        SHARE.set(Some(share));
    }
}

unsafe extern "C" fn bounded_malloc(bytes: c_int) -> *mut c_void {
    let Some(below) = BELOW.get() else {
        return ptr::null_mut();
    };
    if !take(bytes) {
        return ptr::null_mut();
    }
    // SAFETY: SQLite calls this as it would call the allocator below.
    let memory = unsafe { (below.malloc)(bytes) };
    if memory.is_null() {
        give_back(bytes);
    }
    memory
}

unsafe extern "C" fn counted_free(memory: *mut c_void) {
    let Some(below) = BELOW.get() else {
        return;
    };
    if !memory.is_null() {
        // SAFETY: what SQLite frees came from the allocator below.
        give_back(unsafe { (below.size)(memory) });
    }
    // SAFETY: SQLite calls this as it would call the allocator below.
    unsafe { (below.free)(memory) };
}

unsafe extern "C" fn bounded_realloc(memory: *mut c_void, bytes: c_int) -> *mut c_void {
    let Some(below) = BELOW.get() else {
        return ptr::null_mut();
    };
    // SAFETY: SQLite calls this for memory that came from the allocator below, and not for none.
    let before = unsafe { (below.size)(memory) };
    if !take(bytes) {
        return ptr::null_mut();
    }
    // SAFETY: SQLite calls this as it would call the allocator below.
    let moved = unsafe { (below.realloc)(memory, bytes) };
    give_back(if moved.is_null() { bytes } else { before });
    moved
}
