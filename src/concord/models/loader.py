"""One model in memory at a time; a base and its adapters share one load."""

from typing import Any, cast

from peft import PeftModel
from transformers import PreTrainedModel

from concord.models.inputs import files_in
from concord.models.load import LoadedModel, free_memory, load_model
from concord.models.sources import Source, resolve_source
from concord.study import ModelEntry, Study, is_endpoint

Weights = tuple[str, str | None]
"""Place and revision of full weights."""
Held = tuple[Weights, list[list[Any]] | None]
"""Weights and their files before they were loaded; None for those of the hub."""


class Loader:
    """Loads the models of a study one after the other.

    The weights in memory stay there while the next model is the same weights, bare or
    under another adapter: an adapter is put on and taken off, which leaves every
    weight bit-equal. Any other model takes their place.

    Source:
        PEFT's `unload` puts the wrapped layers back as they were. A merged adapter
        differs from a live one by rounding and cannot be taken off; with the study's
        `merge_adapters` nothing is shared.
    """

    def __init__(self, study: Study) -> None:
        """For the models of one study."""
        self._study = study
        self._held: tuple[Held, PreTrainedModel] | None = None
        self._adapted: PeftModel | None = None

    def load(self, entry: ModelEntry) -> LoadedModel:
        """A model ready to be measured; the one loaded before is no longer.

        Raises:
            ModelError: It cannot be loaded whole.
        """
        source = resolve_source(entry, self._study.base)
        weights = self._weights_of(source)
        self._take_adapter_off()
        if self._held is not None and weights == self._held[0]:
            model = load_model(self._study, entry, on=self._held[1])
        else:
            self.free()
            model = load_model(self._study, entry)
        self._hold(weights, source, model)
        return model

    def free(self) -> None:
        """Give back the memory of what is loaded."""
        self._held = self._adapted = None
        free_memory()

    def _hold(self, weights: Held | None, source: Source, model: LoadedModel) -> None:
        wrapped: Any = model.network
        if weights is None or (source.adapter and not _comes_off(wrapped)):
            self._held = self._adapted = None
        elif source.adapter:
            self._adapted = wrapped
            self._held = weights, wrapped.get_base_model()
        else:
            self._held = weights, wrapped

    def _weights_of(self, source: Source) -> Held | None:
        """Weights that stay whole, files untouched; None where they are added to."""
        weights = _bare_weights(source)
        if weights is None or (source.adapter and self._study.merge_adapters):
            return None
        return weights, files_in({source.weights})

    def _take_adapter_off(self) -> None:
        if self._adapted is None or self._held is None:
            return
        bare = cast(PreTrainedModel, self._adapted.unload())
        self._held, self._adapted = (self._held[0], bare), None


def _bare_weights(source: Source) -> Weights | None:
    """The full weights below an adapter; None where they are base plus difference."""
    return None if source.diff else (source.weights, source.revision)


def _comes_off(adapted: PeftModel) -> bool:
    """Whether all an adapter does is undone with it: not where it resizes or replaces.

    Modules that are saved whole (an embedding with more rows, a head) and prompts of
    learned vectors are more than layers added to.
    """
    config: Any = adapted.active_peft_config
    return not config.is_prompt_learning and not getattr(
        config, "modules_to_save", None
    )


def in_loading_order(study: Study) -> list[ModelEntry]:
    """The models of a study, adapters right after the weights they are put on."""
    weights = [_weights_of(entry, study) for entry in study.models]
    places = [weights.index(own) if own else len(weights) for own in weights]
    order = sorted(range(len(weights)), key=places.__getitem__)
    return [study.models[at] for at in order]


def _weights_of(entry: ModelEntry, study: Study) -> Weights | None:
    if is_endpoint(entry.source):
        return None
    return _bare_weights(resolve_source(entry, study.base))
