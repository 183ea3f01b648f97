"""A Python with OpenVINO GenAI, in a folder of its own beside the models; made from PyPI once."""
import os
import subprocess
import sys
import venv

PACKAGE = "openvino-genai==2026.4.1.0"


def python():
    """Its path."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(cache, "choir", "peers", "openvino")
    path = os.path.join(folder, "bin", "python")
    if not os.path.exists(os.path.join(folder, "ready")):
        print("fetching OpenVINO GenAI (once)", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([path, "-m", "pip", "install", "--quiet", PACKAGE], check=True, stdout=sys.stderr)
        with open(os.path.join(folder, "ready"), "w", encoding="utf-8") as mark:
            mark.write(PACKAGE + "\n")
    return path
