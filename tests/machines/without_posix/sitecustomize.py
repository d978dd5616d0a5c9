"""Python imports this at its start where this folder is on its path: in every process hw3lib finds itself on Windows.

What Windows lacks is missing, and ``os.name`` says so, wherever hw3lib or the cells of a notebook look; and a text file
that they open without naming its encoding, which there would be the machine's own, is an error (where Python looks for
that: ``PYTHONWARNDEFAULTENCODING``). Other libraries, which have programs of their own for Windows, still see the
system that they were installed for.
"""

import builtins
import os
import signal
import warnings
from sys import _getframe
from types import ModuleType

MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog", "readline", "curses", "posix"}
OF_OS = """
    fork forkpty killpg getpgid getpgrp setpgid setsid getsid getuid geteuid getgid getegid getresuid getgroups setuid
    seteuid uname chown fchown fchmod lchown nice mkfifo mknod statvfs fstatvfs sched_getaffinity sched_setaffinity
    getloadavg sysconf confstr wait wait3 wait4 posix_fadvise posix_fallocate pread pwrite chroot sync getpriority
    WNOHANG O_NOFOLLOW O_DIRECTORY O_NONBLOCK O_CLOEXEC O_SYNC
"""
OF_SIGNAL = """
    SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGPIPE SIGQUIT SIGCHLD SIGSTOP SIGCONT alarm setitimer getitimer
    pthread_kill pthread_sigmask sigwait pause siginterrupt
"""
MISSING = {os: OF_OS.split(), signal: OF_SIGNAL.split()}
SAID = {os: {"name": "nt"}, signal: {}}
_import = builtins.__import__


def _is_ours(names: dict) -> bool:
    """Whether these are a module's of hw3lib, a notebook's or a test's, run as a program or not."""
    name = names.get("__name__", "")
    if name == "__main__":
        name = getattr(names.get("__spec__"), "name", "hw3lib")
    return name.partition(".")[0] == "hw3lib"


class _Windows(ModuleType):
    def __getattribute__(self, name: str):
        if _is_ours(_getframe(1).f_globals):
            said = SAID[self]
            if name in said:
                return said[name]
            if name in MISSING[self]:
                raise AttributeError(f"module {self!r} has no attribute {name!r}, as on Windows")
        return ModuleType.__getattribute__(self, name)


def _without(name, globals=None, *rest, **more):
    if name.partition(".")[0] in MODULES and _is_ours(globals or {}):
        raise ModuleNotFoundError(f"No module named {name!r}, as on Windows", name=name)
    return _import(name, globals, *rest, **more)


builtins.__import__ = _without
for module in MISSING:
    module.__class__ = _Windows
# Every entry point of a process comes by here, before it sets filters of its own.
warnings.filterwarnings("error", category=EncodingWarning, module=r"(hw3lib\b.*|__main__)")
