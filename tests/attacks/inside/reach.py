"""Whom a sandbox reaches: processes beyond its own, sockets, addresses, other ways to call."""

import fcntl
import mmap
import signal
import socket
import termios


def signals():
    """To everybody there is, by every number that is not known here, and by descriptor."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    attempt("signal all", lambda: os.kill(-1, signal.SIGTERM))
    inside = {int(n) for n in os.listdir("/proc") if n.isdigit()}
    reached = []
    for number in range(1, 40000):
        if number in inside:
            continue
        for reach in (lambda: os.kill(number, 0), lambda: os.close(call("pidfd_open", number, 0))):
            try:
                reach()
                reached.append(number)
            except OSError as error:
                if error.errno != errno.ESRCH:
                    reached.append([number, name_of(error.errno)])
    inside |= {int(n) for n in os.listdir("/proc") if n.isdigit()}
    RESULTS["reached processes"] = [n for n in reached if n not in inside]
    with socket.socket() as own:
        def own_signals():
            fcntl.fcntl(own, fcntl.F_SETOWN, 40001)
        attempt("signals of a descriptor to others", own_signals)


def connect(label, family, address):
    def reach():
        with socket.socket(family) as made:
            made.settimeout(5)
            made.connect(address)
    try:
        attempt(label, reach)
    except TimeoutError:
        RESULTS[label] = "ETIMEDOUT"


def addresses():
    for address in ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16",
                    "192.0.2.1", "10.213.0.1", "172.17.0.1", "8.8.8.8"]:
        connect(f"address {address}", socket.AF_INET, (address, 80))
    for address in ["fd00:ec2::254", "2001:db8::1"]:
        connect(f"address {address}", socket.AF_INET6, (address, 80))
    for port in PORTS:
        connect(f"port {port}", socket.AF_INET, ("127.0.0.1", port))
        connect(f"port {port} of 6", socket.AF_INET6, ("::1", port))
        connect(f"port {port} of any", socket.AF_INET, ("0.0.0.0", port))
    for name in NAMES:
        connect(f"name {name}", socket.AF_UNIX, name)
    connect("abstract", socket.AF_UNIX, "\0" + ABSTRACT)


def other_words():
    """The calls of other architectures, by which filters have been passed."""
    if ARCHITECTURE == 0:
        attempt("x32 getpid", lambda: call(0x40000000 + 39))
        attempt("x32 mount", lambda: call(0x40000000 + 165, 0, 0, 0, 0, 0))
        child = os.fork()
        if child == 0:
            # mov eax, 20 (getpid); int 0x80; ret
            code = mmap.mmap(-1, 4096, prot=7)
            code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
            at = ctypes.addressof(ctypes.c_char.from_buffer(code))
            ctypes.CFUNCTYPE(ctypes.c_int)(at)()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        RESULTS["calls of 32 bits"] = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(
            status) else "ok"


def rights():
    status = dict(
        line.split(":\t", 1) for line in text("/proc/self/status").splitlines() if ":\t" in line)
    RESULTS["no_new_privs"] = status["NoNewPrivs"]
    # A program with capabilities on its file, or with set-user-id, gives nobody more.
    attempt("ambient", lambda: raise_ambient())
    RESULTS["mapped"] = text("/proc/self/uid_map").split()[2]
    attempt("map more", lambda: os.write(
        os.open("/proc/self/uid_map", os.O_WRONLY), b"0 0 4294967295"))


def raise_ambient():
    PR_CAP_AMBIENT, RAISE, CAP_SYS_ADMIN = 47, 2, 21
    if LIBC.prctl(PR_CAP_AMBIENT, RAISE, CAP_SYS_ADMIN, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


signals()
addresses()
other_words()
rights()
finish()
