"""The model card: what a person should know before using the model."""

from __future__ import annotations

from typing import Any

from vision_ft.spec import ModelSpec


def model_card(spec: ModelSpec) -> str:
    """The text of the bundle's ``README.md``, made from its spec alone."""
    framing = spec.preprocessing.framing
    licence = spec.weights.licence
    rows = [_row(part, figures) for part, figures in spec.metrics.items()]
    table = [
        "| part | photos | accuracy (95 % interval) | log-loss (95 % interval) |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    lines = [
        "---",
        "library_name: vision-ft",
        "pipeline_tag: image-classification",
        *([f"license: {licence}"] if licence else []),
        "---",
        "",
        f"# {' or '.join(spec.classes) if len(spec.classes) <= 4 else f'{len(spec.classes)} classes'}",
        "",
        f"An image classifier for {len(spec.classes)} classes: {', '.join(spec.classes)}.",
        f"{spec.backbone}, started from `{spec.weights.source}` and fine-tuned with vision-ft.",
        "",
        "```python",
        "import vision_ft",
        "",
        'model = vision_ft.load("FOLDER OF THIS FILE")',
        'print(model.predict(["photo.jpg"]))',
        "```",
        "",
        f"Input: {framing.width} × {framing.height} pixels, {framing.interpolation}; decoding, resizing and cropping "
        "are vision-ft's own, normalisation and softmax are inside `model.onnx`.",
        "",
        *(["## Figures", "", *table, ""] if rows else []),
        "## Data",
        "",
        f"Photos: {_counts(spec.data.get('photos', {}))}. Fingerprint: `{spec.data.get('fingerprint', 'unknown')}`.",
        "",
        *_lineage(spec),
        "The probabilities are uncalibrated, and every picture is given one of the classes, whatever is on it.",
        "",
    ]
    return "\n".join(lines)


def _row(part: str, figures: dict[str, Any]) -> str:
    low, high = figures["accuracy_interval"]
    loss_low, loss_high = figures["log_loss_interval"]
    return (
        f"| {part} | {figures['photos']} | {figures['accuracy']:.2%} ({low:.2%} to {high:.2%}) "
        f"| {figures['log_loss']:.4f} ({loss_low:.4f} to {loss_high:.4f}) |"
    )


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


def _counts(photos: dict[str, int]) -> str:
    return ", ".join(f"{count} {part}" for part, count in photos.items()) or "unknown"
