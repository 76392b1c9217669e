"""
Makes docs/img/demo.svg from a real run: `.venv/bin/python docs/img/render.py`, from anywhere.

It converges a copy of manifests/ under a HAYMAKER_HOME of its own, edits one manifest, plans again, cleans up, and
draws what the commands printed, word for word. Nothing is typed in by hand.
"""

import os
import pty
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[2]
THEME = TerminalTheme(
    (24, 26, 31),
    (214, 217, 224),
    [(24, 26, 31), (240, 113, 120), (143, 196, 116), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194),
     (214, 217, 224)],
    [(127, 132, 142), (240, 113, 120), (143, 196, 116), (229, 192, 123), (97, 175, 239), (198, 120, 221),
     (86, 182, 194), (255, 255, 255)],
)  # fmt: skip
FORMAT = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" \
aria-label="haymaker apply, status and plan, as printed by a real run">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect width="{width}" height="{height}" rx="8" fill="#181a1f"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def on_a_terminal(command: list[str], folder: Path, env: dict[str, str]) -> str:
    """Run a command with a terminal as its output and give what it printed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that nobody writes there any more
                break
            if not piece:
                break
            said += piece
    os.close(ours)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{said.decode()}")
    return said.decode().replace("\r\n", "\n")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="haymaker-picture-"))
    shutil.copytree(ROOT / "manifests", folder / "manifests")
    # A dumb terminal gets the progress of a wait as lines that stay, in place of a table that is redrawn.
    env = {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}", "HAYMAKER_HOME": str(folder / "home"), "TERM": "dumb"}
    console = Console(record=True, width=104, file=StringIO(), force_terminal=True, color_system="truecolor")

    def show(line: str, *, term: str = "xterm") -> None:
        said = on_a_terminal(["sh", "-c", line], folder, {**env, "TERM": term})
        console.print(Text.assemble(("$ ", "bright_black"), (line, "bold")), soft_wrap=True)
        if said:
            console.print(Text.from_ansi(said.rstrip("\n")), soft_wrap=True)
        console.print()

    try:
        show("haymaker apply -f manifests/ --wait", term="dumb")
        show("haymaker status")
        show("sed -i 's/port: 0/port: 8080/' manifests/board.yaml")
        show("haymaker plan -f manifests/")
    finally:
        subprocess.run(
            ["haymaker", "delete", "-f", "manifests/", "--yes"], cwd=folder, env=env, check=True, capture_output=True
        )
        shutil.rmtree(folder)
    svg = console.export_svg(title="", theme=THEME, code_format=FORMAT, unique_id="demo")
    (ROOT / "docs/img/demo.svg").write_text(svg, encoding="utf-8")
    sys.stdout.write(console.export_text() if "--text" in sys.argv else "wrote docs/img/demo.svg\n")


if __name__ == "__main__":
    main()
