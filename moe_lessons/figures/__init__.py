"""Pictures as pure functions: data in, an SVG string (or a matplotlib figure) out."""
