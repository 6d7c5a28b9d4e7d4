"""Colours and type of the page, as a Gradio theme: paper, ink, one accent, and only fonts the reader's system
has."""

from __future__ import annotations

from gradio.themes import Base

SANS = (
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Cantarell",
    "Noto Sans",
    "Liberation Sans",
    "system-ui",
    "sans-serif",
)
MONO = ("ui-monospace", "SF Mono", "Cascadia Code", "Consolas", "Liberation Mono", "monospace")


def theme() -> Base:
    """Everything refers to the variables of style.css, which hold the light and the dark colours once."""
    look = {
        "body_background_fill": "var(--paper)",
        "body_text_color": "var(--ink)",
        "body_text_color_subdued": "var(--ink-soft)",
        "background_fill_primary": "var(--paper)",
        "background_fill_secondary": "var(--paper-2)",
        "border_color_primary": "var(--line)",
        "border_color_accent": "var(--accent)",
        "color_accent": "var(--accent)",
        "color_accent_soft": "var(--accent-soft)",
        "link_text_color": "var(--accent)",
        "block_background_fill": "transparent",
        "block_border_color": "transparent",
        "block_info_text_color": "var(--ink-soft)",
        "block_label_text_color": "var(--ink-soft)",
        "block_title_text_color": "var(--ink-soft)",
        "accordion_text_color": "var(--ink)",
        "panel_background_fill": "transparent",
        "input_background_fill": "var(--field)",
        "input_background_fill_focus": "var(--field)",
        "input_border_color": "var(--line)",
        "input_border_color_focus": "var(--accent)",
        "input_placeholder_color": "var(--ink-faint)",
        "checkbox_background_color": "var(--field)",
        "checkbox_background_color_selected": "var(--accent)",
        "checkbox_border_color": "var(--line-strong)",
        "checkbox_border_color_selected": "var(--accent)",
        "checkbox_label_background_fill": "transparent",
        "checkbox_label_background_fill_hover": "transparent",
        "checkbox_label_background_fill_selected": "transparent",
        "checkbox_label_text_color": "var(--ink)",
        "slider_color": "var(--accent)",
        "button_primary_background_fill": "var(--accent-fill)",
        "button_primary_background_fill_hover": "var(--accent-fill-hover)",
        "button_primary_border_color": "transparent",
        "button_primary_text_color": "var(--on-accent)",
        "button_secondary_background_fill": "var(--field)",
        "button_secondary_background_fill_hover": "var(--paper-2)",
        "button_secondary_border_color": "var(--line)",
        "button_secondary_text_color": "var(--ink)",
    }
    plain = {
        "block_border_width": "0px",
        "block_shadow": "none",
        "block_padding": "0px",
        "block_radius": "8px",
        "block_title_text_size": "12.5px",
        "block_title_text_weight": "500",
        "block_info_text_size": "12px",
        "checkbox_label_padding": "0px",
        "checkbox_label_border_width": "0px",
        "checkbox_label_shadow": "none",
        "input_shadow": "none",
        "input_shadow_focus": "0 0 0 3px var(--accent-ring)",
        "input_border_width": "1px",
        "input_padding": "8px 10px",
        "input_radius": "8px",
        "input_text_size": "14px",
        "shadow_drop": "none",
        "shadow_drop_lg": "none",
        "shadow_inset": "none",
        "layout_gap": "10px",
        "form_gap_width": "0px",
        "button_large_radius": "9px",
        "button_medium_radius": "8px",
        "button_small_radius": "8px",
        "button_large_text_size": "15px",
        "button_large_padding": "10px 18px",
        "button_primary_shadow": "none",
        "button_primary_shadow_hover": "none",
        "button_secondary_shadow": "none",
    }
    base = Base(primary_hue="teal", neutral_hue="stone", font=SANS, font_mono=MONO)
    return base.set(
        **plain,
        **look,
        **{f"{name}_dark": value for name, value in look.items() if hasattr(base, f"{name}_dark")},
    )
