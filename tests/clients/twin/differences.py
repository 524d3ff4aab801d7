"""What may differ: two files.

`differences` holds what is meant, an entry for each, matched exactly:

    [psql 12 simple extended]
    reason
    - a line that only PostgreSQL answers
    + a line that only pgmesh answers

`open` names what differs and should not, as `client number`, so that what is alike stays alike: a ratchet, written anew by
`run --write-open`. An entry of `differences` that is not seen any more fails the run as an unlisted difference does; one of `open`
is named.
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


class Open:
    def __init__(self, path):
        self.path = Path(path)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.keys = {tuple(line.split()) for line in lines if line and not line.startswith("#")}
        self.seen = set()

    def known(self, key):
        """Whether the statement or section is known to differ, in whatever protocol."""
        if key[:2] not in self.keys:
            return False
        self.seen.add(key[:2])
        return True

    def stale(self, asked):
        """What is said to differ, was asked, and does not."""
        return sorted(self.keys & {key[:2] for key in asked} - self.seen)

    def write(self, asked, differing):
        """Names what differs now; what was not asked stays as it is."""
        kept = self.keys - {key[:2] for key in asked} | {key[:2] for key in differing}
        head = "# What differs from PostgreSQL and should not; `run --all --write-open` writes this file.\n"
        self.path.write_text(head + "".join(f"{' '.join(key)}\n" for key in sorted(kept, key=natural)))


def natural(key):
    """Numbers in the order of numbers."""
    return key[0], (0, int(key[1]), "") if key[1].isdigit() else (1, 0, key[1])


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
