"""The model card: what a person should know before using the model, in the Hugging Face hub's format."""

from __future__ import annotations

import json
from typing import Any

from vision_ft.spec import THUMBNAILS_FILE, ModelSpec

# The key in a spec's metrics of what was seen on pictures of none of the classes; all others are parts of the data.
OTHERS = "others"
_TITLES = {"val": "validation", "test": "test"}
# The hub's names of metrics, ours, and what they are called.
_METRICS = (
    ("accuracy", "accuracy", "accuracy"),
    ("log_loss", "log_loss", "log-loss"),
    ("roc_auc", "auroc", "AUROC"),
    ("brier_score", "brier", "Brier score"),
    ("ece", "calibration_error", "calibration error (ECE)"),
)
_MOST_CLASSES = 60


def model_card(spec: ModelSpec) -> str:
    """The text of the bundle's ``README.md``, made from its spec alone."""
    title = " or ".join(spec.classes) if len(spec.classes) <= 4 else f"{len(spec.classes)} classes"
    lines = [
        *_front_matter(spec, title),
        "",
        f"# {title}",
        "",
        f"An image classifier for {len(spec.classes)} classes: {_named(spec.classes)}. {spec.backbone}, started from "
        f"`{spec.weights.source}` and fine-tuned with vision-ft.",
        "",
        *_usage(spec),
        *_intended(spec),
        *_figures(spec),
        *_limits(spec),
        *_data(spec),
        *_training(spec),
        *_lineage(spec),
        *_licence(spec),
    ]
    return "\n".join(lines)


def _front_matter(spec: ModelSpec, title: str) -> list[str]:
    """YAML; every text in it is quoted as JSON, which is YAML too."""
    results: list[str] = []
    for part, figures in _parts(spec).items():
        metrics = [
            f"    - {{type: {hub}, value: {figures[ours]:.6g}, name: {json.dumps(called, ensure_ascii=False)}}}"
            for hub, ours, called in _METRICS
            if figures.get(ours) is not None
        ]
        results += [
            "  - task: {type: image-classification, name: Image Classification}",
            f"    dataset: {{type: imagefolder, name: {json.dumps(_dataset(spec))}, split: {part}}}",
            "    metrics:",
            *metrics,
        ]
    named = json.dumps(title, ensure_ascii=False)
    licence = spec.weights.licence
    return [
        "---",
        "library_name: vision-ft",
        "pipeline_tag: image-classification",
        f"license: {licence or 'unknown'}",
        "tags: [image-classification, vision-ft, timm, onnx, fine-tuned]",
        *(["metrics: [accuracy, log_loss, roc_auc, brier_score]"] if results else []),
        *(["model-index:", f"- name: {named}", "  results:", *results] if results else []),
        "---",
    ]


def _parts(spec: ModelSpec) -> dict[str, dict[str, Any]]:
    return {part: figures for part, figures in spec.metrics.items() if part != OTHERS}


def _dataset(spec: ModelSpec) -> str:
    return f"own photos, fingerprint {str(spec.data.get('fingerprint', 'unknown'))[:12]}"


def _usage(spec: ModelSpec) -> list[str]:
    framing = spec.preprocessing.framing
    return [
        "## How to use it",
        "",
        "```python",
        "import vision_ft",
        "",
        'model = vision_ft.load("FOLDER OF THIS FILE")',
        'for one in model.predict(["photo.jpg"]):',
        "    print(one.verdict, one.confidence)",
        "```",
        "",
        f"It needs no PyTorch. Input: {framing.width} × {framing.height} pixels, {framing.interpolation}; decoding, "
        "resizing and cropping are vision-ft's own, normalisation and softmax are inside `model.onnx`.",
        "",
    ]


def _intended(spec: ModelSpec) -> list[str]:
    return [
        "## Intended use",
        "",
        f"To tell photos of {_named(spec.classes)} from each other, where they are like the photos it was trained on: "
        "one thing a photo, large enough to be seen at the size above. It is not meant to find where on a photo "
        "something is, to count, or to decide anything about people.",
        "",
    ]


def _figures(spec: ModelSpec) -> list[str]:
    parts = _parts(spec)
    if not parts:
        return []
    lines = [
        "## Figures",
        "",
        "Of the exported model, on photos that it did not learn from; in brackets 95 % intervals. Its weights were "
        "chosen on the validation photos, which flatters it there.",
        "",
        "| part | photos | " + " | ".join(called for _, _, called in _METRICS) + " |",
        "| --- " * (len(_METRICS) + 2) + "|",
    ]
    for part, figures in parts.items():
        cells = [_cell(figures, ours, share=ours == "accuracy") for _, ours, _ in _METRICS]
        lines.append(f"| {_TITLES.get(part, part)} | {figures['photos']} | " + " | ".join(cells) + " |")
    part, figures = list(parts.items())[-1]
    if len(spec.classes) <= _MOST_CLASSES and "precision" in figures:
        lines += [
            "",
            f"By class, on the {_TITLES.get(part, part)} photos:",
            "",
            "| class | precision | recall |",
            "| --- | --- | --- |",
        ]
        for name in spec.classes:
            shares = [
                _said(figures[kind][name], figures[f"{kind}_interval"][name], share=True)
                for kind in ("precision", "recall")
            ]
            lines.append(f"| {_cell_text(name)} | " + " | ".join(shares) + " |")
    return [*lines, ""]


def _cell(figures: dict[str, Any], key: str, *, share: bool) -> str:
    return _said(figures.get(key), figures.get(f"{key}_interval"), share=share)


def _said(value: float | None, interval: Any, *, share: bool) -> str:
    if value is None:
        return "–"
    said = f"{value:.2%}" if share else f"{value:.4f}"
    if interval is None:
        return said
    low, high = interval
    return f"{said} ({low:.2%} to {high:.2%})" if share else f"{said} ({low:.4f} to {high:.4f})"


def _limits(spec: ModelSpec) -> list[str]:
    unsure, neither = spec.thresholds.unsure, spec.thresholds.neither
    if not spec.calibration and spec.temperature == 1:
        calibrated = "The probabilities are uncalibrated."
    elif spec.temperature == 1:
        calibrated = "The probabilities were well enough calibrated on the validation photos, and left as they are."
    else:
        calibrated = f"The probabilities are calibrated on the validation photos (temperature {spec.temperature:.3f})."
    if unsure is None and neither is None:
        held_back = "Every picture is given one of the classes, whatever is on it."
    else:
        said = [
            *([f"*unsure* below a probability of {unsure:.3g}"] if unsure is not None else []),
            *([f"*neither* above a novelty of {neither:.3g}"] if neither is not None else []),
        ]
        held_back = f"It holds back where it should not be trusted: {', '.join(said)}."
    others = spec.metrics.get(OTHERS)
    if others is None:
        seen = "What it says of pictures of none of its classes was not measured."
    else:
        low, high = others["refused_interval"]
        seen = (
            f"Of {others['photos']} pictures of none of its classes (`{others['folder']}`), {others['refused']} "
            f"({others['refused'] / others['photos']:.1%}, 95 % interval {low:.1%} to {high:.1%}) were not taken for "
            f"one, and {others['surer_than_90']} had a class with a probability of 90 % or more."
        )
    return ["## Limits seen", "", f"{calibrated} {held_back} {seen}", ""]


def _data(spec: ModelSpec) -> list[str]:
    return [
        "## Data",
        "",
        f"Photos: {_counts(spec.data.get('photos', {}))}. Fingerprint: `{spec.data.get('fingerprint', 'unknown')}`. "
        f"{_photos_inside(spec)}",
        "",
    ]


def _photos_inside(spec: ModelSpec) -> str:
    if THUMBNAILS_FILE in spec.files:
        return (
            f"A few validation photos, as the network sees them, lie in `{THUMBNAILS_FILE}` for the bundle to test "
            "itself with; `vision-ft export --thumbnails 0` leaves them out."
        )
    return "No photo is in this folder."


def _training(spec: ModelSpec) -> list[str]:
    return [
        "## Training",
        "",
        "The head was solved for on the frozen backbone, stages were unfrozen from the head down, and of all weights "
        "on the way those with the lowest validation log-loss were kept, the head alone among them. Made with "
        f"{', '.join(f'{package} {version}' for package, version in spec.versions.items()) or 'unknown versions'}"
        f"{f', {spec.created}' if spec.created else ''}.",
        "",
    ]


def _licence(spec: ModelSpec) -> list[str]:
    licence = spec.weights.licence
    known = (
        f"are under {licence}"
        if licence
        else "come from a source that states no licence; ask it before you pass these on"
    )
    return [
        "## Licence of the weights",
        "",
        f"The weights that training began from (`{spec.weights.source}`, SHA-256 `{spec.weights.sha256 or 'none'}`) "
        f"{known}. What the photos' owners allow is for whoever trained on them to know.",
        "",
    ]


def _lineage(spec: ModelSpec) -> list[str]:
    """What the model goes back to, for one that went on from another."""
    ancestors = spec.weights.ancestors
    if not ancestors:
        return []
    rows = [
        f"{number}. {one.created}, from `{one.source}`: {', '.join(one.classes)}; photos: "
        f"{_counts(one.data.get('photos', {}))}, fingerprint `{one.data.get('fingerprint', 'unknown')}`; weights "
        f"`{one.sha256}`"
        for number, one in enumerate(ancestors, 1)
    ]
    return ["## Lineage", "", "Training went on from earlier models, the first one first:", "", *rows, ""]


def _named(classes: tuple[str, ...]) -> str:
    more = len(classes) - _MOST_CLASSES
    return ", ".join(classes[:_MOST_CLASSES]) + (f" and {more} more" if more > 0 else "")


def _cell_text(name: str) -> str:
    return name.replace("|", "\\|")


def _counts(photos: dict[str, int]) -> str:
    return ", ".join(f"{count} {part}" for part, count in photos.items()) or "unknown"
