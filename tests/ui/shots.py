#!/usr/bin/env python3
"""Draws the pictures of docs/ui; called by `./dev ui-shots`. Arguments: names of pictures; none: all."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import ui_tools  # noqa: E402

SHOTS = ui_tools.REPO / "docs" / "ui"


def main():
    os.environ["UI_SHOTS"] = os.environ.get("UI_SHOTS") or str(SHOTS)
    ui_tools.run("shots.mjs", *sys.argv[1:])
    pictures = sorted(Path(os.environ["UI_SHOTS"]).glob("*.png"))
    subprocess.run(["pngquant", "--force", "--skip-if-larger", "--ext", ".png", "--speed", "1", "--strip", *pictures], check=False)
    total = sum(picture.stat().st_size for picture in pictures)
    print(f"{len(pictures)} pictures, {total / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
