"""The tables of BENCHMARKS.md from a file of results."""

from statistics import median

from . import decode, train


def render(book, what):
    parts = [machine(book)]
    if what != "decode":
        parts.append(train_table(book))
    if what != "train":
        parts.append(decode_table(book))
    return "\n\n".join(parts)


def machine(book):
    found = book.of("machine")
    last = found[-1]
    rates = ", ".join(f"{line['product_gflops']:.0f}" for line in found)
    reads = ", ".join(f"{line['read_gb_per_second']:.1f}" for line in found)
    versions = next((line["versions"] for line in book.lines if "versions" in line and "peft" in line["versions"]), {})
    versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (f"{last['date']}, Luthier {last['commit']}, {last['cpu']} with {last['threads']} threads ({last['instruction_set']}), "
            f"{last['memory_bytes'] / 1e9:.0f} GB; measured f32 products {rates} GFLOP/s, reading {reads} GB/s. Peers: {versions}.")


def medians(lines, *keys):
    lines = [line for line in lines if "failed" not in line]
    return [median(line[key] for line in lines) if lines else None for key in keys]


def row(cells):
    return "| " + " | ".join(cells) + " |"


def loss_difference(ours, theirs):
    """The greatest over all steps of all runs; each side repeats its own losses, so pairing does not matter."""
    return max(abs(a - b) for one in ours for other in theirs for a, b in zip(one["losses"], other["losses"]))


def train_table(book):
    head = ["work", "runs", "peer rows/s", "Luthier rows/s", "ratio (each pair)", "peer tok/s", "Luthier tok/s", "peer GB", "Luthier GB", "memory",
            "of product rate", "greatest loss difference", "whole process s, peer / Luthier"]
    lines = [row(head), row(["---"] * len(head))]
    rate = max(line["product_gflops"] for line in book.of("machine")) * 1e9
    for case, (_, _, _, options, stores) in train.CASES.items():
        peers = [line for line in book.of("train", case=case, side="peer") if "failed" not in line]
        for store in stores:
            ours = [line for line in book.of("train", case=case, side=store) if "failed" not in line]
            if not (peers and ours):
                continue
            their_seconds, their_memory, their_wall = medians(peers, "seconds", "peak_memory_bytes", "wall_seconds")
            seconds, memory, wall = medians(ours, "seconds", "peak_memory_bytes", "wall_seconds")
            by_pair = {line["pair"]: line["seconds"] for line in peers}
            pairs = [by_pair[line["pair"]] / line["seconds"] for line in ours if line["pair"] in by_pair]
            counted = {(line["tokens"], line["labelled_tokens"]) for line in peers + ours}
            same = "" if len(counted) == 1 else f" (tokens and labels differ: {sorted(counted)})"
            operations = [line["product_operations"] for line in book.of("operations", case=case, side=store) if "failed" not in line]
            tokens = ours[0]["tokens"]
            lines.append(row([
                f"{case}, {store}", f"{len(peers)} / {len(ours)}", f"{train.ROWS / their_seconds:.3f}", f"{train.ROWS / seconds:.3f}",
                f"**{median(pairs):.2f}** ({', '.join(f'{ratio:.2f}' for ratio in pairs)})", f"{tokens / their_seconds:.1f}", f"{tokens / seconds:.1f}",
                f"{their_memory / 1e9:.2f}", f"{memory / 1e9:.2f}", f"{100 * memory / their_memory:.1f} %",
                f"{100 * operations[0] / seconds / rate:.0f} %" if operations else "",
                "other order of rows" if options else f"{loss_difference(ours, peers):.1e}{same}", f"{their_wall:.0f} / {wall:.0f}",
            ]))
    return "\n".join(lines)


def decode_table(book):
    cases = decode.CASES
    head = ["program", *(f"{case} tok/s (behind the prompt)" for case in cases), "peak GB"]
    lines = [row(head), row(["---"] * len(head))]
    for side in decode.SIDES:
        cells, memory = [], 0
        for case in cases:
            found = [line for line in book.of("decode", case=case, side=side) if "failed" not in line]
            whole, steps = medians(found, "tokens_per_second", "step_tokens_per_second")
            cells.append(f"{whole:.1f} ({steps:.1f})" if found else "")
            memory = max([memory, *(line["peak_memory_bytes"] for line in found)])
        if memory:
            lines.append(row([side if side not in decode.STORES else f"Luthier {side}", *cells, f"{memory / 1e9:.2f}"]))
    agreeing = [agreement(book, case, "f32", other) for case in cases for other in ("transformers-f32", "llama.cpp-f32")]
    return "\n".join(lines) + "\n\n" + "\n".join(line for line in agreeing if line)


def agreement(book, case, ours, theirs):
    """Whether the two chose the same tokens for the first prompt."""
    pair = [[line["tokens"] for line in book.of("decode", case=case, side=side) if "failed" not in line] for side in (ours, theirs)]
    if not all(pair):
        return None
    a, b = pair[0][0], pair[1][0]
    equal = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), len(a))
    return f"{case}: the first {equal} of {len(a)} tokens equal those of {theirs}."
