"""START HERE: Text Diffusion WebUI is started with `python app.py [COMMAND] [FLAGS]`; --help lists them.

What happens next, and where: webui/cli/ reads the flags into Settings, makes the one App
(webui/application.py), and runs one command: `serve` (the default: page and API on one port), `generate`, or
one that an extension brings. A text is made by webui/denoising/engine.py, around which the features in
extensions/ wrap themselves (webui/extension/extension.py).
"""

import os

# Threads wait without spinning, so that a busy neighbour on a core does not stall them all. OpenMP reads it
# when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from webui.cli.main import leave, main

if __name__ == "__main__":
    leave(main())
