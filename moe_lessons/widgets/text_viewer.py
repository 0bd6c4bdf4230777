"""A text coloured by expert: which expert each token was sent to, in which layer, before and after training.

The picture is drawn in the browser (text_viewer.js, with the arithmetic of routing.js); Python holds the state.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anywidget
import numpy as np
import traitlets

from moe_lessons.figures.routed_text import routed_text_svg
from moe_lessons.routing import GATE_FORMS, Trace, gate_weights, softmax, top_k
from moe_lessons.support.validation import float_array, one_of, refuse, whole_number
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.lasting import Lasting
from moe_lessons.widgets.traits import AS_TEXT, COLOURS, Checked, RefusedStateError, count

MOST_TOKENS = 1024
MOST_EXPERTS = 64
DIGITS = 5  # decimals of a logit that the browser gets
COUNTED = ("passage", "stage", "layer", "token")


class Passage(NamedTuple):
    """A text and how it was routed, by stage ("before training", "after training", …).

    pieces: T tokens as text. logits: stage -> (layers, T, N). loss: stage -> (T,), of the token that follows, in nats;
    NaN where none follows. next_piece: the token after the last one, "" where there is none.
    """

    name: str
    pieces: Sequence[str]
    logits: Mapping[str, Any]
    loss: Mapping[str, Any]
    next_piece: str = ""


def passage(name: str, task: Any, models: Mapping[str, Any], ids: Any) -> Passage:
    """Route one text through language models and return what the viewer shows.

    task: a `text.TextTask`, for the tokens' texts. models: stage -> `model.LanguageModel` with a learned router.
    ids: (L,) token ids; the models read as many as their context holds. Raises ValueError as the models do.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise refuse("ids", ids, "token ids (L,), at least one")
    length = min(len(ids), *(model.config.context for model in models.values()))
    pieces = task.pieces(ids[: length + 1])
    routed = {stage: _routed(model, ids[: length + 1], length) for stage, model in models.items()}
    logits = {stage: found[0] for stage, found in routed.items()}
    loss = {stage: found[1] for stage, found in routed.items()}
    return Passage(name, pieces[:length], logits, loss, "".join(pieces[length:]))


def _routed(model: Any, ids: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the router logits (layers, length, N) and the loss (length,) of the next token, NaN where none is."""
    import torch  # widgets import without it

    tokens = torch.from_numpy(ids.astype(np.int64))
    with torch.no_grad():
        was_training = model.training
        outputs, decisions = model.eval()(tokens[None, :length], return_routing=True)
        model.train(was_training)
    if decisions[0] is None or model.config.feed_forward != "moe":
        raise refuse("models", model.config.feed_forward, "models with a learned router")
    following = tokens[1:]  # (length,) or one less
    loss = np.full(length, np.nan)
    loss[: len(following)] = torch.nn.functional.cross_entropy(
        outputs[0, : len(following)], following, reduction="none"
    )
    return np.stack([decided.logits[0].numpy() for decided in decisions]), loss


class TextViewer(Lasting, anywidget.AnyWidget):
    """See which experts every token of a text was sent to, and open one token's trace.

    passages: at least one `Passage`, all with the same stages, layers and experts. k, form: of the router.
    State, counted from 1: passage, stage, layer, token; and expert, the one to stand out, 0 for all alike. A token
    beyond the end of the passage means its last one. Raises ValueError for anything else.
    """

    _esm = source("routing.js", "dom.js", "text_viewer.js")
    _css = source("dom.css", "text_viewer.css")
    name_on_page = "text_viewer"

    passage = Checked(count(1, MOST_TOKENS)).tag(sync=True)
    stage = Checked(count(1, MOST_TOKENS)).tag(sync=True)
    layer = Checked(count(1, MOST_TOKENS)).tag(sync=True)
    token = Checked(count(1, MOST_TOKENS)).tag(sync=True)
    expert = Checked(count(0, MOST_EXPERTS)).tag(sync=True)
    setting = traitlets.Dict().tag(sync=True, **AS_TEXT)
    colours = traitlets.Dict(COLOURS).tag(sync=True)

    def __init__(
        self,
        passages: Sequence[Passage],
        k: int = 2,
        form: str = "topk_softmax",
        passage: int = 1,
        stage: int | None = None,
        layer: int = 1,
        token: int = 1,
    ) -> None:
        setting = _setting(list(passages), k, form)
        self._limits = _limits(setting)
        state = {"passage": passage, "stage": len(setting["stages"]) if stage is None else stage}
        super().__init__(setting=setting, layer=layer, token=token, expert=0, **state)

    @traitlets.validate("passage", "stage", "layer", "expert")
    def _validate_place(self, proposal: Any) -> int:
        """Refuse what these passages do not have."""
        name, value = proposal["trait"].name, proposal["value"]
        if value > self._limits[name]:
            least = 0 if name == "expert" else 1
            raise RefusedStateError(str(refuse(name, value, f"a whole number from {least} to {self._limits[name]}")))
        return value

    @property
    def trace(self) -> Trace:
        """What the router made of the chosen token: logits (N,), probs (N,), selected (k,), weights (N,)."""
        shown = self.setting["passages"][self.passage - 1]
        at = min(self.token, len(shown["pieces"])) - 1
        h = np.array(shown["logits"][self.stage - 1][self.layer - 1][at])  # (N,)
        k, form = self.setting["k"], self.setting["form"]
        return Trace(h, softmax(h), top_k(h, k)[1], gate_weights(h, k, form), form)

    def still(self) -> tuple[str, str]:
        """Return the text around the chosen token, and that token's experts in words."""
        shown, trace = self.setting["passages"][self.passage - 1], self.trace
        stage, layer = self.setting["stages"][self.stage - 1], self.layer
        first = top_k(np.array(shown["logits"][self.stage - 1][layer - 1]), 1)[1][:, 0]  # (T,)
        at = min(self.token, len(first))
        shares = " + ".join(f"E{i + 1} (weight {trace.weights[i]:.2f})" for i in trace.selected)
        words = f"{shown['name']}, layer {layer}, {stage}: token {at}, “{shown['pieces'][at - 1]}”, goes to {shares}."
        return routed_text_svg(shown["pieces"], first, at), words


# --- what the browser gets ----------------------------------------------------------------------------------------


def _setting(passages: list[Passage], k: int, form: str) -> dict[str, Any]:
    """Return all that the browser needs and that never changes; refuse passages that do not belong together."""
    if not passages:
        raise refuse("passages", passages, "at least one Passage")
    stages = list(passages[0].logits)
    written = [_written(passage, stages) for passage in passages]
    sizes = {(len(part["logits"][0]), len(part["logits"][0][0][0])) for part in written}
    if len(sizes) > 1:
        raise refuse("passages", sorted(sizes), "the same number of layers and of experts in all")
    ((layers, experts),) = sizes
    whole_number("num_experts", experts, least=1, most=MOST_EXPERTS)
    whole_number("k", k, least=1, most=experts)
    one_of("form", form, GATE_FORMS)
    return {"passages": written, "stages": stages, "layers": layers, "experts": experts, "k": k, "form": form}


def _written(shown: Passage, stages: list[str]) -> dict[str, Any]:
    """Return one passage as plain lists, its stages in order."""
    if not stages or list(shown.logits) != stages or list(shown.loss) != stages:
        raise refuse(f"the stages of {shown.name!r}", [*shown.logits], f"{stages}, in logits and in loss")
    T = whole_number("number of pieces", len(shown.pieces), least=1, most=MOST_TOKENS)
    logits = [float_array(f"logits[{stage!r}]", shown.logits[stage]) for stage in stages]  # (layers, T, N) each
    loss = [np.asarray(shown.loss[stage], dtype=float) for stage in stages]  # (T,) each
    if any(h.ndim != 3 or h.shape != logits[0].shape or h.shape[1] != T or h.size == 0 for h in logits):
        raise refuse("logits.shape", [h.shape for h in logits], f"(layers, {T}, N) at every stage")
    if any(values.shape != (T,) for values in loss):
        raise refuse("loss.shape", [values.shape for values in loss], f"({T},) at every stage")
    return {
        "name": shown.name,
        "pieces": list(shown.pieces),
        "next": shown.next_piece,
        "logits": [h.astype(float).round(DIGITS).tolist() for h in logits],
        "loss": [[None if np.isnan(value) else round(value, 4) for value in values.tolist()] for values in loss],
    }


def _limits(setting: dict[str, Any]) -> dict[str, int]:
    """Return the largest value of each number of the state."""
    passages, stages = len(setting["passages"]), len(setting["stages"])
    return {"passage": passages, "stage": stages, "layer": setting["layers"], "expert": setting["experts"]}
