"""The differences that are meant: one file, an entry for each, matched exactly.

    [psql 12 simple extended]
    reason
    - a line that only PostgreSQL answers
    + a line that only pgmesh answers

An entry that is not seen any more fails the run as an unlisted difference does: it must be taken out.
"""

from collections import Counter
from pathlib import Path


class Differences:
    def __init__(self, path):
        self.entries = {}
        self.seen = set()
        head, reason, lines = None, [], []
        for line in [*Path(path).read_text().splitlines(), "["]:
            if line.startswith("["):
                if head:
                    if not reason:
                        raise SystemExit(f"{path}: [{' '.join(head)}] has no reason")
                    for mode in head[2:]:
                        self.entries[(head[0], head[1], mode)] = lines
                head, reason, lines = line.strip("[]").split(), [], []
            elif line.startswith(("- ", "+ ")):
                lines.append(line)
            elif line.strip() and head:
                reason.append(line)

    def listed(self, key, lines):
        """Whether exactly these lines are meant."""
        if self.entries.get(key) != lines:
            return False
        self.seen.add(key)
        return True

    def stale(self, asked):
        """Entries about what was asked that differ no more, or differ in another way."""
        return [key for key in self.entries if key in asked and key not in self.seen]


def compare(original, ours):
    """Lines with `-` where only PostgreSQL has them, `+` where only pgmesh has; none where the answers are equal."""
    only = Counter(original)
    only.subtract(ours)
    lines = [f"- {line}" for line in original if take(only, line, 1)]
    lines += [f"+ {line}" for line in ours if take(only, line, -1)]
    if lines:
        return lines
    # rows that hold OIDs of objects of the catalog's own may be ordered by them
    pairs = zip(*([line for line in side if "<" not in line] for side in (original, ours)))
    moved = next((pair for pair in pairs if pair[0] != pair[1]), None)
    return [f"- in this order: {moved[0]}", f"+ in this order: {moved[1]}"] if moved else []


def take(counter, line, sign):
    if counter[line] * sign <= 0:
        return False
    counter[line] -= sign
    return True


def written(differences):
    """Entries as the file has them, equal ones of several modes together; the reason is left to be said."""
    grouped = {}
    for (client, number, mode), lines in differences:
        grouped.setdefault((client, number, tuple(lines)), []).append(mode)
    for (client, number, lines), modes in grouped.items():
        yield "\n".join([f"[{client} {number} {' '.join(modes)}]", *lines])
