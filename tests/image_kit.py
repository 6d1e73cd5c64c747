"""A small base image of this machine's own programs, so that no registry is asked."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from functools import lru_cache
from pathlib import Path

from preview.runtime.container import Engine

BASE = "preview-test/base:latest"
_PROGRAMS = ("sh", "cat", "mkdir", "cp", "sleep", "dd", "yes", "perl")

SERVER = r"""
use IO::Socket::INET;
$| = 1;
my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 9, ReuseAddr => 1) or die "no port: $!";
print "up at $ARGV[0] as $<\n";
while (my $client = $listener->accept) {
    my $line = <$client>;
    while (defined(my $head = <$client>)) { last if $head =~ /^\r?\n/ }
    open(my $file, "<", "/app/built"); my $body = join "", <$file>; close $file;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
"""
"""A server in Perl: it listens at its argument, and answers with the file that the build has made."""


@lru_cache(maxsize=1)
def base_archive() -> bytes:
    files: dict[str, Path] = {}
    for name in _PROGRAMS:
        program = next(Path(folder, name) for folder in ("/usr/bin", "/bin") if Path(folder, name).exists())
        files[f"bin/{name}"] = program.resolve()
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for path in re.findall(r"(/\S+) \(0x", said):
            files[path.strip("/")] = Path(path).resolve()
    modules = next(Path("/usr/lib").glob("*/perl-base"))
    for one in (*modules.rglob("IO*"), *modules.rglob("Socket*"), *modules.rglob("*.pm")):
        for path in one.rglob("*") if one.is_dir() else [one]:
            if path.is_file():
                files[str(path).strip("/")] = path
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, source in sorted(files.items()):
            archive.add(source, name, recursive=False)
    return packed.getvalue()


async def import_base(engine: Path) -> Engine:
    made = Engine(engine)
    if not await made.has_image(BASE):
        await made.import_image(BASE, base_archive())
    return made
