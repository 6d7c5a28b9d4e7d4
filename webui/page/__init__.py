"""The page: Gradio for the controls, one dependency-free component for the live canvas. Draws; holds no
logic."""
