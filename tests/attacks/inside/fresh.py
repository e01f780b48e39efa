"""One each of what the kernel hands out to everybody: whether there is any left."""

import signal


def one(label, result):
    RESULTS[label] = "ok" if result >= 0 else name_of(ctypes.get_errno())


one("inotify", LIBC.inotify_init())
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
one("signals", LIBC.sigqueue(os.getpid(), 40, None))
one("timers", LIBC.timer_create(0, None, ctypes.byref(ctypes.c_void_p())))
attempt("terminals", lambda: os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)))
LIBC.mmap.restype = ctypes.c_void_p
page = LIBC.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
one("locked", LIBC.mlock(ctypes.c_void_p(page), ctypes.c_size_t(4096)))
queue = ctypes.CDLL("librt.so.1", use_errno=True)
name = f"/fresh{os.getpid()}".encode()
one("queues", queue.mq_open(name, os.O_RDWR | os.O_CREAT, 0o600, None))
queue.mq_unlink(name)
attempt("threads", lambda: __import__("threading").Thread(target=str).start())
attempt("pipes", lambda: [os.close(end) for end in os.pipe()] and None)
io_setup, io_destroy = ((206, 207), (0, 1))[ARCHITECTURE]
context = ctypes.c_ulong()
attempt("asynchronous", lambda: call(io_setup, 1, ctypes.byref(context)))
call(io_destroy, context) if context.value else None
finish()
