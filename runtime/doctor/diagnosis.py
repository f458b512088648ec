"""The diagnosis: everything found out about a file and a target, and what follows from it.

Tries an interpreter on this machine, in a process of its own: what a file does to it is part of the diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..common.run_worker import run_worker
from ..format.model_file import FORMATS
from ..interpreters import registry as runtime_backend
from ..interpreters.registry import installed_version
from .compatibility import file_incompatibilities, incompatibilities
from .contents import Contents, read_contents
from .packages import INTERPRETERS, Interpreter, Target, availability, numpy_problem, text_of

_MODULES = {"litert": "ai_edge_litert", "tflite": "tflite_runtime", "onnxruntime": "onnxruntime", "numpy": "numpy"}


@dataclass(frozen=True)
class SmokeTest:
    """What came of a trial.

    Attributes:
        failure: Why the interpreter does not run the file, "" where it does.
        golden_error: Largest difference from the golden sequence; None: there was none to replay.
        us_per_step: Microseconds a step, None where nothing was stepped.
        load_ms: Milliseconds from the file to the first answer, None likewise.
        resident_mb: Memory of a process that does nothing else, MiB; None likewise, or where the system does not say.
    """

    failure: str = ""
    golden_error: float | None = None
    us_per_step: float | None = None
    load_ms: float | None = None
    resident_mb: float | None = None


def is_installed(backend: str) -> bool:
    """Tell whether the package of an interpreter is there; whether it works only a trial tells."""
    return find_spec(_MODULES[backend]) is not None


def smoke_test_model_file(path: Path, backend: str) -> SmokeTest:
    """Load a model file, replay its golden sequence and time its steps."""
    found = run_worker("measure", model=str(path), backend=backend)
    return SmokeTest(found.failure) if found.failure is not None else SmokeTest(**found.value)


def smoke_test_any_file(path: Path, backend: str) -> SmokeTest:
    """Load a file without a manifest, and step nothing."""
    return SmokeTest(run_worker("open", model=str(path), backend=backend).failure or "")


def smoke_test_interpreter(backend: str, format: str) -> SmokeTest:
    """Step the tiny model that comes with the runtime."""
    return smoke_test_model_file(Path(runtime_backend.__file__).with_name(f"probe.{format}"), backend)


_OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True)
class Finding:
    """What was found out about one interpreter.

    Attributes:
        interpreter: Which one.
        version: The version that is installed or that the target gets, None where it can have none.
        installed: It is there; None for a target elsewhere.
        problems: Why it does not run the file, or does not work at all; nothing: it does.
        smoke_test: What it did here, None where nothing was tried.
        commands: What to type to get it.
    """

    interpreter: Interpreter
    version: str | None
    installed: bool | None
    problems: tuple[str, ...]
    smoke_test: SmokeTest | None
    commands: tuple[str, ...]

    @property
    def name(self) -> str:
        """Distribution and version."""
        return f"{self.interpreter.distribution} {self.version or ''}".rstrip()

    def reasons(self) -> list[str]:
        """Return the problems as sentences that stand for themselves."""
        return [p if p.startswith(self.interpreter.distribution) else f"{self.name}: {p}" for p in self.problems]

    @property
    def takes_it(self) -> bool:
        """Whether nothing speaks against it, once it is installed."""
        return self.version is not None and not self.problems

    @property
    def runs(self) -> bool:
        """Whether it runs now, on this machine, or would on the target."""
        return self.takes_it and self.installed is not False


@dataclass(frozen=True)
class Diagnosis:
    """Whether a file runs on a target, and why.

    Attributes:
        target: The machine.
        contents: The file, None where the question was what the machine can run at all.
        findings: One for each interpreter for this kind of file, numpy last.
        problems: What speaks against the file or the machine on every interpreter.
        runs: The answer.
        verdict: The answer in a line.
        advice: What to do next, and what to type; nothing where it runs already or nothing helps.
    """

    target: Target
    contents: Contents | None
    findings: tuple[Finding, ...]
    problems: tuple[str, ...]
    runs: bool
    verdict: str
    advice: tuple[str, ...]


def diagnose(path: Path | None, target: Target) -> Diagnosis:
    """Find out whether the file at `path` runs on `target`; None: what the target can run at all.

    On this machine every interpreter is tried, in a process of its own.

    Raises:
        ModelFileNotFoundError: There is no such file.
    """
    contents = None if path is None else read_contents(path)
    problems = _machine_problems(target)
    formats: tuple[str, ...] = FORMATS
    if contents is not None:
        problems += file_incompatibilities(contents.graph) if contents.graph else []
        problems += [contents.problem] if contents.problem else []
        formats = (contents.format,) if contents.format else ()
    usable = contents is None or contents.graph is not None
    findings = [_find(one, target, contents) for one in INTERPRETERS if one.format in formats] if usable else []
    running = [finding for finding in findings if finding.runs]
    runs = bool(running) and not problems
    return Diagnosis(
        target=target,
        contents=contents,
        findings=tuple(findings),
        problems=tuple(problems),
        runs=runs,
        verdict=_verdict(target, contents, findings, running, problems),
        advice=_advice(target, contents, findings, problems),
    )


def _advice(target: Target, contents: Contents | None, findings: list[Finding], problems: list[str]) -> tuple[str, ...]:
    if contents is not None and contents.foreign and problems == [contents.problem]:
        return (
            "give it a manifest, if its state goes in and comes out: "
            f"stepcell adopt {contents.path} --vocabulary FILE --out FILE",
        )
    if problems:
        return ()
    lines: list[str] = []
    for format in FORMATS if contents is None else (contents.format,):
        fit = _preferred([f for f in findings if f.interpreter.format == format and f.takes_it])
        if not any(finding.installed for finding in fit):
            fit.sort(key=lambda f: f.interpreter.extra == "litert")  # stepcell[tflite] is the same on every machine
            lines += [command for finding in fit[:1] for command in finding.commands if command not in lines]
    if contents is not None and not any(f.takes_it and not f.interpreter.is_fallback for f in findings):
        for interpreter in INTERPRETERS:
            version = availability(interpreter, target).version
            if interpreter.format != contents.format and version and not interpreter.is_fallback:
                faster = "for speed, " if any(finding.takes_it for finding in findings) else ""
                lines.append(
                    f"{faster}export the model with --format {interpreter.format}: {interpreter.distribution} "
                    f"{version} steps that there"
                )
                break
    return tuple(lines)


def _machine_problems(target: Target) -> list[str]:
    if target.python < _OLDEST_PYTHON:
        return [f"stepcell needs Python {text_of(_OLDEST_PYTHON)}, there is {text_of(target.python)}"]
    return []


def _find(interpreter: Interpreter, target: Target, contents: Contents | None) -> Finding:
    source = availability(interpreter, target)
    graph = contents.graph if contents else None
    signature = contents.signature if contents else None
    if target.is_this_machine and is_installed(interpreter.backend):
        version = installed_version(interpreter.distribution) or ""
        wrong_numpy = numpy_problem(interpreter, target)
        trial = _try(interpreter, contents)
        known = incompatibilities(graph, interpreter, version, signature) if graph else []
        problems = []
        if trial.failure:
            problems = [*([wrong_numpy] if wrong_numpy else known), trial.failure]
        elif trial.golden_error is None:
            problems = known  # it loads, but nothing proves that its answers are right
        return Finding(interpreter, version, True, tuple(problems), trial, source.commands)
    installed = False if target.is_this_machine else None
    if source.version is None:
        return Finding(interpreter, None, installed, (source.missing,), None, ())
    found = incompatibilities(graph, interpreter, source.version, signature) if graph else []
    return Finding(interpreter, source.version, installed, tuple(found), None, source.commands)


def _try(interpreter: Interpreter, contents: Contents | None) -> SmokeTest:
    if contents is None:
        return smoke_test_interpreter(interpreter.backend, interpreter.format)
    if contents.manifest is None:
        return smoke_test_any_file(contents.path, interpreter.backend)
    return smoke_test_model_file(contents.path, interpreter.backend)


def _verdict(
    target: Target, contents: Contents | None, findings: list[Finding], running: list[Finding], problems: list[str]
) -> str:
    where = "here" if target.is_this_machine else f"on {target.name}"
    if contents is None and not problems:
        return _capabilities(target, where, findings)
    if problems:
        extra = ""
        if contents is not None and contents.foreign and running and problems == [contents.problem]:
            able = _preferred(running)
            extra = f" ({_listed(able)} {'loads' if len(able) == 1 else 'load'} its graph)"
        first = problems[0]
        if contents is not None and contents.foreign:
            first = first.split(". ")[0]  # the rest is among the reasons
        return f"does not run {where}: {first.rstrip('.')}{extra}"
    if running:
        return f"runs {where}{' on ' if target.is_this_machine else ': '}{_listed(_preferred(running))}"
    ready = [finding for finding in findings if finding.takes_it]
    if ready:
        return f"does not run {where} yet: install {' or '.join(finding.name for finding in ready)}"
    return f"does not run {where}: {'; '.join(finding.reasons()[0] for finding in findings)}"


def _capabilities(target: Target, where: str, findings: list[Finding]) -> str:
    parts = []
    for format in FORMATS:
        running = [finding for finding in findings if finding.runs and finding.interpreter.format == format]
        parts.append(f".{format} files on {_listed(_preferred(running))}" if running else f"no .{format} files")
    if not any(finding.runs for finding in findings):
        return f"no model file runs {where}{' yet' if any(f.takes_it for f in findings) else ''}"
    return f"{'this machine' if target.is_this_machine else target.name} steps {', '.join(parts)}"


def _preferred(findings: list[Finding]) -> list[Finding]:
    """Return `findings` without numpy, which stands in for an interpreter; alone it stays."""
    return [finding for finding in findings if not finding.interpreter.is_fallback] or findings


def _listed(findings: list[Finding]) -> str:
    names = [finding.name for finding in findings]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
