"""The model class that lmms-eval runs: loading, batching, generation with a method, errors, statistics."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils.memory import should_reduce_batch_size
from loguru import logger
from tqdm import tqdm

import registry
from hallu_models import generation, methods, self_check
from hallu_models.adapter import provenance, ranks, response_cache, results_saved
from hallu_models.adapter.documents import DocumentError, Documents, OtherImages, said
from hallu_models.adapter.pace import Pace, peak_memory
from hallu_models.adapter.recovery import Answers, digest
from hallu_models.conversations import chosen_images
from hallu_models.hosts import generate, processors
from hallu_models.hosts.host import UnsupportedModel
from hallu_models.loading import load
from hallu_models.session import Session
from hallu_models.session.finite import NotFinite
from hallu_models.session.margins import YesNo
from registry.arguments import model_args, params
from registry.runner import answers as runner_answers
from registry.runner import model_class
from registry.runner import requests as runner_requests
from registry.runner.answers import Answer
from registry.runner.requests import Instance
from registry.runs import source

# What of a task's generation_kwargs reaches transformers' generate.
_OPTIONS = (
    "max_new_tokens", "min_new_tokens", "do_sample", "temperature", "top_p", "top_k", "min_p", "num_beams",
    "length_penalty", "no_repeat_ngram_size", "repetition_penalty",
)  # fmt: skip

_Base: Any = model_class.base()


class HalluModel(_Base):
    """A family's model with a method on it. Subclasses bind ``model_id``, ``family`` and ``method``.

    Arguments come from ``--model_args``: ``pretrained`` (default: the family's checkpoint; "demo" is shipped with
    the package), ``branch`` (how a negative branch runs, "paired" or "sequential"), ``seed`` (of the choice of other
    images), ``images`` (which of a prompt's images the method acts on: "all", "last" or a number from 1),
    ``revision``, ``dtype``, ``quantization`` ("8bit" or "4bit"), ``attn_implementation``, ``device_map``,
    ``trust_remote_code``, ``system_prompt``, the generic id's ``method``, and the method's parameters.
    """

    is_simple = False
    model_id: ClassVar[str] = "hallu"
    family: ClassVar[str | None] = None
    method: ClassVar[str | None] = None

    def __init__(
        self,
        pretrained: str | None = None,
        *,
        batch_size: int | str = 1,
        max_batch_size: int | str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        revision: str | None = None,
        attn_implementation: str | None = None,
        device_map: str | None = None,
        trust_remote_code: bool = False,
        system_prompt: str = "",
        branch: Any = "paired",
        images: str | int = "all",
        quantization: str | None = None,
        seed: int = 0,
        **parameters: Any,
    ) -> None:
        super().__init__()
        runner_answers.require()
        results_saved.new_run(self.model_id)
        response_cache.watch()
        self.recorded = self.answered = False
        self._arguments: Any = None
        """lmms-eval's parsed command line; None where a run has none."""
        self._asked: dict[str, int] = {}
        """Documents by task."""
        given = {
            "pretrained": pretrained, "device": device, "dtype": dtype, "revision": revision,
            "attn_implementation": attn_implementation, "device_map": device_map,
            "trust_remote_code": trust_remote_code, "system_prompt": system_prompt, "branch": branch, "images": images,
            "quantization": quantization, "seed": seed,
        }  # fmt: skip
        (
            pretrained, device, dtype, revision, attn_implementation, device_map,
            trust_remote_code, system_prompt, branch, images, quantization, seed,
        ) = params.typed(given, model_args.MODEL, f"--model {self.model_id}").values()  # fmt: skip
        dtype, system_prompt = dtype or "auto", system_prompt or ""
        chosen = parameters.pop("method", None) if self.model_id == "hallu" else self.method
        chosen = None if str(chosen).strip().lower() == "none" else chosen
        self.batch_size = _positive("batch_size", batch_size)
        if max_batch_size is not None:
            self.batch_size = min(self.batch_size, _positive("max_batch_size", max_batch_size))
        default = registry.families()[self.family] if self.family else None
        if pretrained is None:
            if default is None or default.checkpoint is None:
                raise ValueError(
                    f"--model {self.model_id} needs a checkpoint: --model_args pretrained=FOLDER_OR_HUB_ID"
                )
            pretrained, revision = default.checkpoint, revision or default.revision
        # Wrong names end the run before minutes go into loading a model.
        parsed = methods.parse(chosen, parameters, model_args.MODEL)
        chosen_images(images)
        # Ranks wait for the slowest at the end, which may take hours on a large task; one that fails ends them all.
        self.accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))])
        model_class.place(self, self.accelerator.process_index, self.accelerator.num_processes)
        self.device = torch.device(device) if device and self._world_size == 1 else self.accelerator.device
        with ranks.ending_all(self._world_size):
            self.host = load(
                pretrained,
                device=str(self.device),
                dtype=dtype,
                revision=revision,
                attn_implementation=attn_implementation,
                device_map=device_map,
                trust_remote_code=trust_remote_code,
                quantization=quantization,
            )
        if default and default.model_types and self.host.family != self.family:
            fitting = f"{self.host.family}_{self.method or 'base'}" if self.host.family else "hallu"
            raise UnsupportedModel(
                f"--model {self.model_id}: pretrained={pretrained} is of model type "
                f"'{self.host.model_type}', not of the family {self.family}; use --model {fitting}"
            )
        self.interventions = methods.build(chosen, self.host.family, self.host.depth, parsed, self.host.checkpoint)
        self.branch, self.images, self.yes_no = branch, images, YesNo.of(self.host)
        if self.interventions:
            generate.refuse(self.host.model, generate.ours({}))
        # What a session refuses is said first; and nothing is answered where the ground has moved.
        Session(self.host, self.interventions, branch=branch, images=images)
        with ranks.ending_all(self._world_size):
            self.proof = self_check.prove(self.host, self.interventions, branch)
        self.seed = seed
        self.system_prompt = self._resolve_system_prompt(system_prompt)
        self.documents = Documents(
            chosen or "none",
            lambda: self.task_dict,
            lambda messages: self._apply_system_prompt(messages, self.system_prompt),
        )
        pick = next((item.other_image_pick() for item in self.interventions if item.needs_other_image()), "random")
        self.others = OtherImages(self.host, self.documents, chosen or "none", seed, pick)
        self.run = {
            "model_id": self.model_id,
            "method": chosen or "none",
            "parameters": params.canonical(methods.canonical(self.interventions)),
            "pretrained": pretrained,
            "revision": revision or "default",
            "dtype": str(self.host.model.dtype).removeprefix("torch."),
            "attention": self.host.backend,
            "system_prompt": self.system_prompt,
            **({"images": images} if images != "all" else {}),
            **({"quantization": quantization} if quantization else {}),
            **({"branch": branch} if any(item.contrasts() for item in self.interventions) else {}),
            **({"seed": self.seed} if self._needs_other_images else {}),
            "versions": source.versions(),
        }
        if self._rank == 0:
            folder = self.host.checkpoint
            told = methods.scaled_layers(chosen, self.host.family, self.host.depth, parsed, folder)
            for line in (*told, *methods.found_beside(chosen, parsed, folder)):
                logger.info(line)
            if self.proof:
                logger.info(f"self-check passed ({self.proof.seconds:.1f} s)")
            logger.info(f"hallu: {params.canonical({k: v for k, v in self.run.items() if not isinstance(v, dict)})}")

    def generate_until(self, requests: list[Instance]) -> list[Answer]:
        """Answer all requests; any failure but lack of memory ends the run and names its document.

        Answers are kept in a file as batches finish. Under lmms-eval's command line it goes once the results are
        written, otherwise when this returns.
        """
        with ranks.ending_all(self._world_size):
            if not self.recorded:
                self.record(requests)
                response_cache.require_watched(self._arguments)
            if not requests:
                return []
            # Runs that ask otherwise write other files, so they can go on side by side.
            asked = {
                **self._asked,
                **{name: runner_requests.option(self._arguments, name) for name in ("gen_kwargs", "offset")},
            }
            # The same code at another commit goes on where it was.
            run = digest(self.run, {**self.made_by(), "git": None}, self._world_size, asked)
            with Answers(run, self._rank, self._world_size) as kept:
                answers = self._answers(requests, kept)
                self.answered = True
        if self._arguments is None:
            kept.forget()
        else:
            results_saved.when_saved(
                kept.forget_run, f"the finished answers stay in {kept.path.parent}; the same command goes on from there"
            )
        return answers

    def _answers(self, requests: list[Instance], kept: Answers) -> list[Answer]:
        answers: list[Answer | None] = [None] * len(requests)
        keys = [self.key(request) for request in requests]
        for index, key in enumerate(keys):
            answers[index] = kept.get(key) if key else None
        missing = [index for index, answer in enumerate(answers) if answer is None]
        if len(missing) < len(requests):
            logger.info(f"{len(requests) - len(missing)} answers of an unfinished run are taken from {kept.path}")
        # A request that stands twice (ranks are padded to one number of them) is answered once.
        first = {key: index for index, key in reversed([*enumerate(keys)]) if key}
        missing = [index for index in missing if first.get(keys[index] or "", index) == index]
        session = Session(self.host, self.interventions, branch=self.branch, images=self.images)
        if self._needs_other_images:
            self.others.require(requests)
        began, tokens = time.perf_counter(), 0
        expected = Pace(len(missing), began)
        try:
            with session.attached(), self._progress(len(missing)) as bar:
                for batch in self._batches(requests, missing):
                    for part, found in self._answer(requests, batch, session):
                        kept.add((key, answer) for index, answer in zip(part, found) if (key := keys[index]))
                        for index, answer in zip(part, found):
                            answers[index] = answer
                            tokens += runner_answers.counts(answer)[1] or 0
                        bar.update(len(part))
                        bar.set_postfix_str(f"{tokens / (time.perf_counter() - began):.0f} tokens/s")
                        if (line := expected.answered(len(part), time.perf_counter())) and self._rank == 0:
                            logger.info("; ".join(filter(None, [line, peak_memory(self.device)])))
        except BaseException:
            if len(kept):
                logger.error(
                    f"{len(kept)} finished answers are kept in {kept.path}; the same command goes on from there"
                )
            raise
        self._report(time.perf_counter() - began, tokens, session)
        answers = [answers[first[key]] if key else answer for key, answer in zip(keys, answers)]
        assert all(answer is not None for answer in answers)
        return answers  # type: ignore[return-value]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError(f"--model {self.model_id}: tasks of several rounds are not supported")

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError(
            f"--model {self.model_id}: log-likelihood tasks are not supported; use a generative task"
        )

    def clean(self) -> None:
        """Give the model's memory back; called before scoring."""
        self.__dict__.pop("host", None)
        super().clean()

    def record(self, requests: list[Instance]) -> None:
        """Put settings and provenance into the results. Every process has to call this, with all its requests."""
        origin = self._provenance(requests)
        self._arguments = runner_requests.record(requests, {**self.run, **origin})
        self._asked = {task: found["documents"] for task, found in origin["questions"].items()}

    def made_by(self) -> dict[str, Any]:
        """What decides the answers, for those that an earlier run left to be checked against."""
        made = {**self.run, **self._code(), **provenance.of_model(self.host, self.run["pretrained"])}
        names = ("versions", "git", "code", "cards", "pretrained", "checkpoint_files", "checkpoint_commit")
        return {name: made.get(name) for name in (*names, "parameters", "dtype", "system_prompt")}

    def command(self) -> list[str]:
        """The command line without secrets."""
        return provenance.command()

    def _provenance(self, requests: list[Instance]) -> dict[str, Any]:
        """What the results say beside the settings. Not part of what tells two runs apart when one goes on."""
        return {
            **self._code(),
            "batch_size": self.batch_size,
            "margins": self.yes_no.to_json(),
            **({"self_check": self.proof.to_json()} if self.proof else {}),
            **(provenance.of_model(self.host, self.run["pretrained"]) if self._rank == 0 else {}),
            "questions": provenance.of_questions(requests, self.task_dict, self._world_size),
        }

    def _code(self) -> dict[str, Any]:
        names = methods.names(None if self.run["method"] == "none" else self.run["method"])
        return {"cards": source.of_methods(names), **provenance.of_process(self._world_size)}

    def key(self, request: Instance) -> str | None:
        """Identifies a greedy request across runs; None for a sampled one, which is never reused."""
        context, _, options, doc_id, task, split = runner_requests.read(request)
        if _generate_options(options)["do_sample"]:
            return None
        fingerprint = getattr(self.documents.of(task, split), "_fingerprint", None)
        return digest(task, split, doc_id, context, options, fingerprint)

    def _batches(self, requests: list[Instance], indices: list[int]) -> Iterator[list[int]]:
        """Request indices in batches of like generation options, longest prompt first so that memory fails early."""
        groups: dict[str, list[int]] = defaultdict(list)
        for index in indices:
            groups[digest(runner_requests.read(requests[index]).generation)].append(index)
        for group in groups.values():
            lengths = self._prompt_lengths([runner_requests.read(requests[index]).context for index in group])
            ordered = [index for _, index in sorted(zip(lengths, group), key=lambda pair: (-pair[0], pair[1]))]
            while ordered:
                size = self.batch_size  # Shrinks while a batch is answered if memory runs out.
                yield ordered[:size]
                ordered = ordered[size:]

    def _prompt_lengths(self, contexts: list[str]) -> list[int]:
        return processors.lengths(self.host.processor, contexts)

    def _answer(
        self, requests: list[Instance], batch: list[int], session: Session
    ) -> Iterator[tuple[list[int], list[Answer]]]:
        """A batch's answers in parts. When memory runs out the batch size is halved, for good, and it goes on."""
        while batch:
            part = batch[: self.batch_size]
            try:
                found = self._generate([requests[index] for index in part], session)
            except Exception as error:
                if len(part) == 1 or not should_reduce_batch_size(error):
                    raise
                self.batch_size = len(part) // 2
                logger.warning(f"out of memory: batch size is {self.batch_size} from here on")
            else:
                batch = batch[len(part) :]
                yield part, found
                continue
            # Outside the handler: its traceback keeps the failed batch's tensors alive.
            torch.cuda.empty_cache()

    def _generate(self, batch: list[Instance], session: Session) -> list[Answer]:
        conversations = [self.documents.conversation(request) for request in batch]
        given = runner_requests.read(batch[0]).generation
        until = given.get("until") or ()
        options = _generate_options(given)
        try:
            if self._needs_other_images:
                pairs = zip(batch, conversations)
                session.other_images = [image for pair in pairs for image in self.others.of(*pair)] or None
            until = [until] if isinstance(until, str) else until
            answers = generation.generate_in(session, conversations, until=until, yes_no=self.yes_no, **options)
        except DocumentError:
            raise
        except Exception as error:
            if len(batch) > 1 and should_reduce_batch_size(error):
                raise
            if isinstance(error, NotFinite):
                raise DocumentError(f"{self.documents.place(batch[error.row])}: {said(error)}") from error
            others = f" and the {len(batch) - 1} documents batched with it" if len(batch) > 1 else ""
            raise DocumentError(f"{self.documents.place(batch[0])}{others}: {said(error)}") from error
        return [runner_answers.answer(one.text, one.prompt_tokens, one.tokens, one.margin) for one in answers]

    @property
    def _needs_other_images(self) -> bool:
        return any(item.needs_other_image() for item in self.interventions)

    def _progress(self, total: int) -> Any:
        """A bar on a terminal; one line every half minute in a log file."""
        return tqdm(
            total=total,
            desc=self.model_id,
            unit="doc",
            disable=self._rank != 0,
            mininterval=0.2 if sys.stderr.isatty() else 30,
        )

    def _report(self, seconds: float, tokens: int, session: Session) -> None:
        if session.rows_without_image:
            logger.info(
                f"{session.rows_without_image} documents without an image were answered without {self.run['method']}"
            )
        more = {"batch_size": self.batch_size, "documents_without_image": session.rows_without_image}
        runner_answers.report(seconds, tokens, more)


def _generate_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A task's generation_kwargs as transformers' generate takes them. Sampling is on where the temperature says so."""
    chosen = {key: options[key] for key in _OPTIONS if options.get(key) is not None}
    if "max_gen_toks" in options:
        chosen.setdefault("max_new_tokens", options["max_gen_toks"])
    chosen.setdefault("max_new_tokens", 256)
    chosen.setdefault("do_sample", (chosen.get("temperature") or 0) > 0)
    return chosen


def _positive(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number < 1:
        raise ValueError(
            f"--{name} {value}: a whole number of at least 1, e.g. --{name} 16 (it is halved when memory runs out)"
        )
    return number
