"""An executor of one's own, to be held against the kit: it runs each call at once, in the thread that submits it."""

import atexit
import weakref
from concurrent.futures import BrokenExecutor, Executor, Future


class AtOnce(Executor):
    def __init__(self, initializer=None, initargs=()):
        self._initializer, self._initargs = initializer, initargs
        self._broken = self._closed = False
        atexit.register(_close, weakref.ref(self))

    def submit(self, fn, /, *args, **kwargs):
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self._initialize()
        future = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        try:
            return future
        finally:
            del fn, args, kwargs, future  # the frames of an error lead here, and would keep them alive

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._closed = True
        self._initargs = ()

    def _initialize(self):
        initializer, self._initializer = self._initializer, None
        if initializer is not None:
            try:
                initializer(*self._initargs)
            except Exception:
                self._broken = True
        if self._broken:
            raise BrokenExecutor("the initializer failed")


def _close(reference):
    executor = reference()
    if executor is not None:
        executor.shutdown()
