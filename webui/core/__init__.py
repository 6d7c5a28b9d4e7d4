"""Plain data that crosses every layer: requests, results, events, fields, prompts, syntax. No torch."""
