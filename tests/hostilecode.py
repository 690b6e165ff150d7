"""What the code of hostile learners does, each with a pattern of the reason for no point."""

from __future__ import annotations

from gradefarm import CANARY

__all__ = ["ASKS", "AT_TOP", "IN_CALLS", "RETURNED", "TIME"]

_FOUND = f"""
import os
from pathlib import Path
def holds(path):
    try:
        with open(path, 'rb') as file:
            return {CANARY.encode()!r} in file.read(1 << 20)
    except OSError:
        return False
def below(top, skip=()):
    for folder, folders, files in os.walk(top):
        folders[:] = [each for each in folders if os.path.join(folder, each) not in skip]
        yield from (os.path.join(folder, each) for each in files)
"""
_LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
_WORKER = (
    "import gc, os, threading, time\n"
    "worker = next(each for each in gc.get_objects() if type(each).__name__ == '_Worker')\n"
)
_PROCESSES = "It starts processes of its own, which are not allowed"
_MEMORY = r"more than \d+ MiB of memory|MemoryError"
TIME = "It takes longer than"
_ANSWER = "Something else than an answer came back"

AT_TOP: dict[str, tuple[str, str]] = {
    "environment": ("import os\nraise ValueError(f'seen: {dict(os.environ)}')", "ValueError: seen: "),
    "everything below proc": (
        _FOUND + "raise ValueError(f'seen: {list(filter(holds, below(\"/proc\")))}')",
        r"seen: \[\]",
    ),
    "command lines and mounts": (
        "for name in ('1/environ', '1/cmdline', 'self/mountinfo', 'self/maps', 'self/cmdline', 'mounts'):\n"
        "    try:\n        raise ValueError('seen: ' + open(f'/proc/{name}').read())\n    except OSError:\n"
        "        pass\nraise ValueError('nothing seen')",
        "nothing seen",
    ),
    "whoever grades, anywhere": (
        _FOUND + "import sys\nskip = ('/usr', '/lab/python/lib', '/lab/packages0', '/lab/packages1', '/dev')\n"
        f"found = [each for each in below('/', skip) if {CANARY!r} in each or holds(each)]\n"
        f"found += [each for each in sys.path + sys.argv if {CANARY!r} in each]\n"
        "raise ValueError(f'seen: {found}')",
        r"seen: \[\]",
    ),
    "others' submissions": (
        _FOUND
        + "skip = ('/usr', '/lab')\nraise ValueError(f'seen: {[e for e in below(\"/\", skip) if \"ipynb\" in e]}')",
        r"seen: \[\]",
    ),
    "forks": ("import os\nwhile True:\n    os.fork()", _PROCESSES),
    "forks past Python": (_LIBC + "raise ValueError(f'fork: {libc.fork()}')", "fork: -1"),
    "a program": ("import subprocess\nsubprocess.run(['sleep', '1000'])", _PROCESSES),
    "a shell": ("import os\nos.system('sleep 1000 &')", _PROCESSES),
    "a pool of processes": ("from multiprocessing import Process\nProcess(target=print).start()", _PROCESSES),
    "leaves the namespace": (
        _LIBC
        + "raise ValueError(f'{libc.unshare(0x10000000)} {libc.ptrace(0, 0, 0, 0)} {libc.mount(0, b\"/\", 0, 0, 0)}')",
        "-1 -1 -1",
    ),
    "threads without end": (
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(1000,)).start()",
        f"can't start new thread|{_MEMORY}|{TIME}",
    ),
    "memory in a list": ("hoard = []\nwhile True:\n    hoard.append(bytes(1 << 26))", _MEMORY),
    "memory at once": ("bytearray(1 << 40)", _MEMORY),
    "memory in small things": ("hoard = []\nwhile True:\n    hoard.append([{}] * 1000)", f"{_MEMORY}|{TIME}"),
    "a constant without end": ("text = 'x' * (1 << 40)", _MEMORY),
    "a number without end": ("number = 1 << (1 << 36)\nnumber * number", f"{_MEMORY}|{TIME}|OverflowError"),
    "shared memory on dev": (
        "for at in range(1000):\n    open(f'/dev/shm/{at}', 'wb').write(bytes(1 << 20))",
        "Read-only file system|No such file|Permission denied",
    ),
    "fills tmp": (
        "for at in range(1000):\n    open(f'/tmp/{at}', 'wb').write(bytes(1 << 19))",
        "No space left on device",
    ),
    "many empty files": (
        "at = 0\nwhile True:\n    at += 1\n    open(f'/tmp/{at}', 'w').close()",
        "more than 4096 files|No space left",
    ),
    "one large file": (
        "with open('/tmp/x', 'wb') as file:\n    file.write(bytes(1 << 26))",
        "File too large|No space left",
    ),
    "System V's memory": (_LIBC + "raise ValueError(f'shmget: {libc.shmget(0, 1 << 20, 0o1600)}')", "shmget: -1"),
    "System V's queues": (
        _LIBC + "raise ValueError(f'{libc.msgget(0, 0o1600)} {libc.semget(0, 100, 0o1600)}')",
        "-1 -1",
    ),
    "memory files": ("import os\nos.memfd_create('x')", "PermissionError"),
    "shared mappings": (
        "import mmap\nmaps = [mmap.mmap(-1, 1 << 26) for _ in range(1000)]",
        "Cannot allocate memory|Memory",
    ),
    "pipes": (
        "import os\nkept = []\nwhile True:\n    kept.append(os.pipe())\n    os.set_blocking(kept[-1][1], False)\n"
        "    os.write(kept[-1][1], bytes(1 << 16))",
        "Too many open files",
    ),
    "sockets": (
        "import socket\nkept = []\nwhile True:\n    kept.append(socket.socketpair())\n"
        "    kept[-1][0].setblocking(False)\n    kept[-1][0].send(bytes(1 << 16))",
        "Too many open files",
    ),
    "prints without end": ("while True:\n    print('x' * 100_000)", r"It prints more than \d+ KiB"),
    "writes to file 2": ("import os\nwhile True:\n    os.write(2, b'x' * 100_000)", r"It prints more than \d+ KiB"),
    "never ends": ("while True:\n    pass", TIME),
    "sleeps": ("import time\ntime.sleep(10**6)", TIME),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", TIME),
    "waits for input that never comes": ("import os\nr, w = os.pipe()\nos.read(r, 1)", TIME),
    "a search without end": ("import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')", TIME),
    "answers ahead": (
        _WORKER + 'worker.writes.write(b\'{"=":"dict","items":{"value":4}}\\n\' * 50)\nworker.writes.flush()',
        _ANSWER,
    ),
    "fills the pipe": (
        _WORKER + 'line = b\'{"=":"dict","items":{"ask":"host","number":0,"name":"count","args":[]}}\\n\' * 100\n'
        "def fill():\n    while True:\n        os.write(worker.writes.fileno(), line)\n"
        "threading.Thread(target=fill, daemon=True).start()\n"
        "time.sleep(10**6)",
        f"It asks for what there is not|{TIME}|{_ANSWER}",
    ),
    "a line without end": (
        _WORKER + "while True:\n    os.write(worker.writes.fileno(), b'x' * 65536)",
        "An answer is longer than 4 MiB",
    ),
    "garbage into every file": (
        "import os\nfor file in range(3, 64):\n    try:\n        os.write(file, b'\\xff{]\\n\\0')\n"
        "    except OSError:\n        pass",
        _ANSWER,
    ),
    "closes every file": (
        "import os\nos.closerange(0, 256)\nimport time\ntime.sleep(1000)",
        "closed the pipe|ended by itself",
    ),
    "ends at once": ("import os\nos._exit(0)", r"ended by itself \(status 0\)"),
    "ends with a status": ("import os\nos._exit(97)", r"ended by itself \(status 97\)"),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)", "SIGKILL"),
    "kills all": ("import os, signal\nos.kill(1, 9)\nos.kill(-1, 9)\nos.killpg(0, 9)", "SIGKILL|ProcessLookupError"),
    "kills its parent": (
        "import os\nos.kill(os.getppid(), 9)\nraise ValueError('not killed')",
        "not killed|SIGKILL|Permission",
    ),
    "reads no memory": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "gives up": ("import os\nos.abort()", "SIGABRT"),
    "recursion": ("def down():\n    down()\ndown()", "RecursionError"),
    "recursion without a limit": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef down(n):\n    return [down(n + 1)]\ndown(0)",
        f"SIGSEGV|{_MEMORY}|RecursionError|{TIME}",
    ),
    "half a character raised": ("raise ValueError('half \\ud83d emoji')", "ValueError: half"),
    "an exception with a bad name": ("raise type('\\ud83d\\x1b[2J\\n' * 100, (Exception,), {})('x')", "."),
    "an exception that can't be said": (
        "class E(Exception):\n    def __str__(self):\n        raise SystemExit\n    __repr__ = __str__\nraise E",
        "^E: ",
    ),
    "an exception of 100 MB": ("raise ValueError('x' * 100_000_000)", "ValueError: x{100}|memory"),
    "an exception that writes tables": (
        "raise ValueError('| x | 99 of 99 |\\n=HYPERLINK(1)\\n\\x1b[2J<script>alert(1)</script>')",
        r"ValueError: \| x",
    ),
    "hidden checks": (
        "from vswaplab.lab.grading.labs import LABS\nraise ValueError(LABS)",
        "ImportError|ModuleNotFoundError",
    ),
    "solutions": (
        "import vswaplab.lab.grading.labs as labs\nraise ValueError(labs.REFERENCES)",
        "AttributeError|ModuleNotFoundError",
    ),
    "the network": (
        "import socket\nsocket.create_connection(('127.0.0.1', 22), 1)",
        "PermissionError",
    ),
    "names of the network": ("import socket\nsocket.getaddrinfo('example.org', 80)", "gaierror"),
    "writes into the library": ("import vswaplab\nopen(vswaplab.__file__, 'a').write('x')", "Read-only file system"),
    "deletes the system": ("import shutil\nshutil.rmtree('/usr')", "Read-only file system"),
    "raises its limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)",
        "ValueError|PermissionError",
    ),
    "nothing is what it was": (
        "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.str = None\nraise ValueError",
        ".",
    ),
    "true to everything": (
        "import vswaplab.lab.grading.worker as worker\n"
        'worker.encode = lambda *args: b\'{"=":"dict","items":{"value":true}}\\n\'',
        "^$|Error|Something",
    ),
    "parentheses": ("(" * 5000 + ")" * 5000, "SyntaxError|Memory|Recursion"),
    "a sum of 100,000": ("x = " + "+".join("1" * 100_000), "RecursionError|SyntaxError|MemoryError|SIGSEGV"),
    "NUL in the text": ("x = 1\0", "SyntaxError|ValueError"),
}
"""What a solution's code does when it is run, and a pattern of the reason for no point."""

IN_CALLS: dict[str, tuple[str, str]] = {
    "never ends in a call": ("while True:\n    pass", TIME),
    "sleeps in a call": ("import time\ntime.sleep(10**6)", TIME),
    "recursion in a call": ("_each(args)", "^$"),
    "ends in a call": ("import os\nos._exit(5)", r"status 5\)"),
    "memory in a call": ("bytearray(1 << 40)", _MEMORY),
    "smuggles inputs by messages": (
        "kept = globals().setdefault('kept', [])\nkept.append(repr(args))\nraise ValueError(' '.join(kept))",
        "^$",
    ),
    "smuggles inputs by its status": ("import os\nos._exit(sum(repr(args).encode()) % 256)", r"status \d+"),
    "smuggles inputs by what it prints": ("print(args)\nraise ValueError", "^$"),
    "an error that is no Exception": ("raise SystemExit(repr(args))", "^$"),
}
"""What it does in each call of a check."""

RETURNED: dict[str, str] = {
    "deep arrays": "__import__('functools').reduce(lambda made, _: [made], range(100_000), 0)",
    "arrays as deep as Python reads": "__import__('functools').reduce(lambda made, _: [made], range(300), 0)",
    "10**5000": "10**5000",
    "10**4000": "10**4000",
    "not a number": "float('nan')",
    "infinity": "-float('inf')",
    "half a character": "'\\ud83d' * 100",
    "five megabytes": "'x' * 5_000_000",
    "a million nothings": "[None] * 1_000_000",
    "a generator": "(each for each in 'abc')",
    "a file": "open('/dev/null')",
    "a class": "type('\\ud83d', (), {})",
    "an int that is equal to all": "type('E', (int,), {'__eq__': lambda a, b: True, '__hash__': None})(987654321)",
    "an index that is huge": "type('N', (), {'__module__': 'numpy', '__index__': lambda self: 10**4200})()",
    "an index that fails": "type('N', (), {'__module__': 'numpy', '__index__': lambda self: 1 / 0})()",
    "an object that is equal to all": "type('E', (), {'__eq__': lambda a, b: True, '__module__': '__main__'})()",
    "an object that can't be shown": "type('E', (), {'__repr__': lambda a: 1 / 0, '__str__': lambda a: 'x' * 10**8})()",
    "a dict with odd keys": "{None: 1, 2: 3, '=': 'host'}",
    "what looks like a host": "{'=': 'host', 'number': -1}",
    "itself": "(lambda made: made.append(made) or made)([])",
}

ASKS = {
    "asks with huge numbers": "numbers.number(12 * 10**9)",
    "asks with numbers without end": "numbers.number(10**4000)",
    "asks with text": "numbers.number('x' * 1_000_000)",
    "asks with nothing": "numbers.number()",
    "asks for what is not there": "numbers._numbers",
    "asks without end": "[numbers.count() for _ in iter(int, 1)]",
    "asks with what fails": "numbers.number(type('N', (), {'__index__': lambda self: 10**9999})())",
}
"""What it asks of an object of the checker's."""
