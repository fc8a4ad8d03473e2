#!/usr/bin/env python3
"""Makes the tables and charts of docs/benchmarks.md from what `just speed` has printed.

    tests/benches/publish.py LINES... [--page FILE] [--tables] [--any-scale]

LINES are files of lines of JSON. Where one row is in several, the last counts. Between two marks of the page, or at its
end if it has none, everything is written again; the charts go into a folder beside the page, named as it is (they need
pygal). With --tables the tables are printed, and nothing is written. Lines of a smaller scale are refused, because their
figures are for trying only, unless --any-scale is given.
"""

import argparse
import json
import math
import os
import re
import sys

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
INTRODUCTION = """# Benchmarks

How fast konductor is beside a raw client that does the least possible work on the same API server and etcd, measured by
turns in one run, and how time and memory grow. Times depend on the machine; ratios hardly do. `just speed` repeats
everything, `just speed P5` one row. Each figure is the median; in brackets, between which values eight of ten repeats
are, or all if there are fewer than six.

"""
# The charts: a name, what it shows, and of which rows (id and unit).
CHARTS = [
    ("waiters", "The last arrival, until all that wait have returned", [("P1", "ms"), ("S5", "ms")]),
    ("stages", "Runs, ten stages in a row", [("S1", "s")]),
    ("items", "A run of one stage for each item", [("S2", "s")]),
    ("runs", "Runs of three stages, created at once", [("S3", "s")]),
    ("queue", "Claims in the queue of one Semaphore", [("S4", "ms")]),
    ("pipelines", "Commands on a pipeline file", [("P10", "ms"), ("K3", "ms")]),
    ("memory", "The operator's memory", [("M1", "MiB")]),
]
# Background, text, grid, and the colours of lines, as the pictures of timelines have them; light, then dark.
LIGHT = ("#ffffff", "#1f2328", "#d8dee4", ("#2f6fde", "#d4622a", "#1a7f37", "#8250df", "#9a6700", "#818b98"))
DARK = ("#0d1117", "#e6edf3", "#262c36", ("#4184f3", "#e0733d", "#3fb950", "#a371f7", "#d29922", "#7d8590"))


def number(value):
    """At most three digits that matter, with commas in thousands."""
    if value == 0:
        return "0"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4
    return f"{value:,.{digits}f}"


def spread(values, unit):
    """The median, and in brackets between which values the others are."""
    text = number(values["median"])
    if values["values"] > 1:
        text += f" ({number(values['low'])}–{number(values['high'])})"
    return f"{text}{unit}"


def with_unit(unit):
    return "×" if unit == "×" else f" {unit}"


def target(row):
    """The target as text, and whether it is held."""
    wanted = row["target"]
    name, sign = ("at_most", "≤") if "at_most" in wanted else ("at_least", "≥")
    unit = "×" if wanted["of"] == "ratio" else with_unit(row["unit"])
    value = row[wanted["of"]]["median"]
    held = value <= wanted[name] if name == "at_most" else value >= wanted[name]
    return f"{sign} {wanted[name]:g}{unit}", held


def size(row):
    if "size" not in row:
        return ""
    count, of = row["size"]["count"], row["size"]["of"]
    return f", {count:,} {of.removesuffix('s') if count == 1 else of}"


def table(head, rows):
    """A table in Markdown; all columns but the first two are numbers."""
    if not rows:
        return ""
    rule = ["---", "---"] + ["--:"] * (len(head) - 2)
    lines = [head, rule[: len(head)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def targets(rows):
    lines = []
    for row in rows:
        if "target" not in row:
            continue
        wanted, held = target(row)
        unit = with_unit(row["unit"])
        floor = f"{spread(row['floor'], unit)}: {row['floor_is']}" if "floor" in row else ""
        ratio = spread(row["ratio"], "×") if "ratio" in row else ""
        lines.append([row["id"], row["what"] + size(row), floor, spread(row["konductor"], unit), ratio, wanted,
                      "held" if held else "**missed**"])
    return table(["id", "what", "floor", "konductor", "ratio", "target", ""], lines)


def growth(rows):
    """For each id, a table of its rows with sizes, and a column for each size."""
    text = ""
    sized = [row for row in rows if "size" in row]
    for key in dict.fromkeys((row["id"], row["size"]["of"]) for row in sized):
        mine = [row for row in sized if (row["id"], row["size"]["of"]) == key]
        counts = sorted({row["size"]["count"] for row in mine})
        lines = []
        for what, unit in dict.fromkeys((row["what"], row["unit"]) for row in mine):
            by_count = {row["size"]["count"]: row for row in mine if (row["what"], row["unit"]) == (what, unit)}
            for side in ("konductor", "floor"):
                if not any(side in row for row in by_count.values()):
                    continue
                shown = what if side == "konductor" else f"{next(iter(by_count.values()))['floor_is']} (the floor)"
                cells = [spread(by_count[count][side], "") if count in by_count else "" for count in counts]
                lines.append([key[0], f"{shown}, {unit}", *cells])
        text += table(["id", key[1], *(f"{count:,}" for count in counts)], lines)
    return text


def others(rows):
    lines = []
    for row in rows:
        if "target" in row or "size" in row:
            continue
        unit = with_unit(row["unit"])
        floor = f"{spread(row['floor'], unit)}: {row['floor_is']}" if "floor" in row else ""
        ratio = spread(row["ratio"], "×") if "ratio" in row else ""
        lines.append([row["id"], row["what"], floor, spread(row["konductor"], unit), ratio])
    return table(["id", "what", "floor", "konductor", "ratio"], lines)


def details(rows):
    """What the figures of the largest sizes are made of."""
    text = ""
    largest = {}
    for row in rows:
        if row.get("detail"):
            key = (row["id"], row["what"])
            if key not in largest or row["size"]["count"] > largest[key]["size"]["count"]:
                largest[key] = row
    for row in largest.values():
        text += f"{row['id']}, {row['what']}{size(row)}:\n\n"
        parts = sorted(row["detail"].items(), key=lambda part: -part[1])
        text += table(["", "part", "median"], [["", name, number(value)] for name, value in parts])
    return text


def machines(machines):
    """A paragraph about each machine and day."""
    text = ""
    for one, commands in machines.items():
        one = json.loads(one)
        about = [f"{one['cores']} cores", one.get("processor"), one.get("memory_gib") and f"{one['memory_gib']} GiB",
                 one.get("linux") and f"Linux {one['linux']}", one.get("kubernetes"), one.get("etcd"),
                 one.get("koncli"), one.get("koncli_mib") and f"a binary of {one['koncli_mib']} MiB"]
        shown = ", ".join(f"`{command}`" for command in dict.fromkeys(commands))
        text += f"On {one['date']}, with {shown}: " + ", ".join(part for part in about if part) + ".\n\n"
    return text


def read(files, any_scale):
    """The machines, the rows in the order of the first file, and the errors."""
    machines, rows, errors = {}, {}, {}
    for name in files:
        with open(name, encoding="utf-8") as file:
            for line, text in enumerate(file, 1):
                if not text.strip():
                    continue
                one = json.loads(text)
                if "machine" in one:
                    command = one["machine"].pop("command")
                    machines.setdefault(json.dumps(one["machine"]), []).append(command)
                elif "error" in one:
                    errors[one["id"]] = one["error"]
                elif one["scale"] != 1 and not any_scale:
                    sys.exit(f"{name}:{line}: {one['id']} is of the scale {one['scale']}, which is for trying only; "
                             "measure without --scale, or add --any-scale")
                else:
                    key = (one["id"], one["what"], one.get("floor_is"), one.get("size", {}).get("count"))
                    rows[key] = one
    measured = {row["id"] for row in rows.values()}
    # What failed once and was measured later is no error any more.
    errors = {ids: error for ids, error in errors.items() if not measured & set(ids.split(", "))}
    return machines, list(rows.values()), errors


def tables(about, rows, errors):
    parts = [machines(about), targets(rows), "## Growth\n\n", growth(rows)]
    rest = others(rows)
    if rest:
        parts += ["## Other figures\n\n", rest]
    made_of = details(rows)
    if made_of:
        parts += ["## What they are made of\n\n", made_of]
    if errors:
        parts += ["## Not measured\n\n", table(["id", "why"], [[ids, error] for ids, error in errors.items()])]
    return "".join(parts)


def chart(title, rows):
    """An SVG: a line for each figure, on logarithmic axes unless a size is 0; None if there are fewer than three sizes."""
    import pygal
    from pygal.style import Style

    lines = {}
    for row in rows:
        if "size" not in row:
            continue
        kind = f"{row['what']} ({row['size']['of']}, {row['unit']})"
        lines.setdefault(kind, []).append((row["size"]["count"], row["konductor"]["median"]))
        if "floor" in row:
            lines.setdefault(f"{row['floor_is']} ({row['unit']})", []).append((row["size"]["count"], row["floor"]["median"]))
    points = [point for line in lines.values() for point in line]
    if len({x for x, _ in points}) < 3:
        return None
    is_linear = any(x <= 0 or y <= 0 for x, y in points)
    to, back = (float, float) if is_linear else (math.log10, lambda place: 10**place)
    drawn = pygal.XY(css=[], js=[], title=title, width=820, height=420, legend_at_bottom=True,
                     legend_at_bottom_columns=1, show_y_guides=True, show_x_guides=True, dots_size=3,
                     truncate_legend=-1, disable_xml_declaration=True, pretty_print=True, no_prefix=True,
                     style=Style(title_font_size=16, label_font_size=12, major_label_font_size=12, legend_font_size=12))
    drawn.value_formatter = drawn.x_value_formatter = lambda place: f"{float(f'{back(place):.4g}'):,g}"
    sizes = sorted({x for x, _ in points})
    drawn.x_labels = [to(x) for x in sizes]
    if is_linear:
        drawn.range = (0, max(y for _, y in points))
    else:
        low = math.floor(min(to(y) for _, y in points))
        high = math.ceil(max(to(y) for _, y in points))
        drawn.y_labels = [float(place) for place in range(low, high + 1)]
    for name, line in lines.items():
        drawn.add(name, [(to(x), to(y)) for x, y in sorted(line)])
    if not is_linear:
        last_x, last_y = max(next(iter(lines.values())))
        proportional = [(to(x), to(last_y * x / last_x)) for x in sizes if last_y * x / last_x >= 10**low]
        drawn.add("in proportion to the size", proportional, show_dots=False)
    return for_both(drawn.render(is_unicode=True), None if is_linear else len(lines))


def colors(background, text, grid, lines):
    rules = f".background{{fill:{background}}}text{{fill:{text}}}.guides,.axis .line{{stroke:{grid}}}"
    return rules + "".join(f".color-{at}{{stroke:{color};fill:{color}}}" for at, color in enumerate(lines))


def for_both(svg, dotted):
    """Gives the picture colours for a light and a dark page instead of pygal's style, and dots to the line of this number."""
    svg = re.sub(r"<!--.*?-->|<style.*?</style>|<script.*?</script>", "", svg, flags=re.DOTALL)
    svg = svg.replace('<svg xmlns', '<svg width="820" height="420" xmlns', 1).replace(' id=""', "", 1)
    style = ("text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,Arial,'DejaVu Sans',sans-serif;"
             f"font-size:12px;stroke:none}}.title{{font-size:16px}}{colors(*LIGHT)}"
             ".title,.axis.x text{text-anchor:middle}.axis.y text{text-anchor:end}"
             f".serie-{dotted} .line{{stroke-dasharray:2,4}}"
             ".guides{stroke-dasharray:4,4}.line.reactive{fill:none;stroke-width:2}.nofill{fill:none}.tooltip{display:none}"
             f"@media (prefers-color-scheme:dark){{{colors(*DARK)}.nofill{{fill:none}}}}")
    head, _, tail = svg.rpartition("</svg>")
    return "\n".join(line.rstrip() for line in f"{head}<style>{style}</style></svg>{tail}".splitlines()) + "\n"


def charts(rows, folder):
    """Writes the charts that the rows suffice for; returns how the page shows them."""
    text = ""
    for name, title, kinds in CHARTS:
        svg = chart(title, [row for row in rows if (row["id"], row["unit"]) in kinds and "p99" not in row["what"]])
        if svg:
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"{name}.svg"), "w", encoding="utf-8") as file:
                file.write(svg)
            text += f"![{title}]({os.path.basename(folder)}/{name}.svg)\n\n"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", nargs="+", metavar="LINES", help="what `just speed` has printed")
    parser.add_argument("--page", default="docs/benchmarks.md", metavar="FILE")
    parser.add_argument("--tables", action="store_true", help="print the tables, and write nothing")
    parser.add_argument("--any-scale", action="store_true", help="take figures of a smaller scale, to try this")
    asked = parser.parse_args()
    about, rows, errors = read(asked.lines, asked.any_scale)
    text = tables(about, rows, errors)
    if asked.tables:
        print(text, end="")
        return
    shown = charts(rows, os.path.splitext(asked.page)[0])
    text = text.replace("## Growth\n\n", f"## Growth\n\n{shown}", 1)
    page = INTRODUCTION
    if os.path.exists(asked.page):
        with open(asked.page, encoding="utf-8") as file:
            page = file.read()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    with open(asked.page, "w", encoding="utf-8") as file:
        file.write(f"{head}{BEGIN}\n\n{text}{END}{tail or chr(10)}")


if __name__ == "__main__":
    main()
