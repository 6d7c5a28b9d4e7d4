"""The web page: controls that Gradio draws from the fields of a request, and a canvas without dependencies.

It draws; the program's logic is elsewhere.
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it while it is imported
