"""The diagnosis: the findings about a file and a target, and the verdict and the advice that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ... import __version__
from ..common.run_worker import run_worker
from ..format.model_file import FORMATS
from ..format.tflite_graph import VARIABLE_OPERATORS, TfliteGraph
from ..interpreters import native_backend
from ..interpreters.probe import probe_file
from ..interpreters.registry import NATIVE, installed_version
from .compatibility import file_incompatibilities, incompatibilities
from .contents import Contents, read_contents
from .packages import ENGINES, INTERPRETERS, Interpreter, Target, availability, numpy_problem, text_of

_MODULES = {
    "litert": "ai_edge_litert",
    "tflite": "tflite_runtime",
    "tflm": "tflite_micro",
    "onnxruntime": "onnxruntime",
    "numpy": "numpy",
}
ASK_FOR_IT = "--backend native, load(..., backend='native') or STEPCELL_BACKEND=native"
_OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True)
class SmokeTest:
    """Result of a smoke test.

    Attributes:
        failure: Why the interpreter does not run the file, "" if it does.
        golden_error: Largest difference from the golden sequence; None: nothing was replayed.
        us_per_step: Microseconds a step, None if nothing was stepped.
        load_ms: Milliseconds from the file to the first answer, None likewise.
        resident_mb: Memory of a process that does nothing else, MiB; None likewise, or if the system does not say.
    """

    failure: str = ""
    golden_error: float | None = None
    us_per_step: float | None = None
    load_ms: float | None = None
    resident_mb: float | None = None


@dataclass(frozen=True)
class Finding:
    """The findings about one interpreter.

    Attributes:
        interpreter: The interpreter.
        version: The version that is installed or that the target gets, None if it can have none.
        installed: Whether it is installed; None for another machine.
        problems: Why it does not run the file, or does not work at all; empty if it does.
        commands: The commands that install it.
        smoke_test: Its result on this machine; empty if nothing was tried.
    """

    interpreter: Interpreter
    version: str | None
    installed: bool | None
    problems: tuple[str, ...]
    commands: tuple[str, ...] = ()
    smoke_test: SmokeTest = field(default_factory=SmokeTest)

    @property
    def name(self) -> str:
        """Distribution and version."""
        return f"{self.interpreter.distribution} {self.version or ''}".rstrip()

    def reasons(self) -> list[str]:
        """Return the problems as sentences that name the interpreter."""
        return [p if p.startswith(self.interpreter.distribution) else f"{self.name}: {p}" for p in self.problems]

    @property
    def takes_it(self) -> bool:
        """Whether it runs the file once it is installed."""
        return self.version is not None and not self.problems

    @property
    def runs(self) -> bool:
        """Whether it runs the file now, on this machine, or can on the target."""
        return self.takes_it and self.installed is not False


@dataclass(frozen=True)
class Diagnosis:
    """Whether a file runs on a target, and why.

    Attributes:
        target: The machine.
        contents: The file; None: the question was which files the machine can run.
        findings: One for each interpreter for this kind of file, numpy last.
        problems: Problems of the file or the machine that concern every interpreter.
    """

    target: Target
    contents: Contents | None
    findings: tuple[Finding, ...]
    problems: tuple[str, ...]

    @property
    def running(self) -> list[Finding]:
        """The interpreters that run it."""
        return [finding for finding in self.findings if finding.runs]

    @property
    def runs(self) -> bool:
        """The answer."""
        return bool(self.running) and not self.problems

    @property
    def lacks_manifest(self) -> bool:
        """Whether the only problem is that stepcell did not make the file."""
        return self.contents is not None and self.contents.foreign and self.problems == (self.contents.problem,)

    @property
    def verdict(self) -> str:
        """The answer in a line."""
        where = "here" if self.target.is_this_machine else f"on {self.target.name}"
        if self.contents is None and not self.problems:
            return self._capabilities(where)
        if self.problems:
            reason, extra = self.problems[0].rstrip("."), ""
            if self.contents is not None and self.contents.foreign:
                reason = reason.split(". ")[0]  # the rest is among the reasons
            if self.lacks_manifest and self.running:
                able = _preferred(self.running)
                extra = f" ({_listed(able)} {'loads' if len(able) == 1 else 'load'} its graph)"
            return f"does not run {where}: {reason}{extra}"
        if self.running:
            return f"runs {where}{' on ' if self.target.is_this_machine else ': '}{_listed(_preferred(self.running))}"
        ready = [finding.name for finding in self.findings if finding.takes_it]
        if ready:
            return f"does not run {where} yet: install {' or '.join(ready)}"
        return f"does not run {where}: {'; '.join(finding.reasons()[0] for finding in self.findings)}"

    @property
    def advice(self) -> tuple[str, ...]:
        """The next steps and their commands; empty if it runs already or nothing helps."""
        graph = self.contents.graph if self.contents else None
        if isinstance(graph, TfliteGraph) and graph.used_operators.intersection(VARIABLE_OPERATORS):
            return (f"lift it: stepcell adopt {self.contents.path if self.contents else ''} --lift --out FILE",)
        if self.lacks_manifest:
            path = self.contents.path if self.contents else ""
            return (
                f"give it a manifest, if its state goes in and comes out: stepcell adopt {path} --out FILE, with "
                "--vocabulary FILE if it reads symbols",
            )
        if self.problems:
            return ()
        lines: list[str] = []
        for format in FORMATS if self.contents is None else (self.contents.format,):
            fit = _preferred([f for f in self.findings if f.interpreter.format == format and f.takes_it])
            if not any(finding.installed for finding in fit):
                fit.sort(key=lambda f: f.interpreter.extra == "litert")  # stepcell[tflite] is the same on every machine
                lines += [command for finding in fit[:1] for command in finding.commands if command not in lines]
        if self.contents is not None and not any(f.takes_it and not f.interpreter.is_fallback for f in self.findings):
            lines += self._other_format(self.contents.format)[:1]
        return tuple(lines)

    @property
    def faster(self) -> str:
        """How much faster the compiled engine steps the file than the best interpreter; "" if it does not."""
        times = {f.interpreter.backend: (f.smoke_test.us_per_step, f.name) for f in self.running}
        mine, _ = times.pop(NATIVE, (None, ""))
        others = [(time, name) for time, name in times.values() if time is not None]
        if mine is None or not others or min(others)[0] <= mine:
            return ""
        time, name = min(others)
        return f"faster  the compiled engine takes {mine / time:.2f} of the time of a step on {name}: {ASK_FOR_IT}"

    def _capabilities(self, where: str) -> str:
        if not self.running:
            return f"no model file runs {where}{' yet' if any(f.takes_it for f in self.findings) else ''}"
        parts = []
        for format in FORMATS:
            able = [finding for finding in self.running if finding.interpreter.format == format]
            parts.append(f".{format} files on {_listed(_preferred(able))}" if able else f"no .{format} files")
        return f"{'this machine' if self.target.is_this_machine else self.target.name} steps {', '.join(parts)}"

    def _other_format(self, format: str | None) -> list[str]:
        """Return the advice to export another format than `format`, for each interpreter that the target can have."""
        faster = "for speed, " if any(finding.takes_it for finding in self.findings) else ""
        others = [one for one in INTERPRETERS if one.format in FORMATS and one.format != format and not one.is_fallback]
        versions = [(one, availability(one, self.target).version) for one in others]
        return [
            f"{faster}export the model with --format {one.format}: {one.distribution} {version} steps that there"
            for one, version in versions
            if version
        ]


def diagnose(path: Path | None, target: Target) -> Diagnosis:
    """Find out whether the file at `path` runs on `target`; None: which files the target can run.

    On this machine every interpreter is tried, in a process of its own.

    Raises:
        ModelFileNotFoundError: There is no such file.
    """
    contents = None if path is None else read_contents(path)
    problems = []
    if target.python < _OLDEST_PYTHON:
        problems.append(f"stepcell needs Python {text_of(_OLDEST_PYTHON)}, there is {text_of(target.python)}")
    # Without a file the question is for .tflite and .onnx; that of microcontrollers is shown if it is there.
    here = target.is_this_machine
    interpreters = tuple(o for o in INTERPRETERS if o.format in FORMATS or (here and is_installed(o.backend)))
    if contents is not None:
        problems += file_incompatibilities(contents.graph) if contents.graph else []
        problems += [contents.problem] if contents.problem else []
        interpreters = tuple(one for one in INTERPRETERS if contents.graph and one.format in contents.formats)
    findings = [_find(one, target, contents) for one in interpreters]
    if target.is_this_machine and contents is not None and contents.manifest is not None and not problems:
        findings += _find_engine(contents)
    return Diagnosis(target, contents, tuple(findings), tuple(problems))


def is_installed(backend: str) -> bool:
    """Tell whether the package of an interpreter is installed; only a smoke test tells whether it works."""
    return find_spec(_MODULES[backend]) is not None


def smoke_test(interpreter: Interpreter, contents: Contents | None) -> SmokeTest:
    """Try an interpreter on this machine, in a process of its own, which it may crash.

    Args:
        interpreter: The interpreter.
        contents: The file to replay and to step, or only to load if it has no manifest; None: a tiny model that comes
            with the runtime.
    """
    path = probe_file(interpreter.format) if contents is None else contents.path
    command = "open" if contents is not None and contents.manifest is None else "measure"
    found = run_worker(command, model=str(path), backend=interpreter.backend)
    return SmokeTest(found.failure or "", **(found.value or {}))


def _find(interpreter: Interpreter, target: Target, contents: Contents | None) -> Finding:
    source = availability(interpreter, target)

    def known(version: str) -> list[str]:
        if contents is None or contents.graph is None:
            return []
        return incompatibilities(contents.graph, interpreter, version, contents.signature)

    if target.is_this_machine and is_installed(interpreter.backend):
        version = installed_version(interpreter.distribution) or ""
        tried = smoke_test(interpreter, contents)
        wrong_numpy = numpy_problem(interpreter, target)
        problems = []
        if tried.failure:
            problems = [*([wrong_numpy] if wrong_numpy else known(version)), tried.failure]
        elif tried.golden_error is None:
            problems = known(version)  # it loads, but nothing proves that its answers are right
        return Finding(interpreter, version, True, tuple(problems), source.commands, tried)
    installed = False if target.is_this_machine else None
    if source.version is None:
        return Finding(interpreter, None, installed, (source.missing,))
    return Finding(interpreter, source.version, installed, tuple(known(source.version)), source.commands)


def _find_engine(contents: Contents) -> list[Finding]:
    if native_backend.PROCESSOR is None or contents.format is None:
        return []
    engine = ENGINES[contents.format]
    tried = smoke_test(engine, contents)
    return [Finding(engine, __version__, True, (tried.failure,) if tried.failure else (), (), tried)]


def _preferred(findings: list[Finding]) -> list[Finding]:
    """Return `findings` without the compiled engine, and without numpy unless no interpreter is left."""
    named = [finding for finding in findings if finding.interpreter.backend != NATIVE]
    return [finding for finding in named if not finding.interpreter.is_fallback] or named


def _listed(findings: list[Finding]) -> str:
    names = [finding.name for finding in findings]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
