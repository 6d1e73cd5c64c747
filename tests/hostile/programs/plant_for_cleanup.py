"""Makes of its own folder what a clean-up may stumble over, or be led out by."""

import os


def attack(world):
    os.symlink(world["outside"], "to-outside")
    os.symlink(world["secret_file"], "to-secret")
    os.symlink("loop-b", "loop-a")
    os.symlink("loop-a", "loop-b")
    os.mkfifo("pipe")
    os.mkdir("locked")
    open("locked/file", "w").close()
    os.chmod("locked", 0)
    with open("huge", "wb") as file:
        file.truncate(1 << 30)
    open("name\n\x1b[2J\udcff", "w").close()
    here = os.getcwd()
    for _ in range(1200):
        os.mkdir("deep")
        os.chdir("deep")
    os.chdir(here)
    os.chmod(here, 0o500)
    return "planted"
