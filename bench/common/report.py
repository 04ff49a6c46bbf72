"""Tables as text and markdown, and least squares."""


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


def text_table(head, rows):
    lines = [[str(h) for h in head]] + [[cell(v) for v in row] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(v.rjust(w) if i else v.ljust(w) for i, (v, w) in enumerate(zip(line, widths))) for line in lines)


def markdown_table(head, rows):
    lines = ["| " + " | ".join(str(h) for h in head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(cell(v) for v in row) + " |" for row in rows])


def line_fit(points):
    """(intercept, slope) of y over x by least squares of the relative error, so that short prompts count as much as
    long ones: each point weighs 1 / y^2. None with fewer than two different x."""
    if len({x for x, _ in points}) < 2:
        return None
    weights = [1 / (y * y) if y else 1.0 for _, y in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points)) / total
    var = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points))
    cov = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points))
    slope = cov / var
    return mean_y - slope * mean_x, slope
