"""A loss curve as an SVG file."""

from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 360, 60, 16, 16, 44
COLOURS = ["#1f6feb", "#d1571b", "#2a8f4f", "#8250df"]


def write_curve(path: Path, *curves: list[tuple[float, float]], names: list[str] | None = None) -> None:
    """Draws losses over steps, one line for each list."""
    points = [point for curve in curves for point in curve]
    last = max(step for step, _ in points) or 1
    top = max(loss for _, loss in points) or 1

    def place(step: float, loss: float) -> str:
        x = LEFT + step / last * (WIDTH - LEFT - RIGHT)
        y = TOP + (1 - loss / top) * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for part in range(5):
        loss, step = top * part / 4, last * part / 4
        x, y = place(step, 0).split(",")[0], place(0, loss).split(",")[1]
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{loss:.2f}</text>')
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step:.0f}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">step</text>')
    turned = f'text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})"'
    parts.append(f'<text x="14" y="{HEIGHT / 2}" {turned}>loss</text>')
    for at, curve in enumerate(curves):
        colour = COLOURS[at % len(COLOURS)]
        line = " ".join(place(step, loss) for step, loss in curve)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if names:
            y = TOP + 16 + 16 * at
            parts.append(f'<text x="{WIDTH - RIGHT - 8}" y="{y}" text-anchor="end" fill="{colour}">{names[at]}</text>')
    parts.append("</svg>")
    path.write_text("\n".join(parts) + "\n")
