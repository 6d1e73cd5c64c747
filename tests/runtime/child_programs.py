"""Small programs that a preview may be, for ``python -I -S -c``."""

from __future__ import annotations

HELLO = "print('hello'); print('error side', file=__import__('sys').stderr)"
EXIT_7 = "raise SystemExit(7)"
SLEEP = "import time; print('up', flush=True); time.sleep(600)"
IGNORE_TERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(600)
"""
ON_TERM_SAY_BYE = """
import os, signal, time
def bye(*_):
    os.write(1, b'bye')  # print() is not reentrant, and the handler may interrupt one
    os._exit(0)
signal.signal(signal.SIGTERM, bye)
print('up', flush=True)
time.sleep(600)
"""
# Prints the pid of a child in the same session.
GRANDCHILD = """
import os, time
pid = os.fork()
if pid == 0:
    time.sleep(600)
print(pid, flush=True)
time.sleep(600)
"""
# The classic daemon: fork, setsid, fork, and its output closed. Prints the daemon's pid through the first process.
DAEMON = """
import os, time
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.write(w, str(os.getpid()).encode())
    for fd in (0, 1, 2):
        os.close(fd)
    time.sleep(600)
os.wait()
print(os.read(r, 20).decode(), flush=True)
time.sleep(600)
"""
# As DAEMON, but without the environment it was started with (execve with an empty one), and the parent gone too.
SHY_DAEMON = """
import os, sys, time
r, w = os.pipe()
os.set_inheritable(w, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    code = f"import os, time; os.write({w}, str(os.getpid()).encode()); time.sleep(600)"
    os.execve(sys.executable, [sys.executable, '-I', '-S', '-c', code], {})
os.wait()
print(os.read(r, 20).decode(), flush=True)
"""
# Helpers that took off what they were started with: environment, folder, (the first) session, (the second) output.
# Each prints its pid; the leader ends at once when it is told to.
BARE_IN_SESSION = """
import os, signal, sys, time
sys.stdout.flush()
if os.fork() == 0:
    os.chdir('/')
    null = os.open('/dev/null', os.O_RDWR)
    told = os.dup(1)
    os.dup2(null, 1)
    os.dup2(null, 2)
    say = f"os.write({told}, str(os.getpid()).encode() + bytes([10])); os.close({told})"
    code = f"import os, time; {say}; time.sleep(600)"
    os.set_inheritable(told, True)
    os.execve(sys.executable, [sys.executable, '-I', '-S', '-c', code], {})
signal.sigwait({signal.SIGUSR1})
"""
BARE_WITH_OUTPUT = """
import os, signal, sys
if os.fork() == 0:
    os.chdir('/')
    os.setsid()
    code = "import os, time; os.write(1, str(os.getpid()).encode() + bytes([10])); time.sleep(600)"
    os.execve(sys.executable, [sys.executable, '-I', '-S', '-c', code], {})
signal.sigwait({signal.SIGUSR1})
"""
# Nothing at all is left but its place in the tree.
BARE = BARE_IN_SESSION.replace("os.chdir('/')", "os.chdir('/'); os.setsid()")
# Daemons that have ended before anybody looks.
SHORT_DAEMONS = """
import os, time
r, w = os.pipe()
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        os.fork()
        os._exit(0)
    os.wait()
os.close(w)
os.read(r, 1)
print('up', flush=True)
time.sleep(600)
"""
FORK_ON_TERM = """
import os, signal, time
def again(*_):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    os._exit(0)
signal.signal(signal.SIGTERM, again)
print('up', flush=True)
time.sleep(600)
"""
SHOW = """
import json, os, resource, signal, sys
with open('/proc/self/status') as file:
    status = dict(line.split(':', 1) for line in file)
fds = sorted(int(name) for name in os.listdir('/proc/self/fd'))
print(json.dumps({
    'environment': dict(os.environ),
    'fds': [fd for fd in fds if os.path.exists(f'/proc/self/fd/{fd}')],
    'nofile': resource.getrlimit(resource.RLIMIT_NOFILE),
    'fsize': resource.getrlimit(resource.RLIMIT_FSIZE),
    'core': resource.getrlimit(resource.RLIMIT_CORE),
    'nproc': resource.getrlimit(resource.RLIMIT_NPROC),
    'no_new_privs': status.get('NoNewPrivs', '1 of gVisor').split()[0],
    'session': os.getsid(0),
    'pid': os.getpid(),
    'stdin': os.readlink('/proc/self/fd/0'),
    'cwd': os.getcwd(),
    'sigint_ignored': signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    'argv': sys.argv,
}))
"""
SERVE = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
connection, _ = listener.accept()
connection.sendall(b'served')
# Until it has been read: what carries it in a sandbox ends with this.
connection.recv(1)
"""
SAY_AND_SERVE = SERVE.replace("connection, _", "print('up', flush=True)\nconnection, _")
