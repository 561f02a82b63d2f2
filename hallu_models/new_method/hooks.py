"""A tiny method for each hook: every one acts, and is the plain model at strength 0."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sketch:
    """claim: what it does, in a sentence. uses: names from the one import. body: its hooks. needs: of a card.

    default: strength. layers: None where it acts in no layers. extra: what stands in front of it.
    """

    claim: str
    uses: str
    body: str
    needs: str = ""
    default: float = 1.0
    layers: str | None = "all"
    extra: str = ""


_ATTENTION = "attention"

VALUES = Sketch(
    "Makes the values at image columns louder.",
    "LayerStep",
    """
    def values(self, values: Tensor, at: LayerStep) -> Tensor:
        factor = 1 + self.strength * at.columns.image  # (B, Lk)
        return values * factor[:, None, :, None].to(values.dtype)
""",
    _ATTENTION,
)
HIDDEN_COLUMNS = Sketch(
    "Hides the first image columns from all rows of a layer.",
    "LayerStep",
    """
    def hidden_columns(self, at: LayerStep) -> Tensor:
        image = at.columns.image  # (B, Lk)
        return image & (image.cumsum(dim=1) <= self.strength * image.sum(dim=1, keepdim=True))
""",
    _ATTENTION,
)
TEXT_SCORES = Sketch(
    "Raises the scores of image columns, in all rows of the text behind the image.",
    "LayerStep",
    """
    def text_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores + self.strength * at.columns.image[:, None, None]
""",
    _ATTENTION,
)
TEXT_ATTENTION = Sketch(
    "Gives image columns more of the attention, in all rows of the text behind the image.",
    "LayerStep",
    """
    def text_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        weighted = attention * (1 + self.strength * at.columns.image[:, None, None])
        return weighted / weighted.sum(dim=-1, keepdim=True)
""",
    _ATTENTION,
)
ROW_SCORES = Sketch(
    "Raises the scores of image columns where the next token is predicted.",
    "LayerStep",
    """
    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores + self.strength * at.columns.image[:, None]
""",
    _ATTENTION,
)
ROW_ATTENTION = Sketch(
    "Gives image columns more of the attention where the next token is predicted.",
    "LayerStep",
    """
    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        weighted = attention * (1 + self.strength * at.columns.image[:, None])
        return weighted / weighted.sum(dim=-1, keepdim=True)
""",
    _ATTENTION,
)
MAPS = Sketch(
    "Mixes the first head's attention map into all heads while the prompt is read.",
    "LayerStep, Maps",
    """
    def maps(self, maps: Maps, outputs: Tensor, at: LayerStep) -> Tensor:
        first = torch.zeros(len(outputs), dtype=torch.long, device=outputs.device)
        return torch.lerp(outputs, maps.outputs(first), self.strength)
""",
    _ATTENTION,
    default=0.5,
)
HEAD_OUTPUTS = Sketch(
    "Makes every second head louder.",
    "LayerStep",
    """
    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        odd = torch.arange(outputs.shape[2], device=outputs.device) % 2
        return outputs * (1 + self.strength * odd)[:, None].to(outputs.dtype)
""",
    _ATTENTION,
)
ATTENTION_OUTPUT = Sketch(
    "Moves what attention adds to the hidden states towards its mean over the features.",
    "LayerStep",
    """
    def attention_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        return torch.lerp(hidden, hidden.mean(dim=-1, keepdim=True).expand_as(hidden), self.strength)
""",
    default=0.5,
)
FEED_FORWARD_OUTPUT = Sketch(
    "Moves what the feed-forward blocks add to the hidden states towards its mean over the features.",
    "LayerStep",
    """
    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        return torch.lerp(hidden, hidden.mean(dim=-1, keepdim=True).expand_as(hidden), self.strength)
""",
    default=0.5,
)
LAYER_OUTPUT = Sketch(
    "Moves the hidden states of each layer towards their mean over the features.",
    "LayerStep",
    """
    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        return torch.lerp(hidden, hidden.mean(dim=-1, keepdim=True).expand_as(hidden), self.strength)
""",
    default=0.5,
)
READ = Sketch(
    "Adds the mean image embedding of the prompt to what each layer hands on.",
    "LayerStep, Prompt",
    """
    def read(self, prompt: Prompt) -> None:
        image = prompt.layout.image[:, :, None].to(prompt.embeddings.dtype)
        prompt.generation["mean"] = (prompt.embeddings * image).sum(1, keepdim=True) / image.sum(1, True).clamp(min=1)

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        return hidden + self.strength * at.generation["mean"].to(hidden)
""",
    _ATTENTION,
)
TOKEN_LOGITS = Sketch(
    "Holds back what was probable at the token before.",
    "LogitsStep",
    """
    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        before = at.generation.get("before", torch.zeros_like(logits))
        at.generation["before"] = logits.softmax(dim=-1)  # Kept by row, so that it follows the beams.
        return logits - self.strength * before
""",
    layers=None,
)
EARLY_LAYERS = Sketch(
    "Contrasts the prediction with that of the second layer.",
    "LogitsStep",
    """
    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (EARLY,)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        early = at.early(EARLY)
        return logits + self.strength * (logits.log_softmax(dim=-1) - early.log_softmax(dim=-1))
""",
    layers=None,
    extra="EARLY = 1\n",
)
INSIDE_LAYERS = Sketch(
    "Lets the last layer's feed-forward block read twice.",
    "LogitsStep",
    """
    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def inside_layers(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        (last,), inside = at.layers, at.inside
        assert inside is not None
        once = inside.hidden(last)
        twice = once + inside.feed_forward(last, once)
        return torch.lerp(logits, inside.predict(inside.last_norm(twice)), self.strength)
""",
    "norms_in_front",
    default=0.5,
    layers=None,
)
ENCODER = Sketch(
    "Moves what the image encoder's feed-forward blocks add towards its mean over the features.",
    "",
    """
    def encoder_layers(self, depth: int) -> tuple[int, ...]:
        return tuple(range(depth)) if self.strength else ()

    def encoder_feed_forward_output(self, hidden: Tensor, layer: int) -> Tensor:
        return torch.lerp(hidden, hidden.mean(dim=-1, keepdim=True).expand_as(hidden), self.strength)
""",
    "fixed_encoder",
    default=0.5,
    layers=None,
)
CONTRAST = Sketch(
    "Contrasts the prediction with that for another image.",
    "LogitsStep, Negative, Prompt, plausible",
    """
    def needs_other_image(self) -> bool:
        return True

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.other_images(self.name), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if self.strength == 0:
            return logits
        return plausible((1 + self.strength) * logits - self.strength * negative, logits, 0.1)
""",
    "other_images",
    layers=None,
)
OTHER_IMAGE = Sketch(
    "Adds the prediction for the image upside down.",
    "LogitsStep, Negative, OtherImage, Prompt, pictures, plausible",
    """
    def other_image(self, image: Any, text: str) -> OtherImage:
        return OtherImage(pictures.vertical_flip(image))

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.other_images(self.name, made=True), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        return logits if self.strength == 0 else plausible(logits + self.strength * negative, logits, 0.1)
""",
    "other_images",
    layers=None,
)
NEGATIVE_METHODS = Sketch(
    "Contrasts the prediction with that of rows that look away from the image.",
    "LayerStep, LogitsStep, Negative, Prompt, plausible",
    """
    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.prompt, prompt.layout.has_image, prompt.layout)

    def negative_methods(self, depth: int) -> tuple[Intervention, ...]:
        return (LooksAway().bind(None, depth),)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if self.strength == 0:
            return logits
        return plausible((1 + self.strength) * logits - self.strength * negative, logits, 0.1)
""",
    _ATTENTION,
    layers=None,
    extra='''
@dataclass(frozen=True)
class LooksAway(Intervention):
    """Lower the scores of image columns; it edits the negative rows."""

    name: ClassVar[str] = "looks_away"

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores - 5 * at.columns.image[:, None]

''',
)
QUESTION = Sketch(
    "Asks with more words behind the question.",
    "Conversation, with_text_behind",
    """
    def question(self, messages: Conversation) -> Conversation:
        return with_text_behind(messages, "in the picture ?") if self.strength else messages
""",
    layers=None,
)
REWRITE = Sketch(
    "Contrasts the prediction with that for another question about the image.",
    "Conversation, LogitsStep, Negative, Prompt, plausible",
    """
    def rewrite(self, messages: Conversation) -> Conversation:
        return [{**message, "content": _reworded(message["content"])} for message in messages]

    def negative(self, prompt: Prompt) -> Negative:
        inputs, _ = prompt.run.rewritten(self.name)
        return Negative(inputs, prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if self.strength == 0:
            return logits
        return plausible((1 + self.strength) * logits - self.strength * negative, logits, 0.1)


def _reworded(content: Any) -> Any:
    images = [] if isinstance(content, str) else [part for part in content if part["type"] == "image"]
    return [*images, {"type": "text", "text": "describe the content of the image ."}]
""",
    layers=None,
)
DECODE = Sketch(
    "Chooses the most probable token, with all that stand in prompt and answer held back.",
    "Decoding",
    """
    def decode(self, run: Decoding) -> Tensor:
        logits = run.next()
        done = torch.zeros(run.rows, dtype=torch.bool, device=logits.device)
        for step in range(run.limit):
            used = run.ids.clamp(max=logits.shape[1] - 1)
            less = self.strength * (used != run.padding)
            held = logits.scatter(1, used, logits.gather(1, used) - less)
            chosen = held.argmax(dim=-1).masked_fill(done, run.padding)
            done = done | torch.isin(chosen, run.ends)
            if step == run.limit - 1 or bool(done.all()):
                break
            logits = run.next(chosen)
        return torch.cat([run.ids, chosen[:, None]], dim=1)
""",
    layers=None,
    default=20.0,
)
REVIEW = Sketch(
    "Raises the scores of image columns, and records how long the answers became.",
    "Answer, LayerStep",
    """
    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores + self.strength * at.columns.image[:, None]

    def review(self, answer: Answer) -> None:
        answer.record("length", answer.ends)
""",
    _ATTENTION,
)
OBSERVATIONS = Sketch(
    "Gives image columns more of the attention, and reports how much they had.",
    "LayerStep, Observation, State, per_layer",
    """
    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        image = at.columns.image[:, None]
        at.state["mass"] = (attention * image).sum(dim=-1)
        weighted = attention * (1 + self.strength * image)
        return weighted / weighted.sum(dim=-1, keepdim=True)

    def observations(self, states: Mapping[int, State]) -> dict[str, Observation]:
        return {"image_mass": per_layer(states, "mass", ("row", "layer", "head"))}
""",
    _ATTENTION,
)

SKETCHES = {
    "row_scores": ROW_SCORES,
    "row_attention": ROW_ATTENTION,
    "text_scores": TEXT_SCORES,
    "text_attention": TEXT_ATTENTION,
    "maps": MAPS,
    "hidden_columns": HIDDEN_COLUMNS,
    "values": VALUES,
    "head_outputs": HEAD_OUTPUTS,
    "attention_output": ATTENTION_OUTPUT,
    "feed_forward_output": FEED_FORWARD_OUTPUT,
    "layer_output": LAYER_OUTPUT,
    "read": READ,
    "token_logits": TOKEN_LOGITS,
    "early_layers": EARLY_LAYERS,
    "inside_layers": INSIDE_LAYERS,
    "encoder_layers": ENCODER,
    "encoder_feed_forward_output": ENCODER,
    "contrast": CONTRAST,
    "negative": CONTRAST,
    "other_image": OTHER_IMAGE,
    "negative_methods": NEGATIVE_METHODS,
    "question": QUESTION,
    "rewrite": REWRITE,
    "decode": DECODE,
    "review": REVIEW,
    "observations": OBSERVATIONS,
}
"""By hook of an Intervention."""
