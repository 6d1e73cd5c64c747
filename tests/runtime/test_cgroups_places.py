"""Where the groups are, read from texts as machines of several kinds give them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from preview.runtime.cgroups.own_groups import OwnGroup, OwnGroups, find_own_groups

UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
SYSTEMD_V1 = (
    "31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "36 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
)


def test_a_service_of_systemd_is_found_in_version_2() -> None:
    found = find_own_groups(UNIFIED, "0::/system.slice/preview.service\n")
    assert found == OwnGroups(OwnGroup("/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/preview.service"))
    assert found.unified is not None
    assert found.unified.line == [
        "/sys/fs/cgroup/system.slice/preview.service",
        "/sys/fs/cgroup/system.slice",
        "/sys/fs/cgroup",
    ]


def test_controllers_of_version_1_may_share_a_tree() -> None:
    found = find_own_groups(
        SYSTEMD_V1, "9:name=systemd:/a\n4:cpu,cpuacct:/system.slice/p\n3:memory:/\n2:pids:/system.slice/p\n0::/a\n"
    )
    assert found.unified == OwnGroup("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a")
    assert found.controllers["cpu"] is found.controllers["cpuacct"]
    assert found.controllers["cpu"].directory == "/sys/fs/cgroup/cpu,cpuacct/system.slice/p"
    assert found.controllers["memory"] == OwnGroup("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory")


def test_a_container_that_sees_its_own_part_of_the_tree_is_at_the_mount() -> None:
    mountinfo = "40 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
    found = find_own_groups(mountinfo, "0::/docker/abc\n").unified
    assert found == OwnGroup("/sys/fs/cgroup", "/sys/fs/cgroup")


def test_a_group_outside_of_what_is_mounted_cannot_be_reached() -> None:
    mountinfo = "40 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
    assert find_own_groups(mountinfo, "0::/docker/other\n") == OwnGroups()
    assert find_own_groups(UNIFIED, "0::/../other\n") == OwnGroups()
    assert find_own_groups(UNIFIED.replace(" / ", " /.. ", 1), "0::/\n") == OwnGroups()


def test_the_mount_that_shows_the_group_is_taken_among_several() -> None:
    part = "29 23 0:26 /other /mnt/part rw - cgroup2 cgroup2 rw\n"
    assert find_own_groups(part + UNIFIED, "0::/mine\n").unified == OwnGroup("/sys/fs/cgroup", "/sys/fs/cgroup/mine")


def test_a_mount_with_a_space_in_its_path_is_read() -> None:
    mountinfo = r"30 23 0:26 / /my\040groups rw - cgroup2 cgroup2 rw" + "\n"
    assert find_own_groups(mountinfo, "0::/a b\n").unified == OwnGroup("/my groups", "/my groups/a b")


def test_no_mount_is_no_place() -> None:
    assert find_own_groups("23 1 8:1 / / rw - ext4 /dev/sda rw\n", "0::/\n3:memory:/\n") == OwnGroups()


@given(st.text(), st.text())
def test_any_text_is_read_without_an_error(mountinfo: str, membership: str) -> None:
    find_own_groups(mountinfo, membership)
    find_own_groups(UNIFIED + mountinfo, f"0::/{membership}\n4:memory:/{membership}")


@given(st.lists(st.from_regex(r"[a-z0-9@.]{0,6}[a-z]", fullmatch=True), max_size=5))
def test_the_line_goes_from_the_group_up_to_the_mount(names: list[str]) -> None:
    found = find_own_groups(UNIFIED, f"0::/{'/'.join(names)}\n").unified
    assert found is not None
    assert len(found.line) == len(names) + 1
    assert found.line[-1] == "/sys/fs/cgroup"
