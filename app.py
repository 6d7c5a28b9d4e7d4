"""START HERE: Text Diffusion WebUI is started with `python app.py [COMMAND] [FLAGS]`; --help tells them.

What happens next, and where: webui/cli.py reads the flags into Settings, makes the one App
(webui/application.py), and runs one command: `serve` (the default: page and API on one port), `generate`, or
one that an extension brings. A text is made by webui/engine.py, around which the features in extensions/ wrap
themselves (webui/extension.py).
"""

from webui.cli.main import leave, main

if __name__ == "__main__":
    leave(main())
