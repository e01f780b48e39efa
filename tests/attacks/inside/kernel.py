"""Parts of the kernel that have let containers out, each with arguments that would work."""

import fcntl
import socket
import struct

CLONE = {
    "time": 0x80, "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000,
    "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000,
}
AT_FDCWD = -100


def handle_of(path):
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 8 + 128)
    mount = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, path, handle, ctypes.byref(mount), 0)
    return handle


def new_namespaces():
    for name, flag in CLONE.items():
        syscall("unshare", flag, label=f"unshare {name}")
        if name != "time":  # Its bit is part of the exit signal in this call.
            syscall("clone", flag | 17, 0, 0, 0, 0, label=f"clone {name}")
        arguments = struct.pack("=11Q", flag, *[0] * 3, 17, *[0] * 6)
        syscall("clone3", arguments, len(arguments), label=f"clone3 {name}")
    for name in os.listdir("/proc/self/ns"):
        def enter(name=name):
            space = os.open(f"/proc/self/ns/{name}", os.O_RDONLY)
            return call("setns", space, 0)
        attempt(f"setns {name}", enter)
    attempt("setns pidfd", lambda: call("setns", call("pidfd_open", 1, 0), CLONE["mount"]))
    # From a namespace to the one that owns it: the network's belongs to the host.
    NS_GET_USERNS, NS_GET_PARENT = 0xB701, 0xB702
    for name, question in [("net", NS_GET_USERNS), ("user", NS_GET_PARENT), ("pid", NS_GET_PARENT)]:
        with open(f"/proc/self/ns/{name}") as space:
            attempt(f"owner of {name}", lambda: fcntl.ioctl(space, question) and None)


def mounts():
    syscall("mount", b"none", b"/mnt", b"tmpfs", 0, None)
    syscall("mount", b"cgroup", b"/mnt", b"cgroup", 0, b"memory", label="mount cgroup")
    syscall("mount", b"none", b"/mnt", b"cgroup2", 0, None, label="mount cgroup2")
    syscall("mount", b"none", b"/mnt", b"sysfs", 0, None, label="mount sysfs")
    syscall("mount", None, b"/proc/sys", None, 32 | 4096, None, label="remount /proc/sys")
    syscall("umount2", b"/proc/sys", 2)
    syscall("umount2", b"/proc/sysrq-trigger", 2, label="umount mask")
    syscall("pivot_root", b".", b".")
    syscall("fsopen", b"tmpfs", 0)
    syscall("fsconfig", 3, 6, None, None, 0)
    syscall("fsmount", 3, 0, 0)
    syscall("fspick", AT_FDCWD, b"/", 0)
    syscall("open_tree", AT_FDCWD, b"/", 1)
    syscall("move_mount", AT_FDCWD, b"/tmp", AT_FDCWD, b"/mnt", 0)
    syscall("mount_setattr", AT_FDCWD, b"/proc/sys", 0, struct.pack("=4Q", 0, 1, 0, 0), 32)
    attempt("open_by_handle_at root", lambda: call(
        "open_by_handle_at", os.open("/", os.O_RDONLY), handle_of(b"/"), 0))
    # The host's root directory by its inode number, as "shocker" did.
    shocker = struct.pack("=Ii8B", 8, 1, 2, 0, 0, 0, 0, 0, 0, 0)
    syscall("open_by_handle_at", os.open("/", os.O_RDONLY), shocker, 0)


def powers():
    for name in [
        "acct", "add_key", "adjtimex", "bpf", "clock_settime", "delete_module", "fanotify_init",
        "finit_module", "init_module", "io_uring_setup", "io_uring_enter", "io_uring_register",
        "kexec_file_load", "kexec_load", "keyctl", "perf_event_open", "quotactl", "quotactl_fd",
        "reboot", "request_key", "setdomainname", "sethostname", "settimeofday", "swapon",
        "syslog", "userfaultfd", "vhangup",
    ]:
        syscall(name, 0, 0, 0, 0, 0)
    syscall("add_key", b"user", b"name", b"secret", 6, -3, label="add_key session")
    syscall("keyctl", 0, -3, 1, label="keyctl session")
    syscall("perf_event_open", struct.pack("=IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0,
            label="perf software")


def other_processes():
    buffer = ctypes.create_string_buffer(64)
    vector = struct.pack("=QQ", ctypes.addressof(buffer), 64)
    remote = struct.pack("=QQ", 0x400000, 64)
    syscall("process_vm_readv", 1, vector, 1, remote, 1, 0)
    syscall("process_vm_writev", 1, vector, 1, remote, 1, 0)
    syscall("ptrace", 16, 1, 0, 0, label="ptrace attach")
    syscall("ptrace", 0x4206, 1, 0, 0, label="ptrace seize")
    syscall("kcmp", 1, os.getpid(), 1, 0, 0)
    guest = call("pidfd_open", 1, 0)
    for number in range(8):
        syscall("pidfd_getfd", guest, number, 0, label=f"pidfd_getfd {number}")
    for part in ["mem", "environ", "maps", "exe", "cwd", "root", "fd/3", "fd/4", "map_files",
                 "syscall", "stack", "auxv", "ns/mnt", "ns/net", "ns/user"]:
        attempt(f"open /proc/1/{part}", lambda: os.open(f"/proc/1/{part}", os.O_RDONLY))


def sockets():
    for family in range(47):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            attempt(f"socket {family} {int(kind)}", lambda: os.close(
                LIBC_socket(family, kind)))
            attempt(f"socketpair {family} {int(kind)}", lambda: pair(family, kind))
    for label, family, kind, protocol in [
        ("raw 4", 2, 3, 1), ("raw 4 any", 2, 3, 255), ("raw 6", 10, 3, 58),
        ("packet", 17, 3, 768), ("packet in 2", 2, 10, 768),
    ]:
        attempt(f"made {label}", lambda: socket.socket(family, kind, protocol).close())


def LIBC_socket(family, kind):
    got = LIBC.socket(family, kind, 0)
    if got == -1:
        raise OSError(ctypes.get_errno(), "socket")
    return got


def pair(family, kind):
    got = (ctypes.c_int * 2)()
    if LIBC.socketpair(family, kind, 0, got) == -1:
        raise OSError(ctypes.get_errno(), "socketpair")
    for fd in got:
        os.close(fd)


new_namespaces()
mounts()
powers()
other_processes()
sockets()
finish()
