"""Small programs that look around in a sandbox and print what they have found, as one line of JSON."""

from __future__ import annotations

import ctypes
import socket
import struct

# What is where, and what can be written.
LOOK = """
import json, os
def writable(folder):
    try:
        with open(folder + '/probe', 'w'):
            pass
        os.unlink(folder + '/probe')
        return True
    except OSError:
        return False
mounted = [line.split()[4] for line in open('/proc/self/mountinfo')]
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(json.dumps({
    'root': sorted(os.listdir('/')),
    'etc': sorted(os.listdir('/etc')),
    'dev': sorted(os.listdir('/dev')),
    'siblings': sorted(os.listdir(os.path.dirname(os.getcwd()))),
    'processes': sorted(int(name) for name in os.listdir('/proc') if name.isdecimal()),
    'writable': [path for path in ['/', '/etc', '/usr', '/dev', '/dev/shm', '/tmp', '/var', '/run', '/proc',
                                   '/proc/sys/kernel', '/sys', os.path.dirname(os.getcwd()), os.getcwd()]
                 if writable(path)],
    'user': [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
    'capabilities': [int(status.get('Cap' + name, '0').strip(), 16) for name in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb')],
    'seccomp': int(status['Seccomp']),
    'host': os.uname().nodename,
}))
"""
# One file of ``/etc``, and whether the others are there.
ETC = """
import os, sys
here = os.path.basename(sys.argv[1]) + ' is here' if open(sys.argv[1]).read() else 'empty'
print(here, {'passwd', 'hosts', 'nsswitch.conf'} <= set(os.listdir('/etc')))
"""
# Serves one request on the socket that it was given, with what it could reach by itself as the answer.
REACH = """
import errno, json, socket, sys
def reach(address):
    family = socket.AF_INET6 if ':' in address[0] else socket.AF_INET
    try:
        with socket.socket(family) as out:
            out.settimeout(5)
            out.connect(address)
            return 'reached'
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
addresses = ['127.0.0.1', '::1', '192.0.2.1', '169.254.169.254']
found = {address: reach((address, int(sys.argv[2]))) for address in addresses}
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
connection, _ = listener.accept()
connection.sendall(json.dumps(found).encode())
"""
REACH_LOOPBACK = REACH.replace(", '::1', '192.0.2.1', '169.254.169.254'", "")
WAIT = """
import os, signal
print(os.getpid(), flush=True)
signal.pause()
"""
# Every way to change what stands in a folder that was given to be read.
TAMPER = """
import json, os, sys
shared, told = sys.argv[1], {}
with open(shared + '/module.py') as file:
    told['read'] = file.read()
def attempt(name, act):
    try:
        act()
        told[name] = 0
    except OSError as error:
        told[name] = error.errno
attempt('write', lambda: open(shared + '/module.py', 'a'))
attempt('new', lambda: open(shared + '/new.py', 'w'))
attempt('remove', lambda: os.unlink(shared + '/module.py'))
attempt('rename', lambda: os.rename(shared + '/module.py', shared + '/other.py'))
attempt('replace', lambda: os.rename(shared, shared + '-gone'))
attempt('mode', lambda: os.chmod(shared + '/module.py', 0o777))
attempt('times', lambda: os.utime(shared + '/module.py'))
attempt('link', lambda: os.link(shared + '/module.py', 'linked'))
attempt('attribute', lambda: os.setxattr(shared + '/module.py', 'user.note', b'1'))
attempt('truncate', lambda: os.truncate(shared + '/module.py', 0))
attempt('again', lambda: os.open('/proc/self/fd/%d' % os.open(shared + '/module.py', os.O_RDONLY), os.O_WRONLY))
print(json.dumps(told))
"""
MAKE_SETUID = """
import json, os, shutil, subprocess
shutil.copy('/usr/bin/id', 'tool')
os.chmod('tool', 0o6755)
user = int(subprocess.run(['./tool', '-u'], capture_output=True, text=True).stdout)
print(json.dumps({'uid': [os.geteuid(), user]}))
"""
# Writes into a folder until it is told that no more fits, at most as many MiB as its argument says; prints the MiB.
FILL = """
import os, sys
written = 0
try:
    for number in range(int(sys.argv[2])):
        with open(f'{sys.argv[1]}/{number}', 'wb') as file:
            written += file.write(bytes(1024 * 1024 - 1))
except OSError as error:
    print(written // (1024 * 1024 - 1), error.errno)
else:
    print(written // (1024 * 1024 - 1), 0)
"""
# One system call by its number: ``name result errno`` a line.
CALL = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for name, number, arguments in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments])
    found[name] = ctypes.get_errno() if result == -1 else 0
print(json.dumps(found))
"""
# Each number by a process of its own, as x86-64 has three ways in: ``number signal exit`` for each.
WAYS_IN = """
import ctypes, json, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def plain(number):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    return ctypes.get_errno() if result == -1 else 0
def as_i386(number):
    # mov eax, number; int 0x80; ret
    code = b'\\xb8' + number.to_bytes(4, 'little') + b'\\xcd\\x80\\xc3'
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return -ctypes.CFUNCTYPE(ctypes.c_int)(at)() & 0xff
call = {'plain': plain, 'i386': as_i386}[sys.argv[1]]
found = []
for number in json.loads(sys.argv[2]):
    child = os.fork()
    if child == 0:
        os._exit(min(call(number), 255))
    status = os.waitpid(child, 0)[1]
    found.append([number, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, status >> 8])
print(json.dumps(found))
"""
SOCKETS = """
import json, socket, sys
found = {}
for family, kind, protocol in json.loads(sys.argv[1]):
    try:
        socket.socket(family, kind, protocol).close()
        found[f'{family}/{protocol}'] = 0
    except OSError as error:
        found[f'{family}/{protocol}'] = error.errno
print(json.dumps(found))
"""
EXIT_BY_SIGNAL = """
import os, sys
os.kill(os.getpid(), int(sys.argv[1]))
"""
SELF_TERM = """
import os, signal
r, w = os.pipe()
def caught(number, _frame):
    os.write(1, str(number).encode())
    os._exit(3)
signal.signal(signal.SIGTERM, caught)
os.write(1, b'up\\n')
signal.pause()
"""
# A daemon in a session of its own that ignores all it can; the program itself ends at SIGTERM.
LEAVE_DAEMON = """
import os, signal
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        os.write(w, b'.')
    while True:
        signal.pause()
os.read(r, 1)
print('up', flush=True)
signal.pause()
"""
# Makes the socket that it listens on and one that it has accepted like new, and connects by them.
TURN_SOCKETS_ROUND = """
import ctypes, json, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def forget(one):
    return libc.connect(one.fileno(), struct.pack('H14x', socket.AF_UNSPEC), 16)
def reach(one):
    forget(one)
    one.settimeout(0.3)
    try:
        one.connect(('127.0.0.1', int(sys.argv[2])))
    except OSError as error:
        return error.strerror or str(error)
    return 'reached'
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
accepted, _ = listener.accept()
told = {'accepted': reach(accepted), 'listening': reach(listener)}
try:
    listener.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
    told['unlocked'] = 'done'
except OSError as error:
    told['unlocked'] = error.strerror
print(json.dumps(told))
"""


def forget(connected: socket.socket) -> None:
    """Make a socket like new: ``connect`` with AF_UNSPEC (connect(2))."""
    ctypes.CDLL(None, use_errno=True).connect(connected.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
