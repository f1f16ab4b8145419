"""The first process of a container: starts the command, hands on signals, and ends when the command does.

``docker stop`` signals the first process only.  Were that a shell, it would ignore the signal, and the training below
would be killed at the end of the grace time, unsaved.  Here the signal reaches the programs that somebody started: the
command, or what runs in its shell, or in one of ``docker exec``.  What a program has started itself (the workers of a
training) is its own business.  After SIGTERM the end is waited for, and the shells are sent away last.
"""

import contextlib
import errno
import os
import signal
import sys

SHELLS = {"bash", "sh", "dash", "zsh", "ash", "ksh"}
HANDED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
ENDING = {signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
ME = os.getpid()
FIRST = ME == 1 or (os.getppid() == 1 and "SKELETON_LAB_CONTAINER" in os.environ)  # the latter: `docker run --init`


def processes() -> dict[int, tuple[int, str]]:
    """{pid: (parent, name)} of every living process but this one and the first."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - pathlib doubles the time to start
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                stat = file.read()
        except OSError:  # gone meanwhile
            continue
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
        if state not in "ZX" and int(pid) not in (1, ME):
            found[int(pid)] = (int(parent), name)
    return found


def started_by_hand() -> tuple[list[int], list[int]]:
    """([shells], [programs]) that belong to this container, shells from the outermost on."""
    living = processes()
    tops = {ME, 0, 1} if FIRST else {ME}  # 0: what `docker exec` has started
    shells, programs, parents = [], [], tops
    while parents:
        children = [pid for pid, (parent, _) in living.items() if parent in parents and pid not in shells]
        parents = {pid for pid in children if living[pid][1] in SHELLS}
        shells += sorted(parents)
        programs += [pid for pid in children if pid not in parents]
    return shells, programs


def tell(pids: list[int], signum: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):  # gone meanwhile, or of another user
            os.kill(pid, signum)


def start(command: list[str]) -> int:
    """The command's pid.  It has the terminal, if there is one, and a process group of its own, as in a shell."""
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    if os.isatty(0):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    for signum in HANDED_ON:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127 if error.errno == errno.ENOENT else 126)


def reap(child: int, status: int | None) -> int | None:
    """The command's exit code if it has ended, else ``status``; buries orphans as well."""
    while True:
        try:
            pid, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == child:
            status = os.WEXITSTATUS(how) if os.WIFEXITED(how) else 128 + os.WTERMSIG(how)


def main(command: list[str]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON | {signal.SIGCHLD})
    child, status, ending, told = start(command), None, None, set()
    while True:
        got = signal.sigtimedwait(HANDED_ON | {signal.SIGCHLD}, 0.1 if ending else 3600)
        signum = signal.Signals(got.si_signo) if got else None
        if signum in HANDED_ON:
            shells, programs = started_by_hand()
            tell([*shells, *programs], signum)
            if signum in ENDING:
                ending, told = signum, set(programs)
        status = reap(child, status)
        if ending is None:
            if status is not None:
                return status
            continue
        shells, programs = started_by_hand()
        tell([pid for pid in programs if pid not in told], ending)  # what a script has begun since
        told.update(programs)
        if not programs:
            tell(shells, signal.SIGHUP)
            if not shells and status is not None:
                return status


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("error: no command is given")
    sys.exit(main(sys.argv[1:]))
