"""Serves, and ignores being asked to end; forks again when it is."""

import os
import signal

import hostile_app


def again(*_):
    if os.fork() == 0:
        os.setsid()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, again)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hostile_app.main()
