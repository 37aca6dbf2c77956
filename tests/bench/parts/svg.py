# SPDX-License-Identifier: BSD-3-Clause
"""Two kinds of plots as SVG text: bars with a spread, and lines. Enough for the benches; a plotting
library would be the largest thing that they need."""
import math
from xml.sax.saxutils import escape

COLORS = ["#1f5fa8", "#d1622b", "#3c8a4e", "#8a4fa3"]
INK, PALE, GRID = "#222222", "#666666", "#dddddd"
WIDTH = 820


def text(x, y, words, anchor="start", size=12, color=INK, extra=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s"%s>%s</text>' % (
        x, y, anchor, size, color, extra, escape(str(words)))


def line(x1, y1, x2, y2, color=GRID, width=1.0, dash=""):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%s"%s/>' % (
        x1, y1, x2, y2, color, width, ' stroke-dasharray="%s"' % dash if dash else "")


def page(height, title, subtitle, parts):
    head = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
            'font-family="Helvetica, Arial, sans-serif">' % (WIDTH, height, WIDTH, height),
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            text(16, 26, title, size=16, extra=' font-weight="bold"'), text(16, 46, subtitle, color=PALE)]
    return "\n".join(head + parts + ["</svg>", ""])


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        return "%g M" % round(value / 1e6, 3)
    if abs(value) >= 10000:
        return "%g k" % round(value / 1e3, 3)
    return "%g" % round(value, 3)


def ticks(top, wanted=6):
    """Round steps from 0 to at least `top`."""
    raw = top / wanted
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    return [i * step for i in range(int(math.ceil(top / step - 1e-9)) + 1)]


def bars(title, subtitle, rows, mark=None, mark_name="", most=5):
    """rows: (label, value, lowest, highest, needed or None, whether it is met). A dashed line at `mark`. What is
    above `most` is cut off; its number is not."""
    left, right, step, head = 210, 60, 24, 66
    height = head + step * len(rows) + 50
    scale = ticks(min(most, max([r[3] for r in rows] + [r[4] or 0 for r in rows] + [mark or 0]) * 1.02))
    width = (WIDTH - left - right) / scale[-1]
    bottom = head + step * len(rows)
    parts = [line(left + t * width, head, left + t * width, bottom) for t in scale]
    parts += [text(left + t * width, bottom + 18, number(t), "middle", 11, PALE) for t in scale]
    for i, (label, value, low, high, needed, met) in enumerate(rows):
        y = head + i * step + 4
        number_text = "%.2f" % value
        value, low, high = (min(v, scale[-1]) for v in (value, low, high))
        parts.append(text(left - 10, y + 12, label, "end"))
        parts.append('<rect x="%d" y="%.1f" width="%.1f" height="%d" fill="%s"/>'
                     % (left, y, value * width, step - 8, COLORS[0] if met else COLORS[1]))
        if high > low:
            middle = y + (step - 8) / 2
            parts.append(line(left + low * width, middle, left + high * width, middle, INK, 1.2))
            parts += [line(left + x * width, middle - 3, left + x * width, middle + 3, INK, 1.2) for x in (low, high)]
        if needed:
            parts.append(line(left + needed * width, y - 2, left + needed * width, y + step - 6, INK, 2.5))
        parts.append(text(left + max(high, value, needed or 0) * width + 6, y + 12, number_text, size=11))
    if mark:
        parts.append(line(left + mark * width, head - 4, left + mark * width, bottom, INK, 1, "4 3"))
    parts.append(text(16, bottom + 40, mark_name, size=11, color=PALE))
    return page(height, title, subtitle, parts)


def lines(title, subtitle, series, x_name, y_name, x_log=False, y_log=False, x_labels=None):
    """series: {name: [(x, y)...]}. x_labels: {x: text} instead of round numbers."""
    left, right, top, bottom, legend = 84, 24, 84, 380, 66
    points = [p for values in series.values() for p in values]
    xs, ys = [p[0] for p in points], [p[1] for p in points]

    def axis(low, high, log):
        if not log:
            return ticks(high * 1.001 or 1)
        first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
        return [10.0 ** e for e in range(first, max(last, first + 1) + 1)]

    def place(value, scale, log, start, end):
        if log:
            value, scale = math.log10(max(value, scale[0])), [math.log10(s) for s in scale]
        return start + (value - scale[0]) / (scale[-1] - scale[0]) * (end - start)

    y_scale = axis(min(y for y in ys if y > 0 or not y_log), max(ys), y_log)
    x_scale = sorted(x_labels) if x_labels else axis(min(xs), max(xs), x_log)

    def x_at(x):
        return place(x, x_scale, x_log, left, WIDTH - right)

    def y_at(y):
        return place(y, y_scale, y_log, bottom, top)

    parts = [line(left, y_at(t), WIDTH - right, y_at(t)) for t in y_scale]
    parts += [text(left - 8, y_at(t) + 4, number(t), "end", 11, PALE) for t in y_scale]
    for x in x_scale:
        parts.append(line(x_at(x), bottom, x_at(x), bottom + 5, PALE))
        parts.append(text(x_at(x), bottom + 19, x_labels[x] if x_labels else number(x), "middle", 11, PALE))
    parts.append(text((left + WIDTH - right) / 2, bottom + 40, x_name, "middle"))
    parts.append(text(18, (top + bottom) / 2, y_name, "middle",
                      extra=' transform="rotate(-90 18 %.0f)"' % ((top + bottom) / 2)))
    at = left
    for i, (name, values) in enumerate(series.items()):
        color = COLORS[i % len(COLORS)]
        path = " ".join("%.1f,%.1f" % (x_at(x), y_at(y)) for x, y in values)
        parts.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (path, color))
        if len(values) <= 20:
            parts += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (x_at(x), y_at(y), color) for x, y in values]
        parts += [line(at, legend, at + 22, legend, color, 3), text(at + 28, legend + 4, name)]
        at += 50 + 7 * len(name)
    return page(bottom + 56, title, subtitle, parts)
