"""Takes all it gets of what the kernel hands out to everybody, holds it, and says so."""

import resource
import signal
import threading
import time


def inotify():
    while LIBC.inotify_init() >= 0:
        pass


def signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, [40])
    while LIBC.sigqueue(os.getpid(), 40, None) == 0:
        pass


def timers():
    timer = ctypes.c_void_p()
    while LIBC.timer_create(0, None, ctypes.byref(timer)) == 0:
        pass


def terminals():
    try:
        while True:
            os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        pass


def asynchronous():
    io_setup = (206, 0)[ARCHITECTURE]
    for size in (65536, 4096, 64, 1):
        try:
            while True:
                call(io_setup, size, ctypes.byref(ctypes.c_ulong()))
        except OSError:
            pass


def locked():
    size = 1 << 20
    LIBC.mmap.restype = ctypes.c_void_p
    while True:
        at = LIBC.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
        if LIBC.mlock(ctypes.c_void_p(at), ctypes.c_size_t(size)) != 0:
            return


def queues():
    LIBRT = ctypes.CDLL("librt.so.1", use_errno=True)
    number = 0
    while LIBRT.mq_open(f"/queue{number}".encode(), os.O_RDWR | os.O_CREAT, 0o600, None) >= 0:
        number += 1


def threads():
    try:
        while True:
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    except RuntimeError:
        pass


def pipes():
    """Grown as far as they grow: what they hold counts for whoever made them."""
    F_SETPIPE_SZ = 1031
    import fcntl
    try:
        while True:
            _, end = os.pipe()
            for size in (1 << 20, 1 << 16, 1 << 12):
                try:
                    fcntl.fcntl(end, F_SETPIPE_SZ, size)
                    break
                except OSError:
                    pass
    except OSError:
        pass


resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
globals()[WHAT]()
print("held", flush=True)
signal.pause()
