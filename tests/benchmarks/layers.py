"""One sparse layer, forward and backward, beside its limits and its peers: time as a ratio to the same active work done
densely, and the memory of a forward pass. `python tests/benchmarks/layers.py` prints the tables and keeps the numbers.

The layers of a table take turns, round after round, each between two runs of the dense network it is compared with:
a machine that slows down slows both. After a few rounds of all, the time that is left goes to the layers that may
be the fastest. Other programs disturb the wall clock; the ratios of CPU time are the figures to read. The whole takes
about ten minutes.
"""

import json
import statistics
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import shuffle

import torch
from peers import QUICK, Dense, Products, Size, built
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

RESULTS = Path(__file__).parents[2] / "bench-results" / "layers.json"
LARGE, SMALL = Size(2048, 256, 1024, 8, 2), Size(2048, 64, 128, 8, 2)
# Seconds for the rounds of one table. The slow layers come on top: timed once, in float32 on one thread.
BUDGETS = {("float32", 1): 40.0, ("float32", 2): 10.0, ("bfloat16", 1): 10.0, ("bfloat16", 2): 5.0}
FEWEST_ROUNDS, MOST_ROUNDS = 3, 40
SLOW = 2.5  # times the dense network
CLOSE = 1.1  # times the fastest layer: with 5 % noise, each of these may be the fastest
LONGEST_STEP = {torch.float32: 600.0, torch.bfloat16: 250.0}  # ms of the dense network; if it needs more: fewer tokens


@dataclass(frozen=True)
class Timing:
    """One line: CPU and wall time in ms (first quartile, median, third), their ratio to the dense network, memory."""

    layer: str
    size: dict
    dtype: str
    threads: int
    cpu_ms: tuple[float, float, float]
    wall_ms: tuple[float, float, float]
    ratio: float
    wall_ratio: float
    runs: int
    forward_buffers: float | None = None  # peak of a forward pass, in buffers of T·k·(d + f) numbers
    saved_buffers: float | None = None  # what autograd keeps of it


Clocks = tuple[float, float]  # CPU and wall time, in ms
Run = tuple[Clocks, Clocks]  # of a layer, and of the dense network just before and after it


@dataclass
class Subject:
    """Something to time: the dense network it is compared with, its work, its module, and what the first call took."""

    dense: str
    run: Callable[[], None]
    module: nn.Module | None
    first: Clocks = (0.0, 0.0)


def step(module: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Return one training step's work: forward, backward, fresh gradients for the input and all parameters."""
    x = x.clone().requires_grad_()
    gradient = torch.randn_like(x)

    def run() -> None:
        x.grad = None
        for parameter in module.parameters():
            parameter.grad = None
        module(x).backward(gradient)

    return run


def subjects(size: Size, dtype: torch.dtype, only: tuple[str, ...] = ()) -> dict[str, Subject]:
    """Return whatever runs at this size, each tried once."""
    torch.manual_seed(0)
    x, rows = torch.randn(size.T, size.d, dtype=dtype), torch.randn(size.T * size.k, size.d, dtype=dtype)
    dense = {f"dense, {kind}": Dense(size, kind).to(dtype) for kind in ("relu", "swiglu", "geglu")}
    found = {name: Subject(name, step(module, rows), module) for name, module in dense.items()}
    for name in dense:
        found[name].run()  # the very first product of a process takes longer
    found["matrix products only"] = Subject("dense, relu", Products(size, dtype), None)
    for name, kind, module in built(size, dtype, only):
        if isinstance(module, Exception):
            print(f"  {name}: is left out ({module})")
            continue
        found[name] = Subject(f"dense, {kind}", step(module, x), module)
    return {name: subject for name, subject in found.items() if tried(name, subject)}


def tried(name: str, subject: Subject) -> bool:
    """Tell whether it runs; a peer that does not run in this number format is no end of the bench."""
    try:
        subject.first = clocked(subject.run)
    except Exception as error:
        print(f"  {name}: does not run here ({type(error).__name__}: {str(error).splitlines()[0][:60]})")
        return False
    return True


def measured(
    size: Size, dtype: torch.dtype, threads: int, only: tuple[str, ...] = (), budget: float = 0.0
) -> list[Timing]:
    """Time all layers of one table in turns, for as long as its budget lasts."""
    torch.set_num_threads(threads)
    whole = threads == 1 and dtype == torch.float32 and not only  # the table that holds everything
    found = subjects(size, dtype, only or (() if whole else QUICK))
    slow = [name for name, subject in found.items() if subject.first[0] > SLOW * found[subject.dense].first[0]]
    quick = {name: subject for name, subject in found.items() if name not in slow}
    runs: dict[str, list[Run]] = {name: [] for name in found}
    end, rounds = time.perf_counter() + (budget or BUDGETS[format_name(dtype), threads]), 0
    while rounds < FEWEST_ROUNDS or (rounds < MOST_ROUNDS and time.perf_counter() < end):
        take_turns(quick if rounds < FEWEST_ROUNDS else leaders(quick, runs), runs)
        rounds += 1
    for name in slow:  # their first call is all they get
        beside = [statistics.median(run[clock] for run, _ in runs[found[name].dense]) for clock in (0, 1)]
        runs[name] = [(found[name].first, (beside[0], beside[1]))]
    kept = {name: quantities(found[name].module, size, dtype) if whole else (None, None) for name in found}
    return [timing(name, runs[name], size, dtype, threads, *kept[name]) for name in found]


def take_turns(quick: dict[str, Subject], runs: dict[str, list[Run]]) -> None:
    """Run each layer once between two runs of its dense network, in a new order each time.

    A shared machine is faster in one second than in the next: only neighbours in time can be compared. And in a fixed
    order a layer would always find the memory as the same neighbour left it.
    """
    for dense in shuffled(name for name, subject in quick.items() if name == subject.dense):
        before = clocked(quick[dense].run)
        runs[dense].append((before, before))
        for name in shuffled(name for name, subject in quick.items() if dense == subject.dense != name):
            mine, after = clocked(quick[name].run), clocked(quick[dense].run)
            runs[name].append((mine, ((before[0] + after[0]) / 2, (before[1] + after[1]) / 2)))
            runs[dense].append((after, after))
            before = after


def leaders(quick: dict[str, Subject], runs: dict[str, list[Run]]) -> dict[str, Subject]:
    """Return the layers that may be the fastest, the limit and the dense networks: only there do more rounds tell."""
    ratios = {name: ratio(runs[name]) for name, subject in quick.items() if name != subject.dense and subject.module}
    limit = CLOSE * min(ratios.values(), default=0)
    close = {name for name, subject in quick.items() if subject.module is None or ratios.get(name, limit + 1) <= limit}
    return {name: quick[name] for name in quick if name in close | {quick[layer].dense for layer in close}}


def shuffled(names: Iterable[str]) -> list[str]:
    """Return the names in a random order."""
    listed = list(names)
    shuffle(listed)
    return listed


@lru_cache
def tokens(d: int, f: int, k: int, dtype: torch.dtype, most: int) -> int:
    """Return how many tokens, at most `most`, keep a step of the dense network below LONGEST_STEP, on one thread."""
    torch.set_num_threads(1)
    T = min(64, most)
    while most > T:
        size = Size(2 * T, d, f, 1, k)
        run = step(Dense(size, "relu").to(dtype), torch.randn(size.T * k, d, dtype=dtype))
        if min(clocked(run)[0] for _ in range(2)) > LONGEST_STEP[dtype]:  # the first call pays for more than the step
            break
        T = 2 * T
    return T


def clocked(run: Callable[[], None]) -> Clocks:
    """Return CPU and wall time of one call, in ms."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000


def timing(
    name: str, runs: list[Run], size: Size, dtype: torch.dtype, threads: int, *memory: float | None
) -> Timing:  # fmt: skip
    """Sum the runs of one layer up."""
    cpu, wall = zip(*(mine for mine, _ in runs), strict=True)
    numbers = quartiles(cpu), quartiles(wall), ratio(runs), ratio(runs, clock=1), len(runs)
    return Timing(name, asdict(size), format_name(dtype), threads, *numbers, *memory)


def ratio(runs: list[Run], clock: int = 0) -> float:
    """Return the median over a layer's runs, each against the dense network beside it. clock: 0 for CPU, 1 for wall."""
    return statistics.median(mine[clock] / dense[clock] for mine, dense in runs)


def format_name(dtype: torch.dtype) -> str:
    """Return "float32" for torch.float32."""
    return str(dtype).removeprefix("torch.")


def quartiles(values: tuple[float, ...]) -> tuple[float, float, float]:
    """Return first quartile, median, third quartile."""
    if len(values) == 1:
        return values * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def quantities(module: nn.Module | None, size: Size, dtype: torch.dtype) -> tuple[float | None, float | None]:
    """Return the peak of a forward pass without autograd, and what autograd keeps of one, in T·k·(d + f) numbers."""
    if module is None:
        return None, None
    rows = size.T if not isinstance(module, Dense) else size.T * size.k
    x = torch.randn(rows, size.d, dtype=dtype)
    unit = size.T * size.k * (size.d + size.f) * x.element_size()
    with torch.no_grad(), Allocations(x, *module.parameters()) as allocations:
        module(x)
    return allocations.peak / unit, saved(module, x) / unit


class Allocations(TorchDispatchMode):
    """Counts the bytes of what torch's operations return, as long as it is alive; `peak` is the most at one time."""

    def __init__(self, *known: torch.Tensor) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        """Run the operation and note what is new in its result."""
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.note(tensor.untyped_storage())
        return result

    def note(self, storage: torch.UntypedStorage) -> None:
        """Count a storage until it is freed; one that is known is a view of something older."""
        if storage._cdata in self.known:
            return
        self.known.add(storage._cdata)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self.free, storage._cdata, storage.nbytes())

    def free(self, address: int, nbytes: int) -> None:
        """Forget a storage that is gone: its address may be used again."""
        self.known.discard(address)
        self.live -= nbytes


def saved(module: nn.Module, x: torch.Tensor) -> float:
    """Return the bytes of what autograd saves in a forward pass, each storage once, parameters and x left out."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (x, *module.parameters())}
    found: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = module(x.requires_grad_())
    del y
    return sum(found.values())


def report(name: str, rows: list[Timing]) -> None:
    """Print one table, the fastest layer first within it."""
    print(f"\n{name}")
    heads = f"{'runs':>5}{'CPU ms (quartiles)':>28}{'ratio':>8}{'wall ms':>10}{'ratio':>8}"
    print(f"  {'':<30}{heads}{'forward':>9}{'saved':>7}")
    for row in sorted(rows, key=lambda r: (not r.layer.startswith(("dense", "matrix")), r.ratio)):
        low, middle, high = row.cpu_ms
        cpu = f"{row.runs:>5}{middle:>10.1f} ({low:>6.1f} to {high:>6.1f}){row.ratio:>8.2f}"
        wall = f"{row.wall_ms[1]:>10.1f}{row.wall_ratio:>8.2f}"
        memory = f"{row.forward_buffers:>9.2f}{row.saved_buffers:>7.2f}" if row.forward_buffers is not None else ""
        print(f"  {row.layer:<30}{cpu}{wall}{memory}")
    sys.stdout.flush()


def tables() -> Iterator[tuple[str, list[Timing]]]:
    """Measure every table of the bench: sizes, number formats, threads; then how the cost grows."""
    for size in (*(replace(LARGE, N=N) for N in (8, 32, 64)), SMALL):
        for dtype, threads in ((torch.float32, 1), (torch.float32, 2), (torch.bfloat16, 1), (torch.bfloat16, 2)):
            fit = replace(size, T=tokens(size.d, size.f, size.k, dtype, size.T))
            yield title(fit, dtype, threads), measured(fit, dtype, threads)
    growth = [replace(SMALL, T=T) for T in (512, 8192)] + [replace(SMALL, N=N) for N in (16, 64)]
    for size in growth + [replace(SMALL, k=k) for k in (1, 4, 8)]:
        compared = ("ours", "transformers Mixtral, grouped", "loop over experts")
        yield "growth: " + title(size, torch.float32, 1), measured(size, torch.float32, 1, compared, budget=2.0)


def title(size: Size, dtype: torch.dtype, threads: int) -> str:
    """Name a table."""
    sizes = ", ".join(f"{letter} {number}" for letter, number in asdict(size).items())
    return f"{sizes}, {format_name(dtype)}, {threads} thread{'s' * (threads > 1)}"


def main() -> None:
    """Measure, print and keep everything."""
    warnings.simplefilter("ignore")  # peers warn of things that do not concern a timing
    kept, start = [], time.perf_counter()
    for name, rows in tables():
        report(name, rows)
        kept += [asdict(row) for row in rows]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"torch": torch.__version__, "rows": kept}, indent=1), encoding="utf-8")
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes; kept in bench-results/{RESULTS.name}")


if __name__ == "__main__":
    main()
