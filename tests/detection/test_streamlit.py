"""Applications of Streamlit, and of other libraries whose file opens the server by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, plan_of

from preview.detection import Server
from preview.errors import InvalidGeneration

PAGE = 'import streamlit as st\nst.title("Fruit")\n'
SERVES = (
    "--server.port=$PORT",
    "--server.headless=true",
    "--server.fileWatcherType=none",
    "--browser.gatherUsageStats=false",
)


def test_streamlit_runs_the_file(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"app.py": PAGE, "requirements.txt": "streamlit\n"})
    assert (plan.server, plan.directory) == (Server.COMMAND, ".")
    assert plan.command == ("python", "-m", "streamlit", "run", "app.py", *SERVES)
    assert plan.decisions[0] == "app.py is an application of Streamlit"
    assert plan.warnings == ()


def test_the_file_that_the_readme_names_comes_first(tmp_path: Path) -> None:
    readme = "Start it:\n\n```bash\ncd web\nstreamlit run orchard.py --server.port 8600\n```\n"
    plan = plan_of(tmp_path, {"app.py": PAGE, "web/orchard.py": PAGE, "README.md": readme})
    assert (plan.command[4], plan.directory) == ("orchard.py", "web")
    assert plan.decisions[0] == "web/orchard.py is an application of Streamlit (README.md names it)"


def test_a_file_that_is_named_and_not_there_does_not_count(tmp_path: Path) -> None:
    readme = "```bash\nstreamlit run gone.py\nstreamlit hello\n```\n"
    assert plan_of(tmp_path, {"fruit.py": PAGE, "README.md": readme}).command[4] == "fruit.py"


@pytest.mark.parametrize("start", ["python -m streamlit run", "uv run streamlit run"])
def test_streamlit_may_be_run_by_another_program(tmp_path: Path, start: str) -> None:
    files = {"app.py": PAGE, "b.py": PAGE, "Dockerfile": f"FROM python:3.12\nCMD {start} b.py\n"}
    assert plan_of(tmp_path, files).command[4] == "b.py"


def test_without_a_name_an_upper_file_that_sets_up_the_page_comes_first(tmp_path: Path) -> None:
    files = {
        "pages/a.py": PAGE,
        "helpers.py": PAGE,
        "zoo.py": f"{PAGE}st.set_page_config(page_title='Zoo')\n",
        "tests/app.py": PAGE,
    }
    assert plan_of(tmp_path, files).command[4] == "zoo.py"


def test_the_variables_that_the_page_reads_are_given(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"app.py": f'import os\n{PAGE}KEY = os.environ["SHOP_TITLE"]\n'})
    assert "SHOP_TITLE" in plan.variables


@pytest.mark.parametrize(("other", "framework"), [(FASTAPI, "fastapi"), (FLASK, "flask")])
def test_an_api_beside_it_is_what_is_started(tmp_path: Path, other: str, framework: str) -> None:
    plan = plan_of(tmp_path, {"app.py": PAGE, "server.py": other})
    assert plan.framework == framework


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("import dash\napp = dash.Dash(__name__)\nif __name__ == '__main__':\n    app.run(debug=True)\n", "8050"),
        ("from dash import Dash\napp = Dash(__name__)\napp.run_server(port=8051)\n", "8051"),
        ("import gradio as gr\ndemo = gr.Interface(str, 'text', 'text')\ndemo.launch()\n", "7860"),
        ("from nicegui import ui\nui.label('Fruit')\nui.run()\n", "8080"),
    ],
)
def test_a_page_that_serves_itself_is_run_and_the_port_is_told(tmp_path: Path, text: str, port: str) -> None:
    plan = plan_of(tmp_path, {"page.py": text})
    assert plan.command == ("python", "page.py")
    assert f"listens on {port}" in plan.warnings[0]


def test_the_word_dashboard_is_no_dash(tmp_path: Path) -> None:
    with pytest.raises(InvalidGeneration):
        plan_of(tmp_path, {"dashboard.py": "import dashboard_data\ndashboard_data.run(1)\n"})
