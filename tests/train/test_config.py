from __future__ import annotations

from pathlib import Path

import pytest

from vision_ft.cli import main

CONFIG = Path(__file__).parents[2] / "configs" / "cats_dogs.yaml"


def refused(capsys: pytest.CaptureFixture[str], *args: str | Path) -> str:
    assert main(["fit", *map(str, args)]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1, shown
    return shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data:\n  rot: x\n", "no setting 'data.rot' (did you mean 'data.root'?)"),
        ("dta:\n  root: x\n", "no setting 'dta' (did you mean 'data'?)"),
        ("model:\n  backbon: x\n", "(did you mean 'model.backbone'?)"),
        ("trainer:\n  max_epoch: 1\n", "(did you mean 'trainer.max_epochs'?)"),
        ("unfreeze:\n  phases:\n  - {epoch: 1}\n", "'unfreeze.phases[0].epoch' (did you mean 'epochs'?)"),
        ("unfreeze:\n  gradual: {evry: 1}\n", "'unfreeze.gradual.evry' (did you mean 'every'?)"),
        ("data:\n  split: {trian: 1}\n", "(did you mean 'data.split.train'?)"),
        ("data: [1\n", "not valid YAML near line 2"),
        ("- 1\n", "holds no settings, but a list"),
        ("model:\n", "model must have settings below it, not nothing"),
        ("trainer: 5\n", "trainer must have settings below it, not 5"),
    ],
)
def test_a_wrong_yaml_names_the_file_and_the_nearest_key(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    shown = refused(capsys, "--config", path)
    assert words in shown
    assert str(path) in shown


def test_a_class_of_the_users_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "trainer:\n"
        "  logger: {class_path: pytorch_lightning.loggers.CSVLogger, init_args: {save_dir: here}}\n"
        "  callbacks: null\n"
        "  accelerator: cpu\n"
    )
    assert "no folder 'nothing here'" in refused(capsys, "--config", path, "--data.root", "nothing here")


def test_all_wrong_keys_of_all_files_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("data: {rot: 1, btch_size: 2}\n")
    (tmp_path / "b.yaml").write_text("modle: {}\n")
    shown = refused(capsys, "--config", tmp_path / "a.yaml", f"--config={tmp_path / 'b.yaml'}")
    assert all(key in shown for key in ("'data.rot'", "'data.btch_size'", "'modle'"))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--config", "nothing.yaml"], "--config: no file 'nothing.yaml'"),
        (["--config", CONFIG], "data.root is not set"),
        (["--config", CONFIG, "--data.rot", "x"], "no setting --data.rot (did you mean --data.root?)"),
        (["--data.root", "x", "--data.batch_size", "many"], "data.batch_size"),
        (["--data.root", "x", "--trainer.precision", "bf17"], "it takes"),
        (["--data.root", "x", "--model.image_size", "forty"], "it takes int, null"),
        (["--data.root", "x", "--unfreeze.phases", "[{epochs: 1, stages: 1}]"], "each phase needs epochs"),
        (["--data.root", "x", "--seed_everything", "-1"], "seed_everything is -1"),
        (["--data.root", "x", "--ckpt_path", "nothing.ckpt"], "no checkpoint 'nothing.ckpt'"),
        (["--data.root", "x", "--ckpt_path", CONFIG], "not a checkpoint of vision-ft"),
    ],
)
def test_a_wrong_command_line(args: list[str | Path], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(capsys, *args)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--model.backbone", "resnet5"], "did you mean 'resnet50'"),
        (["--model.weights", "builtn:"], "names no source"),
        (["--model.label_smoothing", "1", "--model.weight_decay", "-1"], "model.label_smoothing is 1"),
        (["--data.split.train", "0.9"], "must add up to 1"),
        (["--data.augment", "[{transform: Filp}]"], "data.augment[0] Filp"),
        (["--data.augment", "stong"], "no preset 'stong' (did you mean 'strong'?)"),
        (["--model.dropout", "1.5"], "model.dropout is 1.5, must be in [0, 1)"),
        (
            ["--model.drop_path", "-1", "--model.dropout", "2"],
            "model.dropout is 2, must be in [0, 1); model.drop_path is -1",
        ),
        (["--data.augment", "[{transform: RandomCrop, height: 5000, width: 5000}]"], "data.augment: "),
        (["--data.augment", "[{transform: Normalize}]"], "change size or type"),
        (["--data.split.seed", "-1"], "data.split.seed is -1"),
        (["--model.backbone", "resnet18.foo", "--model.weights", "random:"], "model.backbone: 'resnet18.foo'"),
        (["--model.weight_decay", ".nan"], "model.weight_decay is nan"),
        (["--unfreeze.phases", "[{epochs: 1, stages: 1, lr: 1}]", "--unfreeze.gradual.every", "2"], "phases null"),
        (["--unfreeze.phases", "[{epochs: 1, stages: [heed], lr: 1}]"], "did you mean 'head'?"),
        (["--trainer.accelerator", "gpu"], "trainer: "),
        (["--unfreeze.phases", "[{epochs: 1, stages: [], lr: 1}]"], "unfreeze.phases[0]: names no stage"),
        (
            ["--unfreeze.phases", "[{epochs: 1, stages: [blocks.9], lr: 0}]"],
            "lr is 0, must be above 0. The stages, from",
        ),
        (["--unfreeze.patience", "0"], "unfreeze.patience is 0"),
        (["--unfreeze.head_views", "2", "--data.augment", "none"], "no random views for the head"),
        (["--ema.decay", "1"], "ema.decay is 1, must be in [0, 1)"),
        (
            ["--model.mixup", "-1", "--model.cutmix", ".inf"],
            "model.mixup is -1, must be 0 or more; model.cutmix is inf",
        ),
        (["--model.head_start", "warm"], "it takes pretrained, zero"),
        (["--run.save_every_steps", "0"], "run.save_every_steps is 0"),
        (["--run.name", "a/b", "--unfreeze.gradual.every", "0"], "gradual.every is 0, must be 1 or more"),
        (["--run.name", "a/b"], "run.name is 'a/b'"),
        (
            [
                "--unfreeze.phases",
                "[{epochs: 1, stages: 2, lr: 1, lora: 4}, {epochs: 1, stages: [stem], lr: 1, lora: 4}]",
            ],
            "unfreeze.phases[1]: no layer of stem takes an adapter",
        ),
        (
            ["--unfreeze.phases", "[{epochs: 1, stages: 1, lr: 1, lora: 4}]"],
            "the head alone trains, and has no adapters",
        ),
        (["--model.weights", "bundle:~nobody1/x"], "no such user"),
        (["--data.earlier", "nothing.csv"], "data.earlier: 'nothing.csv' cannot be read"),
        (["--model.renamed", "{cat: kitty}"], "model.renamed is for the classes of a bundle"),
        (["--trainer.accumulate_grad_batches", "0"], "accumulate_grad_batches is 0, must be 1 or more"),
        (["--trainer.enable_checkpointing", "false"], "a checkpoint is what is handed over"),
        (["--trainer.val_check_interval", "9999"], "val_check_interval is 9999, but an epoch has"),
    ],
)
def test_a_wrong_setting_makes_no_run(
    args: list[str], words: str, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if args[-1] == "gpu" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    shown = refused(capsys, "--data.root", drawings, "--run.folder", tmp_path / "runs", *args)
    assert words in shown
    assert not (tmp_path / "runs").exists()


def test_all_mistakes_of_all_settings_at_once_and_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Photos are drawn where they are missing, which takes seconds; a mistake is told before."""
    shown = refused(
        capsys, "--data.root", f"drawn:{tmp_path / 'photos'}", "--data.batch_size", "0", "--data.augment", "stong",
        "--data.split.seed", "-1", "--model.weights", "builtn:", "--model.dropout", "2", "--ema.decay", "7",
        "--seed_everything", "-1",
        "--unfreeze.phases", "[{epochs: 0, stages: [heed], lr: 1}, {epochs: 1, stages: 1, lr: 0}]",
    )  # fmt: skip
    for words in (
        "data.batch_size is 0", "no preset 'stong'", "data.split.seed is -1", "'builtn:' names no source",
        "model.dropout is 2", "ema.decay is 7", "seed_everything is -1", "unfreeze.phases[0]: no stage 'heed'",
        "unfreeze.phases[0]: epochs is 0", "unfreeze.phases[1]: lr is 0",
        "The stages, from the bottom: stem, blocks.0, blocks.1, blocks.2, blocks.3, blocks.4, blocks.5, blocks.6, head",
    ):  # fmt: skip
        assert words in shown
    assert not (tmp_path / "photos").exists()


def test_validate_and_test_want_a_checkpoint(drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("validate", "test"):
        assert main([verb, "--data.root", str(drawings)]) == 2
        assert "needs --ckpt_path" in capsys.readouterr().err
