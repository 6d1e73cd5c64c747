"""What Dockerfiles of BuildKit have, in the words of the classic builder: texts, permissions, mounts, platforms.

With the engine itself: `uv run pytest -m long -n 0 tests/environments/test_dockerfile_texts.py`
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from engine_kit import engine_or_skip
from hypothesis import given
from hypothesis import strategies as st
from image_kit import BASE, import_base
from test_images import build

from preview.environments.images.dockerfile import PLATFORM, Recipe, read_dockerfile
from preview.environments.images.files_image import pack_files
from preview.environments.images.inline_texts import arguments_of, as_json, change_arguments, is_marker
from preview.errors import EnvironmentFailed
from preview.runtime.container.images import Images

_PIECES = (
    *(
        "FROM a AS b",
        "from b",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV x=",
        "SHELL ",
        "VOLUME /v",
        "ONBUILD ",
        "LABEL a=b",
        "ARG ",
        "ARG TARGETARCH",
        "FROM $TARGETARCH",
    ),
    *("<<EOF", "<<-EOF", "<<'EOF'", '3<<"EOF"', "<<", "<<<a", "EOF", "\tEOF", "\nEOF\n", "#!/bin/sh", "#", "--link "),
    *("--chmod=755 ", "--from=b ", "--mount=type=", "--mount=type=bind,target=", "cache", "bind", ",", "=", "/x", "a"),
    *("\n", "\r\n", "\\\n", "\\", "`", "'", '"', "[", "]", '["a", "b"]', " ", "\t", "$X", "\0", "\x1b", "\ufeff", "é"),
)
_WORDS = frozenset(
    {"FROM", "RUN", "CMD", "LABEL", "EXPOSE", "ENV", "COPY", "ENTRYPOINT", "VOLUME", "USER", "WORKDIR", "ARG"}
    | {"STOPSIGNAL", "HEALTHCHECK", "SHELL"}
)


def read(text: str, **arguments: str) -> Recipe:
    return read_dockerfile(text, "Dockerfile", {"preview.data": "x"}, arguments=arguments)


def lines_of(text: str) -> list[str]:
    return read(f"FROM a\n{text}\n").text.splitlines()[3:]


def script_of(text: str) -> str:
    (line,) = lines_of(text)
    *shell, script = json.loads(line.removeprefix("RUN "))
    assert shell == ["/bin/sh", "-c"]
    assert isinstance(script, str)
    return script


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("RUN <<EOF\necho 'a  b' \\\n  # no comment\n\nFROM x\nEOF", "echo 'a  b' \\\n  # no comment\n\nFROM x\n"),
        ("RUN <<-E.1\n\ta\n\t\tb\n\tE.1", "a\nb\n"),
        ("RUN --mount=type=cache,target=/x \\\n  cat <<'E' >/a\nb $X\nE", "cat <<'E' >/a\nb $X\nE"),
        ("RUN cat <<A 3<<B\na\nA\nb\nB", "cat <<A 3<<B\na\nA\nb\nB"),
        ("RUN python3 <<EOF\r\nprint(1)\r\nEOF\r", "python3 <<EOF\nprint(1)\r\nEOF"),
        ("RUN echo 'a <<EOF b'", "echo 'a <<EOF b'"),
        ("RUN echo $((1<<3)) <<<x", "echo $((1<<3)) <<<x"),
        ("RUN <<EOF\n#!/usr/bin/env perl  -w\nprint 'é'\nEOF", None),
    ],
)
def test_a_text_of_run_is_the_script_or_the_shell_reads_it(text: str, script: str | None) -> None:
    said = script_of(text)
    if script is None:
        assert said.startswith("mkdir -p /dev/pipes && printf %s '#!/usr/bin/env perl  -w\nprint '\"'\"'é")
        assert said.endswith("> /dev/pipes/EOF && exec /usr/bin/env 'perl  -w' /dev/pipes/EOF")
    else:
        assert said == script


def test_lines_without_texts_stay_as_they_are() -> None:
    for line in ('RUN ["cat", "<<EOF"]', "RUN a  b\tc", 'COPY ["a b", "/x"]', "CMD cat <<EOF"):
        assert lines_of(line) == [line]


def test_a_text_runs_in_the_shell_of_its_stage_and_not_in_one_that_nobody_knows() -> None:
    run = "RUN <<EOF\nx\nEOF\n"
    recipe = read(f'FROM a AS b\nSHELL ["bash", "-ec"]\n{run}FROM b\n{run}FROM c\n{run}FROM scratch\n{run}')
    found = [json.loads(one[4:]) for one in recipe.text.splitlines() if one.startswith("RUN")]
    assert [one[:-1] for one in found] == [["bash", "-ec"]] * 2 + [["/bin/sh", "-c"]] * 2
    assert recipe.own_shells == ("c",)


def test_texts_and_files_with_permissions_are_copied_from_an_image_of_such_files(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    recipe = read(
        "FROM a\nCOPY <<a.conf <<'b' /etc/\nx\na.conf\n$y\\\nb\nCOPY --link --chmod=0500 --chown=1:2 ./run.sh /run\n"
        "ADD --chmod=640 <<-E /z\n\tq\nE\nCOPY notes <<F /n/\nF\n"
    )
    assert recipe.with_files_image("img:1").splitlines()[3:] == [
        "COPY --from=img:1 /0/0/a.conf /0/1/b /etc/",
        "COPY --from=img:1 --chown=1:2 /2/0/run.sh /run",
        "COPY --from=img:1 /3/0/E /z",
        "COPY notes /n/",
        "COPY --from=img:1 /4/1/F /n/",
    ]
    with tarfile.open(fileobj=io.BytesIO(pack_files(tmp_path, ".", recipe.files))) as archive:
        found = {one.name: (one.mode, (archive.extractfile(one) or io.BytesIO()).read()) for one in archive}
    assert found == {
        "0/0/a.conf": (0o644, b"x\n"),
        "0/1/b": (0o644, b"$y\\\n"),
        "2/0/run.sh": (0o500, b"#!/bin/sh\n"),
        "3/0/E": (0o640, b"q\n"),
        "4/1/F": (0o644, b""),
    }


def test_a_file_with_permissions_is_one_of_the_project_and_no_link_or_folder_or_ignored(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (project / "link").symlink_to("../secret")
    (project / "left").write_text("x")
    (project / "large").write_bytes(b"x" * (8 << 20 | 1))
    (project / ".dockerignore").write_text("left\n")
    for name in ("link", "folder", "left", "large", "missing", "folder/../../secret"):
        with pytest.raises(EnvironmentFailed, match=r"no plain file of the project|not the name of one file"):
            pack_files(project, ".", read(f"FROM a\nCOPY --chmod=755 {name} /x\n").files)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUN <<EOF\na", "the text after <<EOF has no end; write EOF alone in a line after it"),
        ("RUN <<EOF <<EOF\na\nEOF", "the text after <<EOF has no end"),
        ("RUN cat <<a/b\na/b", "write '<<a/b' as <<NAME"),
        ("COPY <<.. /x\n..", "write '<<..' as <<NAME"),
        ("COPY <<EOF /x\n$HOME\nEOF", "write <<'EOF' to copy it as it is"),
        ("COPY a <<EOF /x\nEOF", "for several sources, one that ends with /"),
        ("COPY /x <<EOF\nEOF", "needs a target"),
        ("COPY --from=b <<EOF /x\nEOF", "COPY --from with text in the Dockerfile"),
        ('COPY "a <<EOF b" /x', "COPY has << in a path"),
        ("RUN <<EOF\n" + "x" * 70_000 + "\nEOF", "more than 58 KiB"),
        ("RUN <<EOF\n\0\nEOF", "a NUL character; remove it"),
        ("RUN <<EOF\n#!\nEOF", "names no program"),
        ("RUN " + "<<E " * 21 + "\n" + "E\n" * 21, "more than 20 texts"),
        ("COPY --chmod=755 a b /x", "for several sources"),
    ],
)
def test_a_text_that_is_none_is_one_sentence_with_its_line(text: str, said: str) -> None:
    with pytest.raises(EnvironmentFailed) as raised:
        read(f"FROM b\n\n{text}\n")
    assert raised.value.message.startswith("Dockerfile, line 3: ")
    assert said in raised.value.message


def test_a_mount_of_files_is_a_copy_that_stays_and_says_so() -> None:
    recipe = read(
        "FROM a AS b\nRUN --mount=type=bind,source=go.mod,target=go.mod --mount=type=cache,target=/c go mod download\n"
        "FROM c\nRUN --mount=from=b,src=out,dst=/in,ro ls /in\nRUN --mount=target=. make\n"
    )
    assert [one for one in recipe.text.splitlines() if one[:3] in ("COP", "RUN")] == [
        *("COPY go.mod go.mod", "RUN go mod download", "COPY --from=b /out /in", "RUN ls /in", "COPY . .", "RUN make")
    ]
    assert "RUN --mount=type=bind is done by COPY: the image keeps go.mod at go.mod" in recipe.warnings
    assert read("FROM a\nRUN --mount=from=evil.example/x,target=/x ls\n").images == ("a", "evil.example/x")


def test_the_platform_has_its_arguments() -> None:
    text = "ARG TARGETARCH\nFROM a-${TARGETARCH}\nARG TARGETARCH\nARG TARGETOS=plan9\nARG OTHER\n"
    architecture = PLATFORM["TARGETARCH"]
    recipe = read(text)
    assert recipe.images == (f"a-{architecture}",)
    assert recipe.text.splitlines()[-3:] == [f"ARG TARGETARCH={architecture}", "ARG TARGETOS=plan9", "ARG OTHER"]


def test_each_argument_of_a_line_is_read() -> None:
    os, architecture = PLATFORM["TARGETOS"], PLATFORM["TARGETARCH"]
    assert lines_of("ARG TARGETOS\tTARGETARCH A='TARGETOS TARGETARCH' B=\\ TARGETOS \"TARGETARCH\"") == [
        f"ARG TARGETOS={os}\tTARGETARCH={architecture} A='TARGETOS TARGETARCH' B=\\ TARGETOS TARGETARCH={architecture}"
    ]
    assert read('ARG A=1 B="2" C\nFROM a:$B\n').images == ("a:2",)
    assert read("ARG A=1 B=2-$A\nFROM a:$B\n").images == ("a:2-1",)
    assert read("ARG A B\nFROM a:$B\n", B="3").images == ("a:3",)


@pytest.mark.parametrize("number", ["2", "1", "99999999999999999999", "\u0661", "9" * 5000])
@pytest.mark.parametrize("line", ["COPY --from={} / /x", "RUN --mount=from={},target=/x ls"])
def test_a_number_is_a_stage_only_if_there_is_one(line: str, number: str) -> None:
    assert read(f"FROM a\nFROM b\n{line.format(0)}\n").images == ("a", "b")
    with pytest.raises(EnvironmentFailed, match=r"(no earlier stage has the number|--from=NAME)"):
        read(f"FROM a\nFROM b\n{line.format(number)}\n")


def test_a_platform_that_the_engine_does_not_have_is_left_out_with_a_warning() -> None:
    own = PLATFORM["TARGETPLATFORM"]
    for same in (own, "$BUILDPLATFORM", "${TARGETPLATFORM}", f"{own}/v8", "linux", ""):
        assert read(f"FROM --platform={same} a\n").warnings == ()
    for other in ("linux/s390x", "windows/amd64", "$P"):
        recipe = read(f"ARG P=linux/s390x\nFROM --platform={other} a\n")
        value = other.replace("$P", "linux/s390x")
        assert recipe.warnings == (f"FROM --platform='{value}' is left out: builds here are for {own}",)
        assert "FROM a\n" in recipe.text


def test_an_argument_of_a_compose_file_adds_no_instruction() -> None:
    evil = "amd64\nADD http://169.254.169.254/latest /x\nCOPY --from=victim/private:1 / /stolen"
    recipe = read("FROM a\nARG TARGETARCH\n", TARGETARCH=evil)
    assert recipe.text.splitlines()[3:] == [f"ARG TARGETARCH={PLATFORM['TARGETARCH']}"]
    with pytest.raises(EnvironmentFailed, match="is no name of an image"):
        read("ARG TARGETARCH\nFROM a:$TARGETARCH\n", TARGETARCH=evil)


@given(
    st.lists(st.sampled_from(_PIECES), max_size=40).map("".join) | st.text(max_size=200),
    st.sampled_from(["", "a", "a\nADD http://x /x", "a\rONBUILD RUN x", "\nCOPY --from=c / /x", "\\", "\0 / /x", " "]),
)
def test_whatever_a_dockerfile_says_each_line_for_the_engine_is_a_checked_instruction(text: str, value: str) -> None:
    try:
        recipe = read(f"FROM a\nARG TARGETARCH\n{text}", TARGETARCH=value, x=value)
    except EnvironmentFailed:
        return
    for number, line in enumerate(recipe.with_files_image("img:1").splitlines()[1:]):
        word, _, rest = line.partition(" ")
        assert word in _WORDS
        assert line.replace("\t", " ").isprintable()
        assert not line.endswith(("\\", "`"))
        assert number or word == "FROM"
        if word in ("COPY", "RUN") and as_json(rest) is None:
            # The engine would take the next lines for a text.
            assert not any(is_marker(one) for one in rest.split())
        if word == "COPY":
            # Each image that the engine would fetch was checked.
            froms = [one.removeprefix("--from=") for one in rest.split() if one.startswith("--from=")]
            assert all(one in ("img:1", "b") or one.isdecimal() for one in froms)


@pytest.mark.parametrize(
    "text",
    [
        "ENV A=xxxxxxxxxx\n" + "ENV A=$A${A}\n" * 20,
        "ENV A xxxxxxxxxx\n" + "ENV A $A$A\n" * 20,
        'ENV B=1 "A"=xxxxxxxxxx\n' + 'ENV B=1 "A"=$A$A\n' * 20,
        "ARG A=xxxxxxxxxx\nENV N=A\n" + "ENV $N=$A$A\n" * 20,
        "ARG A=xxxxxxxxxx\n" + "ARG A=$A$A\n" * 20,
        f"ENV {'A' * 200}=xxxxxxxxxx\n" + f"ENV {'A' * 200}=${'A' * 200}${'A' * 200}\n" * 20,
        "".join(f"FROM s{n} AS s{n + 1}\nENV A=$A$A\n" for n in range(20)),
        f"ENV A={'x' * 60000}\nWORKDIR /$A/$A\n",
        "ENV " + "A=$PATH " * 300,
        f"ENV A={'x' * 60000}\n" + "ENV B=$A C=1\n" * 20,
        # The engine's names are digits, single signs, and letters of any alphabet.
        *(
            f"ENV {name}=xxxxxxxxxx\n" + f"ENV {name}={f'${name}' * 10}\n" * 6
            for name in ("1", "12", "@", "*", "-", "?", "!", "é", "Aé", "\u0431")
        ),
        "ENV 1=xxxxxxxxxx\n" + "ENV 1=${1}${1:-a}\n" * 20,
        # Of this name it takes the A alone.
        "ENV A=xxxxxxxxxx\n" + "ENV A=$A\u00b2$A\u00b2\n" * 20,
    ],
)
def test_variables_that_the_engine_would_fill_in_without_end_are_refused(text: str) -> None:
    with pytest.raises(EnvironmentFailed, match=r"(more than 64 KiB when its|more than 1024 KiB when they)"):
        read(f"FROM a AS s0\n{text}")


@pytest.mark.parametrize("name", ["A", "é", "1", "@", "-"])
def test_a_pattern_that_the_engine_would_replace_in_a_variable_is_refused(name: str) -> None:
    with pytest.raises(EnvironmentFailed, match="is not supported here; write the value out") as raised:
        read(f"FROM a\nENV A=aaaaaaaaaa\nENV A=x${{{name}//a/$A}}\n")
    assert raised.value.message.startswith("Dockerfile, line 3: ")


def test_variables_of_an_ordinary_size_are_not() -> None:
    assert lines_of("ENV A=${B:-/usr}/x\nRUN echo ${A//a/b}") == ["ENV A=${B:-/usr}/x", "RUN echo ${A//a/b}"]
    assert len(lines_of("ENV PS1='\\u@\\h $ '\nWORKDIR $A/$é")) == 2
    text = 'ENV PATH=/a:$PATH:/b\nENV URL=http://$HOST/?q=1 JSON=\'{"a": "b=$c"}\'\n' * 40
    assert len(read(f"FROM a\n{text}WORKDIR $HOME/app\n").text.splitlines()) == 84


@pytest.mark.long
async def test_the_engine_builds_what_buildkit_would_and_keeps_no_files_of_the_build(tmp_path: Path) -> None:
    dockerfile = f"""\
# syntax=docker/dockerfile:1
FROM {BASE} AS base
ARG TARGETOS
WORKDIR /app
COPY --chmod=0751 run.sh /bin/run
COPY . .
COPY <<'a.conf' <<-b /etc/texts/
$as it is\\
a.conf
\tno tabs
\tb
RUN <<EOF
set -e
[ -x /bin/run ] && [ $TARGETOS = linux ]
for one in .preview.*; do [ "$one" = .preview.empty ] || [ "$one" = '.preview.*' ] || exit 7; done
cat /etc/texts/a.conf /etc/texts/b
EOF
RUN <<EOF
#!/bin/perl -w
print "by perl: $0\\n";
EOF
RUN --mount=type=bind,source=run.sh,target=/bound --mount=type=secret,id=none cat >/app/built <<EOF && cat /bound
made by $((20 << 1)) texts
EOF
CMD ["/bin/run"]
"""
    found = await build(tmp_path, dockerfile, {"run.sh": "#!/bin/sh\necho content of run.sh\n"})
    assert found.how == "built"
    said = (tmp_path / "said").read_text().splitlines()
    assert {"$as it is\\", "no tabs", "by perl: /dev/pipes/EOF", "echo content of run.sh"} <= set(said)
    engine = await import_base(engine_or_skip())
    assert [one.name for one in await Images(engine, tmp_path.name).stored() if "files" in one.name] == []


def words_of_the_engine(text: str, escape: str) -> list[str]:
    """The engine's own reading of ``ARG``, character by character."""
    words, quote, at = [""], "", 0
    while at < len(text):
        one = text[at]
        if one == escape:
            words[-1] += text[at : at + 2]
            at += 2
            continue
        if not quote and one.isspace():
            words.append("")
        else:
            words[-1] += one
            quote = ("" if one == quote else quote) if quote else (one if one in "'\"" else "")
        at += 1
    return [one for one in words if one]


@given(
    st.lists(st.sampled_from(["a", "TARGETARCH", "=", " ", "\t", "'", '"', "\\", "`", "$X"])), st.sampled_from("\\`")
)
def test_arguments_are_read_as_the_engine_reads_them(pieces: list[str], escape: str) -> None:
    text = "".join(pieces)
    assert arguments_of(text, escape) == words_of_the_engine(text, escape)
    assert change_arguments(text, escape, str) == text


@pytest.mark.parametrize(
    ("line", "as_engine"),
    [
        ('ARG X="a\\" TARGETARCH', 'ARG X="a\\" TARGETARCH={}'),
        ("ARG X=a` TARGETARCH TARGETARCH", "ARG X=a` TARGETARCH TARGETARCH={}"),
        ("ARG X='a`' TARGETARCH' TARGETARCH", "ARG X='a`' TARGETARCH' TARGETARCH={}"),
    ],
)
def test_another_escape_character_splits_arguments_as_in_the_engine(line: str, as_engine: str) -> None:
    recipe = read(f"# escape=`\nFROM a\n{line}\n")
    assert recipe.text.splitlines()[-1] == as_engine.format(PLATFORM["TARGETARCH"])


def test_a_byte_order_mark_hides_no_directive() -> None:
    assert read("\ufeff# escape=`\nFROM a\nRUN echo `\n  x\n").text.splitlines()[-1] == "RUN echo   x"
