"""The questions that readers of the tutorials asked, each with the measurements that answer it."""

from __future__ import annotations

from dataclasses import dataclass

from .reproduction import OURS, PUBLISHED


@dataclass(frozen=True)
class Question:
    """A question of readers.

    Attributes:
        text: The question.
        answer: The answer, in words.
        system: Name of the system that was measured for it.
        measured: Pairs of a way of training it, and what counts: "accuracy", "streamed", or the name of a detail.
    """

    text: str
    answer: str
    system: str
    measured: tuple[tuple[str, str], ...] = ((OURS, "accuracy"),)


READERS_ASKED: tuple[Question, ...] = (
    Question(
        "How is the model used in production, one number at a time?",
        "Train on streams with the state carried, export, and step the file: the caller keeps the state.",
        "echo-production",
    ),
    Question(
        "How do I get the next N symbols?", "Feed each answer back as the next symbol. One wrong answer would show.",
        "cyclic",
    ),
    Question(
        "Can it learn AAAABBBCCD, where symbols repeat?", "Yes: the state holds how many there were.", "patterns",
    ),
    Question("And ABCDEFABCXYZ, where C is followed by D or by X?", "Yes: the state holds the round.", "context"),
    Question("Can it give a sequence back in reverse?", "Yes, if nothing but the state has to hold it.", "reverse"),
    Question("Do letters in a scrambled order make it harder?", "Not with one-hot letters.", "scrambled"),
    Question(
        "Is padding with zeros harmful, where zero is the code of A?",
        "Padded samples are answered. But the network then needs its padding: the same letters without it, as a device "
        "sees the beginning of a stream, are mostly answered wrong. With a mask they are answered as well.",
        "alphabet-variable",
        ((PUBLISHED, "accuracy"), (PUBLISHED, "not padded"), ("masked", "accuracy"), ("masked", "not padded")),
    ),
    Question(
        "Why do I get 32 to 36 % with the stateful alphabet?",
        "`shuffle=False` was forgotten: the letters arrive in random order, and the carried state says nothing. With "
        "it, and the state reset after each pass, the same code gets all letters.",
        "alphabet-stateful", (("shuffling left on", "accuracy"), (PUBLISHED, "accuracy")),
    ),
    Question(
        "Why must the state be reset?",
        "The published network has only learned from an empty state. Stepped on without a reset it fails; one that is "
        "trained with the state carried needs none.",
        "alphabet-stateful", ((PUBLISHED, "accuracy"), (PUBLISHED, "streamed"), (OURS, "accuracy")),
    ),
    Question(
        "Why does a random letter give a wrong answer?",
        "The stateful network counts positions. Shown one letter from an empty state, it nearly always answers B.",
        "alphabet-stateful", ((PUBLISHED, "cold starts"), (PUBLISHED, "cold start at K answers")),
    ),
    Question(
        "What has the batch size to do with `stateful`?",
        "State goes from row i of a batch to row i of the next one. In batches of 6 the number before is in another "
        "row. In batches of 1 it is there, but gradients end after one step.",
        "echo-mistake",
        ((PUBLISHED, "accuracy"), ("batch of 1", "accuracy"), ("gradients through the sequence", "accuracy")),
    ),
    Question(
        "Is state passed on within a batch, so that the order of its samples matters?", "No.", "alphabet-batch",
        ((PUBLISHED, "accuracy"), (PUBLISHED, "shuffled")),
    ),
    Question(
        "Can a network that was trained on windows be stepped one number at a time?",
        "Only if the state was carried while it learned.", "echo-context",
        ((PUBLISHED, "streamed"), ("state not carried", "accuracy"), ("state not carried", "streamed")),
    ),
    Question(
        "Does it understand windows of three letters that it has not seen?", "No: it knows its windows by heart.",
        "alphabet-steps", ((PUBLISHED, "accuracy"), (PUBLISHED, "random letters")),
    ),
    Question(
        "Has the memory demonstration learned to remember?",
        "No: a recurrent layer that is left as it was drawn does as well, given time. The state is needed, though.",
        "memory",
        ((PUBLISHED, "accuracy"), ("frozen LSTM 1000 epochs", "accuracy"), ("state ignored", "accuracy")),
    ),
)  # fmt: skip
