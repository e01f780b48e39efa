"""Runs inside a sandbox as its root and tries to get out. Prints one JSON object: what each attempt
gave, "ok" or an errno's name. It judges nothing; isolation.rs does."""
import ctypes, errno, fcntl, json, os, platform, signal, socket, struct

libc = ctypes.CDLL(None, use_errno=True)
results = {}
NR = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "unshare": 272, "setns": 308, "ptrace": 101,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "keyctl": 250,
    "add_key": 248, "open_by_handle_at": 304, "init_module": 175, "kexec_load": 246, "reboot": 169,
    "swapon": 167, "sethostname": 170, "settimeofday": 164, "iopl": 172, "syslog": 103, "acct": 163,
    "quotactl": 179, "fsopen": 430, "open_tree": 428, "move_mount": 429, "clone3": 435,
    "process_vm_writev": 311, "chroot": 161, "clone": 56, "mknod": 133, "kcmp": 312,
}


def call(name, *args):
    ctypes.set_errno(0)
    if libc.syscall(NR[name], *args) == -1:
        return errno.errorcode[ctypes.get_errno()]
    return "ok"


def attempt(name, work):
    try:
        got = work()
        results[name] = got if isinstance(got, str) else "ok"
    except OSError as error:
        results[name] = errno.errorcode.get(error.errno, str(error.errno))


def syscall(name, *args, label=None):
    attempt(label or name, lambda: call(name, *args))


# What shows in place of files that are masked: whatever is written there goes nowhere.
null = open("/dev/null", "w")


def read(path):
    with open(path, "rb") as file:
        return file.read(4096).decode("latin-1")


def write(path, text):
    with open(path, "w") as file:
        if os.path.sameopenfile(file.fileno(), null.fileno()):
            return "null"
        file.write(text)


assert platform.machine() == "x86_64"
NONE = None
syscall("mount", b"none", b"/mnt", b"tmpfs", 0, NONE)
syscall("mount", b"proc", b"/mnt", b"proc", 0, NONE, label="mount_proc")
syscall("mount", NONE, b"/usr", NONE, 32 | 4096, NONE, label="remount_usr_writable")
syscall("umount2", b"/proc/sys", 2)
syscall("pivot_root", b"/", b"/")
for label, flags in [("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000)]:
    syscall("unshare", flags, label=f"unshare_{label}")
    syscall("clone", flags | 17, 0, 0, 0, 0, label=f"clone_{label}")
attempt("setns_pid1", lambda: call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))
syscall("ptrace", 16, 1, 0, 0, label="ptrace_attach_pid1")
syscall("ptrace", 0x4206, 1, 0, 0, label="ptrace_seize_pid1")
attempt("pid1_mem", lambda: os.close(os.open("/proc/1/mem", os.O_RDWR)))
attempt("pid1_environ", lambda: read("/proc/1/environ"))
attempt("pid1_maps", lambda: read("/proc/1/maps"))
attempt("pid1_fds", lambda: str(os.listdir("/proc/1/fd")))
attempt("pid1_exe", lambda: os.close(os.open("/proc/1/exe", os.O_RDONLY)))
attempt("pid1_root", lambda: str(os.listdir("/proc/1/root")))
for name in ["bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key",
             "open_by_handle_at", "init_module", "kexec_load", "reboot", "swapon", "sethostname",
             "settimeofday", "iopl", "syslog", "acct", "quotactl", "fsopen", "open_tree",
             "move_mount", "clone3", "kcmp"]:
    syscall(name, 0, 0, 0, 0, 0)
syscall("mknod", b"/tmp/sda", 0o60666, os.makedev(8, 0), label="mknod_block")
syscall("mknod", b"/tmp/mem", 0o20666, os.makedev(1, 1), label="mknod_mem")

for path in ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger",
             "/proc/sys/vm/overcommit_memory", "/proc/sys/net/ipv4/ip_forward",
             "/proc/sys/user/max_user_namespaces", "/proc/self/oom_score_adj_none", "/usr/bin/x",
             "/dev/new", "/proc/1/oom_score_adj"]:
    attempt("write " + path, lambda: write(path, "1"))
for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/kallsyms",
             "/proc/interrupts", "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/etc/shadow",
             "/sys/kernel/notes", "/sys/fs/cgroup/cgroup.procs"]:
    attempt("read " + path, lambda: "ok" if read(path) else "empty")
MASKED = ["/proc/" + name for name in ("acpi", "asound", "bus", "driver", "dynamic_debug", "fs", "irq",
                                       "pressure", "scsi")]
for directory in MASKED + ["/sys", "/root", "/home"]:
    attempt("list " + directory, lambda: "ok" if os.listdir(directory) else "empty")
for directory in MASKED:
    attempt("write " + directory + "/new", lambda: write(directory + "/new", "1"))

for label, family, kind in [("packet", 17, socket.SOCK_RAW), ("vsock", 40, socket.SOCK_STREAM),
                            ("alg", 38, socket.SOCK_SEQPACKET), ("raw_inet", 2, socket.SOCK_RAW),
                            ("inet", 2, socket.SOCK_STREAM), ("unix", 1, socket.SOCK_STREAM)]:
    attempt("socket_" + label, lambda: socket.socket(family, kind, 1 if label == "raw_inet" else 0).close())


def nftables():
    NETLINK_NETFILTER = 12
    with socket.socket(16, socket.SOCK_RAW, NETLINK_NETFILTER) as link:
        link.bind((0, 0))
        # NFNL_MSG_BATCH_BEGIN, a NEWTABLE, NFNL_MSG_BATCH_END
        def message(kind, flags, seq, body):
            return struct.pack("=IHHII", 16 + len(body), kind, flags, seq, 0) + body
        name = b"evil\0\0\0\0"
        attribute = struct.pack("=HH", 4 + 5, 1) + name
        batch = message(16, 1, 1, struct.pack("=BBH", 0, 0, 10 << 8))
        batch += message(0xA00, 0x405, 2, struct.pack("=BBH", 2, 0, 0) + attribute)
        batch += message(17, 1, 3, struct.pack("=BBH", 0, 0, 10 << 8))
        link.send(batch)
        answer = link.recv(4096)
        code = struct.unpack_from("=i", answer, 16)[0]
        return errno.errorcode[-code] if code else "ok"


attempt("nftables", nftables)


def add_link():
    with socket.socket(16, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        body = struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + struct.pack("=HH6sxx", 10, 3, b"dummy\0")
        body += struct.pack("=HH", 4 + 12, 18) + struct.pack("=HH6sxx", 10, 1, b"dummy\0")
        link.send(struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
        code = struct.unpack_from("=i", link.recv(4096), 16)[0]
        return errno.errorcode[-code] if code else "ok"


attempt("add_link", add_link)


def tiocsti():
    import pty
    master, slave = pty.openpty()
    fcntl.ioctl(slave, 0x5412, b"x")


attempt("tiocsti", tiocsti)


def kill_init():
    os.kill(1, signal.SIGKILL)
    os.kill(1, 0)
    return "alive"


attempt("kill_pid1", kill_init)


def chroot_escape():
    """The classic: chroot below, then climb with a descriptor from above."""
    os.makedirs("/tmp/jail", exist_ok=True)
    child = os.fork()
    if child == 0:
        above = os.open("/", os.O_RDONLY)
        os.chroot("/tmp/jail")
        os.fchdir(above)
        for _ in range(64):
            os.chdir("..")
        os.chroot(".")
        # Outside would be a machine with processes and a data directory of its own.
        os._exit(0 if os.path.exists("/tmp/jail") else 1)
    return "inside" if os.waitpid(child, 0)[1] == 0 else "escaped"


attempt("chroot_escape", chroot_escape)

status = dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines() if ":\t" in line)
results["no_new_privs"] = status["NoNewPrivs"]
results["seccomp"] = status["Seccomp"]
results["cap_effective"] = status["CapEff"]
results["cap_bounding"] = status["CapBnd"]
results["uid_map"] = " ".join(read("/proc/self/uid_map").split())
results["cgroup"] = read("/proc/self/cgroup")
results["pids"] = sorted(int(p) for p in os.listdir("/proc") if p.isdigit())
results["devices"] = sorted(os.listdir("/dev"))
results["mounts"] = read("/proc/self/mountinfo")
results["links"] = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
print(json.dumps(results))
