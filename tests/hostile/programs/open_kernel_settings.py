"""Opens what the kernel runs when a program crashes, to write."""

import os


def attack(world):
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
    return "open"
