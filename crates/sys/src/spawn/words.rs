//! Errnos in words, where nobody may ask the C library for them.

use rustix::io::Errno;

/// What people know an errno by.
pub(super) fn words(errno: Errno) -> &'static str {
    match errno {
        Errno::TOOBIG => "Argument list too long",
        Errno::ACCESS => "Permission denied",
        Errno::AGAIN => "Resource temporarily unavailable",
        Errno::BADF => "Bad file descriptor",
        Errno::BUSY => "Device or resource busy",
        Errno::DQUOT => "Disk quota exceeded",
        Errno::EXIST => "File exists",
        Errno::FAULT => "Bad address",
        Errno::INVAL => "Invalid argument",
        Errno::IO => "Input/output error",
        Errno::ISDIR => "Is a directory",
        Errno::LIBBAD => "Accessing a corrupted shared library",
        Errno::LOOP => "Too many levels of symbolic links",
        Errno::MFILE => "Too many open files",
        Errno::NAMETOOLONG => "File name too long",
        Errno::NFILE => "Too many open files in system",
        Errno::NODEV => "No such device",
        Errno::NOENT => "No such file or directory",
        Errno::NOEXEC => "Exec format error",
        Errno::NOMEM => "Cannot allocate memory",
        Errno::NOSPC => "No space left on device",
        Errno::NOSYS => "Function not implemented",
        Errno::NOTDIR => "Not a directory",
        Errno::NOTTY => "Inappropriate ioctl for device",
        Errno::NXIO => "No such device or address",
        Errno::PERM => "Operation not permitted",
        Errno::ROFS => "Read-only file system",
        Errno::SRCH => "No such process",
        Errno::STALE => "Stale file handle",
        Errno::TXTBSY => "Text file busy",
        Errno::XDEV => "Invalid cross-device link",
        _ => "it cannot be started",
    }
}
