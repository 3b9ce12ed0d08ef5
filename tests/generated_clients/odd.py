"""Writes tables and files whose names no program would choose, for generators to make identifiers of: odd.py FOLDER

odd.toml and odd.csv are a schema and its table. Each NAME.config.toml names the three columns of tests/data/external/torch-logits.onnx.
"""

import csv
import json
import pathlib
import random
import sys

ODD = [
    "a/b", "a b", "a-b", "a_b", "ab", "a.b", "a~1b", "__proto__", "constructor", "toString", '"><img src=x onerror=alert(1)>', "größe",
    "日本語", "🙂", "☃", "name", "Name", "NAME", "class", "from", "import", "self", "None", "1st", "$ref", "$id", "type", "id", "{x}", "%2F",
    "\\back", "'quote'", "*/", "//", "`${x}`", "value", "true", "null", "_", "-", "#", "?", "probability", "model", "version",
]
CATEGORIES = {
    "class": ["class", "Class", "a b", "a-b", "a_b", "<1", ">1", "", "日本語", "größe", "1", "01", "0.5", "true"],
    "from": ["0", "1"],
    "value": ["true", "false"],
    "type": ["True", "true", "None", "none", "*/", '"', "\\", "${x}"],
}
# A table of many columns.
PLAIN = [f"f{number}" for number in range(155)]
ROWS = 3000
CONFIGS = {
    "case": ["plan", "Plan", "PLAN"],
    "markup": ["a/b", "__proto__", '"><img src=x>'],
    "signs": ["-", "?", "größe"],
}


def main():
    folder = pathlib.Path(sys.argv[1])
    CATEGORIES["class"].remove("")
    write_table(folder)
    (folder / "odd.toml").write_text("\n".join(schema()), encoding="utf-8")
    for name, features in CONFIGS.items():
        text = f"[output]\nactivation = \"sigmoid\"\n[inputs]\nfeatures = {json.dumps(features, ensure_ascii=False)}\n"
        (folder / f"{name}.config.toml").write_text(text, encoding="utf-8")


def schema():
    yield 'name = "odd"\nversion = 1'
    yield f"description = {json.dumps('*/ <b> ' + 3 * chr(34))}"
    yield '[label]\ncolumn = "left"\npositive = "Yes"\nnegative = "No"'
    for place, name in enumerate([*ODD, *PLAIN]):
        yield f"[[features]]\nname = {json.dumps(name, ensure_ascii=False)}"
        yield f"description = {json.dumps(f'The column {name} */ {3 * chr(34)}', ensure_ascii=False)}"
        yield f"required = {str(place % 2 == 0).lower()}"
        if name in CATEGORIES:
            yield f'type = "categorical"\nunknown = "reject"\nvalues = {json.dumps(CATEGORIES[name], ensure_ascii=False)}'
        else:
            yield 'type = "numeric"\nmin = 0\nmax = 1'


def write_table(folder):
    choice = random.Random(1)
    with open(folder / "odd.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*ODD, *PLAIN, "left"])
        for _ in range(ROWS):
            row = [choice.choice(CATEGORIES[name]) if name in CATEGORIES else round(choice.random(), 3) for name in [*ODD, *PLAIN]]
            table.writerow([*row, "Yes" if row[0] + choice.random() > 1 else "No"])


main()
