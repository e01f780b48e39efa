"""What shows inside: writable files of /proc and /sys, descriptors, sockets, devices, mounts."""

import stat

#: A process's own directory: what it may change there is its own.
OWN = {str(os.getpid()), "self", "thread-self"}


def writable_files():
    """Every file of /proc and /sys that opens for writing, which is not of this process. Nothing is
    written: opening is what permissions are checked at."""
    found = []
    for top in ("/proc", "/sys"):
        for directory, names, files in os.walk(top):
            if directory == "/proc":
                names[:] = [n for n in names if n not in OWN]
            for name in files:
                path = f"{directory}/{name}"
                try:
                    if not stat.S_ISREG(os.lstat(path).st_mode):
                        continue
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                except OSError:
                    continue
                found.append(path)
    return found


def written(path):
    try:
        with open(path, "w") as file:
            file.write("1")
        return "ok"
    except OSError as error:
        return name_of(error.errno)


def releases():
    """Control groups as files: what mounts there are, and the file that old escapes wrote."""
    kinds = [line.split(" - ")[1].split()[0] for line in text("/proc/self/mountinfo").splitlines()]
    RESULTS["kinds of mounts"] = sorted(set(kinds))
    names = {"release_agent", "cgroup.procs", "notify_on_release", "uevent_helper"}
    RESULTS["control files"] = [
        f"{directory}/{name}"
        for top in ("/sys", "/run", "/mnt", "/dev", "/tmp")
        for directory, _, files in os.walk(top)
        for name in files
        if name in names
    ]


def descriptors():
    """All that this command was born with; nothing is opened to look."""
    found = {}
    for number in range(4096):
        try:
            found[str(number)] = os.readlink(f"/proc/self/fd/{number}").split(":")[0]
        except FileNotFoundError:
            continue
    RESULTS["descriptors"] = found


def named_sockets():
    """Sockets with a name that this network namespace tells of: the guest's own would be one."""
    lines = text("/proc/net/unix").splitlines()[1:]
    RESULTS["named sockets"] = [line.split()[7] for line in lines if len(line.split()) > 7]


def devices():
    found = []
    for directory, names, files in os.walk("/"):
        if directory == "/":
            names[:] = [n for n in names if n not in ("proc", "sys")]
        for name in files:
            try:
                status = os.lstat(f"{directory}/{name}")
            except OSError:
                continue
            if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
                number = (os.major(status.st_rdev), os.minor(status.st_rdev))
                found.append([f"{directory}/{name}".replace("//", "/"), *number])
    RESULTS["devices"] = sorted(found)
    for label, kind, number in [
        ("disk", stat.S_IFBLK, (8, 0)), ("virtual disk", stat.S_IFBLK, (254, 0)),
        ("loop", stat.S_IFBLK, (7, 0)), ("mem", stat.S_IFCHR, (1, 1)),
        ("kmsg", stat.S_IFCHR, (1, 11)), ("fuse", stat.S_IFCHR, (10, 229)),
        ("kvm", stat.S_IFCHR, (10, 232)), ("tun", stat.S_IFCHR, (10, 200)),
    ]:
        for where in ("/tmp", "/dev/shm", "/workspace"):
            attempt(f"mknod {label} in {where}", lambda: os.mknod(
                f"{where}/node", kind | 0o666, os.makedev(*number)))
    # A whiteout is a device in the eyes of mknod(2), which anybody may make; it opens nothing.
    def whiteout():
        os.mknod("/tmp/whiteout", stat.S_IFCHR, 0)
        os.open("/tmp/whiteout", os.O_RDWR)
    attempt("open a whiteout", whiteout)


def host_programs():
    """The programs that the host would run for this sandbox, if they could be chosen here."""
    for path in ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                 "/proc/sys/kernel/hotplug", "/proc/sys/fs/binfmt_misc/register",
                 "/sys/kernel/uevent_helper", "/proc/sys/kernel/poweroff_cmd"]:
        def put(path=path):
            with open(path, "w") as file:
                file.write("|/tmp/evil")
        attempt(f"write {path}", put)


def layers():
    """Attributes by which overlayfs would show what lies elsewhere, and the image itself."""
    os.makedirs("/tmp/over", exist_ok=True)
    for name in ["trusted.overlay.redirect", "trusted.overlay.opaque", "security.capability",
                 "trusted.overlay.metacopy", "security.ima", "security.selinux"]:
        attempt(f"setxattr {name}", lambda: os.setxattr("/tmp/over", name, b"/etc"))
    attempt("write into the image", lambda: open("/usr/bin/env", "r+b").close())
    attempt("replace a program of the image", lambda: os.rename("/usr/bin/env", "/tmp/env"))


writable = writable_files()
RESULTS["writable"] = [
    p for p in writable if not p.startswith("/proc/") or not p.split("/")[2].isdigit()]
RESULTS["writable of PID 1"] = [p for p in writable if p.startswith("/proc/1/")]
RESULTS["writes to PID 1"] = {p: written(p) for p in RESULTS["writable of PID 1"]}
releases()
descriptors()
named_sockets()
devices()
host_programs()
layers()
finish()
