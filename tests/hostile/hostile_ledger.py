"""What hostile programs try, and on which rung it fails: the one list that tests and ``docs/security.md`` go by."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ATTACKS", "EXCESSES", "NOT_STOPPED_BY_PLAIN", "NOT_STOPPED_BY_SANDBOX", "Attack", "Excess"]


@dataclass(frozen=True, slots=True)
class Attack:
    """One program in ``programs/``.

    Attributes:
        program: Name of its file.
        tries: What it tries, in words that end the sentence "a preview cannot ...".
        plain: Whether the plain rung stops it; None where that depends on the user that the service runs as.
        sandbox: Whether the sandbox does, with a cold start and with a warm one.
    """

    program: str
    tries: str
    plain: bool | None = False
    sandbox: bool = True


ATTACKS = (
    Attack("read_own_environment", "find the service's variables among its own", plain=True),
    Attack("read_others_environment", "read the environment of the service or any other process"),
    Attack("read_through_proc", "reach files through /proc/PID/root"),
    Attack("read_file_outside", "read files outside of its folders"),
    Attack("read_another_project", "read another preview's folder"),
    Attack("write_outside", "write outside of its folders"),
    Attack("write_into_environment", "change the environment that previews share"),
    Attack("link_the_environment", "write to shared files through hard links"),
    Attack("connect_the_service", "connect to the service on loopback"),
    Attack("connect_another_preview", "connect to another preview's port"),
    Attack("connect_by_abstract_name", "connect to abstract local sockets"),
    Attack("connect_by_file", "connect to another program's local socket"),
    Attack("send_datagram", "send datagrams to the machine"),
    Attack("find_the_network", "see the machine's network interfaces", plain=None),
    Attack("signal_others", "end other processes"),
    Attack("signal_the_service", "signal the service"),
    Attack("trace_another", "trace other processes", plain=None),
    Attack("new_namespace", "make namespaces of its own", plain=None),
    Attack("use_the_keyring", "use the kernel's keyrings", plain=None),
    Attack("open_kernel_settings", "change the kernel's settings", plain=None),
    Attack("raise_its_limits", "raise its own limits", plain=None),
    Attack("gain_privileges", "gain privileges from a setuid program", plain=True),
    Attack("open_the_terminal", "write to the operator's terminal", plain=True),
    Attack("find_what_others_left", "find what another preview has left in memory or under a name"),
    Attack("find_its_starter", "find its parent process, and what that process has open"),
    # Its shared, read-only files are the same ones outside. No content and no name of another's project is told.
    Attack("watch_shared_files", "watch when others open files of a shared environment", sandbox=False),
)


@dataclass(frozen=True, slots=True)
class Excess:
    """What a program takes, does, leaves or answers more of than it should.

    Attributes:
        program: Name of its file.
        tries: As in ``Attack``.
        test: Name of the test that shows what becomes of it.
        plain: Whether the plain rung holds it.
    """

    program: str
    tries: str
    test: str
    plain: bool = True


EXCESSES = (
    Excess("memory_bomb", "use more memory than its limit", "test_a_memory_bomb_is_ended_and_told"),
    Excess("disk_bomb", "fill the disk", "test_a_disk_bomb_is_ended_and_told"),
    Excess("fork_bomb", "start processes without an end", "test_a_fork_bomb_stays_within_its_processes", plain=False),
    Excess("descriptor_bomb", "use up file descriptors", "test_descriptors_run_out_for_the_bomb_alone"),
    Excess("log_bomb", "slow down others by a flood of output", "test_a_flood_of_output_holds_up_nobody_else"),
    Excess(
        "stay_alive",
        "leave a daemon that outlives its stop",
        "test_a_daemon_without_a_trace_does_not_outlive_the_stop",
        plain=False,
    ),
    Excess("ignore_the_end", "ignore its end", "test_one_that_ignores_its_end_is_ended"),
    Excess(
        "plant_for_cleanup",
        "make the clean-up delete files outside its folder, or block the clean-up",
        "test_what_is_planted_in_its_folder_leads_the_cleanup_nowhere",
    ),
    Excess(
        "plant_for_readers",
        "have the service read other files for it",
        "test_what_is_planted_for_the_services_readers_gives_nothing_away",
    ),
    Excess(
        "print_controls",
        "act on a reader's terminal, or break the stream of events",
        "test_control_sequences_act_on_no_terminal_and_end_no_event",
    ),
    Excess(
        "answer_badly",
        "harm the proxy or its other clients by its answers",
        "test_no_bad_answer_harms_the_service_the_next_request_or_a_neighbour",
    ),
    Excess(
        "forge_the_protocol",
        "make the service end, move or count another process, by false messages",
        "test_what_is_said_to_the_service_moves_and_ends_nothing_but_the_speaker",
    ),
)

NOT_STOPPED_BY_PLAIN = tuple(one.tries for one in (*ATTACKS, *EXCESSES) if one.plain is not True)
NOT_STOPPED_BY_SANDBOX = tuple(one.tries for one in ATTACKS if not one.sandbox)
