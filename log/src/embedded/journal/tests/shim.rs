//! A file system for SQLite that fails on demand: the default one, with writes, syncs, truncations and
//! deletions counted, and the n-th of them refused.
//!
//! SQLite calls its file system on the thread that called SQLite. So what is to fail is kept per
//! thread, and tests do not disturb each other.
#![expect(unsafe_code, reason = "SQLite asks for a file system as a table of C functions")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, OnceLock};

use rusqlite::ffi;

/// The name to open a database with.
pub(super) const NAME: &str = "fails-on-demand";
const C_NAME: &CStr = c"fails-on-demand";

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no room: writes fail.
    Full,
    /// Everything that is counted fails, as an I/O error.
    Io,
}

/// Which of the operations counted fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fail {
    Never,
    Only(u64),
    From(u64),
}

thread_local! {
    static FAULTS: Cell<(Fail, Kind, u64)> = const { Cell::new((Fail::Never, Kind::Io, 0)) };
}

/// Lets operations of this thread fail, counted from now.
pub(super) fn fail(fail: Fail, kind: Kind) {
    FAULTS.set((fail, kind, 0));
}

/// How many operations were counted since [`fail`].
pub(super) fn operations() -> u64 {
    FAULTS.get().2
}

/// The error code of the next operation, if it is to fail. `full` is the code for a lack of room.
fn next_fault(io: c_int, full: Option<c_int>) -> Option<c_int> {
    let (fail, kind, operation) = FAULTS.get();
    let code = match kind {
        Kind::Io => io,
        Kind::Full => full?,
    };
    FAULTS.set((fail, kind, operation + 1));
    let fails = match fail {
        Fail::Never => false,
        Fail::Only(only) => operation == only,
        Fail::From(from) => operation >= from,
    };
    fails.then_some(code)
}

/// The methods of files of the default file system. Their tables differ in locking only, which matters
/// to the database itself; a write is the same in all of them.
static ORIGINAL: OnceLock<ffi::sqlite3_io_methods> = OnceLock::new();

/// For each of those tables, by its address, the same one with our methods in between.
static OURS: Mutex<BTreeMap<usize, &'static ffi::sqlite3_io_methods>> = Mutex::new(BTreeMap::new());

/// Makes the file system known to SQLite under [`NAME`].
pub(super) fn register() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        // SAFETY: SQLite is initialised by this call if need be, and the default file system that it
        // returns is never unregistered.
        let default = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        assert!(!default.is_null(), "SQLite has a default file system");
        // SAFETY: it points to an initialised table that lives for ever; it is only copied here.
        let mut ours = unsafe { *default };
        ours.pNext = ptr::null_mut();
        ours.zName = C_NAME.as_ptr();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        // SAFETY: the table is leaked, so it lives for ever as SQLite demands, and so does its name.
        // Its other functions come from the default one, which does not look at the table it is given.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0) };
        assert_eq!(code, ffi::SQLITE_OK);
    });
}

fn default_vfs() -> *mut ffi::sqlite3_vfs {
    // SAFETY: as in `register`.
    unsafe { ffi::sqlite3_vfs_find(ptr::null()) }
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let default = default_vfs();
    // SAFETY: the arguments are SQLite's own, for a file of the size that the default file system asks
    // for, because our table has the same `szOsFile`.
    let code =
        unsafe { (*default).xOpen.expect("every file system opens")(default, name, file, flags, out_flags) };
    // SAFETY: `xOpen` has initialised `pMethods` of the file, to null or to a table that lives for ever.
    // The default file system never looks at that pointer of an open file itself.
    unsafe {
        let methods = (*file).pMethods;
        if !methods.is_null() {
            (*file).pMethods = ours(methods.addr(), *methods);
        }
    }
    code
}

fn ours(address: usize, original: ffi::sqlite3_io_methods) -> &'static ffi::sqlite3_io_methods {
    ORIGINAL.get_or_init(|| original);
    let mut tables = OURS.lock().expect("nothing panics under this lock");
    tables.entry(address).or_insert_with(|| {
        let mut ours = original;
        // Version 2 is without memory-mapped access, which would get around the counting.
        ours.iVersion = 2;
        ours.xWrite = Some(write);
        ours.xSync = Some(sync);
        ours.xTruncate = Some(truncate);
        Box::leak(Box::new(ours))
    })
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    if let Some(code) = next_fault(ffi::SQLITE_IOERR_DELETE, None) {
        return code;
    }
    let default = default_vfs();
    // SAFETY: the arguments are SQLite's own.
    unsafe { (*default).xDelete.expect("every file system deletes")(default, name, sync_dir) }
}

fn original() -> &'static ffi::sqlite3_io_methods {
    ORIGINAL.get().expect("a file was opened, or it could not be written")
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    amount: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let write = original().xWrite.expect("files can be written");
    let fault = next_fault(ffi::SQLITE_IOERR_WRITE, Some(ffi::SQLITE_FULL));
    // A write that fails has written half.
    let amount = if fault.is_some() { amount / 2 } else { amount };
    // SAFETY: the arguments are SQLite's own, for a file that the default file system opened; fewer
    // bytes of the same buffer are valid too.
    let code = unsafe { write(file, bytes, amount, at) };
    fault.unwrap_or(code)
}

unsafe extern "C" fn sync(_file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // The machine does not crash in these tests, so nothing has to reach the disk.
    next_fault(ffi::SQLITE_IOERR_FSYNC, None).unwrap_or(ffi::SQLITE_OK)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    if let Some(code) = next_fault(ffi::SQLITE_IOERR_TRUNCATE, None) {
        return code;
    }
    // SAFETY: the arguments are SQLite's own, for a file that the default file system opened.
    unsafe { original().xTruncate.expect("files can be cut")(file, size) }
}
