"""What is broken on purpose in exports: what a parity check is worth shows when something is wrong."""

from __future__ import annotations

from dataclasses import replace

from stepcell.export import workshop


def break_export(monkeypatch, format, change, quantization=None):
    """Let files of `format` (and of one precision) be made from a step function whose `advance` was changed."""
    right = workshop._PAYLOADS[format]

    def wrong(step_function, its_quantization):
        broken = replace(step_function, advance=change(step_function.advance))
        return right(broken if quantization in (None, its_quantization) else step_function, its_quantization)

    monkeypatch.setitem(workshop._PAYLOADS, format, wrong)


def answering(change):
    """Change what a step answers and nothing else: `change` takes and returns the outputs by name."""

    def changed(advance):
        def wrong(arithmetic, inputs, state):
            answers, following = advance(arithmetic, inputs, state)
            return change(answers), following

        return wrong

    return changed


def miswired(advance, fault):
    """The step of a model with one fault in where its state goes."""

    def wrong(arithmetic, inputs, state):
        if fault == "reset at every step":
            state = {name: 0.0 * value for name, value in state.items()}
        answer, following = advance(arithmetic, inputs, state)
        if fault == "h and c swapped":
            following = {**following, "h0": following["c0"], "c0": following["h0"]}
        elif fault == "never fed back":
            following = {name: value + 0.0 for name, value in state.items()}
        elif fault == "only h fed back":
            following = {**following, "c0": state["c0"] + 0.0}
        elif fault == "layers swapped":
            following = {**following, "h0": following["h1"], "h1": following["h0"]}
        return answer, following

    return wrong
