# SPDX-License-Identifier: BSD-3-Clause
"""The report: facts about machine and versions, tables, pictures, and the command that repeats each row."""
import json
import os
import platform
import subprocess


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as file:
        memory_gb = int(file.readline().split()[1]) / (1 << 20)
    return "%d x %s, %.0f GB, Linux %s" % (os.cpu_count(), model, memory_gb, platform.release())


def first_line(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()[0]


def table(head, rows):
    lines = ["| %s |" % " | ".join(head), "|%s" % ("---|" * len(head))]
    return "\n".join(lines + ["| %s |" % " | ".join(str(cell) for cell in row) for row in rows]) + "\n"


def write(path, facts, sections, bench, again):
    """PATH.md, PATH-NAME.svg for each plot, PATH.json with every figure."""
    name = os.path.basename(path)
    lines = ["# Kelvin and Redis", "", "\n".join("* " + fact for fact in facts), ""]
    for file, picture, title in bench.plots:
        with open("%s-%s.svg" % (path, file), "w", encoding="utf-8") as out:
            out.write(picture)
        lines += ["![%s](%s-%s.svg)" % (title, name, file), ""]
    for title, head, rows in sections:
        lines += ["## " + title, "", table(head, rows)]
    if bench.notes:
        lines += ["## Notes", "", "\n".join("* %s." % note for note in bench.notes), ""]
    lines += ["## To repeat", "", "One row with its servers: `%s --rows ROW`." % again,
              "The load alone, to which `-p PORT` is added:", ""]
    lines += ["| row | load |", "|---|---|"]
    lines += ["| %s | `%s` |" % (row, command.replace("|", "\\|")) for row, command in bench.commands.items()]
    with open(path + ".md", "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    with open(path + ".json", "w", encoding="utf-8") as out:
        json.dump({"facts": facts, "rows": bench.raw}, out, indent=1)
        out.write("\n")
